//! The folder of a log and the few file operations that it needs.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::LogError;

/// The paths inside of a log's folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What may be served to anybody as static files.
    pub(crate) fn public(&self) -> PathBuf {
        self.root.join("public")
    }

    pub(crate) fn private(&self) -> PathBuf {
        self.root.join("private")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.public().join("checkpoint")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.private().join("lock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.private().join("journal")
    }

    /// The file whose advisory lock says who writes.
    pub(crate) fn writer(&self) -> PathBuf {
        self.private().join("writer")
    }
}

/// Writes a file beside its name and renames it there, so that a reader sees the old bytes or the
/// new ones. Durable only after [`sync_file`] and [`sync_folder`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    File::create(&temporary).and_then(|mut file| file.write_all(bytes)).map_err(LogError::disk("write a file"))?;
    fs::rename(&temporary, path).map_err(LogError::disk("rename a file"))
}

pub(crate) fn sync_file(path: &Path) -> Result<(), LogError> {
    File::open(path).and_then(|file| file.sync_data()).map_err(LogError::disk("sync a file"))
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), LogError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(LogError::disk("sync a folder"))
}

/// Reads a file of at most `most` bytes; `None` when there is none.
pub(crate) fn read_bounded(path: &Path, most: usize) -> Result<Option<Vec<u8>>, LogError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(LogError::disk("open a file")(error)),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(LogError::disk("read a file"))?;
    if bytes.len() > most {
        return Err(LogError::damaged("a file is longer than its kind can be"));
    }
    Ok(Some(bytes))
}

/// Takes the advisory lock of a folder's one writer. It is held until the file is dropped.
pub(crate) fn lock_writer(path: &Path) -> Result<File, LogError> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(LogError::disk("open the writer file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Busy),
        Err(TryLockError::Error(error)) => Err(LogError::disk("lock the writer file")(error)),
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

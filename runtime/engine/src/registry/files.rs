//! Files by their content: `files/sha256/aa/aabb…`.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::store::{create_private, random_name, sync_parent};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// At most how long a kept file is, in bytes, where nothing else is said.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// A temporary file this old was left by a crash.
const STALE: Duration = Duration::from_secs(3600);

/// Files under a home, each named by its SHA-256. What is kept is never changed or deleted. Blocking.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    limit: u64,
}

impl FileStore {
    /// The files under `root` (the home's `files`); the folder is made where it is not there. Temporary files that a
    /// crash left more than an hour ago are removed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::with_limit(root, MAX_FILE_BYTES)
    }

    /// As [`Self::open`], for files of at most `limit` bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn with_limit(root: &Path, limit: u64) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned(), limit };
        fs::create_dir_all(store.drafts())?;
        fs::create_dir_all(root.join("sha256"))?;
        sync_parent(&root.join("sha256"))?;
        sync_parent(root)?;
        for draft in fs::read_dir(store.drafts())? {
            let draft = draft?;
            let age = draft.metadata().ok().and_then(|m| m.modified().ok()).and_then(|t| t.elapsed().ok());
            if age.is_some_and(|age| age > STALE) {
                // Another process may have removed it just now.
                let _ = fs::remove_file(draft.path());
            }
        }
        Ok(store)
    }

    fn drafts(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where the file of this digest is kept, whether it is there or not.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join("sha256").join(name.get(..2).unwrap_or("00")).join(&name)
    }

    /// Keeps some bytes durably; keeping them again changes nothing, and mends a file that was damaged.
    ///
    /// # Errors
    /// [`StoreError::Limit`] where they are too many; [`StoreError::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if bytes.len() as u64 > self.limit {
            return Err(StoreError::Limit("file"));
        }
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        if matches!(self.get(&digest), Ok(there) if there == bytes) {
            // It may have been put there just before a crash: make sure that it stays.
            File::open(&path)?.sync_all()?;
            sync_parent(&path)?;
            return Ok(digest);
        }
        let draft = self.drafts().join(random_name()?);
        let written = write_draft(&draft, bytes).and_then(|()| place(&draft, &path));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written?;
        Ok(digest)
    }

    /// The bytes of this digest, verified.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Damaged`] where they are not what was kept; [`StoreError::Io`].
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let file = File::open(self.path(digest)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::absent(Kind::File, digest.to_string()),
            _ => StoreError::Io(error),
        })?;
        let mut bytes = Vec::new();
        file.take(self.limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit || Digest::of(&bytes) != *digest {
            return Err(StoreError::Damaged("a kept file is not what its name says"));
        }
        Ok(bytes)
    }

    /// Whether there is a file of this digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.path(digest).try_exists()?)
    }
}

fn write_draft(draft: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = create_private(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn place(draft: &Path, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    sync_parent(folder)?;
    fs::rename(draft, path)?;
    sync_parent(path)
}

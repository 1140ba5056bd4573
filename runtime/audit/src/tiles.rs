//! Tiles and entry bundles on disk, in the layout of C2SP `tlog-tiles`.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::LogError;
use crate::files;
use crate::journal::take_entry;
use crate::tree::{TileSource, WIDTH};

/// The most bytes of a bundle: 256 entries of the greatest length with their prefixes.
const MAX_BUNDLE: usize = 256 * (2 + 65_535);

/// Which kind of tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hashes of this level.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// The path of a tile below the public folder: `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`.
pub(crate) fn path(kind: Kind, number: u64, width: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    let level = match kind {
        Kind::Hashes(level) => level.to_string(),
        Kind::Entries => "entries".to_owned(),
    };
    if width == WIDTH { format!("tile/{level}/{text}") } else { format!("tile/{level}/{text}.p/{width}") }
}

/// Reads tiles.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    public: PathBuf,
}

impl Reader {
    pub(crate) fn new(public: PathBuf) -> Self {
        Self { public }
    }

    /// The tile in this width or any greater one, and the width found: the rest of a wider tile
    /// belongs to a later tree, and the caller cuts it off.
    fn find(&self, kind: Kind, number: u64, width: u64, most: usize) -> Result<(u64, Vec<u8>), LogError> {
        let wider = [width, WIDTH].into_iter().chain(width + 1..WIDTH);
        for found in wider {
            if let Some(bytes) = files::read_bounded(&self.public.join(path(kind, number, found)), most)? {
                return Ok((found, bytes));
            }
        }
        Err(LogError::damaged(format!("{} is missing", path(kind, number, width))))
    }

    /// The first `width` entries of a bundle.
    pub(crate) fn bundle(&self, number: u64, width: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let (found, bytes) = self.find(Kind::Entries, number, width, MAX_BUNDLE)?;
        let wrong = || LogError::damaged(format!("{} has a wrong length", path(Kind::Entries, number, found)));
        let mut rest = bytes.as_slice();
        let mut entries = Vec::with_capacity(found as usize);
        for _ in 0..found {
            entries.push(take_entry(&mut rest).ok_or_else(wrong)?.to_vec());
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
        entries.truncate(width as usize);
        Ok(entries)
    }
}

impl TileSource for Reader {
    fn tile(&self, level: u8, number: u64, width: u32) -> Result<Vec<u8>, LogError> {
        let kind = Kind::Hashes(level);
        let (found, mut bytes) = self.find(kind, number, u64::from(width), 32 * 256)?;
        if bytes.len() as u64 != 32 * found {
            return Err(LogError::damaged(format!("{} has a wrong length", path(kind, number, found))));
        }
        bytes.truncate(32 * width as usize);
        Ok(bytes)
    }
}

/// Writes tiles and remembers what is not durable yet.
#[derive(Debug)]
pub(crate) struct Writer {
    public: PathBuf,
    folders: HashSet<PathBuf>,
    dirty_files: BTreeSet<PathBuf>,
    dirty_folders: BTreeSet<PathBuf>,
    /// Folders of partial tiles whose full tile is written but not durable yet.
    superfluous: Vec<PathBuf>,
}

impl Writer {
    pub(crate) fn new(public: PathBuf) -> Self {
        Self {
            public,
            folders: HashSet::new(),
            dirty_files: BTreeSet::new(),
            dirty_folders: BTreeSet::new(),
            superfluous: Vec::new(),
        }
    }

    /// Writes a tile. A full one makes the partial ones before it superfluous; they go with the next
    /// flush, not before: until then a power failure may take the full one away.
    ///
    /// Of one tile only the widest has to become durable: it holds what the narrower ones do, and the
    /// journal keeps all of it until then.
    pub(crate) fn put(&mut self, kind: Kind, number: u64, width: u64, bytes: &[u8]) -> Result<(), LogError> {
        let target = self.public.join(path(kind, number, width));
        let mut partial = self.public.join(path(kind, number, WIDTH)).into_os_string();
        partial.push(".p");
        let partial = PathBuf::from(partial);
        self.dirty_files.retain(|file| !file.starts_with(&partial));
        self.write(&target, bytes)?;
        if width == WIDTH {
            self.dirty_folders.remove(&partial);
            self.superfluous.push(partial);
        }
        Ok(())
    }

    /// Publishes a checkpoint.
    pub(crate) fn publish(&mut self, note: &str) -> Result<(), LogError> {
        let target = self.public.join("checkpoint");
        self.write(&target, note.as_bytes())
    }

    fn write(&mut self, target: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let folder = target.parent().unwrap_or(&self.public).to_path_buf();
        self.make_folder(&folder)?;
        files::replace(target, bytes)?;
        self.dirty_files.insert(target.to_path_buf());
        self.dirty_folders.insert(folder);
        Ok(())
    }

    fn make_folder(&mut self, folder: &Path) -> Result<(), LogError> {
        if self.folders.contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(LogError::disk("make a folder"))?;
        // The names of new folders must become durable too, up to the public one.
        for above in folder.ancestors().skip(1) {
            self.dirty_folders.insert(above.to_path_buf());
            if above == self.public {
                break;
            }
        }
        if self.folders.len() > 1000 {
            self.folders.clear();
        }
        self.folders.insert(folder.to_path_buf());
        Ok(())
    }

    fn remove_folder(&mut self, folder: &Path) -> Result<(), LogError> {
        match fs::remove_dir_all(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LogError::disk("remove partial tiles")(error)),
        }
        self.folders.remove(folder);
        self.dirty_folders.remove(folder);
        self.dirty_files.retain(|file| !file.starts_with(folder));
        Ok(())
    }

    /// Makes everything that was written durable.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        for file in &self.dirty_files {
            files::sync_file(file)?;
        }
        self.dirty_files.clear();
        for folder in &self.dirty_folders {
            files::sync_folder(folder)?;
        }
        self.dirty_folders.clear();
        for folder in std::mem::take(&mut self.superfluous) {
            self.remove_folder(&folder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path(Kind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(Kind::Hashes(1), 0, 17), "tile/1/000.p/17");
        assert_eq!(path(Kind::Entries, 999, 255), "tile/entries/999.p/255");
        assert_eq!(path(Kind::Entries, 1000, 1), "tile/entries/x001/000.p/1");
    }
}

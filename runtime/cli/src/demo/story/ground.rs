//! The folder that the story happens in.

use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use yunei_audit::Receipt;

use super::Stop;
use crate::demo::assets::Asset;

/// `home`, `data`, `receipts` and `results` under one root; removed when dropped, unless it is to be kept.
pub(super) struct Ground {
    root: PathBuf,
    keep: bool,
}

impl Ground {
    /// The folder `keep`, which must be empty or absent, or a new one that only this user may enter.
    pub(super) fn prepare(keep: Option<PathBuf>) -> Result<Self, Stop> {
        let ground = match keep {
            Some(root) => {
                fs::create_dir_all(&root)?;
                if fs::read_dir(&root)?.next().is_some() {
                    return Err(Stop::Occupied);
                }
                Self { root: std::path::absolute(root)?, keep: true }
            }
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
                let root = std::env::temp_dir().join(format!("yunei-demo-{}-{now}", std::process::id()));
                let mut builder = DirBuilder::new();
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                // Fails where somebody else made it first.
                builder.create(&root)?;
                Self { root, keep: false }
            }
        };
        for folder in ["data", "receipts", "results"] {
            fs::create_dir_all(ground.root.join(folder))?;
        }
        Ok(ground)
    }

    /// The home of the domain.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Where data and manifests lie.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The root, where it is kept.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.keep.then_some(self.root.as_path())
    }

    /// Writes a manifest into `folder` of the data.
    pub(super) fn write(&self, folder: &str, asset: Asset) -> Result<PathBuf, Stop> {
        let folder = self.data().join(folder);
        fs::create_dir_all(&folder)?;
        let path = folder.join(asset.file);
        fs::write(&path, asset.text)?;
        Ok(path)
    }

    /// Keeps what a run released.
    pub(super) fn result(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        Ok(fs::write(self.root.join("results").join(name), bytes)?)
    }

    /// Keeps a receipt.
    pub(super) fn receipt(&self, run: &str, receipt: &Receipt) -> Result<(), Stop> {
        let path = self.root.join("receipts").join(format!("{run}.receipt"));
        Ok(fs::write(path, receipt.to_string())?)
    }

    /// The receipts kept so far, as bytes.
    pub(super) fn receipts(&self) -> Result<Vec<Vec<u8>>, Stop> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.root.join("receipts"))? {
            all.push(fs::read(entry?.path())?);
        }
        Ok(all)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to be told.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

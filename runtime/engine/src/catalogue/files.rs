//! The files of a dataset version: finding them, digesting them, knowing them again.

use super::MAX_FILES;
use super::reasons::{Reasons, shown};
use super::spec::DatasetSpec;
use crate::registry::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;
use yunei_policy::{Refusal, Refused};

/// One immutable file of a dataset version.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    path: PathBuf,
    bytes: u64,
    sha256: Digest,
    rows: u64,
    modified_nanos: i64,
}

impl std::fmt::Debug for FileEntry {
    // The path is the holder's own matter.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileEntry").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl FileEntry {
    /// The absolute path, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of the content.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// When it was last modified, in nanoseconds since 1970.
    pub fn modified_nanos(&self) -> i64 {
        self.modified_nanos
    }

    /// A file as it lies there, compared with nothing: for measurements and tests, which register nothing.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn unchecked(path: &Path) -> Self {
        let sha256 = Digest::from_bytes([0; 32]);
        Self { path: path.to_owned(), bytes: 0, sha256, rows: 0, modified_nanos: 0 }
    }

    pub(super) fn new(path: PathBuf, stamp: Stamp, sha256: Digest, rows: u64) -> Self {
        Self { path, bytes: stamp.bytes, sha256, rows, modified_nanos: stamp.modified_nanos }
    }
}

/// What tells cheaply that a file was not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    modified_nanos: i64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        // Files from before 1970 or without a time count as modified at 0; the size and the digest still tell.
        let since = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let modified_nanos = since.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0);
        Self { bytes: metadata.len(), modified_nanos }
    }
}

/// A file that an entry names: for people relative to the entry, for the machine canonical.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// The files that the entry names, sorted by path, each once.
pub(super) fn expand(spec: &DatasetSpec, base: &Path) -> Result<Vec<Named>, Refused> {
    let mut reasons = Reasons::default();
    let mut found = BTreeMap::new();
    for pattern in spec.files() {
        if !matches(pattern, base, &mut found, &mut reasons) {
            reasons.push(
                Refusal::new(
                    "catalogue/no-files",
                    format!("没有文件符合 `{}`", shown(pattern)),
                    format!("no file matches `{}`", shown(pattern)),
                )
                .at("dataset.files")
                .hint("路径相对于目录条目所在的文件夹", "paths are relative to the folder of the entry"),
            );
        }
        if found.len() > MAX_FILES {
            reasons.push(
                Refusal::new(
                    "catalogue/too-many",
                    format!("一个版本最多 {MAX_FILES} 个文件"),
                    format!("a version has at most {MAX_FILES} files"),
                )
                .at("dataset.files"),
            );
            break;
        }
    }
    reasons.unless(found.into_iter().map(|(path, name)| Named { path, name }).collect())
}

/// An entry that comes over the network names files under `root` alone: by names that stay there, and by links that do.
/// Nothing is said of what lies elsewhere.
pub(crate) fn files_within(spec: &DatasetSpec, base: &Path, root: &Path) -> Result<(), Refused> {
    let mut reasons = Reasons::default();
    for pattern in spec.files() {
        let plain = Path::new(pattern).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || pattern.contains('\\') || pattern.contains('\0') {
            reasons.push(
                Refusal::new(
                    "catalogue/path",
                    "文件路径须为数据文件夹之内的相对路径",
                    "a file is named by a relative path inside of the data folder",
                )
                .at(shown(pattern))
                .hint("不要使用绝对路径、. 或 ..", "no absolute path, no . and no .."),
            );
        }
    }
    reasons.unless(())?;
    let found = expand(spec, base)?;
    paths_within(found.iter().map(|named| named.path.as_path()), root)
}

/// Whether canonical paths lie under a canonical folder.
pub(crate) fn paths_within<'a>(mut paths: impl Iterator<Item = &'a Path>, root: &Path) -> Result<(), Refused> {
    if paths.all(|path| path.starts_with(root)) {
        return Ok(());
    }
    Err(Refusal::new(
        "catalogue/path",
        "文件位于数据文件夹之外",
        "a file lies outside of the data folder, by way of a link",
    )
    .at("dataset.files")
    .into())
}

/// Adds what a pattern matches (canonical path, name); whether there was anything.
fn matches(pattern: &str, base: &Path, found: &mut BTreeMap<PathBuf, String>, reasons: &mut Reasons) -> bool {
    let unreadable = |name: &str| {
        Refusal::new("catalogue/unreadable", "无法读取该文件或文件夹", "this file or folder cannot be read")
            .at(shown(name))
    };
    let full = match base.to_str() {
        _ if Path::new(pattern).is_absolute() => pattern.to_owned(),
        Some(base) => format!("{}/{pattern}", glob::Pattern::escape(base)),
        None => {
            reasons.push(unreadable(&base.to_string_lossy()));
            return true;
        }
    };
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let Ok(paths) = glob::glob_with(&full, options) else { return false };
    let mut any = false;
    for path in paths {
        let path = match path {
            Ok(path) => path,
            Err(error) => {
                reasons.push(unreadable(&error.path().to_string_lossy()));
                any = true;
                continue;
            }
        };
        let name = path.strip_prefix(base).unwrap_or(&path).to_string_lossy().into_owned();
        match path.canonicalize().and_then(|p| Ok((p.metadata()?, p))) {
            Ok((metadata, path)) if metadata.is_file() && path.to_str().is_some() => {
                // One file reached by two names is one file.
                found.entry(path).or_insert(name);
                any = true;
            }
            Ok((metadata, _)) if metadata.is_dir() => {}
            _ => {
                reasons.push(unreadable(&name));
                any = true;
            }
        }
        if found.len() > MAX_FILES {
            break;
        }
    }
    any
}

/// The SHA-256 of what remains to be read; `progress` is told how many bytes were read since the last call.
pub(super) fn digest(file: &mut File, progress: &mut dyn FnMut(u64)) -> io::Result<Digest> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::from_ring(&context.finish()));
        }
        context.update(buffer.get(..count).unwrap_or(&[]));
        progress(count as u64);
    }
}

/// The files of a dataset version are still those that were registered.
///
/// A file whose size and time of modification are as registered is taken to be unchanged; any other is digested again. That
/// finds what is replaced by mistake, not a holder who sets the time back: [`verify_digests`] does. Blocking.
///
/// # Errors
/// `dataset/changed`, which says neither what differs nor in which file: it may reach an operator.
pub fn verify_unchanged(files: &[FileEntry]) -> Result<(), Refused> {
    if files.iter().all(is_unchanged) {
        return Ok(());
    }
    Err(changed().into())
}

/// As [`verify_unchanged`], but every file is digested again, whatever its size and time say: for a replay. Blocking.
///
/// # Errors
/// `dataset/changed`, as there.
pub fn verify_digests(files: &[FileEntry]) -> Result<(), Refused> {
    let same = |entry: &FileEntry| -> io::Result<bool> {
        let mut file = File::open(&entry.path)?;
        Ok(file.metadata()?.is_file() && digest(&mut file, &mut |_| ())? == entry.sha256)
    };
    if files.iter().all(|entry| same(entry).unwrap_or(false)) {
        return Ok(());
    }
    Err(changed().into())
}

/// The digests that the files of a dataset version have now, in their order; `None` where a file can not be read. `progress`
/// is told (bytes read, bytes in all). Blocking.
pub fn current_digests(files: &[FileEntry], progress: &mut dyn FnMut(u64, u64)) -> Vec<Option<Digest>> {
    let total = files.iter().map(FileEntry::bytes).sum();
    let mut done = 0;
    let now = files.iter().map(|entry| {
        let mut file = File::open(&entry.path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        digest(&mut file, &mut |count| {
            done += count;
            progress(done, total);
        })
        .ok()
    });
    now.collect()
}

fn is_unchanged(entry: &FileEntry) -> bool {
    let same = || -> io::Result<bool> {
        let mut file = File::open(&entry.path)?;
        let metadata = file.metadata()?;
        let registered = Stamp { bytes: entry.bytes, modified_nanos: entry.modified_nanos };
        if Stamp::of(&metadata) == registered {
            return Ok(metadata.is_file());
        }
        Ok(metadata.is_file() && metadata.len() == entry.bytes && digest(&mut file, &mut |_| ())? == entry.sha256)
    };
    same().unwrap_or(false)
}

/// The refusal of a dataset whose files are not those that were registered.
pub(super) fn changed() -> Refusal {
    Refusal::new("dataset/changed", "数据文件与登记的版本不一致", "the data files are not those that were registered")
        .hint("由数据提供单位恢复文件或登记新版本", "the holder restores the files or registers a new version")
}

//! Artefacts on disk, each under the digest of its module and engine, authenticated with a key.

use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use ring::hmac;
use wasmtime::Engine;

use crate::verify::hex;

const MAGIC: &[u8; 8] = b"yunei-a1";
const TAG_BYTES: usize = 32;
/// No artefact of a module within the verifier's bounds comes near.
const ARTEFACT_BYTES: u64 = 512 * 1024 * 1024;
/// Artefacts in a folder, and their bytes; beyond either the oldest make room.
const FOLDER: Room = Room { files: 1024, bytes: 4 << 30 };

#[derive(Debug, Clone, Copy)]
struct Room {
    files: usize,
    bytes: u64,
}

/// The key that artefacts are authenticated with. Whoever has it can have any code run: it belongs
/// among the secrets of the home.
#[derive(Clone)]
pub struct CacheKey(hmac::Key);

impl CacheKey {
    /// Makes a key of 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(…)")
    }
}

/// A folder of artefacts. A file in it is machine code, taken only when its HMAC-SHA-256 (RFC 2104)
/// over name and content is right; any other file is as good as none and is written anew.
#[derive(Debug, Clone)]
pub struct ArtefactCache {
    folder: PathBuf,
    key: CacheKey,
}

impl ArtefactCache {
    /// A cache in `folder`, which is made when it is first written to.
    pub fn new(folder: impl Into<PathBuf>, key: CacheKey) -> Self {
        Self { folder: folder.into(), key }
    }

    /// The name of the artefact of `wasm` on `engine`: both go into it, so that neither another
    /// module nor another version or setting of the engine can be met by it.
    pub(crate) fn name(wasm: &[u8], engine: &Engine) -> String {
        let mut fingerprint = Fingerprint(Context::new(&SHA256));
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        let mut name = Context::new(&SHA256);
        name.update(fingerprint.0.finish().as_ref());
        name.update(wasm);
        hex(name.finish().as_ref())
    }

    /// The artefact `name`, if it is there and authentic.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let file = fs::File::open(self.folder.join(name)).ok()?;
        let mut bytes = Vec::new();
        file.take(ARTEFACT_BYTES).read_to_end(&mut bytes).ok()?;
        let content = bytes.strip_prefix(MAGIC)?;
        let (tag, artefact) = content.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.key.0, &authenticated(name, artefact), tag).ok()?;
        bytes.drain(..MAGIC.len() + TAG_BYTES);
        Some(bytes)
    }

    /// Keeps an artefact. A reader sees the whole file or none.
    pub(crate) fn put(&self, name: &str, artefact: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.make_room(artefact.len() as u64, FOLDER)?;
        let tag = hmac::sign(&self.key.0, &authenticated(name, artefact));
        let temporary = self.folder.join(format!("{name}.{}.{:?}", std::process::id(), std::thread::current().id()));
        let written =
            write(&temporary, tag.as_ref(), artefact).and_then(|()| fs::rename(&temporary, self.folder.join(name)));
        if written.is_err() {
            // The half-written file is of no use to anybody; failing to remove it harms nobody.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl ArtefactCache {
    /// Removes the oldest files, left-over temporary ones among them, until one of `more` bytes fits.
    fn make_room(&self, more: u64, room: Room) -> io::Result<()> {
        let mut files = Vec::new();
        let mut bytes = more;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What another process has removed in the meantime takes no room.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                bytes = bytes.saturating_add(metadata.len());
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut count = files.len() + 1;
        for (_, length, path) in files {
            if count <= room.files && bytes <= room.bytes {
                break;
            }
            // Gone already or not ours to remove: either way the next one is tried.
            let _ = fs::remove_file(path);
            count -= 1;
            bytes -= length;
        }
        Ok(())
    }
}

/// What the tag is made over: a name has a fixed length, so that the two cannot run into each other.
fn authenticated(name: &str, artefact: &[u8]) -> Vec<u8> {
    [name.as_bytes(), artefact].concat()
}

fn write(path: &Path, tag: &[u8], artefact: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(tag)?;
    file.write_all(artefact)
}

/// Feeds what the engine hashes into SHA-256: the 64 bits of a plain hasher are few for a name.
struct Fingerprint(Context);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never asked for: the digest is taken from the context.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cache(folder: &Path, key: u8) -> ArtefactCache {
        ArtefactCache::new(folder, CacheKey::new(&[key; 32]))
    }

    #[test]
    fn what_is_put_comes_back_under_its_name_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(folder.path(), 1);
        here.put("aa", b"code").unwrap();
        assert_eq!(here.get("aa").as_deref(), Some(&b"code"[..]));
        assert_eq!(here.get("bb"), None);
        assert_eq!(cache(folder.path(), 2).get("aa"), None);
        fs::copy(folder.path().join("aa"), folder.path().join("bb")).unwrap();
        assert_eq!(here.get("bb"), None);
    }

    #[test]
    fn every_damaged_or_missing_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(folder.path(), 1);
        here.put("aa", b"code").unwrap();
        let good = fs::read(folder.path().join("aa")).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            fs::write(folder.path().join("aa"), &bad).unwrap();
            assert_eq!(here.get("aa"), None, "byte {i}");
            fs::write(folder.path().join("aa"), &good[..i]).unwrap();
            assert_eq!(here.get("aa"), None, "cut at {i}");
        }
    }

    #[test]
    fn a_full_folder_makes_room_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(folder.path(), 1);
        let left = |files, bytes| {
            for (i, name) in ["aa", "bb", "cc", "dd"].into_iter().enumerate() {
                here.put(name, &[0; 60]).unwrap();
                let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i as u64);
                fs::File::options().append(true).open(folder.path().join(name)).unwrap().set_modified(time).unwrap();
            }
            here.make_room(100, Room { files, bytes }).unwrap();
            ["aa", "bb", "cc", "dd"].into_iter().filter(|name| here.get(name).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(left(5, 500), ["aa", "bb", "cc", "dd"]);
        assert_eq!(left(4, 500), ["bb", "cc", "dd"]);
        assert_eq!(left(5, 499), ["bb", "cc", "dd"]);
        assert_eq!(left(1, 500), [""; 0]);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", CacheKey::new(&[7; 32])), "CacheKey(…)");
    }
}

//! Artefacts on disk, each under the name of what it was made from, authenticated with a key.

use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::Engine;

use super::artefact::{Placed, Region};
use crate::manifest::Manifest;
use crate::verify::{Report, hex};

const MAGIC: &[u8; 8] = b"yunei-a3";
/// Length of what verification found, before it.
const LENGTH_BYTES: usize = 4;
/// What lies before the content.
const HEAD: usize = MAGIC.len() + NONCE_LEN;
/// No artefact of a module within the verifier's bounds comes near.
const ARTEFACT_BYTES: u64 = 512 * 1024 * 1024;
/// Artefacts in a folder, and their bytes; beyond either the oldest make room.
const FOLDER: Room = Room { files: 1024, bytes: 4 << 30 };

#[derive(Debug, Clone, Copy)]
struct Room {
    files: usize,
    bytes: u64,
}

/// Where in its file an artefact begins, behind so many bytes of what is known.
fn place(known: usize) -> usize {
    (HEAD + LENGTH_BYTES + known).next_multiple_of(rustix::param::page_size())
}

/// The key that artefacts are authenticated with. Whoever has it can have any code run: it belongs
/// among the secrets of the home.
#[derive(Clone)]
pub struct CacheKey(LessSafeKey);

impl CacheKey {
    /// Makes a key of 32 random bytes, or of 32 that were derived for this purpose alone.
    pub fn new(bytes: &[u8; 32]) -> Self {
        // INVARIANT: the algorithm takes keys of 32 bytes and no other reason to refuse one exists.
        let Ok(key) = UnboundKey::new(&AES_256_GCM, bytes) else { unreachable!("32 bytes are a key") };
        Self(LessSafeKey::new(key))
    }

    /// Seals `content`, which is bound to `name`, under a nonce; what comes has a tag at its end.
    fn seal(&self, nonce: [u8; NONCE_LEN], name: &Name, content: Vec<u8>) -> Option<Vec<u8>> {
        let mut content = content;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(nonce, Aad::from(name.0), &mut content).ok()?;
        Some(content)
    }

    /// Opens what was sealed for `name`, in place; `None` where it is anything else.
    fn open<'s>(&self, nonce: [u8; NONCE_LEN], name: &Name, sealed: &'s mut [u8]) -> Option<&'s [u8]> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(name.0), sealed)
            .ok()
            .map(|content| &*content)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(…)")
    }
}

/// What an artefact is kept under: everything that decides what is verified, rewritten and compiled. Another module,
/// manifest, way of containment, version of this crate or setting of the engine has another name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Name([u8; 32]);

/// The part of a [`Name`] that does not depend on the model.
#[derive(Debug, Clone)]
pub(crate) struct Generation([u8; 32]);

impl Generation {
    /// Of this build of the crate and these engines, for instances that are undone or thrown away.
    pub(crate) fn new(engines: [&Engine; 2], fresh: bool) -> Self {
        Self::of(env!("YUNEI_SANDBOX_SOURCES"), engines, fresh)
    }

    fn of(sources: &str, engines: [&Engine; 2], fresh: bool) -> Self {
        let mut hash = Fingerprint(Context::new(&SHA256));
        hash.write(sources.as_bytes());
        hash.write(&[u8::from(fresh)]);
        for engine in engines {
            engine.precompile_compatibility_hash().hash(&mut hash);
        }
        Self(digest(hash.0))
    }

    /// The name for the module with this digest under a manifest.
    pub(crate) fn name(&self, module: &str, manifest: &Manifest) -> Name {
        let mut name = Context::new(&SHA256);
        name.update(&self.0);
        name.update(&(module.len() as u64).to_le_bytes());
        name.update(module.as_bytes());
        name.update(&manifest.canonical());
        Name(digest(name))
    }
}

fn digest(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// A compiled model and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<A> {
    pub(crate) known: Known,
    pub(crate) artefact: A,
}

/// What verification and rewriting found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Known {
    /// Whether the rewritten module's results are bounded already.
    pub(crate) bounded: bool,
    pub(crate) report: Report,
}

/// A folder of artefacts. A file in it is machine code, taken only when the tag over its name and all of
/// its content is right; any other file is as good as none and is written anew.
///
/// ```text
/// file     "yunei-a3" | nonce, 12 bytes | sealed content | tag, 16 bytes
/// content  length, 4 bytes, little endian | what is known, TOML | zeros | artefact
/// ```
///
/// The zeros bring the artefact to the beginning of a page: the file is read to where the code then runs, and opened there.
/// What is authenticated is what runs, not what the file holds later on.
///
/// Sealed with AES-256-GCM (NIST SP 800-38D), the name beside it as associated data. It is the tag that matters, nothing in
/// an artefact is secret; but a processor makes cipher and tag in one go at several times the speed of HMAC-SHA-256, or of the
/// tag alone, and for a large model this is the time until it is ready.
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

    /// The artefact `name`, if it is there and authentic.
    pub(crate) fn get(&self, name: &Name) -> Option<Entry<Placed>> {
        let file = fs::File::open(self.path(name)).ok()?;
        let length = file.metadata().ok()?.len().min(ARTEFACT_BYTES) as usize;
        let mut region = Region::read(&file, length).ok()?;
        let (magic, rest) = region.bytes_mut().split_at_mut_checked(MAGIC.len())?;
        let (nonce, sealed) = rest.split_first_chunk_mut::<NONCE_LEN>()?;
        if magic != MAGIC {
            return None;
        }
        let content = self.key.open(*nonce, name, sealed)?;
        let end = HEAD + content.len();
        let (length, content) = content.split_first_chunk::<LENGTH_BYTES>()?;
        let known_length = u32::from_le_bytes(*length) as usize;
        let known = toml::from_str(std::str::from_utf8(content.get(..known_length)?).ok()?).ok()?;
        let artefact = Placed::within(region, place(known_length)..end)?;
        Some(Entry { known, artefact })
    }

    /// Keeps an artefact. A reader sees the whole file or none.
    pub(crate) fn put(&self, name: &Name, entry: &Entry<&[u8]>) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let known = toml::to_string(&entry.known).map_err(|_| invalid())?;
        let length = u32::try_from(known.len()).map_err(|_| invalid())?;
        let mut content = Vec::with_capacity(place(known.len()) + entry.artefact.len());
        content.extend_from_slice(&length.to_le_bytes());
        content.extend_from_slice(known.as_bytes());
        content.resize(place(known.len()) - HEAD, 0);
        content.extend_from_slice(entry.artefact);
        // Chosen at random for every artefact: with 96 bits none comes twice under a key (SP 800-38D, section 8.3,
        // allows 2^32 of them).
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| invalid())?;
        let sealed = self.key.seal(nonce, name, content).ok_or_else(invalid)?;
        self.write(name, &[&MAGIC[..], &nonce, &sealed])
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(hex(&name.0))
    }

    fn write(&self, name: &Name, parts: &[&[u8]]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.make_room(parts.iter().map(|part| part.len() as u64).sum(), FOLDER)?;
        let path = self.path(name);
        let temporary = path.with_extension(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
        let written = write(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
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

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
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

    fn manifest(more: &str) -> Manifest {
        let text = format!(
            "[model]\nid='m'\nversion='1.0.0'\nkind='row'\nfile='m.wat'\n[[feature]]\nname='a'\ntype='f64'\n\
             [output]\nmin=0\nmax=1\ndefault=0\n{more}"
        );
        Manifest::parse(&text).unwrap()
    }

    fn known() -> Known {
        let module = b"(module (func (export \"score\") (param f64) (result f64) local.get 0))";
        let report = crate::Verified::check(module, &manifest("")).unwrap().report().clone();
        Known { bounded: true, report }
    }

    fn put(cache: &ArtefactCache, name: &Name, artefact: &[u8]) {
        cache.put(name, &Entry { known: known(), artefact }).unwrap();
    }

    fn get(cache: &ArtefactCache, name: &Name) -> Option<Vec<u8>> {
        let entry = cache.get(name)?;
        assert_eq!(entry.known, known());
        Some(entry.artefact.bytes().to_vec())
    }

    #[test]
    fn what_is_put_comes_back_under_its_name_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(folder.path(), 1);
        let (a, b) = (Name([1; 32]), Name([2; 32]));
        put(&here, &a, b"code");
        assert_eq!(get(&here, &a).as_deref(), Some(&b"code"[..]));
        assert_eq!(get(&here, &b), None);
        assert_eq!(get(&cache(folder.path(), 2), &a), None);
        fs::copy(here.path(&a), here.path(&b)).unwrap();
        assert_eq!(get(&here, &b), None);
    }

    #[test]
    fn every_damaged_missing_or_added_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (here, name) = (cache(folder.path(), 1), Name([1; 32]));
        put(&here, &name, b"code");
        let good = fs::read(here.path(&name)).unwrap();
        let wrong = |bad: &[u8], what: &str| {
            fs::write(here.path(&name), bad).unwrap();
            assert_eq!(get(&here, &name), None, "{what}");
        };
        // All that is not zeros, and some of those.
        for i in (0..good.len()).filter(|i| good.len() - i < 64 || *i < 600 || i % 61 == 0) {
            let mut bad = good.clone();
            bad[i] ^= 1;
            wrong(&bad, &format!("byte {i}"));
            wrong(&good[..i], &format!("cut at {i}"));
        }
        wrong(&[&good[..], b"x"].concat(), "longer");
        fs::write(here.path(&name), good).unwrap();
        assert!(get(&here, &name).is_some());
    }

    #[test]
    fn the_same_artefact_is_never_tagged_under_the_same_nonce() {
        let folder = tempfile::tempdir().unwrap();
        let (here, name) = (cache(folder.path(), 1), Name([1; 32]));
        let files: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                put(&here, &name, b"code");
                fs::read(here.path(&name)).unwrap()
            })
            .collect();
        assert_eq!(files.len(), 20);
    }

    #[test]
    fn whatever_decides_over_the_code_decides_over_the_name() {
        let engine = |canonical| crate::Target::new(canonical).engine().unwrap();
        let (plain, canonical) = (engine(false), engine(true));
        let here = Generation::of("a", [&plain, &canonical], false);
        let name = |g: &Generation, module: &str, more: &str| g.name(module, &manifest(more)).0;
        let first = name(&here, "00", "");
        assert_eq!(first, name(&Generation::of("a", [&plain, &canonical], false), "00", ""));
        let others = [
            name(&Generation::of("b", [&plain, &canonical], false), "00", ""),
            name(&Generation::of("a", [&plain, &plain], false), "00", ""),
            name(&Generation::of("a", [&plain, &canonical], true), "00", ""),
            name(&here, "01", ""),
            name(&here, "00", "[limits]\nfuel = 7\n"),
            name(&here, "00", "[limits]\nmemory_pages = 7\n"),
            name(&here, "00", "[[feature]]\nname='b'\ntype='f64'\n"),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(first, *other, "{i}");
        }
    }

    #[test]
    fn a_full_folder_makes_room_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(folder.path(), 1);
        let names: Vec<Name> = (0..4).map(|i| Name([i; 32])).collect();
        let mut length = 0;
        let mut left = |files, rest| {
            for (i, name) in names.iter().enumerate() {
                put(&here, name, &[0; 60]);
                let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i as u64);
                let file = fs::File::options().append(true).open(here.path(name)).unwrap();
                file.set_modified(time).unwrap();
                length = file.metadata().unwrap().len();
            }
            here.make_room(100, Room { files, bytes: 4 * length + rest }).unwrap();
            names.iter().filter(|name| get(&here, name).is_some()).map(|name| name.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(left(5, 100), [0, 1, 2, 3]);
        assert_eq!(left(4, 100), [1, 2, 3]);
        assert_eq!(left(5, 99), [1, 2, 3]);
        assert_eq!(left(1, 100), [0; 0]);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", CacheKey::new(&[7; 32])), "CacheKey(…)");
    }
}

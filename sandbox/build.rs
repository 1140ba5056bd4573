//! Fingerprints what decides how a module is verified and rewritten: this crate's sources and the versions it is built with.
//!
//! Artefacts are kept under it, so that neither a report nor a rewritten module of another state of this crate is ever taken.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files)?;
    // The verifier's parser is a dependency. Outside the workspace there may be no lock file.
    let lock = root.join("../Cargo.lock");
    if lock.exists() {
        files.push(lock);
    }
    files.sort();
    let mut hash = Fnv::default();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let content = fs::read(file)?;
        hash.add(&(content.len() as u64).to_le_bytes());
        hash.add(&content);
    }
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rustc-env=YUNEI_SANDBOX_SOURCES={:032x}", hash.0);
    Ok(())
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo; draft-eastlake-fnv): our own sources are told apart, nobody chooses them to collide.
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

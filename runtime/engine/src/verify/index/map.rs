//! The one place where a file is mapped into memory.
#![allow(unsafe_code)]

use memmap2::{Advice, Mmap, MmapOptions};
use std::fs::File;

/// Maps a whole file for reading.
///
/// INVARIANT: the file is an index of the home. It is written under another name, synced, and put in its place by a rename;
/// nothing writes to it afterwards, and what replaces it is another file. Who else may write into the home holds the keys of
/// the domain as well (SECURITY.md).
pub(super) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a mapping is undefined where its file shrinks or changes under it. By the invariant above nobody does that.
    let map = unsafe { MmapOptions::new().map(file)? };
    // A hint, which may fail without harm.
    let _ = map.advise(Advice::Random);
    Ok(map)
}

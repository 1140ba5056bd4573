//! The one place where compiled code is taken from bytes, and where they lie while it runs.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{Advice, MmapMut};
use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::{CustomCodeMemory, Engine, Instance, InstancePre, Linker, Module, Store};

/// A large page of the operating system, which costs one fault instead of 512.
const LARGE: usize = 2 << 20;
/// What has less than this in its last large page gets small ones there.
const WORTH: usize = 256 << 10;

/// Memory of our own that begins at a page: nobody else writes to it, whatever happens to the file that it was read from.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapMut,
    used: Range<usize>,
}

impl Region {
    /// So many bytes, all zero.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        if length < LARGE - WORTH {
            return Ok(Self { map: MmapMut::map_anon(length.max(1))?, used: 0..length });
        }
        let map = MmapMut::map_anon(length + LARGE)?;
        let start = map.as_ptr().align_offset(LARGE);
        #[cfg(target_os = "linux")]
        {
            let large = (length + LARGE - WORTH) / LARGE * LARGE;
            // Without large pages it takes longer and is none the worse.
            let _ = map.advise_range(Advice::HugePage, start, large.min(map.len() - start));
        }
        Ok(Self { used: start..start + length, map })
    }

    /// The first `length` bytes of a file, or all that it has of them.
    pub(crate) fn read(file: &File, length: usize) -> io::Result<Self> {
        let mut region = Self::new(length)?;
        let (mut rest, mut file) = (region.bytes_mut(), file);
        while !rest.is_empty() {
            match file.read(rest) {
                Ok(0) => break,
                Ok(read) => rest = &mut rest[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let read = length - rest.len();
        region.used.end = region.used.start + read;
        Ok(region)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[self.used.clone()]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.used.clone()]
    }
}

/// An artefact in a region, at the beginning of a page.
#[derive(Debug)]
pub(crate) struct Placed {
    region: Region,
    at: Range<usize>,
}

impl Placed {
    /// What lies at `at` of the region's bytes; `None` where that is no page, or beyond them.
    pub(crate) fn within(region: Region, at: Range<usize>) -> Option<Self> {
        let artefact = region.bytes().get(at.clone())?;
        artefact.as_ptr().addr().is_multiple_of(rustix::param::page_size()).then_some(Self { region, at })
    }

    /// A copy of `artefact`.
    pub(crate) fn copy(artefact: &[u8]) -> Option<Self> {
        let mut region = Region::new(artefact.len()).ok()?;
        region.bytes_mut().copy_from_slice(artefact);
        Self::within(region, 0..artefact.len())
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.region.bytes()[self.at.clone()]
    }
}

/// Code that runs, ready for instances.
///
/// INVARIANT: the region outlives all that uses its code. Fields are dropped in their order, here and in [`Alive`].
#[derive(Clone)]
pub(crate) struct Code {
    pre: InstancePre<()>,
    /// Bytes of the artefact.
    length: usize,
    _region: Arc<Region>,
}

/// A store with an instance of a [`Code`].
pub(crate) struct Alive {
    store: Store<()>,
    instance: Instance,
    /// After the store, which uses it.
    _code: Code,
}

impl Code {
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn instantiate(&self) -> wasmtime::Result<Alive> {
        let mut store = Store::new(self.pre.module().engine(), ());
        let instance = self.pre.instantiate(&mut store)?;
        Ok(Alive { store, instance, _code: self.clone() })
    }
}

impl Alive {
    pub(crate) fn store(&mut self) -> &mut Store<()> {
        &mut self.store
    }

    pub(crate) fn parts(&mut self) -> (&mut Store<()>, &Instance) {
        (&mut self.store, &self.instance)
    }
}

/// Makes code of an artefact where it lies. `None` when the artefact was made by another version of the engine
/// or with other settings, which the engine notes in every artefact and checks here.
///
/// INVARIANT: `artefact` comes from a [`Compiler`](super::Compiler) of this process, or from the cache
/// after its authentication tag, made with the key of the home, was found right over these very bytes. Nothing that a
/// user can submit gets here.
pub(crate) fn load(engine: &Engine, artefact: Placed) -> Option<Code> {
    let Placed { region, at } = artefact;
    let length = at.len();
    let map = &region.map;
    // SAFETY: the map is ours alone, and nothing borrows from it; from here on its bytes are only read. A fault of
    // this module that wrote to them would end the process, not change the code.
    unsafe { mprotect(map.as_ptr().cast_mut().cast(), map.len(), MprotectFlags::READ) }.ok()?;
    let region = Arc::new(region);
    let bytes = NonNull::from(&region.bytes()[at]);
    // SAFETY: `deserialize_raw` trusts the machine code in its input. By the invariant above that code was
    // made by the engine's own compiler and has not been changed since. It stays where it is and as it is while a
    // module uses it: by the invariant of `Code` the region is dropped last.
    let module = unsafe { Module::deserialize_raw(engine, bytes) }.ok()?;
    let pre = Linker::new(engine).instantiate_pre(&module).ok()?;
    drop(module);
    Some(Code { pre, length, _region: region })
}

/// Makes the code in a region executable: the engine does so by itself only in memory that it allocated.
pub(super) struct Executable;

impl CustomCodeMemory for Executable {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        // SAFETY: the engine passes the code section of a module that it is making, whole pages of a region.
        unsafe { mprotect(start.cast_mut().cast(), length, MprotectFlags::READ | MprotectFlags::EXEC)? };
        Ok(())
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        // SAFETY: as above; the engine has dropped the last user of the code. Nobody will write to it either.
        unsafe { mprotect(start.cast_mut().cast(), length, MprotectFlags::READ)? };
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn regions_of_every_size_are_zero_writable_and_begin_at_a_page() {
        let page = rustix::param::page_size();
        for length in [0, 1, page - 1, LARGE - WORTH - 1, LARGE - WORTH, LARGE, LARGE + WORTH, 3 * LARGE + 5] {
            let mut region = Region::new(length).unwrap();
            assert_eq!(region.bytes().len(), length);
            assert!(region.bytes().iter().all(|b| *b == 0), "{length}");
            assert!(region.bytes().as_ptr().addr().is_multiple_of(page));
            region.bytes_mut().fill(7);
            assert!(region.bytes().iter().all(|b| *b == 7), "{length}");
        }
    }

    #[test]
    fn a_file_is_read_as_far_as_it_goes_and_not_looked_at_again() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"code").unwrap();
        for (length, want) in [(0, ""), (3, "cod"), (4, "code"), (LARGE, "code")] {
            std::io::Seek::rewind(&mut file).unwrap();
            let region = Region::read(&file, length).unwrap();
            assert_eq!(region.bytes(), want.as_bytes());
        }
        std::io::Seek::rewind(&mut file).unwrap();
        let region = Region::read(&file, 4).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file.write_all(b"evil").unwrap();
        assert_eq!(region.bytes(), b"code");
    }

    #[test]
    fn an_artefact_lies_at_a_page_and_within_its_region() {
        let page = rustix::param::page_size();
        let within = |at: Range<usize>| Placed::within(Region::new(3 * page).unwrap(), at).is_some();
        assert!(within(0..3 * page));
        assert!(within(page..page));
        assert!(within(2 * page..2 * page + 1));
        assert!(!within(1..page));
        assert!(!within(page + 8..2 * page));
        assert!(!within(2 * page..3 * page + 1));
        assert!(!within(4 * page..5 * page));
        #[allow(clippy::reversed_empty_ranges)]
        let backwards = 2 * page..page;
        assert!(!within(backwards));
    }

    #[test]
    fn what_is_no_artefact_is_no_code() {
        let engine = super::super::Target::new(false).engine().unwrap();
        let good = engine.precompile_module(&wat::parse_str("(module (func (export \"f\")))").unwrap()).unwrap();
        assert!(load(&engine, Placed::copy(&good).unwrap()).is_some());
        for bad in [&[][..], &[0; 5000], &good[..good.len() / 2]] {
            assert!(load(&engine, Placed::copy(bad).unwrap()).is_none());
        }
    }

    /// Instances go on when all else of the model is gone: what they run is still there.
    #[test]
    fn code_stays_while_an_instance_of_it_lives() {
        let engine = super::super::Target::new(false).engine().unwrap();
        let text = "(module (func (export \"f\") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))";
        let artefact = engine.precompile_module(&wat::parse_str(text).unwrap()).unwrap();
        let code = load(&engine, Placed::copy(&artefact).unwrap()).unwrap();
        let mut alive = code.instantiate().unwrap();
        drop((code, engine, artefact));
        let (store, instance) = alive.parts();
        let f = instance.get_typed_func::<i32, i32>(&mut *store, "f").unwrap();
        assert_eq!(f.call(store, 41).unwrap(), 42);
    }
}

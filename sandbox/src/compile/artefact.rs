//! The one place where compiled code is taken from bytes.
#![allow(unsafe_code)]

use wasmtime::{Engine, Module};

/// Makes a module of an artefact. `None` when the artefact was made by another version of the engine
/// or with other settings, which the engine notes in every artefact and checks here.
///
/// INVARIANT: `artefact` comes from a [`Compiler`](super::Compiler) of this process, or from the cache
/// after its authentication tag, made with the key of the home, was found right. Nothing that a user
/// can submit gets here.
pub(crate) fn load(engine: &Engine, artefact: &[u8]) -> Option<Module> {
    // SAFETY: `deserialize` trusts the machine code in its input. By the invariant above that code was
    // made by the engine's own compiler and has not been changed since.
    unsafe { Module::deserialize(engine, artefact) }.ok()
}

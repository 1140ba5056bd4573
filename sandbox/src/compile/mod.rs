//! From a rewritten module to machine code: in this process or, better, in another one whose memory
//! and time are bounded; kept on disk between runs under a key of the home.

mod artefact;
mod cache;
mod child;

use std::fmt;
use std::sync::Arc;

use wasmtime::{Config, Engine, Inlining, OptLevel};

pub(crate) use self::artefact::{Alive, Code, Placed, load};
pub use self::cache::{ArtefactCache, CacheKey};
pub(crate) use self::cache::{Entry, Generation, Known, Name};
pub use self::child::{ChildCompiler, CompileLimits, compile_child_main, compile_in_child};

use crate::limits;

/// What a module is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    canonical_nan: bool,
}

impl Target {
    pub(crate) fn new(canonical_nan: bool) -> Self {
        Self { canonical_nan }
    }

    /// Whether all NaNs are brought to one.
    pub fn canonical_nan(self) -> bool {
        self.canonical_nan
    }

    /// The engine that code for this target runs on.
    pub(crate) fn engine(self) -> wasmtime::Result<Engine> {
        let mut config = Config::new();
        config
            .wasm_relaxed_simd(false)
            .wasm_memory64(false)
            .wasm_multi_memory(true)
            .wasm_tail_call(true)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            .cranelift_opt_level(OptLevel::Speed)
            // The model's functions into the driver's loop, small helpers into both.
            .compiler_inlining(Inlining::Yes)
            .cranelift_nan_canonicalization(self.canonical_nan)
            .max_wasm_stack(limits::STACK_BYTES)
            .with_custom_code_memory(Some(Arc::new(artefact::Executable)))
            // Memories never move, so that the compiled loop need not ask where they are.
            .memory_may_move(false);
        Engine::new(&config)
    }
}

/// Why there is no machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler needed more memory or time than it was given.
    #[error("compilation takes more memory or time than it is given")]
    Limit,
    /// The compiler refused the module.
    #[error("the module cannot be compiled")]
    Module,
    /// The compiler could not be started or did not answer as it should.
    #[error("the compiler is not available")]
    Unavailable,
}

/// Turns a rewritten module into an artefact of the engine of `target`.
///
/// The artefact is machine code that this process will run: an implementation is trusted as the
/// process itself is.
pub trait Compiler: fmt::Debug + Send + Sync {
    /// Compiles `wasm`.
    ///
    /// # Errors
    /// [`CompileError`], without any words of the module.
    fn compile(&self, wasm: &[u8], target: Target) -> Result<Vec<u8>, CompileError>;
}

/// Compiles in this process, with no bound but those on the module's size.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, wasm: &[u8], target: Target) -> Result<Vec<u8>, CompileError> {
        let engine = target.engine().map_err(|_| CompileError::Unavailable)?;
        engine.precompile_module(wasm).map_err(|_| CompileError::Module)
    }
}

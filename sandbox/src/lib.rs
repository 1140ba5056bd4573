//! Untrusted WebAssembly models over Arrow columns.
//!
//! A **model** is a core WebAssembly module without imports that maps one unit's features to one
//! number, and a **manifest** that names the features and the range of the result. Its author may be
//! hostile. Three things hold nevertheless:
//!
//! - *Row independence*: what a model says of one unit does not depend on any other unit. It is
//!   proven on the bytecode ([`Class::Stateless`]) or enforced by undoing every write
//!   ([`Class::Contained`]).
//! - *Silence*: a trap, a NaN, too much fuel, stack or memory gives the unit the manifest's default,
//!   and nothing else to anybody.
//! - *Bounds*: bytes, memory, fuel and stack are bounded before anything runs; see [`limits`].
//!
//! ```
//! use yunei_sandbox::{Manifest, Sandbox, SandboxConfig, Verified};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manifest = Manifest::parse(r#"
//!     [model]
//!     id = "half"
//!     version = "1.0.0"
//!     kind = "row"
//!     file = "half.wat"
//!     [[feature]]
//!     name = "x"
//!     type = "f64"
//!     [output]
//!     min = 0.0
//!     max = 1.0
//!     default = 0.0
//! "#).map_err(|wrong| wrong[0].clone())?;
//! let text = b"(module (func (export \"score\") (param f64) (result f64)
//!     local.get 0 f64.const 0.5 f64.mul))";
//! let verified = Verified::check(text, &manifest).map_err(|wrong| wrong[0].clone())?;
//! let model = Sandbox::new(SandboxConfig::default())?.load(&verified, &manifest)?;
//! let column = Arc::new(arrow_array::Float64Array::from(vec![Some(0.5), None, Some(9.0)]));
//! let scores = model.score(&[column], 3)?;
//! assert_eq!(scores.iter().collect::<Vec<_>>(), [Some(0.25), None, Some(1.0)]);
//! # Ok(())
//! # }
//! ```

mod compile;
pub mod limits;
mod manifest;
mod rejection;
mod rewrite;
mod run;
#[doc(hidden)]
pub mod testing;
mod verify;

pub use compile::{
    ArtefactCache, CacheKey, ChildCompiler, CompileError, CompileLimits, Compiler, InProcess, Target,
    compile_child_main, compile_in_child,
};
pub use manifest::{Feature, FeatureType, Kind, Limits, Manifest, Output};
pub use rejection::Rejection;
pub use run::{Model, Sandbox, SandboxConfig, SandboxError};
pub use verify::{Class, Cost, Report, Verified};

//! Catalogue, registry, plan, execution and release: the inside of a domain. [`Domain`] is its face.
//!
//! The story of one use is told from top to bottom in [`pipeline`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bound;
pub mod catalogue;
pub mod dates;
mod digest;
pub mod domain;
mod error;
mod execute;
mod functions;
mod home;
#[cfg(test)]
mod laws;
mod logkeys;
mod logsm2;
pub mod logyears;
#[cfg(any(test, feature = "measure"))]
#[doc(hidden)]
pub mod measure;
pub mod pipeline;
mod plan;
pub mod product;
pub mod registry;
mod release;
pub mod replay;
mod scan;
mod statistical;
#[doc(hidden)]
pub mod testing;
mod text;
mod timing;
pub mod verify;

pub use domain::{Clock, Domain, GrantRequest, Submission};
pub use error::DomainError;
pub use execute::{Charged, Executed};
pub use logkeys::Rotation;
pub use logsm2::has_sm2;
pub use pipeline::{RunAnswer, RunRequest};
pub use plan::{Checked, Planned, Tuning};
pub use release::{Format, Released};
pub use replay::{ReplayOptions, ReplayReport};
pub use timing::TimingView;
pub use verify::consent::{ConsentAlgorithm, ConsentKey, ConsentSigner, ConsentTerms};
pub use verify::{Answer, BatchItem, BatchRequest, VerifyAnswer, VerifyRequest};

//! From SQL to a plan that may run: parsed, told as facts, cleared by policy, split into private leaves and the public
//! part above them.
//!
//! Nothing here opens data.

mod balance;
mod checked;
mod digest;
mod expression;
mod functions;
mod guard;
mod guard_call;
mod intervals;
mod leaves;
mod normalise;
mod planned;
mod private;
mod public;
mod relation;
mod room;
mod size;
mod source;
mod spans;
mod sql;
mod statistical;
mod syntax;
mod weights;
mod wide;

pub(crate) use checked::Prepared;
#[cfg(any(test, feature = "measure"))]
pub(crate) use planned::prepare_unauthorised;
pub use planned::{Checked, Planned};
pub(crate) use planned::{check, prepare};
pub(crate) use private::{PrivateLeaf, UNIT};
pub(crate) use public::{ReleasedLeaf, measures_of, public_plan};
pub use source::Tuning;
pub(crate) use source::{Source, Sources};
pub(crate) use statistical::{ROWS, unit_plan};

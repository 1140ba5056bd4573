//! From SQL to a plan that may run: parsed, told as facts, cleared by policy, split into private leaves and the public
//! part above them.
//!
//! Nothing here opens data.

mod digest;
mod expression;
mod functions;
mod guard;
mod guard_call;
mod leaves;
mod planned;
mod private;
mod public;
mod relation;
mod source;
mod sql;
mod statistical;

pub use planned::{Checked, Planned};
pub(crate) use planned::{check, prepare};
pub(crate) use private::{PrivateLeaf, UNIT, measure_plan};
pub(crate) use public::{ReleasedLeaf, public_plan};
pub use source::Tuning;
pub(crate) use source::{Source, Sources};
pub(crate) use statistical::{ROWS, unit_plan};

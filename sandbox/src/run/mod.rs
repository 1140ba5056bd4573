//! The host: compiles verified modules and runs them over Arrow columns.

mod columns;
mod fold;
mod guest;
mod loaded;
mod model;
mod output;
mod pace;
mod sandbox;

pub use self::model::Model;
pub(crate) use self::output::{Grid, ROUND, finish};
pub use self::sandbox::{Sandbox, SandboxConfig};

/// A fault of the host or of its caller. Never of a model: what a model does wrong gives its unit the
/// default. Carries numbers of features and rows, no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// Not one column per feature.
    #[error("the model has {expected} features, {got} columns were given")]
    Columns {
        /// Features of the model.
        expected: usize,
        /// Columns given.
        got: usize,
    },
    /// A column whose type the feature does not accept.
    #[error("the column for feature {feature} has a type that the feature does not accept")]
    Type {
        /// Number of the feature, from 0.
        feature: usize,
    },
    /// Columns of different lengths.
    #[error("the column for feature {feature} has {got} rows instead of {expected}")]
    Rows {
        /// Number of the feature, from 0.
        feature: usize,
        /// Rows that it should have.
        expected: usize,
        /// Rows that it has.
        got: usize,
    },
    /// More rows than can be numbered in one call.
    #[error("a call takes at most 2^31 rows")]
    TooManyRows,
    /// Ranges of units that overlap, run backwards or go past the end.
    #[error("the range of unit {unit} is out of order")]
    Units {
        /// Number of the unit, from 0.
        unit: usize,
    },
    /// `score` was called on a unit model or `fold` on a row model.
    #[error("the model is of the other kind")]
    Kind,
    /// The machine has no room for another instance.
    #[error("no room for another instance")]
    Exhausted,
    /// The WebAssembly engine failed where it cannot.
    #[error("the sandbox failed: {0}")]
    Internal(&'static str),
}

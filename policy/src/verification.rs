//! Clearance of verification products (核验): the answer is about one subject, and is one of two words.

use crate::facts::{Interval, Scan};
use crate::refusal::{Refusal, Refused};
use crate::rules::RuleSet;

/// What a verification product asks.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationFacts {
    /// The one dataset.
    pub scan: Scan,
    /// The columns that name the subject, by position.
    pub identity: Vec<usize>,
    /// What is claimed of the subject.
    pub claim: Claim,
}

/// A claim about a subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The column equals the value that the request brings.
    Equals {
        /// The column.
        column: usize,
    },
    /// An approved model's output against a threshold that the product fixes.
    Model {
        /// `id@version`.
        model: String,
        /// The columns that are its features, in order.
        features: Vec<usize>,
        /// Its declared output range.
        output: Interval,
        /// How output and threshold are compared.
        comparison: Comparison,
        /// The threshold.
        threshold: f64,
    },
}

/// How a model's output is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `output >= threshold`
    AtLeast,
    /// `output < threshold`
    Below,
}

/// A verification that may run. Made by [`clear_verification`] alone.
#[derive(Debug)]
pub struct VerificationClearance {
    facts: VerificationFacts,
}

impl VerificationClearance {
    /// What was cleared.
    pub fn facts(&self) -> &VerificationFacts {
        &self.facts
    }
}

/// Decides over a verification product.
///
/// # Errors
/// All the reasons against it, at once.
pub fn clear_verification(facts: &VerificationFacts, rules: &RuleSet) -> Result<VerificationClearance, Refused> {
    let _ = rules;
    let reasons = vec![Refusal::new("plan/unsupported", "该核验不受支持", "this verification is not supported")];
    Refused::unless(reasons, VerificationClearance { facts: facts.clone() })
}

//! Decisions of Yunei: who may do what, what may leave, and how exactly.
//!
//! Pure: no I/O, no clock, no randomness of its own. Time and random bits come in as arguments.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

// What the tests under `tests/` have in common names the crate as they do.
#[cfg(test)]
extern crate self as yunei_policy;

pub mod accounting;
pub mod authorise;
pub mod calendar;
pub mod clear;
pub mod facts;
mod keys;
pub mod refusal;
pub mod register;
pub mod release;
pub mod rules;
pub mod scan;
pub mod statistical;
pub mod verification;
pub mod words;
pub mod workdays;

pub use refusal::{Refusal, Refused};
pub use words::{Lang, Text};

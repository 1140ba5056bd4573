//! Attacks on the gate, by family. Each test states the attack, where it is described, and what a plain engine would give
//! away; where it is SQL that a plain engine takes, that engine is asked too and does give it away.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../firms/mod.rs"]
mod firms;
mod tools;

/// An attack that must be refused before any data is opened. `gives` runs the same text in a plain engine first, which must
/// answer with rows; `alone` is for what a plain engine has no words for.
macro_rules! refused {
    ($(#[$doc:meta])* $name:ident, gives, $sql:expr, [$($code:literal),+]) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::tools::plain_gives($sql);
            crate::tools::is_refused($sql, &[$($code),+]);
        }
    };
    ($(#[$doc:meta])* $name:ident, alone, $sql:expr, [$($code:literal),+]) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::tools::is_refused($sql, &[$($code),+]);
        }
    };
}

mod averaging;
mod differencing;
mod errors;
mod floats;
mod identifiers;
mod joins;
mod keys;
mod models;
mod parameters;
mod sampling;
mod search;
mod shadowing;
mod statistics;
mod suppression;
mod trackers;
mod under_fire;
mod unicode;

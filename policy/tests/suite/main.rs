//! Tests of the decisions through their public face.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attacks;
mod audit;
mod authorise;
mod events;
mod fixture;
mod forge;
mod hostile;
mod measures;
mod refusals;
mod release;
mod states;
mod verification;

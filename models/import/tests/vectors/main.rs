//! Imported models say what their sources say: recorded vectors, and every shape of code beside the plain walk of the trees.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod exact;
mod naming;
mod recorded;
mod shapes;

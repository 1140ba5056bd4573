//! Imported models say what their sources say: recorded vectors, and every shape of code beside the plain walk of the trees.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
mod exact;
mod naming;
mod recorded;
mod shapes;

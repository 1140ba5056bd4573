//! Verification products, from the manifest to the answer.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod again;
#[path = "../common/mod.rs"]
mod common;
mod consents;
mod credentials;
mod enumeration;
mod kill;
#[path = "../common/spoil.rs"]
mod spoil;
mod town;
mod way;

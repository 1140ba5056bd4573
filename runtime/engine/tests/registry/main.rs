//! The registry: the store, its ledger and the kept files.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod files;
mod ledger;
mod postgres;
mod records;
mod runs;
mod store;
mod tools;

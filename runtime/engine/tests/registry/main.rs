//! The registry: the store, its ledger and the kept files.

#![allow(clippy::unwrap_used)]

mod files;
mod ledger;
mod postgres;
mod records;
mod runs;
mod store;
mod tools;

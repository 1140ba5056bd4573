//! The catalogue: entries, and files that keep to them or do not.

#![allow(clippy::unwrap_used)]

mod entry;
mod properties;
mod shapes;
mod survey;
mod tools;

//! Catalogue, registry, plan, execution and release.

pub mod catalogue;
pub mod registry;

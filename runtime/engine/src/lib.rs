//! Catalogue, registry, plan, execution and release.

//! `yunei demo`: a made-up province, large enough to be measured on.

pub(crate) mod assets;
pub(crate) mod data;

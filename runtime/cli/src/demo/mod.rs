//! `yunei demo`: a made-up province, large enough to be measured on, and the story that is told on it.

pub(crate) mod assets;
pub(crate) mod data;
pub(crate) mod story;

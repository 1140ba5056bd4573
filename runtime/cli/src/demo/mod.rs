//! `yunei demo`: a made-up province, large enough to be measured on, and the story that is told on it.

pub(crate) mod assets;
#[allow(dead_code, unused_imports, reason = "the search for what must not leave belongs to tests")]
pub(crate) mod data;
pub(crate) mod story;

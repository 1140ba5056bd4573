//! The `yunei` command.

#[allow(dead_code, unused_imports, reason = "the story of the demo uses it")]
mod demo;
#[allow(dead_code, unused_imports, reason = "the commands use it")]
mod term;

fn main() {}

//! The HTTP interface of a domain: parse, call [`yunei_engine::Domain`], answer. It decides nothing.
//!
//! Every route stands in one table ([`route::table`]) with who may call it; no handler is reached but through
//! `gate::pass`, which authenticates, asks the policies, and reads the body under a limit and a deadline.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
pub mod client;
pub mod config;
mod content;
mod gate;
mod handlers;
mod jobs;
mod metrics;
pub mod openapi;
mod problem;
pub mod route;
pub mod schema;
mod serve;
mod spool;
mod standby;
mod stream;
mod tls;

pub use config::{Config, Limits};
pub use serve::{ServeError, Server};
pub use standby::{Standby, is_elsewhere};

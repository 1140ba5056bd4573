//! What all requests share.

use crate::config::Config;
use crate::jobs::{Answers, Jobs};
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use yunei_engine::Domain;

/// The state of a server.
pub(crate) struct App {
    pub(crate) domain: Arc<Domain>,
    pub(crate) config: Config,
    pub(crate) jobs: Jobs,
    pub(crate) answers: Answers,
    pub(crate) metrics: Metrics,
    pub(crate) requests: Semaphore,
    pub(crate) verifications: Semaphore,
    stopping: AtomicBool,
}

impl App {
    pub(crate) fn new(domain: Arc<Domain>, config: Config) -> Arc<Self> {
        let limits = &config.limits;
        Arc::new(Self {
            jobs: Jobs::new(limits.runs, limits.queue, limits.runs_per_institution),
            answers: Answers::default(),
            metrics: Metrics::new(),
            requests: Semaphore::new(limits.requests),
            verifications: Semaphore::new(limits.verifications),
            stopping: AtomicBool::new(false),
            domain,
            config,
        })
    }

    /// From now on the server says that it is not ready, and begins no run.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.jobs.stop();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Over which connection a request came.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The peer's address.
    pub(crate) peer: SocketAddr,
    /// SHA-256 of the client certificate that it showed and that was verified.
    pub(crate) certificate: Option<[u8; 32]>,
}

//! What all requests share.

use crate::config::Config;
use crate::jobs::{Answers, Jobs};
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use yunei_engine::Domain;

/// In what steps the bytes of bodies are counted.
pub(crate) const BODY_UNIT: usize = 64 << 10;

/// The state of a server.
pub(crate) struct App {
    pub(crate) domain: Arc<Domain>,
    pub(crate) config: Config,
    pub(crate) jobs: Jobs,
    pub(crate) answers: Answers,
    pub(crate) metrics: Metrics,
    pub(crate) requests: Semaphore,
    pub(crate) verifications: Semaphore,
    /// The bytes of long bodies that may be held, in units of [`BODY_UNIT`].
    pub(crate) bodies: Arc<Semaphore>,
    /// What reads the whole log or the whole of a dataset beside the runs: little of it at once.
    pub(crate) heavy: Arc<Semaphore>,
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
            bodies: Arc::new(Semaphore::new(limits.bodies / BODY_UNIT)),
            heavy: Arc::new(Semaphore::new(limits.runs)),
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

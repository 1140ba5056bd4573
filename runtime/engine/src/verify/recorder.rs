//! The recorder: entries of answered verifications, put into the log by one thread at a time.
//!
//! Each of them waits for the disk. Were each to wait in a thread of its own, dozens of threads would be woken for every
//! batch; so one of them takes all that wait, and the next batch gathers meanwhile.

use super::Answer;
use tokio::sync::{mpsc, oneshot};
use yunei_audit::{Entry, Log, LogError, Receipt, ReceiptBody, Recorded};

/// At most how many entries one thread takes along; the log's own batches are as large.
const MAX_BATCH: usize = 256;

/// What came of it: the answer whose entry is in the log, and the proof.
pub(super) type Proven = Result<(Recorded<Answer>, Receipt), LogError>;

struct Job {
    /// The task keeps none: with the last handle of a domain its log is free for the next opening.
    log: Log,
    entry: Entry,
    answer: Answer,
    body: ReceiptBody,
    tell: oneshot::Sender<Proven>,
}

/// The handle of the recorder's task, which ends with it.
pub(super) struct Recorder {
    jobs: mpsc::Sender<Job>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let (jobs, incoming) = mpsc::channel(MAX_BATCH);
        tokio::spawn(run(incoming));
        Self { jobs }
    }

    /// Puts an entry into the log and proves it; returns when it is durable, and cosigned where that is asked for.
    pub(super) async fn record(&self, log: Log, entry: Entry, answer: Answer, body: ReceiptBody) -> Proven {
        let (tell, told) = oneshot::channel();
        let job = Job { log, entry, answer, body, tell };
        self.jobs.send(job).await.map_err(|_| LogError::Stopped)?;
        told.await.unwrap_or(Err(LogError::Stopped))
    }
}

async fn run(mut incoming: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while incoming.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let batch = std::mem::take(&mut batch);
        // One that panics drops its `tell`s, and its verifications are closed as failed.
        let _ = tokio::task::spawn_blocking(move || record(batch)).await;
    }
}

fn record(batch: Vec<Job>) {
    let Some(log) = batch.first().map(|job| job.log.clone()) else { return };
    let (mut entries, mut tells) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for Job { entry, body, answer, tell, .. } in batch {
        entries.push((entry, body, answer));
        tells.push(tell);
    }
    for (proven, tell) in log.record_proven(entries).into_iter().zip(tells) {
        // Whoever is gone is not told; the permit that went with it closes the verification.
        let _ = tell.send(proven);
    }
}

//! The uses under way in this process, so that a suspension can stop them.
//!
//! Two things make a suspension hold before its call returns. The store checks what a run rests on in the transaction that
//! releases it ([`crate::registry`]), so that nothing stopped can be released. And the *gateway* here is held shared
//! from that transaction until the answer is made, and alone by a suspension: when the suspension has it, every release that was
//! decided before has left, and stands in the log before the suspension does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

use crate::product::Product;
use crate::registry::{RestsOn, Subject};
use crate::text::model_reference;

/// How long a suspension waits until the uses that it stopped have ended. They can release nothing in any case.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// The uses under way.
#[derive(Default)]
pub(crate) struct Running {
    uses: Arc<Uses>,
    gateway: RwLock<()>,
}

#[derive(Default)]
struct Uses {
    by_run: Mutex<HashMap<String, Use>>,
    /// Those whose future was dropped before it came to its end.
    dropped: Mutex<Vec<String>>,
    ended: Notify,
}

struct Use {
    institution: String,
    product: String,
    grant: Option<String>,
    sources: Vec<RestsOn>,
    stop: watch::Sender<bool>,
}

impl Use {
    fn rests_on(&self, subject: &Subject) -> bool {
        let source = |kind: &str, id: &str, version: Option<&str>| {
            self.sources.iter().any(|s| s.kind == kind && s.id == id && version.is_none_or(|v| s.version == v))
        };
        match subject {
            Subject::Institution(id) => self.institution == *id,
            Subject::Product(id) => self.product == *id,
            Subject::Grant(id) => self.grant.as_ref() == Some(id),
            Subject::Dataset(id) => source("dataset", id, None),
            Subject::Version { dataset, number } => source("dataset", dataset, Some(&number.to_string())),
            Subject::Model { id, version } => source("model", id, Some(version)),
        }
    }
}

impl Uses {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.by_run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One use under way; it ends when this is dropped, however that comes.
pub(crate) struct Ticket {
    run: String,
    uses: Arc<Uses>,
    stop: watch::Receiver<bool>,
    /// Whether a run stands in the registry that this use must bring to its end.
    open: AtomicBool,
}

impl Ticket {
    /// Says that a run is under way.
    pub(crate) fn begun(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Says that the run came to its end, and stands in the registry so.
    pub(crate) fn over(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Says under which grant it runs.
    pub(crate) fn under(&self, grant: Option<&str>) {
        if let Some(found) = self.uses.all().get_mut(&self.run) {
            found.grant = grant.map(str::to_owned);
        }
    }

    /// Says what it rests on.
    pub(crate) fn rests_on(&self, sources: Vec<RestsOn>) {
        if let Some(found) = self.uses.all().get_mut(&self.run) {
            found.sources = sources;
        }
    }

    /// Whether the use is to be stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends when the use is to be stopped; else never.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if *self.open.get_mut() {
            self.uses.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(self.run.clone());
        }
        self.uses.all().remove(&self.run);
        self.uses.ended.notify_waiters();
    }
}

impl Running {
    /// A use begins.
    ///
    /// It rests on what its product names from the start; at which versions, is said later ([`Ticket::rests_on`]).
    pub(crate) fn enter(&self, run: &str, institution: &str, product: &Product) -> Ticket {
        let datasets =
            product.datasets().iter().map(|id| RestsOn { kind: "dataset", id: id.clone(), version: String::new() });
        let models = product.models().iter().filter_map(|reference| {
            let (id, version) = model_reference(reference)?;
            Some(RestsOn { kind: "model", id: id.to_owned(), version: version.to_owned() })
        });
        self.begin(run, institution, product.id(), datasets.chain(models).collect())
    }

    fn begin(&self, run: &str, institution: &str, product: &str, sources: Vec<RestsOn>) -> Ticket {
        let (sender, stop) = watch::channel(false);
        let new = Use {
            institution: institution.to_owned(),
            product: product.to_owned(),
            grant: None,
            sources,
            stop: sender,
        };
        self.uses.all().insert(run.to_owned(), new);
        Ticket { run: run.to_owned(), uses: self.uses.clone(), stop, open: AtomicBool::new(false) }
    }

    /// The uses that were dropped on their way since this was last asked.
    pub(crate) fn take_dropped(&self) -> Vec<String> {
        std::mem::take(&mut *self.uses.dropped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Held from the transaction that releases until the answer is made.
    pub(crate) async fn releasing(&self) -> RwLockReadGuard<'_, ()> {
        self.gateway.read().await
    }

    /// Held while a suspension is decided: nothing leaves meanwhile.
    pub(crate) async fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        self.gateway.write().await
    }

    /// Tells every use that rests on the subject to stop; their runs, sorted.
    pub(crate) fn stop(&self, subject: &Subject) -> Vec<String> {
        let uses = self.uses.all();
        let mut stopped = Vec::new();
        for (run, one) in uses.iter().filter(|(_, one)| one.rests_on(subject)) {
            // Nobody listens where it has just ended.
            let _ = one.stop.send(true);
            stopped.push(run.clone());
        }
        stopped.sort_unstable();
        stopped
    }

    /// Waits until these uses have ended, half a minute at most; whether they have.
    pub(crate) async fn ended(&self, runs: &[String]) -> bool {
        let all = async {
            loop {
                let next = self.uses.ended.notified();
                tokio::pin!(next);
                // Registered before the look, so that no end between the two is missed.
                next.as_mut().enable();
                let left = {
                    let uses = self.uses.all();
                    runs.iter().any(|run| uses.contains_key(run))
                };
                if !left {
                    return;
                }
                next.await;
            }
        };
        tokio::time::timeout(STOP_WAIT, all).await.is_ok()
    }

    /// How many uses are under way.
    pub(crate) fn count(&self) -> usize {
        self.uses.all().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(id: &str, version: &str) -> RestsOn {
        RestsOn { kind: "dataset", id: id.to_owned(), version: version.to_owned() }
    }

    #[tokio::test]
    async fn a_stop_reaches_those_that_rest_on_the_subject_and_waits_for_them() {
        let running = Arc::new(Running::default());
        let (a, b) = (running.begin("a", "op", "p", Vec::new()), running.begin("b", "op", "q", Vec::new()));
        a.under(Some("g"));
        a.rests_on(vec![dataset("d", "2")]);
        let version = |number| Subject::Version { dataset: "d".into(), number };
        assert!(running.stop(&version(1)).is_empty());
        assert!(running.stop(&Subject::Model { id: "d".into(), version: "2".into() }).is_empty());
        for subject in
            [version(2), Subject::Dataset("d".into()), Subject::Grant("g".into()), Subject::Product("p".into())]
        {
            assert_eq!(running.stop(&subject), ["a"], "{subject}");
        }
        a.stopped().await;
        let waiting = {
            let running = running.clone();
            tokio::spawn(async move { running.ended(&["a".to_owned()]).await })
        };
        tokio::task::yield_now().await;
        drop(a);
        assert!(waiting.await.unwrap());
        assert_eq!(running.stop(&Subject::Institution("op".into())), ["b"]);
        drop(b);
        assert_eq!(running.count(), 0);
    }
}

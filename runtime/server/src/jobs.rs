//! Runs under way: they outlive the requests that began them, wait in a bounded queue, and are told when they are over.

use crate::problem::Problem;
use axum::body::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use yunei_engine::{Domain, RunRequest};
use yunei_policy::Refusal;

/// How many runs that are over are remembered with their reasons; the registry remembers all of them without.
const REMEMBERED: usize = 4_096;

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Something left; under another run's id where the question was asked before.
    Released { run: String, repeated: bool, epsilon: f64, delta: f64 },
    /// Nothing left, for these reasons; the status is that of the problem.
    Refused { reasons: Vec<Refusal>, status: u16 },
}

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) institution: String,
    pub(crate) request: Arc<RunRequest>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Job {
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }

    /// Waits until the run is over, at most so long.
    pub(crate) async fn wait(&mut self, most: Duration) -> Option<Outcome> {
        let over = self.outcome.wait_for(Option::is_some);
        match tokio::time::timeout(most, over).await {
            Ok(Ok(outcome)) => outcome.clone(),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Book {
    jobs: HashMap<String, Job>,
    order: VecDeque<String>,
}

/// The runs of a server.
pub(crate) struct Jobs {
    book: Mutex<Book>,
    slots: Arc<Semaphore>,
    most: usize,
    most_per_institution: usize,
}

impl Jobs {
    pub(crate) fn new(at_once: usize, queue: usize, most_per_institution: usize) -> Self {
        let slots = Arc::new(Semaphore::new(at_once));
        Self { book: Mutex::default(), slots, most: at_once.saturating_add(queue), most_per_institution }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Job> {
        self.book().jobs.get(id).cloned()
    }

    /// How many runs wait or run.
    pub(crate) fn under_way(&self) -> usize {
        self.book().jobs.values().filter(|job| job.outcome.borrow().is_none()).count()
    }

    /// Begins a run; the one that is there already where the id is taken.
    pub(crate) fn begin(&self, domain: &Arc<Domain>, id: &str, request: RunRequest) -> Result<Job, Problem> {
        let mut book = self.book();
        if let Some(job) = book.jobs.get(id) {
            return Ok(job.clone());
        }
        if self.slots.is_closed() {
            return Err(Problem::busy(30));
        }
        let live = |job: &&Job| job.outcome.borrow().is_none();
        let all = book.jobs.values().filter(live).count();
        let own = book.jobs.values().filter(live).filter(|job| job.institution == request.institution).count();
        if all >= self.most || own >= self.most_per_institution {
            return Err(Problem::busy(5));
        }
        let (told, outcome) = watch::channel(None);
        let job = Job { institution: request.institution.clone(), request: Arc::new(request), outcome };
        book.jobs.insert(id.to_owned(), job.clone());
        book.order.push_back(id.to_owned());
        // A run that is still under way is never forgotten.
        while book.order.len() > REMEMBERED {
            let over = |id: &String| book.jobs.get(id).is_none_or(|j| j.outcome.borrow().is_some());
            let Some(at) = book.order.iter().position(over) else { break };
            if let Some(old) = book.order.remove(at) {
                book.jobs.remove(&old);
            }
        }
        drop(book);
        let (domain, slots, id) = (Arc::clone(domain), Arc::clone(&self.slots), id.to_owned());
        let request = Arc::clone(&job.request);
        tokio::spawn(async move {
            let outcome = match slots.acquire().await {
                Ok(_slot) => run(&domain, &id, &request).await,
                Err(_) => refused(&Problem::busy(30)),
            };
            // Whoever asks later finds it in the registry.
            let _ = told.send(Some(outcome));
        });
        Ok(job)
    }

    /// Begins no run any more; those that wait are turned away, those that run go on.
    pub(crate) fn stop(&self) {
        self.slots.close();
    }

    /// Waits until no run is under way, at most so long; whether that came about.
    pub(crate) async fn settle(&self, most: Duration) -> bool {
        let waiting: Vec<Job> = self.book().jobs.values().filter(|j| j.outcome.borrow().is_none()).cloned().collect();
        let deadline = tokio::time::Instant::now() + most;
        for mut job in waiting {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if job.wait(left).await.is_none() {
                return false;
            }
        }
        true
    }
}

async fn run(domain: &Arc<Domain>, id: &str, request: &Arc<RunRequest>) -> Outcome {
    // A task of its own: a panic inside of a run ends that run alone.
    let (domain, id, request) = (Arc::clone(domain), id.to_owned(), Arc::clone(request));
    match tokio::spawn(async move { domain.run_as(&id, &request).await }).await {
        Ok(Ok(answer)) => Outcome::Released {
            run: answer.run,
            repeated: answer.repeated,
            epsilon: answer.epsilon,
            delta: answer.delta,
        },
        Ok(Err(error)) => refused(&error.into()),
        Err(_) => refused(&Problem::internal()),
    }
}

fn refused(problem: &Problem) -> Outcome {
    Outcome::Refused { reasons: problem.reasons().to_vec(), status: problem.status().as_u16() }
}

/// Answers of verifications that came with an idempotency key, for as long as the process lives: they are told again to
/// whoever asks the same under the same key, and never written down.
#[derive(Default)]
pub(crate) struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, Known>,
    order: VecDeque<String>,
}

/// What is known of a request.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// It is being answered.
    UnderWay,
    /// It was answered so.
    Answered(Bytes),
}

impl Answers {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known under an id.
    pub(crate) fn find(&self, id: &str) -> Option<Known> {
        self.kept().answers.get(id).cloned()
    }

    pub(crate) fn begin(&self, id: &str) {
        let mut kept = self.kept();
        kept.answers.insert(id.to_owned(), Known::UnderWay);
        kept.order.push_back(id.to_owned());
        if kept.order.len() > REMEMBERED
            && let Some(old) = kept.order.pop_front()
        {
            kept.answers.remove(&old);
        }
    }

    pub(crate) fn put(&self, id: &str, answer: Bytes) {
        if let Some(place) = self.kept().answers.get_mut(id) {
            *place = Known::Answered(answer);
        }
    }

    pub(crate) fn forget(&self, id: &str) {
        self.kept().answers.remove(id);
    }
}

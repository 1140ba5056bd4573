//! The one writer of verifications: charges of many, in one transaction.
//!
//! Whoever asks hands in what is to be charged and waits. The writer takes all that waits, asks the guard about each in order,
//! writes what it allows in one transaction, and answers when that is durable: a batch starts as soon as the one before it
//! is, and nobody waits for a timer. What became of an answered verification is handed in too, and rides in the next batch.

use super::pairs::{Counted, Pairs};
use super::turn::{Known, Turn};
use crate::domain::Note;
use crate::error::DomainError;
use crate::registry::{AlarmRow, CountRow, Earlier, FinishRow, Store, Writes};
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use tokio::sync::{mpsc, oneshot};
use yunei_audit::Log;
use yunei_policy::verification::guard::{Verdict, guard};
use yunei_policy::verification::{Locus, VerificationRules, consent};
use yunei_policy::{Refusal, Refused};

/// At most how many jobs one transaction takes.
const MAX_BATCH: usize = 256;
/// How many jobs may wait before those who hand one in do.
const MAX_WAITING: usize = 4_096;
pub(super) const DAY_MILLIS: i64 = 86_400_000;
/// How long the uses of a consent are kept after it has expired.
const KEPT_SECONDS: i64 = 90 * 86_400;

/// What is to be charged.
pub(super) struct Ask {
    /// The picture of the registry that it was authorised under.
    pub(super) generation: i64,
    pub(super) id: String,
    pub(super) institution: String,
    pub(super) product: String,
    pub(super) purpose: String,
    pub(super) scene: Option<String>,
    pub(super) grant: String,
    pub(super) subject: String,
    pub(super) consent: Option<ConsentUse>,
    pub(super) serial: Option<String>,
    pub(super) request: String,
    pub(super) at: i64,
    /// Where the subject's number stands among the others.
    pub(super) locus: Option<Locus>,
    /// How many subjects the dataset has.
    pub(super) rows: u64,
    /// The product's own limit a day.
    pub(super) limit: Option<u64>,
    /// What it rests on, as JSON.
    pub(super) sources: String,
    /// The log. The writer keeps none: with the last handle of a domain its log is free for the next opening.
    pub(super) log: Log,
}

/// A consent that is to be used once.
pub(super) struct ConsentUse {
    pub(super) token: String,
    pub(super) most: u32,
    pub(super) expires: i64,
}

/// What became of it.
pub(super) enum Reply {
    /// It is charged, durably.
    Permit(Permit),
    /// The registry changed since: authorise anew.
    Stale,
    /// The grant has no uses left.
    Spent,
    /// The same was asked before, under the same serial number.
    Repeat(Box<Earlier>),
    /// No.
    Refused(Refused),
}

/// The proof that a verification is charged, durably. The writer alone makes it, and the look-up takes nothing else. Dropped
/// without an answer it closes the verification as failed; the charge stands.
pub(super) struct Permit {
    id: String,
    hold_millis: u32,
    place: Option<Counted>,
    jobs: mpsc::UnboundedSender<Finish>,
}

/// What a verification that is over adds.
pub(super) struct Finish {
    id: String,
    place: Counted,
    state: &'static str,
    matched: bool,
    canary: bool,
    body: Option<String>,
    log_index: Option<u64>,
}

impl Permit {
    /// The verification's id; of one that is taken up again the first one's.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// By how much the guard holds the answer back.
    pub(super) fn hold_millis(&self) -> u32 {
        self.hold_millis
    }

    /// Hands in what it was answered.
    pub(super) fn answered(mut self, matched: bool, canary: bool, body: String, log_index: u64) {
        if let Some(place) = self.place.take() {
            let id = self.id.clone();
            let finish =
                Finish { id, place, state: "answered", matched, canary, body: Some(body), log_index: Some(log_index) };
            let _ = self.jobs.send(finish);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let id = self.id.clone();
            let finish =
                Finish { id, place, state: "failed", matched: false, canary: false, body: None, log_index: None };
            let _ = self.jobs.send(finish);
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit(..)")
    }
}

enum Job {
    Charge(Box<Ask>, oneshot::Sender<Result<Reply, DomainError>>),
    Lift(Lift),
    Flush(oneshot::Sender<()>),
}

/// A handle of the writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

fn gone() -> DomainError {
    DomainError::Unavailable(
        Refusal::new("verify/unavailable", "核验服务暂不可用", "verification is not available now")
            .hint("请稍后以同一流水号重试", "try again later, under the same serial number"),
    )
}

impl Writer {
    /// Starts the writer; its counts are what the store holds.
    pub(super) async fn start(store: Store, rules: VerificationRules, now: i64) -> Result<Self, DomainError> {
        // Their time alone refuses them; kept a while longer, for a clock that is set back.
        store.forget_consents(now.div_euclid(1_000) - KEPT_SECONDS).await?;
        let pairs = Pairs::load(&store, &rules, now).await?;
        let (jobs, incoming) = mpsc::channel(MAX_WAITING);
        let (finish, finished) = mpsc::unbounded_channel();
        let desk = Desk { store, rules, pairs, finish, held: VecDeque::new(), told: HashSet::new() };
        tokio::spawn(desk.run(incoming, finished));
        Ok(Self { jobs })
    }

    /// Charges a verification; returns when that is durable, or will not be.
    pub(super) async fn charge(&self, ask: Ask) -> Result<Reply, DomainError> {
        let (tell, told) = oneshot::channel();
        self.jobs.send(Job::Charge(Box::new(ask), tell)).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Lifts the stops of a business for a product.
    pub(super) async fn lift(
        &self,
        log: Log,
        institution: &str,
        product: &str,
        by: &str,
        at: i64,
    ) -> Result<u64, DomainError> {
        let (done, told) = oneshot::channel();
        let (institution, product, by) = (institution.to_owned(), product.to_owned(), by.to_owned());
        self.jobs.send(Job::Lift(Lift { log, institution, product, by, at, done })).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Returns when all that was handed in before is written.
    pub(super) async fn flush(&self) {
        let (tell, told) = oneshot::channel();
        if self.jobs.send(Job::Flush(tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}

type Waiting = (Box<Ask>, oneshot::Sender<Result<Reply, DomainError>>);

/// What only the writer's task touches.
struct Desk {
    store: Store,
    rules: VerificationRules,
    pairs: Pairs,
    finish: mpsc::UnboundedSender<Finish>,
    /// Charges of businesses that have too many under way for what is known of them.
    held: VecDeque<Waiting>,
    /// Alarms that stand in the log already.
    told: HashSet<AlarmRow>,
}

impl Desk {
    async fn run(mut self, mut incoming: mpsc::Receiver<Job>, mut finished: mpsc::UnboundedReceiver<Finish>) {
        loop {
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                job = incoming.recv() => match job {
                    Some(job) => batch.take(job),
                    // Nobody can ask any more: what is over is still written.
                    None => {
                        while let Ok(finish) = finished.try_recv() {
                            batch.finishes.push(finish);
                        }
                        let _ = self.process(batch).await;
                        return;
                    }
                },
                Some(finish) = finished.recv() => batch.finishes.push(finish),
            }
            while batch.len() < MAX_BATCH
                && let Ok(finish) = finished.try_recv()
            {
                batch.finishes.push(finish);
            }
            while batch.len() < MAX_BATCH
                && let Ok(job) = incoming.try_recv()
            {
                batch.take(job);
            }
            let mut outcome = self.process(batch).await;
            // Where those before them were refused, nothing that is over will call those who are held.
            while outcome.is_ok() && self.somebody_has_a_turn() {
                outcome = self.process(Batch::default()).await;
            }
            if outcome.is_err() {
                // Whether the batch is on the disk is not known: nothing is charged any more until the next opening.
                return;
            }
        }
    }

    async fn process(&mut self, batch: Batch) -> Result<(), DomainError> {
        let Batch { asks, finishes, lifts, flushes } = batch;
        let mut writes = Writes::default();
        for finish in finishes {
            self.finish(finish, &mut writes);
        }
        let asks = self.take_turns(asks);
        let outcome = self.transact(asks, lifts, writes).await;
        for flush in flushes {
            let _ = flush.send(());
        }
        outcome
    }

    /// Where little is known of a business, few of its questions are under way at a time: the guard must not be outrun.
    /// The others are held until some are over.
    fn take_turns(&mut self, asks: Vec<Waiting>) -> Vec<Waiting> {
        let mut free: HashMap<(String, String), u64> = HashMap::new();
        let mut turn = Vec::new();
        let waiting: Vec<Waiting> = self.held.drain(..).chain(asks).collect();
        for (ask, tell) in waiting {
            if tell.is_closed() {
                continue;
            }
            let key = (ask.institution.clone(), ask.product.clone());
            let left = free.entry(key).or_insert_with_key(|(i, p)| self.pairs.free(i, p));
            if *left > 0 {
                *left -= 1;
                turn.push((ask, tell));
            } else if self.held.len() < MAX_WAITING {
                self.held.push_back((ask, tell));
            } else {
                let _ = tell.send(Err(gone()));
            }
        }
        turn
    }

    fn somebody_has_a_turn(&self) -> bool {
        self.held.iter().any(|(ask, _)| self.pairs.free(&ask.institution, &ask.product) > 0)
    }

    fn finish(&mut self, finish: Finish, writes: &mut Writes) {
        let Finish { id, place, state, matched, canary, body, log_index } = finish;
        self.pairs.finished(&place, matched, canary);
        let (matches, canaries) = (u64::from(matched), u64::from(canary));
        if matches + canaries > 0 {
            let Counted { institution, product, epoch, day, subject } = place;
            if matches > 0 {
                writes.subject(&subject, day, 0, matches);
            }
            writes.count(CountRow(institution, product, epoch, day, 0, matches, canaries, 0));
        }
        writes.finishes.push(FinishRow(id, state, body, log_index));
    }

    /// One transaction over a batch. Who asked is answered when it is durable.
    async fn transact(&mut self, asks: Vec<Waiting>, lifts: Vec<Lift>, finishes: Writes) -> Result<(), DomainError> {
        if asks.is_empty() && lifts.is_empty() && finishes.finishes.is_empty() {
            return Ok(());
        }
        let (asks, tells): (Vec<Box<Ask>>, Vec<_>) = asks.into_iter().unzip();
        let log = asks.first().map(|ask| ask.log.clone()).or_else(|| lifts.first().map(|lift| lift.log.clone()));
        match self.written(&asks, &lifts, &finishes).await {
            Ok((replies, lifted, notes)) => {
                for (tell, reply) in tells.into_iter().zip(replies) {
                    // One whose asker is gone is dropped, and so closed as failed.
                    let _ = tell.send(Ok(reply));
                }
                for (lift, count) in lifts.into_iter().zip(lifted) {
                    let _ = lift.done.send(Ok(count));
                }
                match log {
                    Some(log) => self.settle(&log, notes).await,
                    None => Ok(()),
                }
            }
            Err(error) => {
                for tell in tells {
                    let _ = tell.send(Err(gone()));
                }
                for lift in lifts {
                    let _ = lift.done.send(Err(gone()));
                }
                Err(error)
            }
        }
    }

    async fn written(
        &mut self,
        asks: &[Box<Ask>],
        lifts: &[Lift],
        finishes: &Writes,
    ) -> Result<(Vec<Reply>, Vec<u64>, Vec<Note>), DomainError> {
        let mut tx = self.store.begin_verifications().await?;
        // First: what is known of a subject counts the answers that were given.
        tx.write(finishes).await?;
        let mut writes = Writes::default();
        let mut notes = Vec::new();
        let mut lifted = Vec::new();
        for lift in lifts {
            let count = tx.lift(&lift.institution, &lift.product, &lift.by, lift.at).await?;
            if count > 0 {
                self.pairs.lifted(&lift.institution, &lift.product);
                let fields: [(&str, Value); 3] = [
                    ("institution", lift.institution.clone().into()),
                    ("product", lift.product.clone().into()),
                    ("by", lift.by.clone().into()),
                ];
                notes.push(Note::new("verification.resumed", lift.at, fields)?);
            }
            lifted.push(count);
        }
        let mut replies = Vec::with_capacity(asks.len());
        if !asks.is_empty() {
            let known = Known::read(&mut tx, asks, &self.rules).await?;
            let mut turn = Turn {
                known,
                writes: &mut writes,
                alarms: Vec::new(),
                log_from: asks.first().map_or(0, |ask| ask.log.size()),
            };
            for ask in asks {
                replies.push(self.decide(ask, &mut turn));
            }
            let alarms = turn.alarms;
            for alarm in alarms {
                // The time is no part of what makes an alarm one of its kind.
                if self.told.insert(AlarmRow(alarm.0.clone(), alarm.1.clone(), alarm.2, alarm.3, alarm.4, 0)) {
                    let fields: [(&str, Value); 4] = [
                        ("institution", alarm.0.clone().into()),
                        ("product", alarm.1.clone().into()),
                        ("alarm", alarm.3.into()),
                        ("stops", (alarm.4 == 1).into()),
                    ];
                    notes.push(Note::new("verification.alarm", alarm.5, fields)?);
                    writes.alarms.push(alarm);
                }
            }
        }
        for note in &notes {
            tx.note(note.audit()?).await?;
        }
        tx.write(&writes).await?;
        tx.commit().await?;
        Ok((replies, lifted, notes))
    }

    /// Decides over one question, and puts what it costs among the writes.
    fn decide(&mut self, ask: &Ask, turn: &mut Turn<'_>) -> Reply {
        if ask.generation != turn.known.generation {
            return Reply::Stale;
        }
        if let Some(serial) = &ask.serial {
            let key = (ask.institution.clone(), serial.clone());
            match turn.known.serials.get(&key) {
                Some(None) => return Reply::Refused(in_progress().into()),
                Some(Some(earlier)) if earlier.request != ask.request => return Reply::Refused(reused().into()),
                Some(Some(earlier)) => return self.again(ask, earlier.clone()),
                None => {}
            }
        }
        let left = turn.known.grants.get(&ask.grant).copied().unwrap_or(Some(0));
        if left == Some(0) {
            return Reply::Spent;
        }
        let uses = ask.consent.as_ref().map(|c| turn.known.consents.get(&c.token).copied().unwrap_or(0));
        if let (Some(consent), Some(uses)) = (&ask.consent, uses)
            && uses >= consent.most
        {
            return Reply::Refused(consent::used().into());
        }
        let day = ask.at.div_euclid(DAY_MILLIS);
        let (today, no_match) = turn.known.subjects.get(&ask.subject).copied().unwrap_or_default();
        let near = self.pairs.is_near(&ask.product, ask.locus.as_ref());
        let mut seen = self.pairs.seen(&ask.institution, &ask.product, day, ask.locus.as_ref(), ask.rows);
        (seen.subject_today, seen.subject_no_match) =
            (today, no_match.saturating_sub(self.pairs.pending_of(&ask.subject)));
        (seen.product_limit, seen.consented) = (ask.limit, ask.consent.is_some());
        match guard(&self.rules, &seen) {
            Verdict::Answer { hold_millis, alarms } => {
                for alarm in alarms {
                    turn.alarms.push(self.pairs.alarm(ask, alarm.as_str(), false));
                }
                let place = self.pairs.charged(ask, day, near);
                turn.charge(ask, &place, near, uses);
                Reply::Permit(self.permit(ask.id.clone(), hold_millis, place))
            }
            Verdict::Limit { refused, alarms, stop } => {
                for alarm in alarms {
                    turn.alarms.push(self.pairs.alarm(ask, alarm.as_str(), stop));
                }
                if stop {
                    self.pairs.stop(&ask.institution, &ask.product);
                }
                Reply::Refused(refused)
            }
        }
    }

    /// The same question under the same serial number: its answer again, or, where it never had one, another try under
    /// the charge that was taken.
    fn again(&mut self, ask: &Ask, earlier: Earlier) -> Reply {
        match earlier.state.as_str() {
            "answered" => Reply::Repeat(Box::new(earlier)),
            "charged" => Reply::Refused(in_progress().into()),
            _ => {
                let place = self.pairs.resumed(ask, ask.at.div_euclid(DAY_MILLIS));
                Reply::Permit(self.permit(earlier.id, 0, place))
            }
        }
    }

    fn permit(&self, id: String, hold_millis: u32, place: Counted) -> Permit {
        Permit { id, hold_millis, place: Some(place), jobs: self.finish.clone() }
    }

    /// Puts entries of the outbox into the log.
    async fn settle(&mut self, log: &Log, notes: Vec<Note>) -> Result<(), DomainError> {
        for note in notes {
            let (log, entry) = (log.clone(), note.entry());
            let position = tokio::task::spawn_blocking(move || log.append(entry)).await.map_err(|_| gone())??;
            self.store.outbox_done(&note.id, position.index()).await?;
        }
        Ok(())
    }
}

fn in_progress() -> Refusal {
    Refusal::new(
        "verify/in-progress",
        "同一流水号的核验正在进行",
        "a verification under this serial number is under way",
    )
    .at("serial")
    .hint("请稍后以同一流水号重试", "try again in a moment, under the same serial number")
}

fn reused() -> Refusal {
    Refusal::new("input/serial-reused", "流水号已用于另一次核验", "the serial number was used for another question")
        .at("serial")
        .hint("每次核验使用新的流水号", "take a new serial number for each question")
}

struct Lift {
    log: Log,
    institution: String,
    product: String,
    by: String,
    at: i64,
    done: oneshot::Sender<Result<u64, DomainError>>,
}

/// All that one transaction is about.
#[derive(Default)]
struct Batch {
    asks: Vec<Waiting>,
    finishes: Vec<Finish>,
    lifts: Vec<Lift>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, job: Job) {
        match job {
            Job::Charge(ask, tell) => self.asks.push((ask, tell)),
            Job::Lift(lift) => self.lifts.push(lift),
            Job::Flush(tell) => self.flushes.push(tell),
        }
    }

    fn len(&self) -> usize {
        self.asks.len() + self.finishes.len()
    }
}

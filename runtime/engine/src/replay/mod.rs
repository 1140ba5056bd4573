//! Replay: one recorded run done again, and everything that has a digest compared.
//!
//! ```text
//! authorise ─ receipt ─ inputs ─ plan ─ (logged) execute ─ gate ─ verdict
//! ```
//!
//! The inputs are those on record: dataset versions (every file is digested again), modules, product, parameters, rules, seed.
//! Where one of them is not what was recorded, it is named and nothing is executed. A replay is logged, charges nothing,
//! counts against no grant, and gives out nothing but the verdict: the result is dropped.

mod inputs;
mod record;
mod report;
mod verification;

pub use report::{Comparison, Finding, ReplayOptions, ReplayReport, Step};

use crate::domain::{Behind, Domain, product_facts};
use crate::error::DomainError;
use crate::execute::{Charged, Executed, execute};
use crate::pipeline::{WALL_LIMIT, release_digests, seed_digest};
use crate::plan::{Planned, prepare};
use crate::registry::{Digest, Release, RunState, StoreError};
use crate::release::{Released, gate, read_arrow};
use crate::statistical::Session;
use inputs::Inputs;
use record::Recorded as Record;
use serde_json::{Value, json};
use yunei_audit::{Receipt, Recorded};
use yunei_policy::authorise::{Action, Authorised, Resource};
use yunei_policy::{Refusal, Text};

impl Domain {
    /// Does a recorded run again and compares every digest. Of a repeated run, the one that first answered is replayed.
    /// `progress` is told (bytes digested, bytes in all) of each dataset in turn.
    ///
    /// # Errors
    /// The reasons why the actor may not; `replay/no-release` where the run released nothing; not found; and what keeps
    /// log or store from being used. That something differs is no error: the report says it.
    pub async fn replay(
        &self,
        actor: &str,
        run: &str,
        options: ReplayOptions,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<ReplayReport, DomainError> {
        if self.store.verification_body(run).await?.is_some() {
            self.may_read(actor).await?;
            return Err(verification::subject_needed(run));
        }
        let (run, release) = self.recorded_release(run).await?;
        let product = self.store.run(&run).await?.product;
        let authorised = self.record_replay(actor, &run, &product).await?;
        let mut replay =
            Replay { domain: self, actor, run: &run, found: Comparing::default(), runtime: None, steps: RUN_STEPS };
        replay.go(authorised, &release, options, Box::new(progress)).await?;
        replay.conclude().await
    }

    /// The runs that released something, oldest first: those that can be replayed.
    ///
    /// # Errors
    /// The reasons why the actor may not read the audit.
    pub async fn replayable(&self, actor: &str) -> Result<Vec<String>, DomainError> {
        self.may_read(actor).await?;
        Ok(self.store.released_runs().await?)
    }

    async fn recorded_release(&self, run: &str) -> Result<(String, Release), DomainError> {
        let record = self.store.run(run).await.map_err(|e| match e {
            StoreError::NotFound { .. } => DomainError::not_found("使用记录", "run", run),
            other => other.into(),
        })?;
        let first = match record.state {
            RunState::Repeated => self.first_answer(run)?,
            _ => run.to_owned(),
        };
        match self.store.release_of(&first).await? {
            Some(release) => Ok((first, release)),
            None => Err(Refusal::new(
                "replay/no-release",
                "这次使用没有发布结果，无法复核",
                "this use released nothing that could be replayed",
            )
            .at(run)
            .hint(
                "复核核验须再次给出被核验人（-i）；被拒绝或失败的使用见 yunei audit list --run",
                "a verification is replayed with its subject given again (-i); for refused or failed uses see yunei audit \
                 list --run",
            )
            .into()),
        }
    }

    /// The run whose recorded answer a repeated run was given, as the log says.
    fn first_answer(&self, run: &str) -> Result<String, DomainError> {
        let text = |fields: &serde_json::Map<String, Value>, name: &str| {
            fields.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        for log in self.books()?.0 {
            for item in log.entries(0..log.size()) {
                let (_, entry) = item?;
                if entry.kind() == "run.repeated" && text(entry.fields(), "run").as_deref() == Some(run) {
                    return text(entry.fields(), "first").ok_or_else(DomainError::run_failed);
                }
            }
        }
        Err(DomainError::not_found("使用记录", "run", run))
    }

    async fn record_replay(&self, actor: &str, run: &str, product: &str) -> Result<Recorded<Authorised>, DomainError> {
        let (record, parsed) = self.product_record(product).await?;
        let behind = Behind::default();
        let facts = product_facts(&record, &parsed, &behind);
        let authorised = self.authorise(actor, Action::Replay, Resource::Product(facts)).await?;
        self.log_replay("replay.authorised", actor, run, [("product", product.into())], authorised).await
    }

    /// Logs a step of a replay. No change of the registry goes with it.
    async fn log_replay<T: Send + 'static>(
        &self,
        kind: &'static str,
        actor: &str,
        run: &str,
        more: impl IntoIterator<Item = (&'static str, Value)>,
        value: T,
    ) -> Result<Recorded<T>, DomainError> {
        let about = [("run", run.into()), ("by", actor.into())];
        let note = self.note(kind, about.into_iter().chain(more))?;
        self.store.note(note.audit()?).await?;
        self.settle(note, value).await
    }
}

/// A replay under way.
struct Replay<'a> {
    domain: &'a Domain,
    actor: &'a str,
    run: &'a str,
    found: Comparing,
    runtime: Option<String>,
    /// The steps after the inputs, which are not reached where an input differs.
    steps: &'static [Step],
}

/// The steps of a run after its inputs.
const RUN_STEPS: &[Step] =
    &[Step::Question, Step::Plan, Step::Charge, Step::Seed, Step::Sums, Step::Release, Step::Kept];

type Progress = Box<dyn FnMut(u64, u64) + Send>;

impl Replay<'_> {
    /// Compares as far as it goes. What differs stands in `found`.
    async fn go(
        &mut self,
        authorised: Recorded<Authorised>,
        release: &Release,
        options: ReplayOptions,
        progress: Progress,
    ) -> Result<(), DomainError> {
        let Some(record) = self.receipt(release)? else { return Ok(()) };
        self.runtime.clone_from(&record.runtime);
        let found = &mut self.found;
        let Some(inputs) = Inputs::compare(self.domain, &record, options, found, progress).await? else {
            return Ok(());
        };
        let Some((planned, seed)) = self.plan(authorised, &record, &inputs).await? else { return Ok(()) };
        self.outcome(planned, seed, &record, &inputs, release).await
    }

    /// The receipt holds, and its entry is the one in the log.
    fn receipt(&mut self, release: &Release) -> Result<Option<Record>, DomainError> {
        let keys = self.domain.log_keys()?;
        let receipt = release.receipt.as_ref().and_then(|text| Receipt::parse(text.as_bytes()).ok());
        // The log of the year in which it was: its receipt names it.
        let log = match &receipt {
            Some(receipt) => self.domain.book_of(receipt.checkpoint().origin())?,
            None => None,
        };
        let verified = receipt.and_then(|receipt| {
            let trust = keys.of(receipt.checkpoint().origin())?;
            receipt.verify_with(trust).ok()
        });
        let verified = verified.filter(|verified| {
            log.is_some_and(|log| log.entry(verified.index()).is_ok_and(|entry| entry == *verified.entry()))
                && verified.body().get("run").and_then(Value::as_str) == Some(self.run)
        });
        let record = verified.and_then(|verified| Record::of(verified.body()));
        self.found.truth(Step::Receipt, "", record.is_some());
        Ok(record)
    }

    async fn plan(
        &mut self,
        authorised: Recorded<Authorised>,
        record: &Record,
        inputs: &Inputs,
    ) -> Result<Option<(Planned, [u8; 32])>, DomainError> {
        let Inputs { product, aggregate, arguments, sources, rules } = inputs;
        let planned = prepare(authorised, product, aggregate, arguments, sources, rules, &self.domain.runtime).await;
        let Ok(planned) = planned else {
            self.found.truth(Step::Plan, "", false);
            return Ok(None);
        };
        let charge = planned.clearance().charge();
        let shown = |rho: u64, delta: u64| format!("rho {rho}, delta {delta}");
        self.found.same(Step::Question, "", Some(&record.question), planned.question());
        self.found.same(Step::Plan, "", record.plan.as_deref(), planned.digest());
        let recorded = shown(record.charge.rho, record.charge.delta);
        self.found.same(Step::Charge, "", Some(&recorded), &shown(charge.rho.units(), charge.delta.units()));
        // The registry has a seed only of a run whose charge is durable: what the replay opens is paid for.
        let seed = self.domain.store.seed(self.run).await?;
        let told = seed.as_ref().map(seed_digest).unwrap_or_default();
        self.found.same(Step::Seed, "", record.seed.as_deref().or(seed.is_none().then_some("")), &told);
        match seed {
            Some(seed) if self.found.all_same() => Ok(Some((planned, seed))),
            Some(_) => Ok(None),
            None => {
                self.found.truth(Step::Seed, "", false);
                Ok(None)
            }
        }
    }

    async fn outcome(
        &mut self,
        planned: Planned,
        seed: [u8; 32],
        record: &Record,
        inputs: &Inputs,
        release: &Release,
    ) -> Result<(), DomainError> {
        let (domain, actor, run) = (self.domain, self.actor, self.run);
        // As in a run: the log knows before data is opened.
        let planned = domain.log_replay("replay.opened", actor, run, [], planned).await?;
        let executed =
            tokio::time::timeout(WALL_LIMIT, execute(Charged::new(planned, seed), domain.home.salt("units"))).await;
        let Ok(Ok(executed)) = executed else {
            self.found.truth(Step::Sums, "", false);
            return Ok(());
        };
        let sums = record.sums.as_deref().is_none_or(|recorded| recorded == executed.sums());
        self.found.truth(Step::Sums, "", sums);
        let executed = domain.log_replay("replay.executed", actor, run, [], executed).await?;
        let released = self.gated(executed, inputs).await;
        let digests = match released {
            Some(released) => release_digests(&released)?,
            None => serde_json::Map::new(),
        };
        for (form, recorded) in &record.released {
            let same = digests.get(form).and_then(Value::as_str) == Some(recorded);
            self.found.truth(Step::Release, form, same);
        }
        // The file that repeats of the question are answered from.
        let kept = record.released.get("arrow").and_then(|digest| digest.parse::<Digest>().ok());
        let kept = kept.filter(|digest| *digest == release.file_digest);
        let readable =
            kept.is_some_and(|digest| domain.files.get(&digest).is_ok_and(|bytes| read_arrow(&bytes).is_ok()));
        self.found.truth(Step::Kept, "", readable);
        Ok(())
    }

    /// The release again: under disclosure control beside the releases that there were then.
    async fn gated(&self, executed: Recorded<Executed>, inputs: &Inputs) -> Option<Released> {
        let (domain, rules) = (self.domain, &inputs.rules);
        let leaves = executed.get().planned().clearance().leaves();
        let mut session = None;
        if leaves.iter().any(|leaf| leaf.statistical().is_some()) {
            session = Some(Session::replayed(domain, &inputs.sources, rules.statistical(), self.run).await.ok()?);
        }
        let released = gate(executed, rules.open().max_rows(), session.as_mut()).await;
        if let Some(session) = session {
            session.forget();
        }
        released.ok()
    }

    /// Logs the verdict and gives it out.
    async fn conclude(self) -> Result<ReplayReport, DomainError> {
        let identical = self.found.all_same();
        let differing: Vec<String> =
            self.found.comparisons.iter().filter(|c| c.finding == Finding::Differs).map(place).collect();
        let verdict = [("identical", json!(identical)), ("differs", json!(differing))];
        let comparisons = self.found.finish(self.steps);
        let recorded = self.domain.log_replay("replay.verdict", self.actor, self.run, verdict, ()).await?;
        Ok(ReplayReport {
            run: self.run.to_owned(),
            identical,
            comparisons,
            runtime: (self.runtime, env!("CARGO_PKG_VERSION").to_owned()),
            log_index: recorded.position().index(),
        })
    }
}

/// Where a difference is, as the log has it.
fn place(comparison: &Comparison) -> String {
    let step = serde_json::to_value(comparison.step).ok();
    let step = step.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    if comparison.what.is_empty() { step } else { format!("{step} {}", comparison.what) }
}

/// The comparisons so far.
#[derive(Default)]
struct Comparing {
    comparisons: Vec<Comparison>,
}

impl Comparing {
    fn push(&mut self, comparison: Comparison) {
        self.comparisons.push(comparison);
    }

    /// Compares two public digests or numbers. What was not recorded (by an older release) is not compared.
    fn same(&mut self, step: Step, what: &str, recorded: Option<&str>, found: &str) {
        let Some(recorded) = recorded else { return };
        let finding = if recorded == found { Finding::Same } else { Finding::Differs };
        self.push(Comparison {
            step,
            what: what.to_owned(),
            finding,
            recorded: Some(recorded.to_owned()),
            found: (!found.is_empty()).then(|| found.to_owned()),
            note: None,
        });
    }

    /// Notes that something is as recorded or not, without saying more.
    fn truth(&mut self, step: Step, what: &str, same: bool) {
        let finding = if same { Finding::Same } else { Finding::Differs };
        self.push(Comparison { step, what: what.to_owned(), finding, recorded: None, found: None, note: None });
    }

    /// Says more of the last comparison.
    fn note(&mut self, text: Text) {
        if let Some(last) = self.comparisons.last_mut() {
            last.note = Some(text);
        }
    }

    fn all_same(&self) -> bool {
        self.comparisons.iter().all(|c| c.finding == Finding::Same)
    }

    /// All comparisons, with those that were not reached.
    fn finish(mut self, steps: &[Step]) -> Vec<Comparison> {
        for step in steps.iter().copied() {
            if !self.comparisons.iter().any(|c| c.step == step) && !self.all_same() {
                let (what, finding) = (String::new(), Finding::NotReached);
                self.push(Comparison { step, what, finding, recorded: None, found: None, note: None });
            }
        }
        self.comparisons
    }
}

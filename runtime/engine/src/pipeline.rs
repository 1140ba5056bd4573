//! One use of an aggregate product, from the request to the receipt.
//!
//! ```text
//! Request ─ authorise ─▶ Authorised ─ prepare ─▶ Planned ─ charge ─▶ Charged ─ execute ─▶ Executed ─ gate ─▶ Released
//! ```
//!
//! Every arrow passes through the log: the next step takes only `Recorded<…>`, which a durable append alone can mint. The
//! charge is durable before data is opened and is never refunded; nothing is handed out before its release stands in the
//! log. Whatever fails after data was opened is one opaque `run/failed`.

use crate::catalogue::verify_unchanged;
use crate::domain::{Domain, Resolved, Ticket, product_facts};
use crate::error::DomainError;
use crate::execute::{Charged, Executed, execute};
use crate::home::random_seed;
use crate::plan::{Planned, prepare};
use crate::product::{AggregateProduct, Arguments, Body, Product};
use crate::registry::{self, ChargeError, Digest, NewRelease, NewRun, RunState};
use crate::release::{Format, Released, gate, read_arrow};
use crate::statistical::Session;
use crate::timing::Phases;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use yunei_audit::{Position, Receipt, Recorded};
use yunei_policy::authorise::{Action, Authorised, GrantFacts, Request, Resource, authorise};
use yunei_policy::words::ReleaseClass;
use yunei_policy::{Refusal, Refused};

/// The code of a use that was stopped; the registry's own says the same.
const STOPPED: &str = "run/stopped";

/// At most how long each part of a run may take: over the data, and at the gate.
pub(crate) const WALL_LIMIT: Duration = Duration::from_secs(1_800);

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Who asks.
    pub institution: String,
    /// Which product.
    pub product: String,
    /// Its parameters, as texts.
    pub arguments: BTreeMap<String, String>,
    /// What for.
    pub purpose: String,
}

/// What a run gives back.
#[derive(Debug)]
pub struct RunAnswer {
    /// The run's id. A repeated question has the id of the run that first answered it.
    pub run: String,
    /// What left.
    pub released: Released,
    /// The proof.
    pub receipt: Receipt,
    /// ε of the charge, for people; 0 where it was free.
    pub epsilon: f64,
    /// δ of the same statement.
    pub delta: f64,
    /// Whether the answer was on record already, so that nothing was charged.
    pub repeated: bool,
}

/// Runs an aggregate product.
///
/// # Errors
/// All the reasons why it is refused; `run/failed` for anything after data was opened.
pub(crate) async fn run(domain: &Domain, id: &str, request: &RunRequest) -> Result<RunAnswer, DomainError> {
    let (record, product) = domain.product_record(&request.product).await?;
    let Body::Aggregate(aggregate) = product.body() else {
        return Err(Refusal::new(
            "run/not-aggregate",
            "这是核验产品，请用 yunei verify",
            "this is a verification product: use yunei verify",
        )
        .into());
    };
    domain.close_dropped().await?;
    let ticket = domain.running.enter(id, &request.institution, &product);
    let use_ = Use { domain, id, request, product: &product, aggregate, ticket: &ticket };
    ticket.begun();
    let answer = lead(use_, &record).await;
    ticket.over();
    answer
}

/// The way of one use, from the question to the policies on.
async fn lead(use_: Use<'_>, record: &registry::Product) -> Result<RunAnswer, DomainError> {
    let Use { domain, request, product, ticket, .. } = use_;
    let (authorised, grant) =
        match authorise_use(domain, record, product, Action::Run, &request.institution, &request.purpose).await {
            Ok(authorised) => authorised,
            Err(error) => return Err(use_.refuse_before(error).await),
        };
    ticket.under(grant.as_deref());
    let authorised: Recorded<Authorised> = use_.record_authorised(authorised, grant.as_deref()).await?;

    let planned = match use_.plan(authorised).await {
        Ok(planned) => planned,
        Err(error) => return Err(use_.refuse_after(error).await),
    };
    let question = domain.asking.lock_of(planned.0.question());
    let _asked = question.lock().await;
    match use_.repeat(&planned.0).await {
        Ok(None) => {}
        Ok(Some(answer)) => return Ok(answer),
        Err(error @ DomainError::Refused(_)) => return Err(use_.refuse_after(error).await),
        Err(error) => return Err(error),
    }
    let (planned, resolved) = planned;
    let mut facts = Facts::of(&use_, &planned, &resolved);
    let phases = Phases::draw(Duration::from_millis(domain.rules.timing().quantum_millis().into()))?;
    let charged: Charged = match use_.charge(planned, &resolved).await {
        Ok((charged, seed)) => {
            facts.fields.insert("seed".to_owned(), seed.into());
            charged
        }
        Err(error) => return Err(use_.refuse_after(error).await),
    };

    let unit_key = domain.home.salt("units");
    let computation = phases.begin(0);
    let executed = use_.unless_stopped(tokio::time::timeout(WALL_LIMIT, execute(charged, unit_key))).await;
    // Nothing is written down or told before the tick: not that it ended, nor how.
    computation.tick().await;
    let executed = match executed? {
        Ok(Ok(executed)) => {
            facts.fields.insert("sums".to_owned(), executed.sums().into());
            use_.record_executed(executed).await?
        }
        Ok(Err(_)) | Err(_) => return Err(use_.fail().await),
    };
    let computation = phases.begin(1);
    // From the look into the history until the release stands in it nobody else may release.
    let mut session = None;
    if executed.get().planned().clearance().leaves().iter().any(|leaf| leaf.statistical().is_some()) {
        session = match Session::open(domain, &resolved).await {
            Ok(session) => Some(session),
            Err(_) => return Err(use_.fail().await),
        };
    }
    let gate = gate(executed, domain.rules.open().max_rows(), session.as_mut());
    let released = use_.unless_stopped(tokio::time::timeout(WALL_LIMIT, gate)).await;
    let cells = session.as_mut().map(|session| session.finish().map(<[_]>::to_vec));
    computation.tick().await;
    let released = match released? {
        Ok(Ok(released)) => released,
        Ok(Err(_)) | Err(_) => return Err(use_.fail().await),
    };
    let cells = match cells {
        None => Vec::new(),
        Some(Ok(cells)) => cells,
        Some(Err(_)) => return Err(use_.fail().await),
    };
    // Shared with other releases, never with a suspension: what is decided here has left before one is in force.
    let _leaving = domain.running.releasing().await;
    match use_.record_released(released, facts, &cells).await {
        Err(DomainError::Refused(refused)) if is_stop(&refused) => Err(use_.stopped(refused.into()).await),
        other => other,
    }
}

/// Whether a refusal says that what the use rests on does not stand any more.
pub(crate) fn is_stop(refused: &Refused) -> bool {
    refused.reasons().iter().any(|r| r.code() == STOPPED)
}

/// The answer of a use that a suspension stopped.
pub(crate) fn stopped() -> DomainError {
    Refusal::new(
        STOPPED,
        "本次使用已被停止：所依据的内容已被暂停或撤回",
        "the use was stopped: something that it rests on was suspended or withdrawn",
    )
    .hint("请联系数据主管部门；已扣除的预算不退还", "ask the data authority; what was charged stays charged")
    .into()
}

/// Asks the policies about one use of a product; the grant that bears it.
pub(crate) async fn authorise_use(
    domain: &Domain,
    record: &registry::Product,
    product: &Product,
    action: Action,
    institution: &str,
    purpose: &str,
) -> Result<(Authorised, Option<String>), DomainError> {
    authorise_under(domain, record, product, action, institution, purpose, true).await
}

/// Authorises that an answer which is recorded is told once more: as its use would be, but that it uses nothing up.
pub(crate) async fn authorise_repeat(
    domain: &Domain,
    record: &registry::Product,
    product: &Product,
    action: Action,
    institution: &str,
    purpose: &str,
) -> Result<(), DomainError> {
    authorise_under(domain, record, product, action, institution, purpose, false).await.map(drop)
}

async fn authorise_under(
    domain: &Domain,
    record: &registry::Product,
    product: &Product,
    action: Action,
    institution: &str,
    purpose: &str,
    uses: bool,
) -> Result<(Authorised, Option<String>), DomainError> {
    let institution = domain.institution(institution).await?;
    let behind = domain.states_behind(record, product).await?;
    let grants = domain.store.grants_of(&institution.id, product.id()).await?;
    let agreements = domain.agreements_of(&grants).await?;
    let facts: Vec<GrantFacts> = grants
        .iter()
        .zip(&agreements)
        .map(|(g, agreement)| GrantFacts {
            institution: g.institution.clone(),
            product: g.product.clone(),
            purposes: g.purposes.clone(),
            from_millis: g.from_millis,
            until_millis: g.until_millis,
            state: g.state,
            runs_left: g.max_runs.filter(|_| uses).map(|most| most.saturating_sub(g.used_runs)),
            agreed: domain.is_agreed(*agreement),
        })
        .collect();
    let now = domain.now();
    let request = Request {
        institution: domain.facts_of(&institution).await?,
        action,
        resource: Resource::Product(product_facts(record, product, &behind)),
        grants: &facts,
        purpose: Some(purpose),
        now_millis: now,
    };
    let authorised = authorise(&request, &domain.policies()).map_err(|refused| behind.explain(refused))?;
    // The grant that ends first bears the use.
    let bears = authorised.grants().first().and_then(|at| grants.get(*at)).map(|g| g.id.clone());
    Ok((authorised, bears))
}

/// One use under way.
struct Use<'a> {
    domain: &'a Domain,
    id: &'a str,
    request: &'a RunRequest,
    product: &'a Product,
    aggregate: &'a AggregateProduct,
    ticket: &'a Ticket,
}

/// What the receipt says of a run besides its outcome.
struct Facts {
    fields: Map<String, Value>,
    epsilon: f64,
    delta: f64,
}

impl Use<'_> {
    fn new_run<'b>(&'b self, grant: Option<&'b str>) -> NewRun<'b> {
        NewRun {
            id: self.id,
            institution: &self.request.institution,
            product: &self.request.product,
            purpose: &self.request.purpose,
            grant,
            question: None,
        }
    }

    fn about(&self) -> [(&'static str, Value); 5] {
        [
            ("run", self.id.into()),
            ("institution", self.request.institution.clone().into()),
            ("product", self.request.product.clone().into()),
            ("purpose", self.request.purpose.chars().take(128).collect::<String>().into()),
            ("datasets", json!(self.product.datasets())),
        ]
    }

    /// A refusal before anything was authorised is on record too, where the institution is known.
    async fn refuse_before(&self, error: DomainError) -> DomainError {
        let codes: Vec<&str> = error.reasons().iter().map(Refusal::code).collect();
        let noted = async {
            let note = self.domain.note("run.refused", self.about().into_iter().chain([("codes", json!(codes))]))?;
            self.domain.store.refused_run(self.new_run(None), note.at, note.audit()?).await?;
            self.domain.settle_only(note).await
        };
        match noted.await {
            Ok(()) => error,
            // What can not be recorded is told as such: the log comes first.
            Err(DomainError::Unavailable(refusal)) => DomainError::Unavailable(refusal),
            Err(_) => error,
        }
    }

    async fn refuse_after(&self, error: DomainError) -> DomainError {
        let codes: Vec<&str> = error.reasons().iter().map(Refusal::code).collect();
        self.close(RunState::Refused, "run.refused", json!(codes)).await.err().unwrap_or(error)
    }

    /// The one end of everything that goes wrong after data was opened.
    async fn fail(&self) -> DomainError {
        self.close(RunState::Failed, "run.failed", json!(["run/failed"]))
            .await
            .err()
            .unwrap_or_else(DomainError::run_failed)
    }

    /// Goes on with something unless the use is stopped meanwhile; then the run is closed and that something dropped.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, DomainError> {
        tokio::select! {
            biased;
            () = self.ticket.stopped() => Err(self.stopped(stopped()).await),
            done = work => Ok(done),
        }
    }

    /// The end of a use that was stopped after its charge, which stands.
    async fn stopped(&self, error: DomainError) -> DomainError {
        self.close(RunState::Failed, "run.stopped", json!([STOPPED])).await.err().unwrap_or(error)
    }

    async fn close(&self, state: RunState, kind: &'static str, codes: Value) -> Result<(), DomainError> {
        let note = self.domain.note(kind, self.about().into_iter().chain([("codes", codes)]))?;
        self.domain.store.set_run_state(self.id, state, note.at, note.audit()?).await?;
        self.domain.settle_only(note).await?;
        Ok(())
    }

    async fn record_authorised(
        &self,
        authorised: Authorised,
        grant: Option<&str>,
    ) -> Result<Recorded<Authorised>, DomainError> {
        let grant_field = grant.map_or(Value::Null, |g| g.into());
        let note = self.domain.note("run.authorised", self.about().into_iter().chain([("grant", grant_field)]))?;
        self.domain.store.begin_run(self.new_run(grant), note.at, note.audit()?).await?;
        self.domain.settle(note, authorised).await
    }

    async fn plan(&self, authorised: Recorded<Authorised>) -> Result<(Planned, Resolved), DomainError> {
        let arguments = Arguments::read(self.aggregate.parameters(), &self.request.arguments)?;
        let resolved = self.domain.resolve(self.product).await?;
        let sources = resolved.rests_on();
        self.domain.store.rest_on(self.id, &sources).await?;
        self.ticket.rests_on(sources);
        let planned = prepare(
            authorised,
            self.product,
            self.aggregate,
            &arguments,
            &resolved.sources,
            &self.domain.rules,
            &self.domain.runtime,
        )
        .await?;
        Ok((planned, resolved))
    }

    /// The same question has the same answer, free.
    async fn repeat(&self, planned: &Planned) -> Result<Option<RunAnswer>, DomainError> {
        let question = question_digest(planned)?;
        let Some(release) = self.domain.store.release(&question).await? else { return Ok(None) };
        let damaged = || {
            DomainError::Unavailable(Refusal::new("store/damaged", "已发布的结果损坏", "a recorded release is damaged"))
        };
        let kept: Kept = serde_json::from_str(&release.release).map_err(|_| damaged())?;
        let bytes = self.domain.files.get(&release.file_digest)?;
        let batch = read_arrow(&bytes).map_err(|_| damaged())?;
        let first = release.run;
        let receipt = match (release.receipt, kept.body) {
            (Some(receipt), _) => Receipt::parse(receipt.as_bytes()).map_err(|_| damaged())?,
            // A crash came between the release and its receipt: the answer is the same, and so it is free.
            (None, Some(body)) => self.late_receipt(&first, body).await?,
            (None, None) => return Err(damaged()),
        };
        let _leaving = self.domain.running.releasing().await;
        let note =
            self.domain.note("run.repeated", self.about().into_iter().chain([("first", first.clone().into())]))?;
        self.domain.store.repeat_run(self.id, &question, note.at, note.audit()?).await?;
        self.domain.settle_only(note).await?;
        let released = Released::from_record(batch, kept.columns, kept.class, planned.question().to_owned());
        Ok(Some(RunAnswer { run: first, released, receipt, epsilon: 0.0, delta: 0.0, repeated: true }))
    }

    /// Checks that the files are what was registered, then charges: all budgets or none, durably, before data is opened.
    /// Gives the commitment to the seed too: from here on the domain can not choose another noise.
    async fn charge(&self, planned: Planned, resolved: &Resolved) -> Result<(Charged, String), DomainError> {
        for source in &resolved.sources.datasets {
            let files = source.files.clone();
            tokio::task::spawn_blocking(move || verify_unchanged(&files))
                .await
                .map_err(|_| DomainError::run_failed())??;
        }
        let seed = random_seed()?;
        let charge = planned.clearance().charge();
        let lines = self.domain.budget_lines(
            &self.request.institution,
            self.product,
            resolved,
            planned.clearance().class(),
            charge,
        )?;
        let question = question_digest(&planned)?;
        let fields = [
            ("question", planned.question().into()),
            ("plan", planned.digest().into()),
            ("seed", seed_digest(&seed).into()),
            ("rho", charge.rho.units().into()),
            ("delta", charge.delta.units().into()),
        ];
        let note = self.domain.note("run.charged", self.about().into_iter().chain(fields))?;
        let request = registry::Charge { run: self.id, question: Some(question), seed: Some(seed), lines: &lines };
        match self.domain.store.charge(request, note.at, note.audit()?).await {
            Ok(_) => {}
            Err(ChargeError::Refused(refusal)) => return Err(refusal.to_refused().into()),
            Err(ChargeError::Store(error)) => return Err(error.into()),
        }
        let planned = self.domain.settle(note, planned).await?;
        Ok((Charged::new(planned, seed), seed_digest(&seed)))
    }

    async fn record_executed(&self, executed: Executed) -> Result<Recorded<Executed>, DomainError> {
        let sums = [("sums", executed.sums().into())];
        let note = self.domain.note("run.executed", self.about().into_iter().chain(sums))?;
        self.domain.store.set_run_state(self.id, RunState::Executed, note.at, note.audit()?).await?;
        self.domain.settle(note, executed).await
    }

    /// Stores the release, records it, and only then gives it out, with its receipt.
    async fn record_released(
        &self,
        released: Released,
        facts: Facts,
        cells: &[registry::ReleasedCell],
    ) -> Result<RunAnswer, DomainError> {
        let arrow = released.write(Format::Arrow).map_err(|_| DomainError::run_failed())?;
        let digests = release_digests(&released)?;
        let file_digest = self.domain.files.put(&arrow)?;
        let mut body = facts.fields;
        body.insert("outcome".to_owned(), "released".into());
        body.insert("released".to_owned(), Value::Object(digests));
        let receipt_digest = yunei_audit::receipt_digest(&body).map_err(|_| DomainError::run_failed())?;
        let note = self.domain.note(
            "run.released",
            self.about().into_iter().chain([
                ("question", released.question().into()),
                ("released", file_digest.to_string().into()),
                ("receipt", receipt_digest.into()),
                ("price_class", json!(self.product.price_class())),
            ]),
        )?;
        let kept = Kept { columns: released.columns(), class: released.class(), body: Some(body.clone()) };
        let release = NewRelease {
            run: self.id,
            question: released.question().parse::<Digest>().map_err(|_| DomainError::run_failed())?,
            file_digest,
            release: &serde_json::to_string(&kept).map_err(|_| DomainError::run_failed())?,
        };
        self.domain.store.record_release_with_cells(release, cells, note.at, note.audit()?).await?;
        let recorded: Recorded<Released> = self.domain.settle(note, released).await?;
        let (released, position) = recorded.into_parts();
        let receipt = self.receipt(&position, body).await?;
        Ok(RunAnswer {
            run: self.id.to_owned(),
            released,
            receipt,
            epsilon: facts.epsilon,
            delta: facts.delta,
            repeated: false,
        })
    }

    /// The receipt of a release that stands in the log and has none.
    async fn late_receipt(&self, run: &str, body: Map<String, Value>) -> Result<Receipt, DomainError> {
        for found in self.domain.log.entries(0..self.domain.log.size()) {
            let (index, entry) = found?;
            let released =
                entry.kind() == "run.released" && entry.fields().get("run").and_then(Value::as_str) == Some(run);
            if released {
                let position = self.domain.log.position(index)?;
                let receipt = self.domain.log.receipt(&position, body)?;
                self.domain.store.record_receipt(run, &receipt.to_string()).await?;
                return Ok(receipt);
            }
        }
        Err(DomainError::Unavailable(Refusal::new(
            "store/damaged",
            "已发布的结果损坏",
            "a recorded release is damaged",
        )))
    }

    async fn receipt(&self, position: &Position, body: Map<String, Value>) -> Result<Receipt, DomainError> {
        let receipt = self.domain.log.receipt(position, body)?;
        self.domain.store.record_receipt(self.id, &receipt.to_string()).await?;
        Ok(receipt)
    }
}

/// What the registry keeps beside a release's bytes.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Kept {
    pub(crate) columns: usize,
    pub(crate) class: ReleaseClass,
    /// What the receipt says, for the case that a crash comes before it is made.
    #[serde(default)]
    pub(crate) body: Option<Map<String, Value>>,
}

/// The digests of a release in each of its forms.
pub(crate) fn release_digests(released: &Released) -> Result<Map<String, Value>, DomainError> {
    let digest = |(name, format): (&str, Format)| {
        let bytes = released.write(format).map_err(|_| DomainError::run_failed())?;
        Ok((name.to_owned(), crate::digest::sha256_hex(&bytes).into()))
    };
    let forms = [("json", Format::Json), ("csv", Format::Csv), ("arrow", Format::Arrow), ("parquet", Format::Parquet)];
    let mut digests: Map<String, Value> = forms.into_iter().map(digest).collect::<Result<_, DomainError>>()?;
    let stream = released.write_stream().map_err(|_| DomainError::run_failed())?;
    digests.insert("arrow_stream".to_owned(), crate::digest::sha256_hex(&stream).into());
    Ok(digests)
}

/// What is told of a seed before it is used. Of 32 random bytes a digest tells nothing, and it binds.
pub(crate) fn seed_digest(seed: &[u8; 32]) -> String {
    hex::encode(crate::digest::sha256_parts("yunei/seed/1", &[seed]))
}

/// The digests of what decides: the numbers, and who may do what.
pub(crate) fn policy_digests(domain: &Domain) -> [(&'static str, String); 2] {
    [
        ("rules", crate::digest::sha256_hex(domain.rules.text().as_bytes())),
        ("policies", crate::digest::sha256_hex(domain.policies().text().as_bytes())),
    ]
}

fn question_digest(planned: &Planned) -> Result<Digest, DomainError> {
    planned.question().parse().map_err(|_| DomainError::run_failed())
}

impl Facts {
    fn of(use_: &Use<'_>, planned: &Planned, resolved: &Resolved) -> Self {
        let clearance = planned.clearance();
        let charge = clearance.charge();
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("run", use_.id.into());
        put("domain", use_.domain.name().into());
        put("institution", use_.request.institution.clone().into());
        put("product", json!({ "id": use_.product.id(), "digest": use_.product.digest() }));
        put("purpose", use_.request.purpose.clone().into());
        put("at", use_.domain.now().into());
        put("question", planned.question().into());
        put("parameters", planned.arguments().into());
        put("plan", planned.digest().into());
        for (name, digest) in policy_digests(use_.domain) {
            put(name, digest.into());
        }
        put("runtime", env!("CARGO_PKG_VERSION").into());
        put("datasets", resolved.describe_datasets());
        put("models", resolved.describe_models());
        put("class", json!(clearance.class()));
        put("price_class", json!(use_.product.price_class()));
        put(
            "charge",
            json!({
                "rho": charge.rho.units(), "delta": charge.delta.units(),
                "epsilon": format!("{:.4}", clearance.epsilon()), "at_delta": format!("{:e}", clearance.delta()),
            }),
        );
        Self { fields, epsilon: clearance.epsilon(), delta: clearance.delta() }
    }
}

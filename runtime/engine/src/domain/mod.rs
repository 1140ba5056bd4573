//! [`Domain`]: the face of everything inside a home.

mod access;
mod asking;
mod audit;
mod budget;
mod continuity;
mod credentials;
mod due;
mod lifecycle;
mod models;
mod read;
mod register;
mod requests;
mod running;
mod sample;
mod sources;
mod statement;
mod submit;
mod suspend;
mod upload;
mod usage;
mod views;
mod years;

pub use access::{MAX_PAGE, Recovered, RunView, VersionView};
pub use audit::{AuditLine, AuditPage, AuditQuery, ExportFormat, MAX_AUDIT_PAGE, Outcome, PeriodStats};
pub use budget::{BudgetView, ProductBudget};
pub(crate) use credentials::{Admitted, unknown_credential};
pub use credentials::{Caller, Credential, IssuedToken, KeyView, MAX_TOKEN_DAYS, TokenRequest, TokenView};
pub use due::{DueView, LapseView};
pub use lifecycle::ConsentView;
pub use register::{RegisterView, RegistrationView};
pub use requests::{RequestView, SubjectQuery};
pub(crate) use running::Ticket;
pub use sample::MAX_SAMPLE_ROWS;
pub(crate) use sources::{Behind, Resolved};
pub use statement::{PAYLOAD_TYPE, pre_authentication, statement};
pub(crate) use submit::{CheckedModel, files_digest, product_facts};
pub use submit::{GrantRequest, Submission};
pub use suspend::{MAX_REASON, MAX_RELEASES, ReleaseView, StateChangeView, Stopped};
pub use upload::ModelUpload;
pub use usage::{Period, UsageLine, UsageQuery, usage_csv};
pub use views::{
    Checkup, ColumnView, DatasetView, Expected, GrantView, InstitutionView, MAX_LISTED, ModelView, ProductView,
};
pub(crate) use years::Book;
pub use years::{LogState, LogView};
pub use yunei_audit::Entry as LogEntry;

use crate::error::DomainError;
use crate::home::{Home, random_seed};
use crate::plan::Tuning;
use crate::registry::{AuditEntry, FileStore, RunState, Store, StoreUrl};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use yunei_audit::{Entry, Log, LogError, Recorded};
use yunei_policy::authorise::{Authorised, InstitutionFacts, Policies, Request, Resource, authorise};
use yunei_policy::register::RegisterRules;
use yunei_policy::rules::RuleSet;
use yunei_policy::words::Role;
use yunei_policy::{Refusal, Text};
use yunei_sandbox::Sandbox;

/// At most how much memory a query's operators may hold before they spill, bytes.
const QUERY_MEMORY: usize = 2 << 30;

/// Milliseconds since 1970-01-01 UTC, from wherever the caller takes the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A domain that this process has open: registry, ledger, log, sandbox, rules.
pub struct Domain {
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) files: FileStore,
    pub(crate) log: Log,
    pub(crate) sandbox: Sandbox,
    pub(crate) rules: RuleSet,
    pub(crate) register: RegisterRules,
    policies: RwLock<Arc<Policies>>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) running: running::Running,
    /// The numbers of units under disclosure control; who holds it may compare with the history and add to it.
    pub(crate) units: tokio::sync::Mutex<Option<crate::statistical::UnitIndex>>,
    pub(crate) verifying: crate::verify::Verifying,
    pub(crate) tuning: Tuning,
    /// The questions that are being asked: the same one is computed once.
    pub(crate) asking: asking::Asking,
    clock: Clock,
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain").field("name", &self.home.name()).finish_non_exhaustive()
    }
}

/// The institutions that a new home knows: one per role, by the role's name.
const FIRST_INSTITUTIONS: [(&str, Role, &str, &str); 4] = [
    ("authority", Role::Authority, "数据主管部门", "Data authority"),
    ("holder", Role::Holder, "数据提供单位", "Data holder"),
    ("operator", Role::Operator, "运营机构", "Operating institution"),
    ("business", Role::Business, "核验需求企业", "Business"),
];

impl Domain {
    /// Makes a domain in an empty or absent folder: keys, rules, store, log, and one institution per role.
    ///
    /// # Errors
    /// `home/exists` where the folder is not empty; `rules/…` where the rules are no rule set.
    pub async fn create(root: &Path, name: &str, rules: Option<&str>, clock: Clock) -> Result<Self, DomainError> {
        Self::create_in(root, name, rules, None, clock).await
    }

    /// As [`Self::create`], with the store in a database of PostgreSQL, which has to be empty, where one is named. The
    /// home keeps its address without the password.
    ///
    /// # Errors
    /// As [`Self::create`], and what is wrong with the database.
    pub async fn create_in(
        root: &Path,
        name: &str,
        rules: Option<&str>,
        store: Option<StoreUrl>,
        clock: Clock,
    ) -> Result<Self, DomainError> {
        // Before anything is made: a home whose store cannot be made would be in the way.
        if let Some(url) = &store {
            Store::vacant_at(url).await?;
        }
        let (mut home, key) = Home::create(root, name, rules, store)?;
        let store = home.create_store().await?;
        let log = home.log_options(key)?.create(&home.path("log"))?;
        let domain = Self::assemble(home, store, log, clock)?;
        for (id, role, zh, en) in FIRST_INSTITUTIONS {
            let note =
                domain.note("institution.added", [("institution", id.into()), ("role", role.to_string().into())])?;
            domain.store.add_institution(id, role, &Text::new(zh, en), note.at, note.audit()?).await?;
            domain.settle_only(note).await?;
        }
        Ok(domain)
    }

    /// Opens a domain; brings log and registry together where the last process was killed between them.
    ///
    /// # Errors
    /// `home/absent`, `home/busy`, and what is wrong with store, keys or log.
    pub async fn open(root: &Path, clock: Clock) -> Result<Self, DomainError> {
        let (mut home, key) = Home::open(root)?;
        let store = home.open_store().await?;
        let key = home.finish_sealing(home.finish_rotation(key, clock())?, clock())?;
        let log = match home.log_options(key).and_then(|options| Ok(options.open(&home.path("log"))?)) {
            Ok(log) => log,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let domain = Self::assemble(home, store, log, clock)?;
        domain.check_continuity().await?;
        domain.store.remember_log(&domain.log.checkpoint(), domain.now()).await?;
        domain.recover().await?;
        Ok(domain)
    }

    fn assemble(home: Home, store: Store, log: Log, clock: Clock) -> Result<Self, DomainError> {
        let (rules, policies) = home.policy()?;
        let register = home.register()?;
        let files = FileStore::open(&home.path("files"))?;
        // Kept, so that a use can be replayed under the rules of its day when others are in force.
        files.put(rules.text().as_bytes())?;
        files.put(policies.text().as_bytes())?;
        let internal = |place: &'static str| {
            DomainError::Unavailable(Refusal::new("engine/internal", "系统内部错误", "an internal error").at(place))
        };
        let sandbox = models::sandbox(&home).map_err(|_| internal("sandbox"))?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(QUERY_MEMORY)))
            .with_temp_file_path(home.path("tmp"))
            .build_arc()
            .map_err(|_| internal("runtime"))?;
        let verifying = crate::verify::Verifying::new(home.salt("verification"));
        Ok(Self {
            home,
            store,
            files,
            log,
            sandbox,
            rules,
            register,
            policies: RwLock::new(Arc::new(policies)),
            runtime,
            running: running::Running::default(),
            units: tokio::sync::Mutex::default(),
            verifying,
            tuning: Tuning::default(),
            asking: asking::Asking::default(),
            clock,
        })
    }

    /// Sets how queries divide their work. What is released does not depend on it.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// Closes the store. A domain that is dropped instead loses nothing.
    pub async fn close(self) {
        self.verifying.flush().await;
        self.store.close().await;
    }

    /// Runs an aggregate product; see [`crate::pipeline`].
    ///
    /// # Errors
    /// All the reasons why it is refused; `run/failed` for anything after data was opened.
    pub async fn run(&self, request: &crate::RunRequest) -> Result<crate::RunAnswer, DomainError> {
        Box::pin(crate::pipeline::run(self, &self.run_id()?, request)).await
    }

    /// An id for a run that is to be asked for; it is nothing yet.
    ///
    /// # Errors
    /// `home/randomness`.
    pub fn run_id(&self) -> Result<String, DomainError> {
        fresh_id("run", self.now())
    }

    /// Runs an aggregate product under an id that [`Self::run_id`] gave.
    ///
    /// # Errors
    /// As [`Self::run`]; `store/exists` where there is a run of that id.
    pub async fn run_as(&self, id: &str, request: &crate::RunRequest) -> Result<crate::RunAnswer, DomainError> {
        Box::pin(crate::pipeline::run(self, id, request)).await
    }

    /// Answers a verification; see [`crate::verify`].
    ///
    /// # Errors
    /// All the reasons why it is refused; `run/failed` for anything after data was opened.
    pub async fn verify(&self, request: &crate::VerifyRequest) -> Result<crate::VerifyAnswer, DomainError> {
        Box::pin(crate::verify::verify(self, request)).await
    }

    /// Now, milliseconds since 1970-01-01 UTC.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }

    /// How many uses are under way in this process.
    pub fn uses_under_way(&self) -> usize {
        self.running.count()
    }

    /// The domain's name.
    pub fn name(&self) -> &str {
        self.home.name()
    }

    /// The key with which its receipts are checked.
    pub fn verifying_key(&self) -> yunei_audit::VerifyingKey {
        self.log.verifying_key()
    }

    /// The policies in force.
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other policies into force.
    pub(crate) fn swap_policies(&self, policies: Policies) {
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
    }

    /// The rules in force.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// An audit entry to be written with a change.
    pub(crate) fn note(
        &self,
        kind: &'static str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<Note, DomainError> {
        Note::new(kind, self.now(), fields)
    }

    /// Puts the entry of a change that the store holds already into the log; the value is recorded from then on.
    pub(crate) async fn settle<T: Send + 'static>(&self, note: Note, value: T) -> Result<Recorded<T>, DomainError> {
        let log = self.log.clone();
        let Note { id, entry, .. } = note;
        let recorded = tokio::task::spawn_blocking(move || log.record(entry, value))
            .await
            .map_err(|_| DomainError::from(LogError::Stopped))??;
        let index = recorded.position().index();
        self.store.outbox_settled(&id, index, &self.log.checkpoint(), self.now()).await?;
        Ok(recorded)
    }

    /// The same for a change after which nothing waits for its record.
    pub(crate) async fn settle_only(&self, note: Note) -> Result<(), DomainError> {
        self.settle(note, ()).await.map(drop)
    }

    /// Asks the policies whether an institution may do something.
    pub(crate) async fn authorise(
        &self,
        actor: &str,
        action: yunei_policy::authorise::Action,
        resource: Resource<'_>,
    ) -> Result<Authorised, DomainError> {
        let institution = self.institution(actor).await?;
        let request = Request {
            institution: self.facts_of(&institution).await?,
            action,
            resource,
            grants: &[],
            purpose: None,
            now_millis: self.now(),
        };
        Ok(authorise(&request, &self.policies())?)
    }

    /// An institution as the policies see it.
    pub(crate) async fn facts_of<'i>(
        &self,
        institution: &'i crate::registry::Institution,
    ) -> Result<InstitutionFacts<'i>, DomainError> {
        Ok(InstitutionFacts {
            id: &institution.id,
            role: institution.role,
            state: institution.state,
            office: institution.office,
            divided: self.is_divided().await?,
        })
    }

    pub(crate) async fn institution(&self, id: &str) -> Result<crate::registry::Institution, DomainError> {
        self.store.institution(id).await.map_err(|e| match e {
            crate::registry::StoreError::NotFound { .. } => DomainError::not_found("机构", "institution", id),
            other => other.into(),
        })
    }

    /// After a kill: entries whose change is durable but which never reached the log are appended now, and runs that
    /// were under way are closed as failed. Their charges stand.
    async fn recover(&self) -> Result<(), DomainError> {
        // A thousand at a time, in the order in which they were written.
        let mut pending = self.store.outbox_pending().await?;
        let mut at = HashMap::new();
        if !pending.is_empty() {
            for found in self.log.entries(0..self.log.size()) {
                let (index, entry) = found?;
                if let Some(Value::String(id)) = entry.fields().get("id") {
                    at.insert(id.clone(), index);
                }
            }
        }
        while !pending.is_empty() {
            for waiting in pending {
                let index = match at.get(&waiting.id) {
                    Some(index) => *index,
                    None => {
                        let entry = Entry::parse(waiting.json.as_bytes()).map_err(LogError::from)?;
                        self.log.append(entry)?.index()
                    }
                };
                self.store.outbox_done(&waiting.id, index).await?;
            }
            pending = self.store.outbox_pending().await?;
        }
        crate::verify::recover(self).await?;
        for run in self.store.unfinished_runs().await? {
            self.interrupted(&run).await?;
        }
        Ok(())
    }

    /// Closes runs of this process that nobody carries on: what asked for them was dropped. Their charges stand.
    pub(crate) async fn close_dropped(&self) -> Result<(), DomainError> {
        let dropped = self.running.take_dropped();
        if dropped.is_empty() {
            return Ok(());
        }
        for run in self.store.unfinished_runs().await?.iter().filter(|run| dropped.contains(&run.id)) {
            self.interrupted(run).await?;
        }
        Ok(())
    }

    async fn interrupted(&self, run: &crate::registry::Run) -> Result<(), DomainError> {
        let note = self.note(
            "run.interrupted",
            [
                ("run", run.id.clone().into()),
                ("institution", run.institution.clone().into()),
                ("product", run.product.clone().into()),
                ("purpose", run.purpose.clone().into()),
            ],
        )?;
        self.store.set_run_state(&run.id, RunState::Failed, note.at, note.audit()?).await?;
        self.settle_only(note).await
    }
}

/// An audit entry under a fresh id.
pub(crate) struct Note {
    pub(crate) id: String,
    pub(crate) at: i64,
    entry: Entry,
}

impl Note {
    pub(crate) fn new(
        kind: &'static str,
        at: i64,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<Self, DomainError> {
        let id = hex::encode(&random_seed()?[..16]);
        let mut map: Map<String, Value> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        map.insert("id".to_owned(), Value::String(id.clone()));
        let entry = Entry::new(kind, at, map).map_err(LogError::from)?;
        Ok(Self { id, at, entry })
    }

    /// As the log takes it.
    pub(crate) fn entry(&self) -> Entry {
        self.entry.clone()
    }

    /// The same, of one that nothing else is made of.
    pub(crate) fn into_entry(self) -> Entry {
        self.entry
    }

    /// As the registry takes it.
    pub(crate) fn audit(&self) -> Result<AuditEntry<'_>, DomainError> {
        let json = std::str::from_utf8(self.entry.bytes()).map_err(|_| LogError::Stopped)?;
        Ok(AuditEntry::new(&self.id, json)?)
    }
}

/// An id that sorts by time: milliseconds and 48 random bits, in hex.
pub(crate) fn fresh_id(prefix: &str, now: i64) -> Result<String, DomainError> {
    Ok(format!("{prefix}-{:011x}-{}", now.max(0), hex::encode(&random_seed()?[..6])))
}

//! What is read of the domain by institutions that are not at its machine: each read is a question to the policies.

use super::Domain;
use super::views::{GrantView, InstitutionView};
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::pipeline::Kept;
use crate::registry::{Run, RunState, StoreError, Subject};
use crate::release::{Released, read_arrow};
use serde::{Deserialize, Serialize};
use yunei_audit::{Checkpoint, Entry as LogEntry};
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, GrantFacts, ItemFacts, Policies, Request, Resource, authorise};
use yunei_policy::words::State;

/// At most how many items of a list are given at once.
pub const MAX_PAGE: u32 = 500;

/// A run, as its institution and the authority see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// Who asked.
    pub institution: String,
    /// For which product.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// Where it stands.
    pub state: RunState,
    /// When it began.
    pub at: String,
    /// When its state last changed.
    pub changed_at: String,
}

/// A version of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    /// Counts from 1.
    pub number: u64,
    /// How many rows it has.
    pub rows: u64,
    /// The digest of the entry that its files were checked against.
    pub entry: String,
    /// One digest over its files.
    pub files: String,
    /// Where it stands.
    pub state: State,
    /// When it was registered.
    pub registered_at: String,
}

/// What a run released, read back from the domain's records.
#[derive(Debug)]
pub struct Recovered {
    /// The run that released it first.
    pub run: String,
    /// What left.
    pub released: Released,
    /// The proof.
    pub receipt: String,
}

impl Domain {
    /// Asks the policies whether an institution may do something that concerns the domain as a whole.
    ///
    /// # Errors
    /// Every reason against it.
    pub async fn ask(&self, actor: &str, action: Action) -> Result<(), DomainError> {
        self.authorise(actor, action, Resource::Domain).await.map(drop)
    }

    /// Asks the policies whether an institution may do something that concerns an institution.
    ///
    /// # Errors
    /// Every reason against it; `registry/not-found`.
    pub async fn ask_for(&self, actor: &str, action: Action, institution: &str) -> Result<(), DomainError> {
        // Who may not ask about others is not told whether they exist.
        let Ok(about) = self.institution(institution).await else {
            self.ask(actor, Action::ReadInstitution).await?;
            return Err(DomainError::not_found("机构", "institution", institution));
        };
        let item = ItemFacts { id: &about.id, state: about.state, submitted_by: "" };
        self.authorise(actor, action, Resource::Institution(item)).await.map(drop)
    }

    /// Whose records of a kind an institution may read: `None` for everybody's, else its own.
    async fn whose(&self, actor: &str, action: Action) -> Result<Option<String>, DomainError> {
        if self.ask(actor, action).await.is_ok() {
            return Ok(None);
        }
        self.ask_for(actor, action, actor).await?;
        Ok(Some(actor.to_owned()))
    }

    /// The institutions that an institution may know of: all for the authority, itself for others.
    ///
    /// # Errors
    /// Every reason why it may not.
    pub async fn institutions_for(&self, actor: &str) -> Result<Vec<InstitutionView>, DomainError> {
        let own = self.whose(actor, Action::ReadInstitution).await?;
        let all = self.institutions().await?;
        Ok(all.into_iter().filter(|i| own.as_ref().is_none_or(|own| *own == i.id)).collect())
    }

    /// The grants that an institution may see.
    ///
    /// # Errors
    /// Every reason why it may not.
    pub async fn grants_for(&self, actor: &str) -> Result<Vec<GrantView>, DomainError> {
        let own = self.whose(actor, Action::ReadGrant).await?;
        let all = self.grants().await?;
        Ok(all.into_iter().filter(|g| own.as_ref().is_none_or(|own| *own == g.institution)).collect())
    }

    /// A page of the versions of a dataset, newest first; those before `before` where it is named.
    ///
    /// # Errors
    /// Every reason why the actor may not; `registry/not-found`.
    pub async fn versions_for(
        &self,
        actor: &str,
        dataset: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<VersionView>, DomainError> {
        self.ask(actor, Action::ReadCatalogue).await?;
        let newest = self.dataset(dataset).await?.version;
        let last = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
        let mut views = Vec::new();
        for number in (1..=last).rev().take(limit.min(MAX_PAGE) as usize) {
            let version = self.store.dataset_version(dataset, number).await?;
            let subject = Subject::Version { dataset: dataset.to_owned(), number };
            views.push(VersionView {
                number,
                rows: version.rows,
                entry: version.spec_digest.to_string(),
                files: super::submit::files_digest(&version.files),
                state: self.store.state_of(&subject).await?,
                registered_at: format_instant(version.registered_at),
            });
        }
        Ok(views)
    }

    /// A page of the runs that an institution may see, newest first; those before `before` where it is named.
    ///
    /// # Errors
    /// Every reason why it may not.
    pub async fn runs_for(&self, actor: &str, before: Option<&str>, limit: u32) -> Result<Vec<RunView>, DomainError> {
        let own = self.whose(actor, Action::ReadRun).await?;
        let runs = self.store.runs_page(own.as_deref(), before, limit.min(MAX_PAGE)).await?;
        Ok(runs.into_iter().map(run_view).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// `registry/not-found`, also where it is another institution's.
    pub async fn run_for(&self, actor: &str, id: &str) -> Result<RunView, DomainError> {
        Ok(run_view(self.readable_run(actor, id).await?))
    }

    async fn readable_run(&self, actor: &str, id: &str) -> Result<Run, DomainError> {
        let absent = || DomainError::not_found("使用记录", "run", id);
        let own = self.whose(actor, Action::ReadRun).await?;
        let run = match self.store.run(id).await {
            Ok(run) => run,
            Err(StoreError::NotFound { .. }) => return Err(absent()),
            Err(other) => return Err(other.into()),
        };
        if own.is_some_and(|own| own != run.institution) {
            return Err(absent());
        }
        Ok(run)
    }

    /// What a run released, once more. Whatever is suspended meanwhile keeps it back.
    ///
    /// # Errors
    /// `registry/not-found` where the run is not the actor's or released nothing; every reason why it may not leave now.
    pub async fn result_for(&self, actor: &str, id: &str) -> Result<Recovered, DomainError> {
        let run = self.readable_run(actor, id).await?;
        self.may_leave(actor, &run).await?;
        let question = match (run.state, run.question) {
            (RunState::Released | RunState::Repeated, Some(question)) => question,
            _ => return Err(DomainError::not_found("结果", "result", id)),
        };
        let release = self.store.release(&question).await?;
        let release = release.ok_or_else(|| DomainError::not_found("结果", "result", id))?;
        let damaged = || {
            DomainError::Unavailable(Refusal::new("store/damaged", "已发布的结果损坏", "a recorded release is damaged"))
        };
        let receipt = release.receipt.ok_or_else(damaged)?;
        let kept: Kept = serde_json::from_str(&release.release).map_err(|_| damaged())?;
        let bytes = self.files.get(&release.file_digest)?;
        let batch = read_arrow(&bytes).map_err(|_| damaged())?;
        let released = Released::from_record(batch, kept.columns, kept.class, question.to_string());
        Ok(Recovered { run: release.run, released, receipt })
    }

    /// Whether what a run released may leave once more.
    async fn may_leave(&self, actor: &str, run: &Run) -> Result<(), DomainError> {
        let institution = self.institution(actor).await?;
        let (record, product) = self.product_record(&run.product).await?;
        let behind = self.states_behind(&record, &product).await?;
        let grant = match &run.grant {
            Some(id) => Some(self.store.grant(id).await?),
            None => None,
        };
        let grants: Vec<GrantFacts> = grants_facts(actor, grant);
        let request = Request {
            institution: self.facts_of(&institution).await?,
            action: Action::ReadResult,
            resource: Resource::Product(super::product_facts(&record, &product, &behind)),
            grants: &grants,
            purpose: Some(&run.purpose),
            now_millis: self.now(),
        };
        authorise(&request, &self.policies())?;
        Ok(())
    }

    /// The receipt of a run.
    ///
    /// # Errors
    /// `registry/not-found`, also where it is another institution's.
    pub async fn receipt_for(&self, actor: &str, id: &str) -> Result<String, DomainError> {
        if let Some(owner) = self.store.verification_owner(id).await? {
            let own = self.whose(actor, Action::ReadRun).await?;
            return match own.is_none_or(|own| own == owner) {
                true => self.receipt(id).await,
                false => Err(DomainError::not_found("凭证", "receipt", id)),
            };
        }
        let run = self.readable_run(actor, id).await?;
        if let (RunState::Repeated, Some(question)) = (run.state, run.question) {
            let release = self.store.release(&question).await?;
            return release.and_then(|r| r.receipt).ok_or_else(|| DomainError::not_found("凭证", "receipt", id));
        }
        self.receipt(id).await
    }

    /// Entries of the log from `from` on, at most `limit`, with the log's size.
    ///
    /// # Errors
    /// Every reason why the actor may not read it; what keeps the log from being read.
    pub async fn audit_for(
        &self,
        actor: &str,
        from: u64,
        limit: u32,
    ) -> Result<(u64, Vec<(u64, LogEntry)>), DomainError> {
        self.ask(actor, Action::ReadAudit).await?;
        let log = self.log.clone();
        let read = tokio::task::spawn_blocking(move || {
            let size = log.size();
            let until = from.saturating_add(u64::from(limit.min(MAX_PAGE))).min(size);
            let entries = log.entries(from.min(until)..until).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, DomainError>((size, entries))
        });
        read.await.map_err(|_| DomainError::run_failed())?
    }

    /// The log's newest signed checkpoint. It names a size and a root hash, nothing else.
    pub fn checkpoint(&self) -> Checkpoint {
        self.log.checkpoint()
    }

    /// Puts other Cedar policies into force: checked against the home's schema, recorded, written, and in force when
    /// this returns.
    ///
    /// # Errors
    /// Every reason why the actor may not; `policies/…` with every fault, `policies/lockout` where the actor could not put
    /// others into force afterwards.
    pub async fn change_policies(&self, actor: &str, text: &str) -> Result<(), DomainError> {
        self.ask(actor, Action::ChangePolicy).await?;
        let policies = Policies::parse(text, &self.home.schema()?)?;
        self.not_locked_out(actor, &policies).await?;
        let note = self.note(
            "policies.changed",
            [("digest", crate::digest::sha256_hex(policies.text().as_bytes()).into()), ("by", actor.into())],
        )?;
        // Kept like the rules: a use says by their digest under which policies it was allowed.
        self.files.put(policies.text().as_bytes())?;
        self.store.note(note.audit()?).await?;
        self.settle_only(note).await?;
        self.home.replace_policies(text)?;
        self.swap_policies(policies);
        Ok(())
    }

    /// Whether the actor can still come and put other policies into force under these. A set that nobody could replace
    /// (an empty one, for example) would close the domain for good.
    async fn not_locked_out(&self, actor: &str, policies: &Policies) -> Result<(), DomainError> {
        let institution = self.institution(actor).await?;
        for action in [Action::Connect, Action::ChangePolicy] {
            let request = Request {
                institution: self.facts_of(&institution).await?,
                action,
                resource: Resource::Domain,
                grants: &[],
                purpose: None,
                now_millis: self.now(),
            };
            if authorise(&request, policies).is_err() {
                return Err(Refusal::new(
                    "policies/lockout",
                    "按照这套策略，您将无法再次更换策略",
                    "under these policies you could not put others into force again",
                )
                .at(action.as_str())
                .hint(
                    "请保留允许您接入并更换策略的规则",
                    "keep a permit under which you may connect and change the policies",
                )
                .into());
            }
        }
        Ok(())
    }
}

fn grants_facts(actor: &str, grant: Option<crate::registry::Grant>) -> Vec<GrantFacts> {
    let facts = grant.map(|g| GrantFacts {
        // The authority reads under the grant of the institution that ran.
        institution: actor.to_owned(),
        product: g.product,
        purposes: g.purposes,
        from_millis: g.from_millis,
        until_millis: g.until_millis,
        state: g.state,
        runs_left: g.max_runs.map(|most| most.saturating_sub(g.used_runs)),
        // The agreement was asked of the run; a result that is fetched again is no new use.
        agreed: true,
    });
    facts.into_iter().collect()
}

fn run_view(run: Run) -> RunView {
    RunView {
        id: run.id,
        institution: run.institution,
        product: run.product,
        purpose: run.purpose,
        state: run.state,
        at: format_instant(run.at),
        changed_at: format_instant(run.changed_at),
    }
}

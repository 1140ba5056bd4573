//! What institutions hand in, and what the authority decides about it.

use super::Domain;
use crate::catalogue::{DatasetSpec, FileEntry, files_within, paths_within, survey};
use crate::error::DomainError;
use crate::product::{Body, Product};
use crate::registry::{Digest, ModelSignature, NewDataset, NewGrant, NewModel, NewProduct, Subject};
use std::path::{Path, PathBuf};
use yunei_policy::authorise::{Action, ItemFacts, ProductFacts, ProductKind, Resource};
use yunei_policy::register::Directory;
use yunei_policy::words::{Role, State};
use yunei_policy::{Refusal, Refused, Text};
use yunei_sandbox::{Manifest, Rejection, Verified};

/// At most how many bytes of a manifest are read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// At most how many bytes of a module are read; the sandbox's own limit is lower.
const MAX_MODULE_BYTES: u64 = 64 << 20;

/// What was handed in and under which name it is known now.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id; of a model `id@version`.
    pub id: String,
    /// The version number of a dataset.
    pub version: Option<u64>,
    /// Rows of a dataset version.
    pub rows: Option<u64>,
    /// Where it stands.
    pub state: State,
}

/// A grant, as `grant add` takes it.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// To whom.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what; empty for all the product's purposes.
    pub purposes: Vec<String>,
    /// From when, milliseconds since 1970 UTC.
    pub from_millis: i64,
    /// Until when, exclusive.
    pub until_millis: i64,
    /// At most how many uses.
    pub max_runs: Option<u64>,
}

/// A model that passed the verifier, with its manifest's text.
pub(crate) struct CheckedModel {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_text: String,
    pub(crate) verified: Verified,
}

impl Domain {
    /// Adds an institution. Where the authority's parts are divided, it waits until the security administrator admits it.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the id is taken.
    pub async fn add_institution(&self, actor: &str, id: &str, role: Role, title: &Text) -> Result<(), DomainError> {
        let mut reasons = Vec::new();
        crate::text::check_id("institution", id, &mut reasons);
        Refused::unless(reasons, ())?;
        self.authorise(actor, Action::AddInstitution, Resource::Domain).await?;
        self.enter(actor, id, role, title, None).await.map(drop)
    }

    /// Registers a dataset or a new version of one: entry parsed, files checked against it and digested.
    ///
    /// # Errors
    /// `catalogue/…` with every reason; counts of rows, never values.
    pub async fn register_dataset(
        &self,
        actor: &str,
        manifest: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Submission, DomainError> {
        let text = read_text(manifest, MAX_MANIFEST_BYTES)?;
        let base = manifest.parent().unwrap_or(Path::new(".")).to_owned();
        self.register_entry(actor, &text, base, None, progress).await
    }

    /// Registers a dataset by its entry's text. Its files are looked for under `base`; where `confined` is named, none
    /// may lie outside of it, whatever links there are.
    pub(super) async fn register_entry(
        &self,
        actor: &str,
        text: &str,
        base: PathBuf,
        confined: Option<PathBuf>,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Submission, DomainError> {
        let spec = DatasetSpec::parse(text)?;
        Directory::of_document(text)?;
        self.authorise(actor, Action::RegisterDataset, Resource::Domain).await?;
        let (spec, surveyed) = tokio::task::spawn_blocking(move || {
            let mut progress = progress;
            let surveyed = match &confined {
                None => survey(&spec, &base, &mut progress),
                Some(root) => {
                    files_within(&spec, &base, root).and_then(|()| survey(&spec, &base, &mut progress)).and_then(|s| {
                        // Once more over what was really read: a link may have been turned meanwhile.
                        paths_within(s.files().iter().map(FileEntry::path), root).map(|()| s)
                    })
                }
            };
            (spec, surveyed)
        })
        .await
        .map_err(|_| DomainError::run_failed())?;
        let surveyed = surveyed?;
        if let Some(number) = self.store.stopped_twin(spec.id(), surveyed.files()).await? {
            return Err(Refusal::new(
                "registry/stopped-version",
                format!("这些文件就是已暂停或撤回的第 {number} 版"),
                format!("these are the files of version {number}, which was suspended or withdrawn"),
            )
            .at(format!("{}@{number}", spec.id()))
            .hint(
                "请登记更正后的文件，或请主管部门恢复该版本",
                "register corrected files, or ask the authority to resume that version",
            )
            .into());
        }
        let note = self.note(
            "dataset.registered",
            [
                ("dataset", spec.id().into()),
                ("entry", spec.digest().to_string().into()),
                ("files", files_digest(surveyed.files()).into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewDataset { spec: &spec, surveyed: &surveyed, submitted_by: actor };
        let version = self.store.register_dataset(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        let state = self.store.dataset(spec.id()).await?.state;
        Ok(Submission { id: spec.id().to_owned(), version: Some(version), rows: Some(surveyed.rows()), state })
    }

    /// Publishes a dataset and registers it: `to` is `approved`. Other changes of state have methods of their own
    /// ([`Domain::suspend`], [`Domain::resume`], [`Domain::end`], [`Domain::withdraw`], [`Domain::decline`]), which take a
    /// reason.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the state does not follow.
    pub async fn set_dataset_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        only_approval(to)?;
        self.approve(actor, Action::ApproveDataset, &Subject::Dataset(id.to_owned())).await
    }

    /// Reads a model's manifest and module and puts them through the verifier; nothing is stored.
    pub(crate) fn read_model(manifest: &Path) -> Result<CheckedModel, DomainError> {
        let manifest_text = read_text(manifest, MAX_MANIFEST_BYTES)?;
        let parsed = Manifest::parse(&manifest_text).map_err(|r| rejected(&r))?;
        let file = manifest.parent().unwrap_or(Path::new(".")).join(parsed.file());
        let bytes = read_bytes(&file, MAX_MODULE_BYTES)?;
        Self::verify_model(manifest_text, parsed, &bytes)
    }

    /// Puts a module through the verifier.
    pub(crate) fn verify_model(
        manifest_text: String,
        manifest: Manifest,
        module: &[u8],
    ) -> Result<CheckedModel, DomainError> {
        let verified = Verified::check(module, &manifest).map_err(|r| rejected(&r))?;
        crate::scan::text("model.toml", &manifest_text)?;
        crate::scan::module(manifest.file(), module)?;
        crate::scan::module(manifest.file(), verified.wasm())?;
        Ok(CheckedModel { manifest, manifest_text, verified })
    }

    /// Hands in a model.
    ///
    /// # Errors
    /// `manifest/…`, `model/…` with every reason.
    pub async fn submit_model(&self, actor: &str, manifest: &Path) -> Result<Submission, DomainError> {
        let checked = Self::read_model(manifest)?;
        self.authorise(actor, Action::SubmitModel, Resource::Domain).await?;
        self.take_model(actor, checked, None).await
    }

    /// Stores a model that was checked and may be handed in.
    pub(super) async fn take_model(
        &self,
        actor: &str,
        checked: CheckedModel,
        signature: Option<ModelSignature>,
    ) -> Result<Submission, DomainError> {
        super::models::load(&self.sandbox, checked.verified.clone()).await?;
        let (id, version) = (checked.manifest.id().to_owned(), checked.manifest.version().to_owned());
        let manifest_digest = self.files.put(checked.manifest_text.as_bytes())?;
        let wasm_digest = self.files.put(checked.verified.wasm())?;
        let report = serde_json::to_string(checked.verified.report()).map_err(|_| DomainError::run_failed())?;
        let reference = format!("{id}@{version}");
        let note = self.note(
            "model.submitted",
            [
                ("model", reference.clone().into()),
                ("manifest", manifest_digest.to_string().into()),
                ("module", wasm_digest.to_string().into()),
                ("key", signature.map_or(serde_json::Value::Null, |s| s.key.to_string().into())),
                ("statement", signature.map_or(serde_json::Value::Null, |s| s.statement.to_string().into())),
                ("by", actor.into()),
            ],
        )?;
        let new =
            NewModel { id: &id, version: &version, manifest_digest, wasm_digest, report: &report, submitted_by: actor };
        self.store.submit_signed_model(new, signature, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(Submission { id: reference, version: None, rows: None, state: State::Submitted })
    }

    /// Approves a model; `to` as in [`Domain::set_dataset_state`].
    ///
    /// # Errors
    /// The reasons why the actor may not, or the state does not follow.
    pub async fn set_model_state(&self, actor: &str, reference: &str, to: State) -> Result<State, DomainError> {
        only_approval(to)?;
        let model = self.model_record(reference).await?;
        self.approve(actor, Action::ApproveModel, &Subject::Model { id: model.id, version: model.version }).await
    }

    /// Hands in a product. It is checked first: what could never run is not taken.
    ///
    /// # Errors
    /// Every reason why it could not run.
    pub async fn submit_product(&self, actor: &str, manifest: &Path) -> Result<Submission, DomainError> {
        self.submit_product_text(actor, &read_text(manifest, MAX_MANIFEST_BYTES)?).await
    }

    /// Hands in a product by its manifest's text.
    ///
    /// # Errors
    /// As [`Self::submit_product`].
    pub async fn submit_product_text(&self, actor: &str, text: &str) -> Result<Submission, DomainError> {
        let product = Product::parse(text)?;
        Directory::of_document(text)?;
        self.authorise(actor, Action::SubmitProduct, Resource::Domain).await?;
        self.check_parsed(&product).await?;
        let toml_digest = self.files.put(text.as_bytes())?;
        let header = serde_json::json!({
            "kind": product.kind(), "title": product.title(), "purposes": product.purposes(),
            "datasets": product.datasets(), "models": product.models(),
        })
        .to_string();
        let note = self.note(
            "product.submitted",
            [("product", product.id().into()), ("manifest", toml_digest.to_string().into()), ("by", actor.into())],
        )?;
        let new = NewProduct { id: product.id(), toml_digest, header: &header, submitted_by: actor };
        self.store.submit_product(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(Submission { id: product.id().to_owned(), version: None, rows: None, state: State::Submitted })
    }

    /// Registers a product to which every holder consents; `to` as in [`Domain::set_dataset_state`]. It is checked again
    /// before.
    ///
    /// # Errors
    /// The reasons why the actor may not, everything that is missing, or why it could not run.
    pub async fn set_product_state(&self, actor: &str, id: &str, to: State) -> Result<State, DomainError> {
        only_approval(to)?;
        let (_, product) = self.product_record(id).await?;
        let subject = Subject::Product(id.to_owned());
        self.ask_about(actor, Action::ApproveProduct, &subject).await?;
        self.check_parsed(&product).await?;
        self.approve(actor, Action::ApproveProduct, &subject).await
    }

    /// Grants a product to an institution; in force at once.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the grant is malformed.
    pub async fn add_grant(&self, actor: &str, request: &GrantRequest) -> Result<String, DomainError> {
        let (record, product) = self.product_record(&request.product).await?;
        self.institution(&request.institution).await?;
        let purposes = if request.purposes.is_empty() { product.purposes().to_vec() } else { request.purposes.clone() };
        let mut reasons = Vec::new();
        for purpose in purposes.iter().filter(|p| !product.purposes().contains(p)) {
            let shown: String = purpose.chars().take(80).collect();
            reasons.push(
                Refusal::new("grant/purpose", "产品没有这个用途", "the product is not for this purpose")
                    .at(shown)
                    .hint(
                        format!("产品用途：{}", product.purposes().join("、")),
                        format!("it is for: {}", product.purposes().join(", ")),
                    ),
            );
        }
        if request.until_millis <= request.from_millis {
            reasons.push(Refusal::new("grant/period", "授权期限的结束须晚于开始", "a grant must end after it begins"));
        }
        Refused::unless(reasons, ())?;
        let behind = self.states_behind(&record, &product).await?;
        let facts = product_facts(&record, &product, &behind);
        self.authorise(actor, Action::AddGrant, Resource::Product(facts)).await?;
        let id = super::fresh_id("grant", self.now())?;
        let note = self.note(
            "grant.added",
            [
                ("grant", id.clone().into()),
                ("institution", request.institution.clone().into()),
                ("product", request.product.clone().into()),
                ("purposes", purposes.clone().into()),
                ("from", request.from_millis.into()),
                ("until", request.until_millis.into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewGrant {
            id: &id,
            institution: &request.institution,
            product: &request.product,
            purposes: &purposes,
            from_millis: request.from_millis,
            until_millis: request.until_millis,
            max_runs: request.max_runs,
            agreement_digest: None,
        };
        self.store.add_grant(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(id)
    }

    /// Opens a new budget epoch of a dataset.
    ///
    /// # Errors
    /// The reasons why the actor may not.
    pub async fn open_epoch(&self, actor: &str, id: &str) -> Result<u64, DomainError> {
        let dataset = self.store.dataset(id).await.map_err(|_| DomainError::not_found("数据集", "dataset", id))?;
        let item = ItemFacts { id, state: dataset.state, submitted_by: &dataset.submitted_by };
        self.authorise(actor, Action::OpenEpoch, Resource::Dataset(item)).await?;
        let note = self.note("dataset.epoch", [("dataset", id.into()), ("by", actor.into())])?;
        let epoch = self.store.advance_epoch(id, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(epoch)
    }
}

/// A product, as the policies see it.
pub(crate) fn product_facts<'a>(
    record: &'a crate::registry::Product,
    product: &'a Product,
    behind: &'a super::Behind,
) -> ProductFacts<'a> {
    ProductFacts {
        item: ItemFacts { id: product.id(), state: record.state, submitted_by: &record.submitted_by },
        kind: match product.body() {
            Body::Aggregate(_) => ProductKind::Aggregate,
            Body::Verification(_) => ProductKind::Verification,
        },
        purposes: product.purposes(),
        dataset_states: &behind.datasets,
        version_states: &behind.versions,
        holders: &behind.holders,
        consented: behind.unconsented.is_empty(),
        registers: &behind.registers,
        model_states: &behind.models,
    }
}

/// What is stopped or resumed needs a reason, and must be in force at once: that is not done here.
fn only_approval(to: State) -> Result<(), Refused> {
    if to == State::Approved {
        return Ok(());
    }
    Err(Refusal::new(
        "input/state",
        "此处只能批准；暂停、恢复、终止、撤回须写明理由",
        "this only approves; suspending, resuming, ending and withdrawing take a reason",
    )
    .hint("使用 suspend、resume、end 或 withdraw", "use suspend, resume, end or withdraw")
    .into())
}

/// The sandbox's rejections as refusals.
pub(crate) fn rejected(rejections: &[Rejection]) -> DomainError {
    let reasons: Vec<Refusal> = rejections
        .iter()
        .map(|r| {
            let refusal = Refusal::new(r.code(), r.zh(), r.en());
            let refusal = if r.hint_en().is_empty() { refusal } else { refusal.hint(r.hint_zh(), r.hint_en()) };
            match r.place() {
                Some(place) => refusal.at(place),
                None => refusal,
            }
        })
        .collect();
    match Refused::from_reasons(reasons) {
        Some(refused) => DomainError::Refused(refused),
        None => DomainError::run_failed(),
    }
}

/// One digest over the files of a dataset version.
pub(crate) fn files_digest(files: &[crate::catalogue::FileEntry]) -> String {
    let parts: Vec<[u8; 32]> = files.iter().map(|f| *f.sha256().as_bytes()).collect();
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    Digest::from_bytes(crate::digest::sha256_parts("yunei/files/1", &parts)).to_string()
}

/// Reads a text that somebody hands in.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, DomainError> {
    let bytes = read_bytes(path, most)?;
    String::from_utf8(bytes).map_err(|_| {
        Refusal::new("input/not-text", "文件不是 UTF-8 文本", "the file is not UTF-8 text").at(shown(path)).into()
    })
}

fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, DomainError> {
    use std::io::Read;
    let absent = |_| {
        DomainError::NotFound(
            Refusal::new("input/no-file", "没有这个文件，或无法读取", "there is no such file, or it can not be read")
                .at(shown(path)),
        )
    };
    let file = std::fs::File::open(path).map_err(absent)?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Refusal::new("input/no-file", "这是一个文件夹", "this is a folder").at(shown(path)).into());
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(absent)?;
    if bytes.len() as u64 > most {
        return Err(Refusal::new(
            "input/too-large",
            format!("文件超过 {most} 字节"),
            format!("the file is larger than {most} bytes"),
        )
        .at(shown(path))
        .into());
    }
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    path.display().to_string().chars().take(200).collect()
}

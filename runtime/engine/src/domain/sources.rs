//! What a product names, resolved: dataset versions, models, states.

use super::Domain;
use super::submit::{files_digest, rejected};
use crate::catalogue::DatasetSpec;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::plan::{Source, Sources};
use crate::product::Product;
use crate::registry::{self, RestsOn, Subject};
use crate::text::model_reference;
use std::sync::Arc;
use yunei_policy::register::{Holding, Term};
use yunei_policy::words::State;
use yunei_policy::{Refusal, Refused};
use yunei_sandbox::{Manifest, Model};

/// The states of what a product rests on.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Of its datasets.
    pub(crate) datasets: Vec<State>,
    /// Of the versions that these are read at.
    pub(crate) versions: Vec<State>,
    /// Of its models.
    pub(crate) models: Vec<State>,
    /// The holders of its datasets.
    pub(crate) holders: Vec<String>,
    /// Whether the registrations hold.
    pub(crate) registers: Vec<Holding>,
    /// Everything that is missing or has lapsed, each with its place.
    pub(crate) missing: Vec<Refusal>,
    /// The datasets whose holder does not consent.
    pub(crate) unconsented: Vec<String>,
}

impl Behind {
    /// A refusal of the policies, with what exactly is missing where it speaks of consents or registrations.
    pub(crate) fn explain(&self, refused: Refused) -> Refused {
        let speaks = |prefix: &str| refused.reasons().iter().any(|r| r.code().starts_with(prefix));
        let (consent, register) = (speaks("authorise/consent"), speaks("authorise/register-"));
        let more = self.missing.iter().filter(|r| {
            (consent && r.code().starts_with("holder/")) || (register && r.code().starts_with("register/"))
        });
        let reasons: Vec<Refusal> = refused.reasons().iter().chain(more).cloned().collect();
        Refused::from_reasons(reasons).unwrap_or(refused)
    }
}

/// The sources of a product and which versions they are.
pub(crate) struct Resolved {
    pub(crate) sources: Sources,
    /// Number and epoch of each dataset's version, in the product's order.
    pub(crate) versions: Vec<(String, u64, u32)>,
    /// When each version was registered, in the same order.
    pub(crate) registered: Vec<i64>,
    /// The digests of the models' manifests, in the product's order.
    pub(crate) manifests: Vec<registry::Digest>,
}

/// Up to how many files of a dataset version a receipt names one by one; of more it has the digest of them all.
const FILES_NAMED: usize = 64;

impl Resolved {
    /// Datasets, versions and files, for a receipt.
    pub(crate) fn describe_datasets(&self) -> serde_json::Value {
        let all = self.versions.iter().zip(&self.sources.datasets).zip(&self.registered);
        let described = all.map(|(((id, version, epoch), source), registered)| {
            let spec = &source.spec;
            let mut about = serde_json::json!({
                "id": id, "version": version, "epoch": epoch,
                "entry": spec.digest().to_string(), "files": files_digest(&source.files),
                // For citing: 来源与日期.
                "title": { "zh": spec.title().zh, "en": spec.title().en }, "provider": spec.provider().name(),
                "provider_code": spec.provider().code(), "registered": format_instant(*registered),
            });
            if source.files.len() <= FILES_NAMED {
                about["file_digests"] = source.files.iter().map(|f| f.sha256().to_string()).collect();
            }
            about
        });
        described.collect()
    }

    /// What a run of it rests on, as the registry keeps it.
    pub(crate) fn rests_on(&self) -> Vec<RestsOn> {
        let datasets = self.versions.iter().map(|(id, version, _)| RestsOn {
            kind: "dataset",
            id: id.clone(),
            version: version.to_string(),
        });
        let models = self.sources.models.iter().map(|m| RestsOn {
            kind: "model",
            id: m.manifest().id().to_owned(),
            version: m.manifest().version().to_string(),
        });
        datasets.chain(models).collect()
    }

    /// Models and their digests, for a receipt.
    pub(crate) fn describe_models(&self) -> serde_json::Value {
        let described = self.sources.models.iter().zip(&self.manifests).map(|(m, digest)| {
            let manifest = m.manifest();
            serde_json::json!({
                "id": format!("{}@{}", manifest.id(), manifest.version()), "module": m.digest(),
                "manifest": digest.to_string(),
            })
        });
        described.collect()
    }
}

impl Domain {
    /// Nothing yet, to be read as this domain is tuned.
    pub(crate) fn sources(&self) -> Sources {
        Sources { tuning: self.tuning, ..Sources::default() }
    }

    pub(crate) async fn product_record(&self, id: &str) -> Result<(registry::Product, Product), DomainError> {
        let record = self.store.product(id).await.map_err(|e| match e {
            registry::StoreError::NotFound { .. } => DomainError::not_found("产品", "product", id),
            other => other.into(),
        })?;
        let bytes = self.files.get(&record.toml_digest)?;
        let damaged = || {
            DomainError::Unavailable(Refusal::new("store/damaged", "产品清单损坏", "the product's manifest is damaged"))
        };
        let text = String::from_utf8(bytes).map_err(|_| damaged())?;
        let product = Product::parse(&text).map_err(|_| damaged())?;
        Ok((record, product))
    }

    pub(crate) async fn model_record(&self, reference: &str) -> Result<registry::Model, DomainError> {
        let absent = || DomainError::not_found("模型", "model", reference);
        let (id, version) = model_reference(reference).ok_or_else(absent)?;
        self.store.model(id, version).await.map_err(|e| match e {
            registry::StoreError::NotFound { .. } => absent(),
            other => other.into(),
        })
    }

    /// The states of the datasets and models that a product names; what there is not is a refusal.
    pub(crate) async fn states_behind(
        &self,
        record: &registry::Product,
        product: &Product,
    ) -> Result<Behind, DomainError> {
        let mut behind = Behind::default();
        let consents = self.store.consents(&record.id, &record.toml_digest).await?;
        let mut reasons = Vec::new();
        for id in product.datasets() {
            match self.store.dataset(id).await {
                Ok(dataset) => {
                    behind.datasets.push(dataset.state);
                    let version = Subject::Version { dataset: dataset.id, number: dataset.newest };
                    behind.versions.push(self.store.state_of(&version).await?);
                    let consent = consents.iter().find(|c| c.dataset == *id);
                    let silent = consent.is_none() && !self.register.consent_required();
                    if !silent && consent.is_none_or(|c| c.verdict != "given") {
                        behind.missing.push(no_consent(id, &dataset.submitted_by, consent));
                        behind.unconsented.push(id.clone());
                    }
                    behind.holders.push(dataset.submitted_by);
                    if matches!(dataset.state, State::Approved | State::Suspended) {
                        self.look_up_register(&Subject::Dataset(id.clone()), &mut behind).await?;
                    }
                }
                Err(registry::StoreError::NotFound { .. }) => reasons.push(unknown("dataset", "数据集", id)),
                Err(other) => return Err(other.into()),
            }
        }
        if matches!(record.state, State::Approved | State::Suspended) {
            self.look_up_register(&Subject::Product(record.id.clone()), &mut behind).await?;
        }
        for reference in product.models() {
            match self.model_record(reference).await {
                Ok(model) => behind.models.push(model.state),
                Err(DomainError::NotFound(_)) => reasons.push(unknown("model", "模型", reference)),
                Err(other) => return Err(other),
            }
        }
        Refused::unless(reasons, ())?;
        Ok(behind)
    }

    /// Loads what a product names. Only approved datasets and models are given out.
    async fn look_up_register(&self, subject: &Subject, behind: &mut Behind) -> Result<(), DomainError> {
        let found = self.store.registration(subject).await?;
        let holding = Term::holding(found.as_ref().map(|r| r.term), self.now());
        behind.registers.push(holding);
        match (holding, found) {
            (Holding::Current, _) => {}
            (Holding::Lapsed, Some(there)) => behind.missing.push(lapsed(subject, &there)),
            _ => behind.missing.push(
                Refusal::new("register/missing", "没有登记编号", "it has no registration")
                    .at(subject.to_string())
                    .hint("请数据主管部门办理登记", "ask the authority to register it"),
            ),
        }
        Ok(())
    }

    pub(crate) async fn resolve(&self, product: &Product) -> Result<Resolved, DomainError> {
        let mut reasons = Vec::new();
        let mut sources = self.sources();
        let (mut versions, mut registered, mut manifests) = (Vec::new(), Vec::new(), Vec::new());
        for id in product.datasets() {
            match self.store.dataset(id).await {
                Ok(dataset) if dataset.state == State::Approved => {
                    let current = Subject::Version { dataset: id.clone(), number: dataset.newest };
                    let state = self.store.state_of(&current).await?;
                    if state != State::Approved {
                        reasons.push(stopped_version(&current.id(), state));
                        continue;
                    }
                    let version = self.store.dataset_version(id, dataset.newest).await?;
                    let spec = DatasetSpec::parse(&version.spec_toml).map_err(|_| damaged(id))?;
                    let epoch = u32::try_from(dataset.epoch).map_err(|_| damaged(id))?;
                    sources.datasets.push(Source { spec: Arc::new(spec), files: version.files, epoch });
                    versions.push((id.clone(), version.number, epoch));
                    registered.push(version.registered_at);
                }
                Ok(dataset) => reasons.push(not_approved("dataset", "数据集", id, dataset.state)),
                Err(registry::StoreError::NotFound { .. }) => reasons.push(unknown("dataset", "数据集", id)),
                Err(other) => return Err(other.into()),
            }
        }
        for reference in product.models() {
            match self.model_record(reference).await {
                Ok(model) if model.state == State::Approved => {
                    sources.models.push(self.load_model(&model).await?);
                    manifests.push(model.manifest_digest);
                }
                Ok(model) => reasons.push(not_approved("model", "模型", reference, model.state)),
                Err(DomainError::NotFound(_)) => reasons.push(unknown("model", "模型", reference)),
                Err(other) => return Err(other),
            }
        }
        Refused::unless(reasons, ())?;
        Ok(Resolved { sources, versions, registered, manifests })
    }

    /// Loads a registered model; its bytes are read, and verified again unless this version of the sandbox has done so.
    pub(crate) async fn load_model(&self, model: &registry::Model) -> Result<Model, DomainError> {
        let text = String::from_utf8(self.files.get(&model.manifest_digest)?).map_err(|_| damaged(&model.id))?;
        let manifest = Manifest::parse(&text).map_err(|r| rejected(&r))?;
        let wasm = self.files.get(&model.wasm_digest)?;
        super::models::open(&self.sandbox, model.wasm_digest.to_string(), wasm, manifest).await
    }
}

fn damaged(id: &str) -> DomainError {
    DomainError::Unavailable(Refusal::new("store/damaged", "登记内容损坏", "what was registered is damaged").at(id))
}

fn unknown(what: &str, zh: &str, name: &str) -> Refusal {
    let shown: String = name.chars().take(80).collect();
    let code = if what == "dataset" { "registry/unknown-dataset" } else { "registry/unknown-model" };
    Refusal::new(code, format!("没有登记这个{zh}"), format!("this {what} is not registered")).at(shown)
}

fn lapsed(subject: &Subject, there: &registry::Registration) -> Refusal {
    let until = format_instant(there.term.until_millis);
    Refusal::new(
        "register/lapsed",
        format!("登记 {} 的有效期至 {until}", there.number),
        format!("registration {} held until {until}", there.number),
    )
    .at(subject.to_string())
    .hint("请数据主管部门办理续期", "ask the authority to renew it")
}

fn no_consent(dataset: &str, holder: &str, word: Option<&registry::Consent>) -> Refusal {
    let (zh, en) = match word.map(|c| c.verdict.as_str()) {
        Some("refused") => ("提供单位不同意", "its holder refused"),
        Some("withdrawn") => ("提供单位已撤回同意", "its holder took its consent back"),
        _ => ("提供单位尚未表示同意", "its holder has not consented yet"),
    };
    Refusal::new("holder/consent", format!("{zh}（{holder}）"), format!("{en} ({holder})"))
        .at(format!("dataset {dataset}"))
        .hint("请该提供单位办理 yunei agree", "ask that holder to use yunei agree")
}

fn stopped_version(id: &str, state: State) -> Refusal {
    Refusal::new(
        "authorise/version-state",
        format!("数据集的当前版本已暂停或撤回（{state}）"),
        format!("the current version of the dataset is {state}"),
    )
    .at(id)
    .hint(
        "请数据主管部门恢复该版本，或由数据提供单位登记新版本",
        "ask the authority to resume it, or the holder to register a new version",
    )
}

fn not_approved(what: &str, zh: &str, name: &str, state: State) -> Refusal {
    let code = if what == "dataset" { "authorise/dataset-state" } else { "authorise/model-state" };
    Refusal::new(code, format!("{zh}未获批准（{state}）"), format!("the {what} is {state}, not approved"))
        .at(name)
        .hint("请数据主管部门批准后再试", "ask the data authority to approve it first")
}

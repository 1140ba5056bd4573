//! Lists and checks: everything that changes nothing.

use super::Domain;
use super::views::{Checkup, ColumnView, DatasetView, GrantView, InstitutionView, ModelView, ProductView};
use crate::catalogue::DatasetSpec;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::plan::check;
use crate::product::{Body, Product};
use crate::registry::{self, Subject};
use crate::verify::resolve;
use std::path::Path;
use yunei_policy::words::ReleaseClass;

impl Domain {
    /// All institutions.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn institutions(&self) -> Result<Vec<InstitutionView>, DomainError> {
        let all = self.store.institutions().await?;
        Ok(all
            .into_iter()
            .map(|i| InstitutionView { id: i.id, role: i.role, title: i.title, state: i.state })
            .collect())
    }

    /// All datasets.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn datasets(&self) -> Result<Vec<DatasetView>, DomainError> {
        let mut views = Vec::new();
        for dataset in self.store.datasets().await? {
            views.push(self.dataset_view(dataset).await?);
        }
        Ok(views)
    }

    /// One dataset.
    ///
    /// # Errors
    /// `registry/not-found`.
    pub async fn dataset(&self, id: &str) -> Result<DatasetView, DomainError> {
        let dataset = self.store.dataset(id).await.map_err(|e| absent(e, "数据集", "dataset", id))?;
        self.dataset_view(dataset).await
    }

    async fn dataset_view(&self, dataset: registry::Dataset) -> Result<DatasetView, DomainError> {
        let version = self.store.dataset_version(&dataset.id, dataset.newest).await?;
        let spec = DatasetSpec::parse(&dataset.spec_toml)?;
        let state = self.store.shown(&Subject::Dataset(dataset.id.clone()), dataset.state).await?;
        let columns = spec.columns().iter().map(ColumnView::of);
        Ok(DatasetView {
            id: dataset.id,
            title: spec.title().clone(),
            provider: spec.provider().name().to_owned(),
            state,
            release: spec.release(),
            unit: spec.unit_kind(),
            version: dataset.newest,
            rows: version.rows,
            epoch: dataset.epoch,
            columns: columns.collect(),
        })
    }

    /// All models.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn models(&self) -> Result<Vec<ModelView>, DomainError> {
        let mut views = Vec::new();
        for model in self.store.models().await? {
            views.push(self.shown_model(model).await?);
        }
        Ok(views)
    }

    /// One model, as `id@version`.
    ///
    /// # Errors
    /// `registry/not-found`.
    pub async fn model(&self, reference: &str) -> Result<ModelView, DomainError> {
        let model = self.model_record(reference).await?;
        self.shown_model(model).await
    }

    async fn shown_model(&self, mut model: registry::Model) -> Result<ModelView, DomainError> {
        let subject = Subject::Model { id: model.id.clone(), version: model.version.clone() };
        model.state = self.store.shown(&subject, model.state).await?;
        Ok(model_view(model))
    }

    /// All products.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn products(&self) -> Result<Vec<ProductView>, DomainError> {
        let mut views = Vec::new();
        for record in self.store.products().await? {
            let (view, _) = self.product(&record.id).await?;
            views.push(view);
        }
        Ok(views)
    }

    /// One product and its manifest.
    ///
    /// # Errors
    /// `registry/not-found`.
    pub async fn product(&self, id: &str) -> Result<(ProductView, Product), DomainError> {
        let (mut record, product) = self.product_record(id).await?;
        record.state = self.store.shown(&Subject::Product(id.to_owned()), record.state).await?;
        Ok((product_view(&record, &product), product))
    }

    /// All grants.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn grants(&self) -> Result<Vec<GrantView>, DomainError> {
        let all = self.store.grants().await?.into_iter().map(|g| GrantView {
            id: g.id,
            institution: g.institution,
            product: g.product,
            purposes: g.purposes,
            from: format_instant(g.from_millis),
            until: format_instant(g.until_millis),
            max_runs: g.max_runs,
            used_runs: g.used_runs,
            state: g.state,
        });
        Ok(all.collect())
    }

    /// The receipt of a run, where it released something.
    ///
    /// # Errors
    /// `registry/not-found`.
    pub async fn receipt(&self, run: &str) -> Result<String, DomainError> {
        if let Some((body, index)) = self.store.verification_body(run).await? {
            let body = serde_json::from_str(&body).map_err(|_| DomainError::not_found("凭证", "receipt", run))?;
            return Ok(self.answer_receipt(run, index, body)?.to_string());
        }
        let release = self.store.release_of(run).await?;
        release.and_then(|r| r.receipt).ok_or_else(|| DomainError::not_found("凭证", "receipt", run))
    }

    /// Puts a model through the verifier; nothing is stored and no domain is needed.
    ///
    /// # Errors
    /// `manifest/…`, `model/…` with every reason.
    pub fn check_model(manifest: &Path) -> Result<Checkup, DomainError> {
        Ok(Checkup::of_model(&Self::read_model(manifest)?))
    }

    /// Checks a product without data: what would be refused and why, the charge, the error to expect.
    ///
    /// # Errors
    /// Every reason why it could not run.
    pub async fn check_product(&self, manifest: &Path) -> Result<Checkup, DomainError> {
        let text = super::submit::read_text(manifest, 1 << 20)?;
        self.check_product_text(&text).await
    }

    /// Checks a product by its manifest's text; see [`Self::check_product`].
    ///
    /// # Errors
    /// Every reason why it could not run.
    pub async fn check_product_text(&self, text: &str) -> Result<Checkup, DomainError> {
        self.check_timed(&Product::parse(text)?, true).await
    }

    fn timing_of(&self, clearance: &yunei_policy::clear::Clearance, resolved: &super::Resolved) -> crate::TimingView {
        let quantum = std::time::Duration::from_millis(self.rules.timing().quantum_millis().into());
        crate::TimingView::of(quantum, clearance, &resolved.sources.models)
    }

    /// What the time of a run can tell about one unit: for whoever approves the product. Nothing for a verification.
    ///
    /// # Errors
    /// Every reason why it could not run.
    pub async fn product_timing(&self, id: &str) -> Result<Option<crate::TimingView>, DomainError> {
        let (_, product) = self.product_record(id).await?;
        Ok(self.check_timed(&product, true).await?.timing)
    }

    pub(super) async fn check_parsed(&self, product: &Product) -> Result<Checkup, DomainError> {
        self.check_timed(product, false).await
    }

    /// The check; `timed` where the time of a unit is asked for, which is measured.
    async fn check_timed(&self, product: &Product, timed: bool) -> Result<Checkup, DomainError> {
        crate::scan::text("product", product.text())?;
        let resolved = self.resolve(product).await?;
        match product.body() {
            Body::Aggregate(aggregate) => {
                let checked = check(aggregate, &resolved.sources, &self.rules, &self.runtime).await?;
                let mut checkup = Checkup::of_clearance(product.id(), checked.clearance(), checked.columns().to_vec());
                checkup.timing = timed.then(|| self.timing_of(checked.clearance(), &resolved));
                Ok(checkup)
            }
            Body::Verification(verification) => {
                resolve(verification, &resolved.sources, &self.rules)?;
                Ok(Checkup {
                    id: product.id().to_owned(),
                    kind: "verification".to_owned(),
                    report: None,
                    report_text: None,
                    class: Some(ReleaseClass::Personal),
                    epsilon: None,
                    delta: None,
                    rho: None,
                    columns: vec!["answer".to_owned()],
                    expected: Vec::new(),
                    timing: None,
                })
            }
        }
    }
}

fn absent(error: registry::StoreError, zh: &str, en: &str, id: &str) -> DomainError {
    match error {
        registry::StoreError::NotFound { .. } => DomainError::not_found(zh, en, id),
        other => other.into(),
    }
}

fn model_view(model: registry::Model) -> ModelView {
    ModelView {
        id: format!("{}@{}", model.id, model.version),
        state: model.state,
        submitted_by: model.submitted_by,
        module: model.wasm_digest.to_string(),
        report: serde_json::from_str(&model.report).unwrap_or_default(),
    }
}

fn product_view(record: &registry::Product, product: &Product) -> ProductView {
    ProductView {
        id: product.id().to_owned(),
        kind: product.kind().to_owned(),
        title: product.title().clone(),
        purposes: product.purposes().to_vec(),
        datasets: product.datasets().to_vec(),
        models: product.models().to_vec(),
        state: record.state,
        submitted_by: record.submitted_by.clone(),
    }
}

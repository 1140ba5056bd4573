//! What institutions hand in from afar: texts and modules come with the request, data never does.

use super::submit::{Submission, rejected};
use super::views::Checkup;
use super::{CheckedModel, Domain, statement};
use crate::error::DomainError;
use std::path::Path;
use yunei_policy::Refusal;
use yunei_policy::authorise::Action;
use yunei_sandbox::Manifest;

/// A model as it comes over the network.
#[derive(Clone)]
pub struct ModelUpload {
    /// The manifest's text. Which file it names does not matter.
    pub manifest: String,
    /// The module, binary or text.
    pub module: Vec<u8>,
    /// The DSSE envelope of its author.
    pub envelope: String,
}

impl std::fmt::Debug for ModelUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelUpload").field("bytes", &self.module.len()).finish_non_exhaustive()
    }
}

impl Domain {
    /// Puts a model through the verifier; nothing is stored.
    ///
    /// # Errors
    /// The reasons why the actor may not; `manifest/…`, `model/…` with every reason.
    pub async fn check_model_upload(
        &self,
        actor: &str,
        manifest: String,
        module: Vec<u8>,
    ) -> Result<Checkup, DomainError> {
        self.ask(actor, Action::SubmitModel).await?;
        Ok(Checkup::of_model(&verified(manifest, module).await?))
    }

    /// Hands in a model that its author signed.
    ///
    /// # Errors
    /// The reasons why the actor may not; `signature/…`; `manifest/…`, `model/…` with every reason; `store/exists` where
    /// this version is there.
    pub async fn upload_model(&self, actor: &str, upload: ModelUpload) -> Result<Submission, DomainError> {
        self.ask(actor, Action::SubmitModel).await?;
        let parsed = Manifest::parse(&upload.manifest).map_err(|r| rejected(&r))?;
        let model = format!("{}@{}", parsed.id(), parsed.version());
        // A version that is there is not replaced, and a signature that was used is not taken again.
        if self.store.model(parsed.id(), parsed.version()).await.is_ok() {
            return Err(crate::registry::StoreError::Exists { kind: crate::registry::Kind::Model, id: model }.into());
        }
        let expected = statement(self.name(), actor, &model, upload.manifest.as_bytes(), &upload.module);
        let checked = verified(upload.manifest, upload.module).await?;
        let signature = self.signed_statement(actor, &expected, &upload.envelope).await?;
        self.take_model(actor, checked, Some(signature)).await
    }

    /// Registers a dataset whose files lie under `root` on the domain's machine.
    ///
    /// # Errors
    /// The reasons why the actor may not; `catalogue/…` with every reason, `catalogue/path` where a file is named that
    /// is not under `root`.
    pub async fn register_dataset_under(
        &self,
        actor: &str,
        entry: &str,
        root: &Path,
    ) -> Result<Submission, DomainError> {
        let absent = |_| {
            DomainError::Unavailable(Refusal::new(
                "home/data-folder",
                "服务配置的数据文件夹不可用",
                "the data folder of the server's configuration can not be read",
            ))
        };
        let root = root.canonicalize().map_err(absent)?;
        self.register_entry(actor, entry, root.clone(), Some(root), |_, _| {}).await
    }
}

/// Parses and verifies away from the threads that answer requests.
async fn verified(manifest: String, module: Vec<u8>) -> Result<CheckedModel, DomainError> {
    let work = move || {
        let parsed = Manifest::parse(&manifest).map_err(|r| rejected(&r))?;
        Domain::verify_model(manifest, parsed, &module)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| DomainError::run_failed())?
}

//! How models become machine code: in a child process with bounds, kept in the home.

use super::submit::rejected;
use crate::error::DomainError;
use crate::home::Home;
use yunei_sandbox::{
    ArtefactCache, CacheKey, ChildCompiler, Manifest, Model, Sandbox, SandboxConfig, SandboxError, Verified,
};

/// The sandbox of a home. Artefacts are authenticated with a key derived from the home's secret: machine code that
/// anybody else put there is not run.
///
/// A program that called [`yunei_sandbox::compile_in_child`] first of all, as `yunei` does, compiles in a child
/// process under limits. One that only links the library compiles in its own.
pub(super) fn sandbox(home: &Home) -> Result<Sandbox, SandboxError> {
    let cache = ArtefactCache::new(home.path("artefacts"), CacheKey::new(&home.salt("artefacts")));
    let config = SandboxConfig::default().cache(cache);
    Sandbox::new(match ChildCompiler::of_this_program() {
        Some(child) => config.compiler(child),
        None => config,
    })
}

/// Makes a registered model ready, beside the threads that answer others: recalled by its digest where this process
/// or this home has verified and compiled it before, otherwise both from its bytes. The caller has read these and
/// found that the digest is theirs.
pub(super) async fn open(
    sandbox: &Sandbox,
    digest: String,
    wasm: Vec<u8>,
    manifest: Manifest,
) -> Result<Model, DomainError> {
    let sandbox = sandbox.clone();
    tokio::task::spawn_blocking(move || match sandbox.recall(&digest, &manifest) {
        Some(model) => Ok(model),
        None => sandbox.open(&wasm, &manifest),
    })
    .await
    .map_err(|_| DomainError::run_failed())?
    .map_err(|r| rejected(&r))
}

/// Loads a model, beside the threads that answer others: compiling may take its time.
pub(super) async fn load(sandbox: &Sandbox, verified: Verified) -> Result<Model, DomainError> {
    let sandbox = sandbox.clone();
    tokio::task::spawn_blocking(move || sandbox.load(&verified, verified.manifest()))
        .await
        .map_err(|_| DomainError::run_failed())?
        .map_err(|r| rejected(&[r]))
}

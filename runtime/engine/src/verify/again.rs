//! A question that is asked again, of the rows themselves instead of an index: for replay.

use super::check::Resolution;
use super::question::{Question, read_question};
use super::source::read_subjects;
use super::{Answer, VerifyRequest};
use crate::domain::Domain;
use crate::plan::Sources;
use crate::product::VerificationProduct;
use datafusion::common::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yunei_policy::Refused;

/// What was found about a subject.
#[derive(Clone, Copy)]
pub(crate) struct Matched {
    /// It is there, under all its identity fields.
    pub(crate) known: bool,
    /// It is there, and all that is claimed is true of it.
    pub(crate) holds: bool,
}

impl Matched {
    /// The answer of a product.
    pub(crate) fn answer(self, product: &VerificationProduct) -> Answer {
        match (self.holds, self.known || !product.tells_not_found()) {
            (true, _) => Answer::Match,
            (false, true) => Answer::NoMatch,
            (false, false) => Answer::NotFound,
        }
    }
}

/// A question as it is replayed; nothing of it is ever shown.
pub(crate) struct AskedAgain {
    /// The identity, packed.
    pub(crate) identity: Vec<u8>,
    asked: Vec<u8>,
    /// The keyed digest of the whole question, as the registry has it.
    pub(crate) digest: String,
}

/// What makes a question the same question: all of it, under the domain's secret.
pub(super) fn request_digest(domain: &Domain, request: &VerifyRequest, question: &Question) -> String {
    let parts: [&[u8]; 7] = [
        request.product.as_bytes(),
        request.purpose.as_bytes(),
        request.scene.as_deref().unwrap_or_default().as_bytes(),
        &question.identity,
        &question.asked,
        request.consent.as_deref().unwrap_or_default().as_bytes(),
        request.institution.as_bytes(),
    ];
    domain.verifying.keyed("request", &parts)
}

/// Reads a request that is asked again.
///
/// # Errors
/// `input/…`, all reasons at once.
pub(crate) fn question_of(
    domain: &Domain,
    resolution: &Resolution,
    product: &VerificationProduct,
    request: &VerifyRequest,
) -> std::result::Result<AskedAgain, Refused> {
    let question = read_question(resolution, product, request)?;
    let digest = request_digest(domain, request, &question);
    Ok(AskedAgain { identity: question.identity, asked: question.asked, digest })
}

/// Looks through all rows of the version that was asked.
pub(crate) async fn match_rows(
    sources: &Sources,
    resolution: &Arc<Resolution>,
    runtime: &Arc<RuntimeEnv>,
    question: &AskedAgain,
) -> Result<Matched> {
    let found = Arc::new((AtomicBool::new(false), AtomicBool::new(false)));
    let (into, identity, asked) = (Arc::clone(&found), question.identity.clone(), question.asked.clone());
    read_subjects(sources, resolution, runtime, move |subjects, _| {
        for subject in subjects.iter().filter(|subject| subject.identity == identity) {
            into.0.store(true, Ordering::Relaxed);
            into.1.fetch_or(subject.holds && subject.asked == asked, Ordering::Relaxed);
        }
        Ok(())
    })
    .await?;
    Ok(Matched { known: found.0.load(Ordering::Relaxed), holds: found.1.load(Ordering::Relaxed) })
}

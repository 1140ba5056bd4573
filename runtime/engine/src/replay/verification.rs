//! Replay of a verification: the recorded question, asked of the recorded version's rows.
//!
//! Whom a verification was about is on record as a salted commitment alone, so that whoever replays it has to give the subject
//! again; that it is the one that was asked about, and the question the same to the last field, shows against the commitment
//! in the log and the domain's keyed digest. The answer is computed from the rows of the recorded version, each file digested
//! again, and not from the index that answered: an index that was wrong is found out. What leaves is the verdict.

use super::inputs::{product, rules, sources};
use super::record::RecordedVerification;
use super::{Comparing, Progress, Replay, ReplayOptions, ReplayReport, Step};
use crate::domain::Domain;
use crate::error::DomainError;
use crate::pipeline::WALL_LIMIT;
use crate::product::{Body, VerificationProduct};
use crate::verify::{Matched, VerifyRequest, match_rows, question_of, resolve};
use serde_json::{Map, Value};
use std::sync::Arc;
use yunei_audit::{Recorded, commitment};
use yunei_policy::Refusal;
use yunei_policy::authorise::Authorised;

/// What follows the inputs.
const STEPS: &[Step] = &[Step::Subject, Step::Question, Step::Answer];

impl Domain {
    /// Does a recorded verification again, of the subject that `asked` names, and compares every digest and the answer. Of
    /// `asked` the identity, the claims and the consent count; the rest is taken from the record.
    ///
    /// # Errors
    /// The reasons why the actor may not; not found where no verification of that id was answered; `input/…` where the subject
    /// is malformed; and what keeps log or store from being used. That something differs is no error: the report says it.
    pub async fn replay_verification(
        &self,
        actor: &str,
        run: &str,
        asked: &VerifyRequest,
        options: ReplayOptions,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<ReplayReport, DomainError> {
        let absent = || DomainError::not_found("已答复的核验", "answered verification", run);
        let (body, index) = self.store.verification_body(run).await?.ok_or_else(absent)?;
        let body: Map<String, Value> = serde_json::from_str(&body).map_err(|_| absent())?;
        let product = body.get("product").and_then(|product| product.get("id")).and_then(Value::as_str);
        let authorised = self.record_replay(actor, run, product.ok_or_else(absent)?).await?;
        let (found, runtime) = (Comparing::default(), None);
        let mut replay = Replay { domain: self, actor, run, found, runtime, steps: STEPS };
        replay.verification(authorised, (body, index), asked, options, Box::new(progress)).await?;
        replay.conclude().await
    }
}

impl Replay<'_> {
    async fn verification(
        &mut self,
        authorised: Recorded<Authorised>,
        (body, index): (Map<String, Value>, u64),
        asked: &VerifyRequest,
        options: ReplayOptions,
        progress: Progress,
    ) -> Result<(), DomainError> {
        let Some((record, committed)) = self.answer_on_record(body, index)? else { return Ok(()) };
        self.runtime.clone_from(&record.runtime);
        let domain = self.domain;
        let product = product(domain, &record.product, &mut self.found);
        let rules = match &record.rules {
            Some(recorded) => rules(domain, recorded, options, &mut self.found),
            None => Some(domain.rules.clone()),
        };
        let sources = sources(domain, &record.datasets, &record.models, &mut self.found, progress).await?;
        let (Some(product), Some(rules)) = (product.filter(|_| self.found.all_same()), rules) else { return Ok(()) };
        let Body::Verification(verification) = product.body() else {
            self.found.truth(Step::Product, &record.product.id, false);
            return Ok(());
        };
        let Ok(resolution) = resolve(verification, &sources, &rules).map(Arc::new) else {
            self.found.truth(Step::Product, &record.product.id, false);
            return Ok(());
        };
        let asked = recorded_request(&record, asked);
        let question = question_of(domain, &resolution, verification, &asked)?;
        let salt = domain.verifying.run_salt(self.run);
        self.found.truth(Step::Subject, "", Some(commitment(&salt, &question.identity)) == committed);
        let recorded = domain.store.verification_request(self.run).await?;
        self.found.truth(Step::Question, "", recorded.as_deref() == Some(question.digest.as_str()));
        if !self.found.all_same() {
            return Ok(());
        }
        // As in a run: the log knows before data is opened.
        let (authorised, _) = authorised.into_parts();
        let opened = domain.log_replay("replay.opened", self.actor, self.run, [], authorised).await?;
        let rows = match_rows(&sources, &resolution, &domain.runtime, &question);
        let matched = tokio::time::timeout(WALL_LIMIT, rows).await;
        let Ok(Ok(matched)) = matched else {
            self.found.truth(Step::Answer, "", false);
            return Ok(());
        };
        let (authorised, _) = opened.into_parts();
        let _executed = domain.log_replay("replay.executed", self.actor, self.run, [], authorised).await?;
        let same = is_same(matched, verification, &record);
        self.found.truth(Step::Answer, "", same);
        Ok(())
    }

    /// The receipt holds, and its entry is the one in the log of its year; with the commitment to its subject.
    fn answer_on_record(
        &mut self,
        body: Map<String, Value>,
        index: u64,
    ) -> Result<Option<(RecordedVerification, Option<String>)>, DomainError> {
        let keys = self.domain.log_keys()?;
        let verified = self.domain.answer_receipt(self.run, index, body).ok().and_then(|receipt| {
            let trust = keys.of(receipt.checkpoint().origin())?.clone();
            receipt.verify_with(&trust).ok()
        });
        let record = verified.as_ref().and_then(|verified| RecordedVerification::of(verified.body()));
        let record = record.filter(|record| record.run == self.run);
        self.found.truth(Step::Receipt, "", record.is_some());
        let committed = verified
            .and_then(|verified| verified.entry().fields().get("subject").and_then(Value::as_str).map(str::to_owned));
        Ok(record.map(|record| (record, committed)))
    }
}

/// The question as it was asked: what the record has, and of the rest what is given again.
fn recorded_request(record: &RecordedVerification, asked: &VerifyRequest) -> VerifyRequest {
    VerifyRequest {
        institution: record.institution.clone(),
        product: record.product.id.clone(),
        purpose: record.purpose.clone(),
        scene: record.scene.clone(),
        serial: None,
        ..asked.clone()
    }
}

fn is_same(matched: Matched, product: &VerificationProduct, record: &RecordedVerification) -> bool {
    let answer = matched.answer(product);
    answer.as_str() == record.outcome && product.charges(answer.as_str()) == record.charged
}

/// The refusal of a replay that was asked for without a subject.
pub(super) fn subject_needed(run: &str) -> DomainError {
    Refusal::new(
        "replay/subject-needed",
        "复核核验须再次给出被核验人：日志中只有加盐承诺",
        "a verification is replayed with its subject given again: the log has a salted commitment alone",
    )
    .at(run)
    .hint(
        "用 -i 给出身份字段，用 --claim 给出核验内容",
        "give the identity fields with -i, what was claimed with --claim",
    )
    .into()
}

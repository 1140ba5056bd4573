//! Verification: a yes or a no about one subject, from the same steps whoever is asked about.
//!
//! The whole dataset is read and compared whether the subject is in it or not; an unknown subject and a false claim are
//! the same `no_match`.

use crate::catalogue::{ColumnSpec, ColumnType, DatasetSpec, verify_unchanged};
use crate::dates::parse_date;
use crate::domain::{Domain, Ticket, fresh_id};
use crate::error::DomainError;
use crate::functions::{Code, failed};
use crate::pipeline::{authorise_use, is_stop, stopped};
use crate::plan::check_verification;
use crate::product::{Body, Claim, Product, Side, VerificationProduct};
use crate::registry::{self, ChargeError, NewRun, RunState};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, new_null_array};
use datafusion::arrow::compute::kernels::cmp::eq;
use datafusion::arrow::compute::{and, cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, Expr};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use yunei_audit::{Receipt, commitment};
use yunei_policy::authorise::Action;
use yunei_policy::{Refusal, Refused};
use yunei_sandbox::{Kind, Model};

/// At most how many bytes a field of a subject may have.
const MAX_FIELD: usize = 256;

/// What a business asks.
#[derive(Clone)]
pub struct VerifyRequest {
    /// Who asks.
    pub institution: String,
    /// Which product.
    pub product: String,
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed value, where the product's claim is an equality.
    pub claim: Option<String>,
    /// What for.
    pub purpose: String,
}

impl std::fmt::Debug for VerifyRequest {
    // Whom it is about is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyRequest").field("product", &self.product).finish_non_exhaustive()
    }
}

/// The two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The subject is there and the claim is true.
    Match,
    /// Anything else.
    NoMatch,
}

impl Answer {
    /// `match` or `no_match`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Answer::Match => "match",
            Answer::NoMatch => "no_match",
        }
    }
}

/// What a verification gives back.
#[derive(Debug)]
pub struct VerifyAnswer {
    /// Its id.
    pub run: String,
    /// The answer.
    pub answer: Answer,
    /// The proof that it was asked and answered.
    pub receipt: Receipt,
}

/// Everything of a request that was understood; nothing of it is ever shown.
struct Question {
    identity: Vec<(usize, ScalarValue)>,
    claim: Option<ScalarValue>,
}

/// Answers one verification.
pub(crate) async fn verify(domain: &Domain, request: &VerifyRequest) -> Result<VerifyAnswer, DomainError> {
    let id = fresh_id("verification", domain.now())?;
    let (record, product) = domain.product_record(&request.product).await?;
    let Body::Verification(verification) = product.body() else {
        return Err(Refusal::new(
            "verify/not-verification",
            "这是聚合产品，请用 yunei run",
            "this is an aggregate product: use yunei run",
        )
        .into());
    };
    let ticket = domain.running.enter(&id, &request.institution, &product);
    let steps = Steps { domain, id: &id, request, ticket: &ticket };
    let authorised =
        authorise_use(domain, &record, &product, Action::Verify, &request.institution, &request.purpose).await;
    let (authorised, grant) = match authorised {
        Ok(authorised) => authorised,
        Err(error) => return Err(steps.refuse(error, None).await),
    };
    ticket.under(grant.as_deref());
    let note = domain.note("verification.authorised", steps.about())?;
    domain.store.begin_run(steps.new_run(grant.as_deref()), note.at, note.audit()?).await?;
    let _authorised = domain.settle(note, authorised).await?;

    let prepared = steps.prepare(&product, verification).await;
    let (resolved, question) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Err(steps.refuse(error, Some(RunState::Refused)).await),
    };
    steps.charge(&question).await?;
    let spec = &resolved.sources.datasets[0].spec;
    let looked = tokio::select! {
        biased;
        () = ticket.stopped() => return Err(steps.refuse(stopped(), Some(RunState::Failed)).await),
        looked = look_up(domain, &resolved, spec, verification, &question) => looked,
    };
    let Ok(answer) = looked else {
        return Err(steps.refuse(DomainError::run_failed(), Some(RunState::Failed)).await);
    };
    let _leaving = domain.running.releasing().await;
    match steps.record(&product, &resolved, answer).await {
        Err(DomainError::Refused(refused)) if is_stop(&refused) => {
            Err(steps.refuse(refused.into(), Some(RunState::Failed)).await)
        }
        other => other,
    }
}

struct Steps<'a> {
    domain: &'a Domain,
    id: &'a str,
    request: &'a VerifyRequest,
    ticket: &'a Ticket,
}

impl Steps<'_> {
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

    fn about(&self) -> [(&'static str, Value); 4] {
        [
            ("run", self.id.into()),
            ("institution", self.request.institution.clone().into()),
            ("product", self.request.product.clone().into()),
            ("purpose", self.request.purpose.chars().take(128).collect::<String>().into()),
        ]
    }

    /// Records a refusal or failure, then hands it on.
    async fn refuse(&self, error: DomainError, from_state: Option<RunState>) -> DomainError {
        let codes: Vec<&str> = error.reasons().iter().map(Refusal::code).collect();
        let noted: Result<(), DomainError> = async {
            let kind = match from_state {
                Some(RunState::Failed) => "verification.failed",
                _ => "verification.refused",
            };
            let note = self.domain.note(kind, self.about().into_iter().chain([("codes", json!(codes))]))?;
            match from_state {
                None => self.domain.store.refused_run(self.new_run(None), note.at, note.audit()?).await?,
                Some(state) => self.domain.store.set_run_state(self.id, state, note.at, note.audit()?).await?,
            }
            self.domain.settle_only(note).await
        }
        .await;
        match noted {
            Err(DomainError::Unavailable(refusal)) => DomainError::Unavailable(refusal),
            _ => error,
        }
    }

    async fn prepare(
        &self,
        product: &Product,
        verification: &VerificationProduct,
    ) -> Result<(crate::domain::Resolved, Question), DomainError> {
        let resolved = self.domain.resolve(product).await?;
        let sources = resolved.rests_on();
        self.domain.store.rest_on(self.id, &sources).await?;
        self.ticket.rests_on(sources);
        check_verification(verification, &resolved.sources, &self.domain.rules)?;
        let question = read_question(&resolved.sources.datasets[0].spec, verification, self.request)?;
        let files = resolved.sources.datasets[0].files.clone();
        tokio::task::spawn_blocking(move || verify_unchanged(&files))
            .await
            .map_err(|_| DomainError::run_failed())??;
        Ok((resolved, question))
    }

    /// Counts the use against its grant, durably, before data is opened.
    async fn charge(&self, question: &Question) -> Result<(), DomainError> {
        let salt = self.domain.home.salt("subject");
        let subject: Vec<String> = question.identity.iter().map(|(_, v)| format!("{v:?}")).collect();
        let subject = commitment(&salt, subject.join("\n").as_bytes());
        let note =
            self.domain.note("verification.charged", self.about().into_iter().chain([("subject", subject.into())]))?;
        let request = registry::Charge { run: self.id, question: None, seed: None, lines: &[] };
        match self.domain.store.charge(request, note.at, note.audit()?).await {
            Ok(_) => {}
            Err(ChargeError::Refused(refusal)) => {
                return Err(self.refuse(refusal.to_refused().into(), Some(RunState::Refused)).await);
            }
            Err(ChargeError::Store(error @ registry::StoreError::Halted(_))) => {
                return Err(self.refuse(error.into(), Some(RunState::Refused)).await);
            }
            Err(ChargeError::Store(error)) => return Err(error.into()),
        }
        self.domain.settle_only(note).await?;
        Ok(())
    }

    async fn record(
        &self,
        product: &Product,
        resolved: &crate::domain::Resolved,
        answer: Answer,
    ) -> Result<VerifyAnswer, DomainError> {
        let note = self.domain.note("verification.executed", self.about())?;
        self.domain.store.set_run_state(self.id, RunState::Executed, note.at, note.audit()?).await?;
        self.domain.settle_only(note).await?;
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("run", self.id.into());
        put("domain", self.domain.name().into());
        put("institution", self.request.institution.clone().into());
        put("product", json!({ "id": product.id(), "digest": product.digest() }));
        put("purpose", self.request.purpose.clone().into());
        put("at", self.domain.now().into());
        put("datasets", resolved.describe_datasets());
        put("models", resolved.describe_models());
        put("outcome", answer.as_str().into());
        // Without it the digest in the log could be tried for both answers.
        put("nonce", hex::encode(crate::home::random_seed()?).into());
        let digest = yunei_audit::receipt_digest(&body).map_err(|_| DomainError::run_failed())?;
        let note =
            self.domain.note("verification.answered", self.about().into_iter().chain([("receipt", digest.into())]))?;
        self.domain.store.finish_verification(self.id, note.at, note.audit()?).await?;
        let recorded = self.domain.settle(note, answer).await?;
        let (answer, position) = recorded.into_parts();
        let receipt = self.domain.log.receipt(&position, body)?;
        Ok(VerifyAnswer { run: self.id.to_owned(), answer, receipt })
    }
}

/// Turns the request's texts into values of the columns' types. Nothing given is repeated in a refusal.
fn read_question(
    spec: &DatasetSpec,
    product: &VerificationProduct,
    request: &VerifyRequest,
) -> Result<Question, Refused> {
    let mut reasons = Vec::new();
    let mut read = |name: &str, text: Option<&String>| {
        let place = |r: Refusal| r.at(name.to_owned());
        let Some(text) = text else {
            reasons.push(place(Refusal::new("input/missing-field", "缺少字段", "a field is missing")));
            return None;
        };
        let value = spec.column(name).and_then(|c| value_of(c, text));
        if value.is_none() {
            reasons.push(place(Refusal::new(
                "input/field",
                "字段的格式不符合该列的类型",
                "the field is not of the column's type",
            )));
        }
        value
    };
    let identity: Vec<Option<ScalarValue>> =
        product.identity().iter().map(|name| read(name, request.identity.get(name))).collect();
    let claim = match product.claim() {
        Claim::Equals { column } => read(column, request.claim.as_ref()),
        Claim::Model { .. } => None,
    };
    if matches!(product.claim(), Claim::Model { .. }) && request.claim.is_some() {
        reasons.push(Refusal::new(
            "input/claim",
            "该产品的核验内容是固定的",
            "the product's claim is fixed: give none",
        ));
    }
    for name in request.identity.keys().filter(|n| !product.identity().contains(n)) {
        let shown: String = name.chars().take(64).collect();
        reasons
            .push(Refusal::new("input/unknown-field", "产品没有这个字段", "the product has no such field").at(shown));
    }
    let positions = product.identity().iter().map(|n| spec.columns().iter().position(|c| c.name() == n));
    let identity = positions.zip(identity).filter_map(|(p, v)| Some((p?, v?))).collect();
    Refused::unless(reasons, Question { identity, claim })
}

fn value_of(column: &ColumnSpec, text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_FIELD {
        return None;
    }
    Some(match column.column_type() {
        ColumnType::Utf8 => {
            // The check digit of an ID number is written X in the register.
            let digits = text.len() == 18 && text.bytes().take(17).all(|b| b.is_ascii_digit());
            let text = if digits { text.to_ascii_uppercase() } else { text.to_owned() };
            ScalarValue::Utf8View(Some(text))
        }
        ColumnType::Bool => ScalarValue::Boolean(Some(text.parse().ok()?)),
        ColumnType::Date32 => ScalarValue::Date32(Some(parse_date(text)?)),
        other => match other.arrow() {
            t if t.is_integer() => ScalarValue::Int64(Some(text.parse().ok()?)).cast_to(&t).ok()?,
            t => ScalarValue::Float64(Some(text.parse().ok().filter(|v: &f64| v.is_finite())?)).cast_to(&t).ok()?,
        },
    })
}

/// Reads the columns that the product needs, all rows of them, and compares.
async fn look_up(
    domain: &Domain,
    resolved: &crate::domain::Resolved,
    spec: &DatasetSpec,
    product: &VerificationProduct,
    question: &Question,
) -> datafusion::common::Result<Answer> {
    let model = match product.claim() {
        Claim::Equals { .. } => None,
        Claim::Model { .. } => Some(resolved.sources.models.first().ok_or_else(failed)?),
    };
    let mut names: Vec<String> = question.identity.iter().map(|(p, _)| spec.columns()[*p].name().to_owned()).collect();
    let subjects = names.len();
    match (product.claim(), model) {
        (Claim::Equals { column }, _) => names.push(column.clone()),
        (Claim::Model { .. }, Some(model)) => {
            names.extend(model.manifest().features().iter().map(|f| f.name().to_owned()));
        }
        (Claim::Model { .. }, None) => return Err(failed()),
    }
    let state = resolved.sources.session(&domain.runtime).map_err(|_| failed())?;
    let schema = state.catalog_list().catalog("datafusion").and_then(|c| c.schema("public")).ok_or_else(failed)?;
    let table = schema.table(spec.id()).await?.ok_or_else(failed)?;
    let source = datafusion::datasource::provider_as_source(table);
    let plan = datafusion::logical_expr::LogicalPlanBuilder::scan(spec.id(), source, None)?;
    let outputs = names
        .iter()
        .enumerate()
        .map(|(i, n)| Expr::Column(datafusion::common::Column::new(Some(spec.id()), n)).alias(format!("f{i}")));
    let plan = plan.project(outputs)?.build()?;
    let frame = DataFrame::new(state.clone(), plan);
    let batches = collect(frame.create_physical_plan().await?, state.task_ctx()).await?;
    let mut found: Option<RecordBatch> = None;
    for batch in &batches {
        let mut mask = BooleanArray::from(vec![true; batch.num_rows()]);
        for (at, (_, value)) in question.identity.iter().enumerate() {
            mask = and(&mask, &equal(batch.column(at), value)?)?;
        }
        let rows = filter_record_batch(batch, &mask)?;
        if rows.num_rows() > 0 {
            found = Some(rows);
        }
    }
    let known = found.is_some();
    let rows = match (found, batches.first()) {
        (Some(rows), _) => rows,
        // The same steps are taken on a row of nothing.
        (None, Some(batch)) => nothing_like(batch)?,
        (None, None) => return Ok(Answer::NoMatch),
    };
    let claims: Vec<ArrayRef> = rows.columns()[subjects..].to_vec();
    let holds = match (product.claim(), model, &question.claim) {
        (Claim::Equals { .. }, _, Some(value)) => equal(&claims[0], value)?.iter().any(|v| v == Some(true)),
        (Claim::Model { side, threshold, .. }, Some(model), _) => {
            model_claim(model, spec, &claims, rows.num_rows(), *side, *threshold)?
        }
        _ => return Err(failed()),
    };
    Ok(if known & holds { Answer::Match } else { Answer::NoMatch })
}

fn nothing_like(batch: &RecordBatch) -> datafusion::common::Result<RecordBatch> {
    let fields: Vec<_> = batch.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let schema = std::sync::Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    let columns = batch.columns().iter().map(|c| new_null_array(c.data_type(), 1)).collect();
    RecordBatch::try_new(schema, columns).map_err(|_| failed())
}

fn equal(column: &ArrayRef, value: &ScalarValue) -> datafusion::common::Result<BooleanArray> {
    let value = value.cast_to(column.data_type()).map_err(|_| failed())?.to_array().map_err(|_| failed())?;
    let equal = eq(column, &Scalar::new(value)).map_err(|_| failed())?;
    Ok(equal.iter().map(|v| Some(v == Some(true))).collect())
}

fn model_claim(
    model: &Model,
    spec: &DatasetSpec,
    features: &[ArrayRef],
    rows: usize,
    side: Side,
    threshold: f64,
) -> datafusion::common::Result<bool> {
    let names = model.manifest().features().iter().map(|f| f.name());
    let features = names
        .zip(features)
        .map(|(name, column)| {
            let facts = spec.column(name).map(ColumnSpec::facts).ok_or_else(failed)?;
            match (column.data_type(), facts.values) {
                (DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8, Some(values)) => {
                    let texts: Vec<String> = values
                        .into_iter()
                        .filter_map(|v| match v {
                            yunei_policy::facts::Literal::Text(t) => Some(t),
                            _ => None,
                        })
                        .collect();
                    Ok(std::sync::Arc::new(Code::codes(&texts, column)?) as ArrayRef)
                }
                (DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8, None) => Err(failed()),
                _ => Ok(std::sync::Arc::clone(column)),
            }
        })
        .collect::<datafusion::common::Result<Vec<_>>>()?;
    let whole = std::iter::once(0..rows).collect::<Vec<_>>();
    let scores = match model.manifest().kind() {
        Kind::Row => model.score(&features, rows),
        Kind::Unit => model.fold(&features, &whole),
    }
    .map_err(|_| failed())?;
    let scores = cast(&scores, &DataType::Float64).map_err(|_| failed())?;
    let holds = |score: f64| match side {
        Side::AtMost => score <= threshold,
        Side::AtLeast => score >= threshold,
    };
    Ok(scores.as_primitive::<Float64Type>().iter().flatten().any(holds))
}

//! Verification: a yes or a no about one subject, from the same steps whoever is asked about.
//!
//! ```text
//! request ─ authorise ─▶ read ─ consent ─▶ charge (durable) ─▶ look up ─▶ record (durable) ─▶ tick ─▶ answer
//! ```
//! 1. *Authorise*: the policies, over a picture of the registry (`standing`).
//! 2. *Read*: one spelling for every field, check digits included; what is malformed goes no further.
//! 3. *Consent*: the token's signature, and whether it covers this question.
//! 4. *Charge* (`writer`): quotas, uses of the consent and of the grant, and the guard against enumeration; durable before
//!    anything is looked up, never given back.
//! 5. *Look up* (`index`): keyed digests in a mapped file, compared in constant time over a window of fixed length.
//! 6. *Record*: the entry in the log, with commitments alone.
//! 7. *Tick*: the answer leaves at the next tick of a quantum whose phase is random.
//!
//! An unknown subject, a wrong field and a false claim take the same steps and have the same answer.

mod admin;
mod again;
mod asked;
mod batch;
mod check;
pub mod consent;
mod index;
mod issuers;
#[doc(hidden)]
pub mod measure;
mod pairs;
mod question;
mod recorder;
mod recover;
mod source;
mod spell;
mod standing;
mod state;
mod tick;
mod turn;
mod writer;

pub use admin::{IndexAudit, IndexView};
pub(crate) use again::{Matched, match_rows, question_of};
pub use batch::{AT_A_TIME as BATCH_AT_A_TIME, BatchAnswer, BatchItem, BatchRequest};
pub(crate) use check::resolve;
pub use issuers::IssuerView;
pub(crate) use recover::recover;
pub(crate) use state::Verifying;

use crate::digest::sha256_parts;
use crate::domain::{Credential, Domain, Ticket, fresh_id};
use crate::error::DomainError;
use crate::pipeline::{is_stop, stopped};
use crate::product::{Body, VerificationProduct};
use crate::registry::{Earlier, NewRun};
use consent::{Genuine, consent_subject};
use question::{Question, read_question};
use serde::Serialize;
use serde_json::{Map, Value, json};
use standing::{Asked, Standing, not_verification};
use std::collections::BTreeMap;
use std::sync::Arc;
use writer::{Ask, ConsentUse, Permit, Reply};
use yunei_audit::{Receipt, ReceiptBody, commitment};
use yunei_policy::verification::consent::{Covered, check_consent, missing};
use yunei_policy::words::UnitKind;
use yunei_policy::{Refusal, Refused};

/// How often a question is decided anew because the registry changed meanwhile.
const MAX_TRIES: usize = 8;
/// The length of the answer's word and of the charge's together, with what pads them.
const PADDED: usize = "not_found".len() + "false".len();
const PADDING: &str = "..............";

/// What a business asks.
#[derive(Clone, Default)]
pub struct VerifyRequest {
    /// Who asks.
    pub institution: String,
    /// Which product.
    pub product: String,
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed value, where the product asks for one.
    pub claim: Option<String>,
    /// The claimed values by column, where it asks for several.
    pub claims: BTreeMap<String, String>,
    /// What for.
    pub purpose: String,
    /// In which scene, in the business's own words; at most 128 characters.
    pub scene: Option<String>,
    /// The business's own serial number, at most 64 characters: the same one with the same question gives the same answer
    /// again, and is not charged.
    pub serial: Option<String>,
    /// The subject's consent, a compact JWS.
    pub consent: Option<String>,
    /// What showed who asks, where it came over the network: looked at again under the picture that it is charged under.
    pub credential: Option<Credential>,
}

impl std::fmt::Debug for VerifyRequest {
    // Whom it is about is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyRequest").field("product", &self.product).finish_non_exhaustive()
    }
}

/// The answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The subject is there and all that is claimed is true.
    Match,
    /// Anything else.
    NoMatch,
    /// The subject is not there (查无); told by products that were approved with this answer alone.
    NotFound,
}

impl Answer {
    /// `match`, `no_match` or `not_found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Answer::Match => "match",
            Answer::NoMatch => "no_match",
            Answer::NotFound => "not_found",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Answer::Match, Answer::NoMatch, Answer::NotFound].into_iter().find(|a| a.as_str() == word)
    }
}

/// What a verification gives back.
#[derive(Debug)]
pub struct VerifyAnswer {
    /// Its id.
    pub run: String,
    /// The answer.
    pub answer: Answer,
    /// Whether it costs the business, by the product's table.
    pub charged: bool,
    /// As of when the data is, `YYYY-MM-DDTHH:MM:SSZ`.
    pub as_of: String,
    /// The business's own serial number.
    pub serial: Option<String>,
    /// Whether it was given before, under the same serial number.
    pub repeated: bool,
    /// The proof that it was asked and answered.
    pub receipt: Receipt,
}

impl VerifyAnswer {
    /// The envelope, with the receipt as the text that `yunei receipt verify` takes, and with the product where it is to be
    /// named. As JSON it is as long for one answer as for another.
    pub fn envelope<'a>(&'a self, product: Option<&'a str>) -> Envelope<'a> {
        Envelope {
            answer: self.answer.as_str(),
            as_of: &self.as_of,
            charged: self.charged,
            pad: pad(self.answer, self.charged),
            product,
            receipt: self.receipt.to_string(),
            repeated: self.repeated,
            serial: self.serial.as_deref(),
            verification: &self.run,
        }
    }
}

/// An answer as it is told.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    answer: &'static str,
    as_of: &'a str,
    charged: bool,
    pad: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
    receipt: String,
    repeated: bool,
    serial: Option<&'a str>,
    verification: &'a str,
}

/// Makes all answers equally long.
fn pad(answer: Answer, charged: bool) -> &'static str {
    let charge = if charged { "true" } else { "false" };
    &PADDING[..PADDED - answer.as_str().len() - charge.len()]
}

/// Answers one verification.
pub(crate) async fn verify(domain: &Domain, request: &VerifyRequest) -> Result<VerifyAnswer, DomainError> {
    verify_as(domain, request, false).await
}

/// Answers one verification, alone or as an item of a batch. Whatever the outcome, it leaves at a tick.
async fn verify_as(domain: &Domain, request: &VerifyRequest, batch: bool) -> Result<VerifyAnswer, DomainError> {
    let tick = tick::Tick::start(domain.rules.verification().quantum_millis());
    let mut way = Way::default();
    let answer = answer(domain, request, batch, &mut way).await;
    tick.wait(way.hold_millis).await;
    // Until here it is under way: a suspension waits for what is about to leave.
    drop(way);
    answer
}

/// What outlasts the making of an answer.
#[derive(Default)]
struct Way {
    hold_millis: u32,
    ticket: Option<Ticket>,
}

async fn answer(
    domain: &Domain,
    request: &VerifyRequest,
    batch: bool,
    way: &mut Way,
) -> Result<VerifyAnswer, DomainError> {
    let id = fresh_id("verification", domain.now())?;
    let steps = Steps { domain, id: &id, request, batch };
    let mut standing = domain.verifying.standing(domain).await?;
    for _ in 0..MAX_TRIES {
        let asked = match steps.decide(&standing).await {
            Ok(asked) => asked,
            // What an old picture refuses, a new one may allow.
            Err(_) if domain.verifying.is_stale(domain, &standing).await? => {
                standing = domain.verifying.renew(domain, &standing).await?;
                continue;
            }
            Err(error) => return Err(steps.refuse(error).await),
        };
        let (asked, ask, question, consented) = asked;
        // Before the charge: a suspension sees it here, or the charge sees the suspension.
        let ticket = domain.running.enter(&id, &request.institution, &asked.product);
        ticket.under(Some(&ask.grant));
        ticket.rests_on(asked.rests_on.clone());
        match domain.verifying.writer(domain).await?.charge(ask).await? {
            Reply::Stale => standing = domain.verifying.renew(domain, &standing).await?,
            Reply::Spent => standing.forget(&request.institution, &request.product, &request.purpose),
            Reply::Refused(refused) => return Err(steps.refuse(refused.into()).await),
            Reply::Repeat(earlier) => return steps.repeat(&earlier),
            Reply::Permit(permit) => {
                way.hold_millis = permit.hold_millis();
                let answer = steps.finish(permit, &ticket, asked, question, consented).await;
                way.ticket = Some(ticket);
                return match answer {
                    Err(DomainError::Refused(refused)) if is_stop(&refused) => Err(steps.refuse(refused.into()).await),
                    other => other,
                };
            }
        }
    }
    Err(DomainError::Unavailable(Refusal::new(
        "verify/unavailable",
        "登记内容正在变更，请稍后再试",
        "the registry is changing: try again in a moment",
    )))
}

struct Steps<'a> {
    domain: &'a Domain,
    id: &'a str,
    request: &'a VerifyRequest,
    batch: bool,
}

/// What a question needs before it is charged.
type Decided = (Arc<Asked>, Ask, Question, Option<String>);

impl Steps<'_> {
    fn about(&self, id: &str) -> [(&'static str, Value); 4] {
        let short = |text: &str| Value::from(text.chars().take(128).collect::<String>());
        [
            ("run", id.into()),
            ("institution", short(&self.request.institution)),
            ("product", short(&self.request.product)),
            ("purpose", short(&self.request.purpose)),
        ]
    }

    /// Authorises, reads the question and checks the consent, over one picture of the registry.
    async fn decide(&self, standing: &Arc<Standing>) -> Result<Decided, DomainError> {
        let (domain, request) = (self.domain, self.request);
        if let Some(shown) = &request.credential {
            let caller = standing.admit(domain, shown).await?;
            if caller.institution() != request.institution {
                return Err(crate::domain::unknown_credential());
            }
        }
        let asked = match standing.asked(&request.product) {
            Some(asked) => asked,
            None => {
                let (record, product) = domain.product_record(&request.product).await?;
                let Body::Verification(_) = product.body() else { return Err(not_verification().into()) };
                // Nobody who may not ask has an index opened or made.
                standing.grant(domain, &record, &product, &request.institution, &request.purpose).await?;
                standing.load(domain, record, product, |_, _| {}).await?
            }
        };
        let grant =
            standing.grant(domain, &asked.record, &asked.product, &request.institution, &request.purpose).await?;
        let Body::Verification(product) = asked.product.body() else { return Err(not_verification().into()) };
        self.check_batch(product)?;
        let question = read_question(&asked.resolution, product, request)?;
        let consent = self.consent(standing, product)?;
        let now = domain.now();
        let ask = Ask {
            generation: standing.generation,
            id: self.id.to_owned(),
            institution: request.institution.clone(),
            product: request.product.clone(),
            purpose: request.purpose.clone(),
            scene: request.scene.clone(),
            grant,
            subject: domain.verifying.subject(asked.resolution.unit_kind, &question.unit),
            consent: consent.as_ref().map(|c| ConsentUse {
                token: c.id.clone(),
                most: c.consent.uses,
                expires: c.consent.expires,
            }),
            serial: request.serial.clone(),
            request: self.digest(&question),
            at: now,
            locus: question.locus.clone(),
            rows: asked.index.len(),
            limit: product.daily(),
            sources: asked.sources_json(),
            log: domain.log.clone(),
        };
        Ok((asked, ask, question, consent.map(|c| c.id)))
    }

    fn check_batch(&self, product: &VerificationProduct) -> Result<(), Refusal> {
        match (product.is_batch(), self.batch) {
            (true, false) => Err(Refusal::new(
                "verify/batch-only",
                "该产品只能批量核验",
                "the product answers batches alone: use yunei verify batch",
            )),
            (false, true) => Err(Refusal::new(
                "verify/not-batch",
                "该产品不能批量核验",
                "the product answers no batches: a batch needs a product of its own",
            )),
            _ => Ok(()),
        }
    }

    /// The consent that covers the question; none where the product rests on the law.
    fn consent(&self, standing: &Standing, product: &VerificationProduct) -> Result<Option<Genuine>, Refused> {
        let request = self.request;
        let Some(token) = &request.consent else {
            return if product.legal_basis().is_some() { Ok(None) } else { Err(missing().into()) };
        };
        let genuine = standing.issuers.read(token)?;
        let subject = consent_subject(&genuine.consent.nonce, &request.identity);
        let covered = Covered {
            domain: self.domain.name(),
            subject: &subject,
            business: &request.institution,
            product: &request.product,
            purpose: &request.purpose,
            now: self.domain.now().div_euclid(1_000),
        };
        check_consent(self.domain.rules.verification(), &genuine.consent, &covered)?;
        Ok(Some(genuine))
    }

    /// What makes a question the same question: all of it, under the domain's secret.
    fn digest(&self, question: &Question) -> String {
        again::request_digest(self.domain, self.request, question)
    }

    /// Looks up, records and answers. From here on everything that goes wrong is one failure; the charge stands.
    async fn finish(
        &self,
        permit: Permit,
        ticket: &Ticket,
        asked: Arc<Asked>,
        question: Question,
        consent: Option<String>,
    ) -> Result<VerifyAnswer, DomainError> {
        let Body::Verification(product) = asked.product.body() else { return Err(failed()) };
        let wanted = asked.index.key().wanted(&question.identity, &question.unit, &question.asked);
        let found = asked.index.look_up(&wanted);
        let (known, holds, canary) = (bool::from(found.known), bool::from(found.holds), bool::from(found.canary));
        let answer = Matched { known, holds }.answer(product);
        let charged = product.charges(answer.as_str());
        let body = self.body(permit.id(), &asked, answer, charged)?;
        let body = ReceiptBody::new(body).map_err(|_| failed())?;
        let salt = self.domain.verifying.run_salt(permit.id());
        let note = self.domain.note(
            "verification.answered",
            self.about(permit.id()).into_iter().chain([
                ("subject", commitment(&salt, &question.identity).into()),
                ("consent", consent.map_or(Value::Null, |c| commitment(&salt, c.as_bytes()).into())),
                ("receipt", body.digest().into()),
                ("price_class", json!(asked.product.price_class())),
            ]),
        )?;
        let (log, entry) = (self.domain.log.clone(), note.into_entry());
        // A suspension waits for those who are here; who comes after it was told to stop.
        let _leaving = self.domain.running.releasing().await;
        if ticket.is_stopped() {
            return Err(stopped());
        }
        let text = body.text().to_owned();
        let (recorded, receipt) = self.domain.verifying.recorder().record(log, entry, answer, body).await?;
        let (answer, position) = recorded.into_parts();
        let run = permit.id().to_owned();
        permit.answered(answer == Answer::Match, canary, text, position.index());
        let (as_of, serial) = (asked.as_of.clone(), self.request.serial.clone());
        Ok(VerifyAnswer { run, answer, charged, as_of, serial, repeated: false, receipt })
    }

    /// What the receipt says.
    fn body(&self, id: &str, asked: &Asked, answer: Answer, charged: bool) -> Result<Map<String, Value>, DomainError> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("run", id.into());
        put("domain", self.domain.name().into());
        put("institution", self.request.institution.clone().into());
        put("product", json!({ "id": asked.product.id(), "digest": asked.product.digest() }));
        put("purpose", self.request.purpose.clone().into());
        put("scene", json!(self.request.scene));
        put("serial", json!(self.request.serial));
        put("at", self.domain.now().into());
        put("as_of", asked.as_of.clone().into());
        put("datasets", asked.datasets.clone());
        put("models", asked.models.clone());
        put("rules", asked.rules.clone().into());
        put("runtime", env!("CARGO_PKG_VERSION").into());
        put("outcome", answer.as_str().into());
        put("charged", charged.into());
        put("pad", pad(answer, charged).into());
        // Without it the digest in the log could be tried for each answer.
        put("nonce", hex::encode(crate::home::random_seed()?).into());
        Ok(body)
    }

    /// The answer that was given under this serial number.
    fn repeat(&self, earlier: &Earlier) -> Result<VerifyAnswer, DomainError> {
        let (Some(body), Some(index)) = (&earlier.body, earlier.log_index) else { return Err(failed()) };
        let body: Map<String, Value> = serde_json::from_str(body).map_err(|_| failed())?;
        let word = |name: &str| body.get(name).and_then(Value::as_str);
        let answer = word("outcome").and_then(Answer::from_word).ok_or_else(failed)?;
        let as_of = word("as_of").unwrap_or_default().to_owned();
        let charged = body.get("charged").and_then(Value::as_bool).unwrap_or(true);
        let receipt = self.domain.answer_receipt(&earlier.id, index, body)?;
        let serial = self.request.serial.clone();
        Ok(VerifyAnswer { run: earlier.id.clone(), answer, charged, as_of, serial, repeated: true, receipt })
    }

    /// Records a refusal, then hands it on.
    async fn refuse(&self, error: DomainError) -> DomainError {
        let codes: Vec<&str> = error.reasons().iter().map(Refusal::code).collect();
        let purpose: String = self.request.purpose.chars().take(128).collect();
        let noted: Result<(), DomainError> = async {
            let note = self
                .domain
                .note("verification.refused", self.about(self.id).into_iter().chain([("codes", json!(codes))]))?;
            let run = NewRun {
                id: self.id,
                institution: &self.request.institution,
                product: &self.request.product,
                purpose: &purpose,
                grant: None,
                question: None,
            };
            self.domain.store.refused_run(run, note.at, note.audit()?).await?;
            self.domain.settle_only(note).await
        }
        .await;
        match noted {
            Err(DomainError::Unavailable(refusal)) => DomainError::Unavailable(refusal),
            _ => error,
        }
    }
}

/// The one failure after a verification was charged.
fn failed() -> DomainError {
    DomainError::Failed(
        Refusal::new("verify/failed", "核验失败", "the verification failed; its charge stands")
            .hint("请以同一流水号重试，不再计次", "try again under the same serial number: it is not charged twice"),
    )
}

/// A keyed digest of a unit's number, the same in all datasets.
fn subject_parts(kind: UnitKind, unit: &[u8]) -> [&[u8]; 2] {
    let kind: &[u8] = match kind {
        UnitKind::NaturalPerson => b"natural_person",
        UnitKind::LegalPerson => b"legal_person",
        UnitKind::None => b"none",
    };
    [kind, unit]
}

fn cut(salt: &[u8; 32], what: &str, parts: &[&[u8]]) -> String {
    let all: Vec<&[u8]> = std::iter::once(salt.as_slice()).chain(parts.iter().copied()).collect();
    hex::encode(&sha256_parts(what, &all)[..16])
}

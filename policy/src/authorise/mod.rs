//! Who may do what: Cedar policies over role, institution, grant, purpose, period and state. Default deny.

mod policies;
mod scope;

pub use policies::{MAX_POLICY_BYTES, Policies};
pub use scope::{Scope, Scopes};

use crate::refusal::{Refusal, Refused};
use crate::register::Holding;
use crate::words::{Office, Role, State};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Register a dataset or a version of it.
    RegisterDataset,
    /// Publish a dataset.
    ApproveDataset,
    /// Withdraw a dataset.
    WithdrawDataset,
    /// Hand in a model.
    SubmitModel,
    /// Approve a model.
    ApproveModel,
    /// Hand in a product.
    SubmitProduct,
    /// Approve a product.
    ApproveProduct,
    /// Grant a product to an institution.
    AddGrant,
    /// Run an aggregate product.
    Run,
    /// Ask a verification.
    Verify,
    /// Replay a recorded run.
    Replay,
    /// Read the audit log.
    ReadAudit,
    /// Seal a year's audit log, and move one that is old enough.
    ArchiveAudit,
    /// Read budgets.
    ReadBudget,
    /// Open a new budget epoch.
    OpenEpoch,
    /// Suspend a dataset, a version of one, a model, product, grant or institution.
    Suspend,
    /// Undo a suspension.
    Resume,
    /// End one of them for good.
    End,
    /// Add an institution.
    AddInstitution,
    /// Use the interface at all: asked of every request that comes over the network.
    Connect,
    /// Read the catalogue: datasets, models, products and what is public of them.
    ReadCatalogue,
    /// Read the records of institutions: all of them on the domain, one's own on an institution.
    ReadInstitution,
    /// Read grants; likewise.
    ReadGrant,
    /// Read runs and their receipts; likewise.
    ReadRun,
    /// Fetch what a run of the product released.
    ReadResult,
    /// Issue, list and revoke an institution's tokens and keys.
    ManageCredential,
    /// Put other policies into force.
    ChangePolicy,
    /// Consent to a product over one's datasets, refuse, or take a consent back.
    Consent,
    /// Decline what was handed in.
    Decline,
    /// Renew a registration or an agreement.
    Renew,
    /// Admit an institution that a system administrator entered.
    AdmitInstitution,
    /// Record a data subject's request.
    FileRequest,
    /// Answer a data subject's request.
    AnswerRequest,
    /// Read a data subject's request.
    ReadRequest,
    /// Read the registers: what is registered, what lapses, what is due.
    ReadRegister,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 35] = [
        Action::RegisterDataset,
        Action::ApproveDataset,
        Action::WithdrawDataset,
        Action::SubmitModel,
        Action::ApproveModel,
        Action::SubmitProduct,
        Action::ApproveProduct,
        Action::AddGrant,
        Action::Run,
        Action::Verify,
        Action::Replay,
        Action::ReadAudit,
        Action::ArchiveAudit,
        Action::ReadBudget,
        Action::OpenEpoch,
        Action::Suspend,
        Action::Resume,
        Action::End,
        Action::AddInstitution,
        Action::Connect,
        Action::ReadCatalogue,
        Action::ReadInstitution,
        Action::ReadGrant,
        Action::ReadRun,
        Action::ReadResult,
        Action::ManageCredential,
        Action::ChangePolicy,
        Action::Consent,
        Action::Decline,
        Action::Renew,
        Action::AdmitInstitution,
        Action::FileRequest,
        Action::AnswerRequest,
        Action::ReadRequest,
        Action::ReadRegister,
    ];

    /// Its name in the policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::RegisterDataset => "RegisterDataset",
            Action::ApproveDataset => "ApproveDataset",
            Action::WithdrawDataset => "WithdrawDataset",
            Action::SubmitModel => "SubmitModel",
            Action::ApproveModel => "ApproveModel",
            Action::SubmitProduct => "SubmitProduct",
            Action::ApproveProduct => "ApproveProduct",
            Action::AddGrant => "AddGrant",
            Action::Run => "Run",
            Action::Verify => "Verify",
            Action::Replay => "Replay",
            Action::ReadAudit => "ReadAudit",
            Action::ArchiveAudit => "ArchiveAudit",
            Action::ReadBudget => "ReadBudget",
            Action::OpenEpoch => "OpenEpoch",
            Action::Suspend => "Suspend",
            Action::Resume => "Resume",
            Action::End => "End",
            Action::AddInstitution => "AddInstitution",
            Action::Connect => "Connect",
            Action::ReadCatalogue => "ReadCatalogue",
            Action::ReadInstitution => "ReadInstitution",
            Action::ReadGrant => "ReadGrant",
            Action::ReadRun => "ReadRun",
            Action::ReadResult => "ReadResult",
            Action::ManageCredential => "ManageCredential",
            Action::ChangePolicy => "ChangePolicy",
            Action::Consent => "Consent",
            Action::Decline => "Decline",
            Action::Renew => "Renew",
            Action::AdmitInstitution => "AdmitInstitution",
            Action::FileRequest => "FileRequest",
            Action::AnswerRequest => "AnswerRequest",
            Action::ReadRequest => "ReadRequest",
            Action::ReadRegister => "ReadRegister",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct InstitutionFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its role.
    pub role: Role,
    /// Where it stands; only `Approved` may act.
    pub state: State,
    /// Its part of the authority's staff; `None` for every other institution, and for an authority that is not divided.
    pub office: Option<Office>,
    /// Whether all three parts of the authority's staff are filled: then an undivided authority may do nothing.
    pub divided: bool,
}

/// Which kind of product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductKind {
    /// Aggregates leave.
    Aggregate,
    /// Verification answers leave.
    Verification,
}

/// What is acted on.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// The domain itself, or a thing that does not exist yet.
    Domain,
    /// A dataset.
    Dataset(ItemFacts<'a>),
    /// A version of a dataset, as `dataset@number`.
    Version(ItemFacts<'a>),
    /// A model.
    Model(ItemFacts<'a>),
    /// An institution.
    Institution(ItemFacts<'a>),
    /// A grant.
    Grant(ItemFacts<'a>),
    /// A product.
    Product(ProductFacts<'a>),
    /// A data subject's request.
    Request(RequestFacts<'a>),
}

/// A data subject's request: its submitter is whoever recorded it.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// Id, state (`submitted` while it is open, else `retired`), who recorded it.
    pub item: ItemFacts<'a>,
    /// The holder that has to answer it.
    pub holder: &'a str,
}

/// A thing with a state and somebody who handed it in.
#[derive(Debug, Clone, Copy)]
pub struct ItemFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it stands.
    pub state: State,
    /// The institution that handed it in.
    pub submitted_by: &'a str,
}

/// A product, as far as authorisation cares.
#[derive(Debug, Clone, Copy)]
pub struct ProductFacts<'a> {
    /// Id, state, submitter.
    pub item: ItemFacts<'a>,
    /// Its kind.
    pub kind: ProductKind,
    /// The purposes that it was approved for.
    pub purposes: &'a [String],
    /// The states of its datasets.
    pub dataset_states: &'a [State],
    /// The states of the versions that its datasets are read at.
    pub version_states: &'a [State],
    /// The states of its models.
    pub model_states: &'a [State],
    /// The holders of its datasets.
    pub holders: &'a [String],
    /// Whether the holder of each of its datasets consents.
    pub consented: bool,
    /// Whether the registrations of its datasets hold, and its own where it is approved.
    pub registers: &'a [Holding],
}

/// A grant.
#[derive(Debug, Clone)]
pub struct GrantFacts {
    /// To whom.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what.
    pub purposes: Vec<String>,
    /// From when, milliseconds since 1970 UTC, inclusive.
    pub from_millis: i64,
    /// Until when, exclusive.
    pub until_millis: i64,
    /// Where it stands.
    pub state: State,
    /// How many uses are left; `None` where it does not count.
    pub runs_left: Option<u64>,
    /// Whether the term of its agreement runs, or none is needed.
    pub agreed: bool,
}

/// One question to the policies.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub institution: InstitutionFacts<'a>,
    /// What it wants to do.
    pub action: Action,
    /// To what.
    pub resource: Resource<'a>,
    /// All grants that may matter; those of others are ignored.
    pub grants: &'a [GrantFacts],
    /// The purpose that the request states.
    pub purpose: Option<&'a str>,
    /// Now, milliseconds since 1970 UTC.
    pub now_millis: i64,
}

/// Proof that a request was allowed. Made by [`authorise`] alone.
pub struct Authorised {
    institution: String,
    action: Action,
    resource: String,
    purpose: Option<String>,
    at_millis: i64,
    grants: Vec<usize>,
}

impl Authorised {
    /// Who may act.
    pub fn institution(&self) -> &str {
        &self.institution
    }

    /// What was allowed.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The id of what it may be done to; empty for the domain itself.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// For what purpose.
    pub fn purpose(&self) -> Option<&str> {
        self.purpose.as_deref()
    }

    /// The positions in [`Request::grants`] of the grants that cover this use, best first to spend: the one that ends
    /// first. Empty where the action needs none.
    pub fn grants(&self) -> &[usize] {
        &self.grants
    }

    /// As of when.
    pub fn at_millis(&self) -> i64 {
        self.at_millis
    }
}

impl fmt::Debug for Authorised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorised").field("action", &self.action).finish_non_exhaustive()
    }
}

/// Less stack than this, in bytes, is not enough for Cedar (its own bound is 100 KiB).
const STACK_NEEDED: usize = 512 * 1024;
/// What is given then, in bytes.
const STACK_GIVEN: usize = 2 * 1024 * 1024;

/// Decides over a request.
///
/// # Errors
/// All the reasons against it, at once; `authorise/denied` where merely nothing permits it, and where the question does
/// not even fit the schema.
pub fn authorise(request: &Request<'_>, policies: &Policies) -> Result<Authorised, Refused> {
    let grants = GrantView::of(request);
    let (entities, question) = question(request, &grants, policies).ok_or_else(denied)?;
    // Cedar answers with an error where little of the stack is left, and an error denies: who asks from deep inside is
    // given room.
    let ask = || Authorizer::new().is_authorized(&question, policies.set(), &entities);
    let response = stacker::maybe_grow(STACK_NEEDED, STACK_GIVEN, ask);
    let reasons = policies.refusals(response.diagnostics().reason());
    // A policy that could not be evaluated is skipped by Cedar; a skipped forbid must not let anything pass.
    let sound = response.diagnostics().errors().next().is_none();
    if response.decision() != Decision::Allow || !sound {
        return Err(Refused::from_reasons(reasons).unwrap_or_else(denied));
    }
    Ok(Authorised {
        institution: request.institution.id.to_owned(),
        action: request.action,
        resource: request.resource.id().to_owned(),
        purpose: request.purpose.map(str::to_owned),
        at_millis: request.now_millis,
        grants: grants.usable,
    })
}

fn denied() -> Refused {
    Refusal::new("authorise/denied", "没有规则允许此操作", "nothing permits this")
        .hint("请联系数据主管部门", "contact the authority")
        .into()
}

/// What the grants of this institution for this product say.
#[derive(Debug, Default)]
struct GrantView {
    any: bool,
    approved: bool,
    current: bool,
    purpose: bool,
    left: bool,
    agreed: bool,
    usable: Vec<usize>,
}

impl GrantView {
    fn of(request: &Request<'_>) -> Self {
        let mut view = Self::default();
        let Resource::Product(product) = request.resource else { return view };
        for (at, grant) in request.grants.iter().enumerate() {
            if grant.institution != request.institution.id || grant.product != product.item.id {
                continue;
            }
            let approved = grant.state == State::Approved;
            let current = grant.from_millis <= request.now_millis && request.now_millis < grant.until_millis;
            let purpose = request.purpose.is_some_and(|p| grant.purposes.iter().any(|q| q == p));
            let left = grant.runs_left != Some(0);
            view.any = true;
            view.approved |= approved;
            view.current |= current;
            view.purpose |= purpose;
            view.left |= left;
            view.agreed |= grant.agreed;
            if approved && current && purpose && left && grant.agreed {
                view.usable.push(at);
            }
        }
        view.usable.sort_by_key(|at| (request.grants[*at].until_millis, *at));
        view
    }

    fn record(&self) -> Option<RestrictedExpression> {
        let fields = [
            ("any", self.any),
            ("approved", self.approved),
            ("current", self.current),
            ("purpose", self.purpose),
            ("left", self.left),
            ("agreed", self.agreed),
            ("usable", !self.usable.is_empty()),
        ];
        let fields = fields.map(|(name, holds)| (name.to_owned(), RestrictedExpression::new_bool(holds)));
        RestrictedExpression::new_record(fields).ok()
    }
}

impl<'a> Resource<'a> {
    fn id(&self) -> &'a str {
        match self {
            Resource::Domain => "",
            Resource::Dataset(item)
            | Resource::Version(item)
            | Resource::Model(item)
            | Resource::Institution(item)
            | Resource::Grant(item) => item.id,
            Resource::Product(product) => product.item.id,
            Resource::Request(request) => request.item.id,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Resource::Domain => "Domain",
            Resource::Dataset(_) => "Dataset",
            Resource::Version(_) => "Version",
            Resource::Model(_) => "Model",
            Resource::Institution(_) => "Institution",
            Resource::Grant(_) => "Grant",
            Resource::Product(_) => "Product",
            Resource::Request(_) => "Request",
        }
    }

    fn attributes(&self) -> HashMap<String, RestrictedExpression> {
        let item = |item: &ItemFacts<'_>| {
            HashMap::from([text("state", &item.state.to_string()), text("submitted_by", item.submitted_by)])
        };
        match self {
            Resource::Domain => HashMap::new(),
            Resource::Dataset(facts) | Resource::Version(facts) | Resource::Model(facts) | Resource::Grant(facts) => {
                item(facts)
            }
            // As a resource an institution's role does not matter; as a principal it is told apart by its own entity.
            Resource::Institution(facts) => {
                let mut attributes = item(facts);
                attributes.extend([
                    text("id", facts.id),
                    text("role", ""),
                    text("office", ""),
                    yes_no("divided", false),
                ]);
                attributes
            }
            Resource::Request(facts) => {
                let mut attributes = item(&facts.item);
                attributes.extend([text("holder", facts.holder)]);
                attributes
            }
            Resource::Product(facts) => {
                let kind = match facts.kind {
                    ProductKind::Aggregate => "aggregate",
                    ProductKind::Verification => "verification",
                };
                let mut attributes = item(&facts.item);
                attributes.extend([
                    text("kind", kind),
                    texts("purposes", facts.purposes.iter().cloned()),
                    texts("dataset_states", facts.dataset_states.iter().map(State::to_string)),
                    texts("version_states", facts.version_states.iter().map(State::to_string)),
                    texts("model_states", facts.model_states.iter().map(State::to_string)),
                    texts("holders", facts.holders.iter().cloned()),
                    texts("registers", facts.registers.iter().map(Holding::to_string)),
                    yes_no("consented", facts.consented),
                ]);
                attributes
            }
        }
    }
}

fn text(name: &str, value: &str) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_string(value.to_owned()))
}

fn yes_no(name: &str, holds: bool) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_bool(holds))
}

fn texts(name: &str, values: impl Iterator<Item = String>) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_set(values.map(RestrictedExpression::new_string)))
}

fn uid(type_name: &str, id: &str) -> Option<EntityUid> {
    let type_name = EntityTypeName::from_str(type_name).ok()?;
    Some(EntityUid::from_type_name_and_id(type_name, EntityId::new(id)))
}

/// The request as Cedar sees it, checked against the schema.
fn question(
    request: &Request<'_>,
    grants: &GrantView,
    policies: &Policies,
) -> Option<(Entities, cedar_policy::Request)> {
    let institution = &request.institution;
    let principal = uid("Institution", institution.id)?;
    let resource = uid(request.resource.type_name(), request.resource.id())?;
    let action = uid("Action", request.action.as_str())?;
    let attributes = HashMap::from([
        text("id", institution.id),
        text("role", &institution.role.to_string()),
        text("state", &institution.state.to_string()),
        text("submitted_by", ""),
        text("office", institution.office.map_or("", Office::as_str)),
        yes_no("divided", institution.divided),
    ]);
    let mut entities = vec![Entity::new(principal.clone(), attributes, HashSet::new()).ok()?];
    // Who acts on itself (an institution on its own record) has one entity, the principal's.
    if resource != principal {
        entities.push(Entity::new(resource.clone(), request.resource.attributes(), HashSet::new()).ok()?);
    }
    let entities = Entities::from_entities(entities, Some(policies.schema())).ok()?;
    let mut circumstances = vec![("grants".to_owned(), grants.record()?)];
    circumstances.extend(request.purpose.map(|p| text("purpose", p)));
    let context = Context::from_pairs(circumstances).ok()?;
    let question = cedar_policy::Request::new(principal, action, resource, context, Some(policies.schema())).ok()?;
    Some((entities, question))
}

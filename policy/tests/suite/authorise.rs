//! Who may do what.

use crate::refusals::told;
use std::sync::LazyLock;
use yunei_policy::authorise::*;
use yunei_policy::register::Holding;
use yunei_policy::words::{Office, Role, State};

const ROLES: [Role; 4] = [Role::Holder, Role::Operator, Role::Business, Role::Authority];
static SHIPPED: LazyLock<Policies> = LazyLock::new(Policies::default);
const NOW: i64 = 1_000_000;

fn institution(role: Role) -> InstitutionFacts<'static> {
    InstitutionFacts { id: "me", role, state: State::Approved, office: None, divided: false }
}

fn item(id: &'static str, state: State, submitted_by: &'static str) -> ItemFacts<'static> {
    ItemFacts { id, state, submitted_by }
}

fn product<'a>(purposes: &'a [String], kind: ProductKind, state: State) -> ProductFacts<'a> {
    ProductFacts {
        item: item("risk", state, "them"),
        kind,
        purposes,
        dataset_states: &[State::Approved],
        version_states: &[State::Approved],
        model_states: &[State::Approved],
        holders: &[],
        consented: true,
        registers: &[Holding::Current],
    }
}

fn grant() -> GrantFacts {
    GrantFacts {
        institution: "me".into(),
        product: "risk".into(),
        purposes: vec!["research".into()],
        from_millis: 0,
        until_millis: NOW + 1,
        state: State::Approved,
        runs_left: Some(3),
        agreed: true,
    }
}

fn run_with(grants: &[GrantFacts], purpose: Option<&str>, change: impl FnOnce(&mut Request<'_>)) -> Vec<&'static str> {
    let purposes = ["research".to_owned(), "credit".to_owned()];
    let mut request = Request {
        institution: institution(Role::Operator),
        action: Action::Run,
        resource: Resource::Product(product(&purposes, ProductKind::Aggregate, State::Approved)),
        grants,
        purpose,
        now_millis: NOW,
    };
    change(&mut request);
    authorise(&request, &SHIPPED).map_or_else(|refused| refused.codes(), |_| Vec::new())
}

#[test]
fn a_granted_run_is_allowed_and_names_its_grant() {
    let purposes = ["research".to_owned()];
    let mut late = grant();
    late.until_millis += 100;
    let request = Request {
        institution: institution(Role::Operator),
        action: Action::Run,
        resource: Resource::Product(product(&purposes, ProductKind::Aggregate, State::Approved)),
        grants: &[late, grant()],
        purpose: Some("research"),
        now_millis: NOW,
    };
    let authorised = authorise(&request, &SHIPPED).unwrap();
    assert_eq!((authorised.institution(), authorised.resource()), ("me", "risk"));
    assert_eq!((authorised.action(), authorised.purpose()), (Action::Run, Some("research")));
    assert_eq!(authorised.grants(), [1, 0]);
    assert_eq!(format!("{authorised:?}"), "Authorised { action: Run, .. }");
}

#[test]
fn grants_hold_for_their_purpose_period_state_and_number() {
    let with = |change: fn(&mut GrantFacts)| {
        let mut grant = grant();
        change(&mut grant);
        run_with(&[grant], Some("research"), |_| {})
    };
    assert!(with(|_| {}).is_empty());
    assert_eq!(run_with(&[], Some("research"), |_| {}), ["authorise/no-grant"]);
    assert_eq!(with(|g| g.institution = "other".into()), ["authorise/no-grant"]);
    assert_eq!(with(|g| g.product = "other".into()), ["authorise/no-grant"]);
    assert_eq!(with(|g| g.state = State::Suspended), ["authorise/grant-state"]);
    assert_eq!(with(|g| g.until_millis = NOW), ["authorise/grant-period"]);
    assert!(with(|g| g.from_millis = NOW).is_empty());
    assert_eq!(with(|g| g.from_millis = NOW + 1), ["authorise/grant-period"]);
    assert_eq!(with(|g| g.runs_left = Some(0)), ["authorise/grant-quota"]);
    assert!(with(|g| g.runs_left = None).is_empty());
    assert_eq!(with(|g| g.purposes = vec!["credit".into()]), ["authorise/grant-purpose"]);
    assert_eq!(run_with(&[grant()], None, |_| {}).len(), 2, "no purpose: neither the product's nor the grant's");
    assert!(run_with(&[grant()], Some("marketing"), |_| {}).contains(&"authorise/purpose"));
}

#[test]
fn two_half_grants_are_not_one() {
    let (mut past, mut other) = (grant(), grant());
    past.until_millis = NOW;
    other.purposes = vec!["credit".into()];
    assert_eq!(run_with(&[past, other], Some("research"), |_| {}), ["authorise/no-single-grant"]);
}

#[test]
fn states_and_kinds_stop_a_run_all_at_once() {
    let codes = run_with(&[], None, |request| {
        request.institution.state = State::Suspended;
        request.institution.role = Role::Business;
        let mut facts = product(&[], ProductKind::Verification, State::Suspended);
        facts.dataset_states = &[State::Approved, State::Retired];
        facts.version_states = &[State::Retired];
        facts.model_states = &[State::Submitted];
        request.resource = Resource::Product(facts);
    });
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "authorise/dataset-state",
            "authorise/institution-state",
            "authorise/model-state",
            "authorise/no-grant",
            "authorise/product-kind",
            "authorise/product-state",
            "authorise/purpose",
            "authorise/role",
            "authorise/version-state",
        ]
    );
}

#[test]
fn who_submits_never_approves() {
    let approve = |submitted_by| {
        let request = Request {
            institution: institution(Role::Authority),
            action: Action::ApproveModel,
            resource: Resource::Model(item("m", State::Submitted, submitted_by)),
            grants: &[],
            purpose: None,
            now_millis: NOW,
        };
        authorise(&request, &SHIPPED).map_or_else(|refused| refused.codes(), |_| Vec::new())
    };
    assert_eq!(approve("me"), ["authorise/own-submission"]);
    assert!(approve("them").is_empty());
}

#[test]
fn nobody_suspends_itself_and_only_a_holder_withdraws_its_own() {
    let ask = |role, action, resource| {
        let request =
            Request { institution: institution(role), action, resource, grants: &[], purpose: None, now_millis: NOW };
        authorise(&request, &SHIPPED).map_or_else(|refused| refused.codes(), |_| Vec::new())
    };
    let approved = |id, by| item(id, State::Approved, by);
    for action in [Action::Suspend, Action::End] {
        assert_eq!(
            ask(Role::Authority, action, Resource::Institution(approved("me", ""))),
            ["authorise/own-suspension"]
        );
        assert!(ask(Role::Authority, action, Resource::Institution(approved("them", ""))).is_empty());
    }
    let version = |by| Resource::Version(approved("d@1", by));
    assert!(ask(Role::Holder, Action::WithdrawDataset, version("me")).is_empty());
    assert!(ask(Role::Authority, Action::WithdrawDataset, version("them")).is_empty());
    assert_eq!(ask(Role::Holder, Action::WithdrawDataset, version("them")), ["authorise/not-yours"]);
    assert_eq!(ask(Role::Holder, Action::Suspend, version("me")), ["authorise/role"]);
    assert_eq!(
        ask(Role::Holder, Action::Resume, Resource::Version(item("d@1", State::Suspended, "me"))),
        ["authorise/role"]
    );
    let gone = Resource::Version(item("d@1", State::Retired, "me"));
    assert_eq!(ask(Role::Holder, Action::WithdrawDataset, gone), ["authorise/state"]);
    assert_eq!(ask(Role::Authority, Action::Resume, gone), ["authorise/state"]);
}

#[test]
fn consent_registers_and_agreements_are_asked_for() {
    let with = |change: fn(&mut ProductFacts<'_>)| {
        run_with(&[grant()], Some("research"), |request| {
            let Resource::Product(mut facts) = request.resource else { return };
            change(&mut facts);
            request.resource = Resource::Product(facts);
        })
    };
    assert!(with(|_| {}).is_empty());
    assert_eq!(with(|f| f.consented = false), ["authorise/consent"]);
    assert_eq!(with(|f| f.registers = &[Holding::Current, Holding::Missing]), ["authorise/register-missing"]);
    assert_eq!(with(|f| f.registers = &[Holding::Lapsed, Holding::Missing]).len(), 2);
    let mut without = grant();
    without.agreed = false;
    assert_eq!(run_with(&[without.clone()], Some("research"), |_| {}), ["authorise/agreement"]);
    let mut past = grant();
    past.until_millis = NOW;
    assert_eq!(run_with(&[without, past], Some("research"), |_| {}), ["authorise/no-single-grant"]);
}

#[test]
fn the_parts_of_the_authority_are_apart() {
    let ask = |office, divided, action| {
        let request = Request {
            institution: InstitutionFacts { office, divided, ..institution(Role::Authority) },
            action,
            resource: if action == Action::OpenEpoch {
                Resource::Dataset(item("d", State::Approved, "them"))
            } else {
                Resource::Domain
            },
            grants: &[],
            purpose: None,
            now_millis: NOW,
        };
        authorise(&request, &SHIPPED).map_or_else(|refused| refused.codes(), |_| Vec::new())
    };
    let parts = [
        (Office::System, Action::AddInstitution),
        (Office::Security, Action::OpenEpoch),
        (Office::Audit, Action::ReadAudit),
        (Office::Audit, Action::ArchiveAudit),
    ];
    for (office, _) in parts {
        for (whose, action) in parts {
            let expected: &[&str] = if office == whose { &[] } else { &["authorise/office"] };
            assert_eq!(ask(Some(office), true, action), expected, "{office:?} {action:?}");
        }
    }
    for (_, action) in parts {
        assert!(ask(None, false, action).is_empty());
        assert_eq!(ask(None, true, action), ["authorise/divided"]);
    }
}

#[test]
fn a_question_that_does_not_fit_the_schema_is_denied() {
    let codes = run_with(&[grant()], Some("research"), |request| request.resource = Resource::Domain);
    assert_eq!(codes, ["authorise/denied"]);
}

/// Everybody may see and manage what is its own, and only the authority what is not.
#[test]
fn ones_own_records_and_credentials() {
    for action in [Action::ReadInstitution, Action::ReadGrant, Action::ReadRun, Action::ManageCredential] {
        for role in ROLES {
            let ask = |id| {
                let request = Request {
                    institution: institution(role),
                    action,
                    resource: Resource::Institution(item(id, State::Approved, "")),
                    grants: &[],
                    purpose: None,
                    now_millis: NOW,
                };
                authorise(&request, &SHIPPED).map_or_else(|refused| refused.codes(), |_| Vec::new())
            };
            assert!(ask("me").is_empty(), "{role} {action:?}");
            let others = ask("other");
            assert_eq!(others.is_empty(), role == Role::Authority, "{role} {action:?}: {others:?}");
        }
    }
}

#[test]
fn refusals_of_a_run_in_both_languages() {
    let purposes = ["research".to_owned()];
    let mut facts = product(&purposes, ProductKind::Verification, State::Submitted);
    facts.dataset_states = &[State::Suspended];
    facts.model_states = &[State::Suspended];
    let mut past = grant();
    past.until_millis = 0;
    past.runs_left = Some(0);
    past.state = State::Suspended;
    let request = Request {
        institution: InstitutionFacts { state: State::Suspended, ..institution(Role::Business) },
        action: Action::Run,
        resource: Resource::Product(facts),
        grants: &[past],
        purpose: Some("marketing"),
        now_millis: NOW,
    };
    insta::assert_snapshot!("refused_run", told(&authorise(&request, &SHIPPED).unwrap_err()));
}

#[test]
fn policies_that_are_not_valid_cannot_be_built() {
    let schema = include_str!("../../src/cedar/yunei.cedarschema");
    let codes = |text: &str| Policies::parse(text, schema).map_or_else(|refused| refused.codes(), |_| Vec::new());
    assert_eq!(codes("permit (principal, action"), ["policies/malformed"]);
    assert_eq!(codes("permit (principal, action, resource) when { principal.rank == 3 };"), ["policies/invalid"]);
    // A forbid that does not explain itself, or with a code that nobody knows.
    assert_eq!(codes("forbid (principal, action, resource);"), ["policies/invalid"]);
    let unknown = "@code(\"a/b\") @zh(\"无\") @en(\"no\") @hint_zh(\"无\") @hint_en(\"no\") forbid (principal, action, resource);";
    assert_eq!(codes(unknown), ["policies/invalid"]);
    assert_eq!(codes(&"/".repeat(MAX_POLICY_BYTES + 1)), ["policies/malformed"]);
    assert_eq!(Policies::parse("", "entity {").unwrap_err().codes(), ["policies/malformed"]);
}

#[test]
fn no_policies_permit_nothing() {
    let schema = include_str!("../../src/cedar/yunei.cedarschema");
    let empty = Policies::parse("", schema).unwrap();
    let request = Request {
        institution: institution(Role::Authority),
        action: Action::ReadAudit,
        resource: Resource::Domain,
        grants: &[],
        purpose: None,
        now_millis: NOW,
    };
    assert_eq!(authorise(&request, &empty).unwrap_err().codes(), ["authorise/denied"]);
}

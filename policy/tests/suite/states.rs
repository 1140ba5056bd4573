//! Role × action × state: the table that reviewers read.

use std::fmt::Write;
use yunei_policy::authorise::*;
use yunei_policy::register::Holding;
use yunei_policy::words::{Office, Role, State};

const NOW: i64 = 1_000_000;
const STATES: [State; 5] = [State::Submitted, State::Declined, State::Approved, State::Suspended, State::Retired];

/// Who acts: the four roles, and the parts of a divided authority.
const ACTORS: [(&str, Role, Option<Office>); 7] = [
    ("holder", Role::Holder, None),
    ("operator", Role::Operator, None),
    ("business", Role::Business, None),
    ("authority", Role::Authority, None),
    ("system", Role::Authority, Some(Office::System)),
    ("security", Role::Authority, Some(Office::Security)),
    ("audit", Role::Authority, Some(Office::Audit)),
];

#[derive(Debug, Clone, Copy)]
enum On {
    Domain,
    Dataset,
    Version,
    Model,
    Product,
    Grant,
    Institution,
    Request,
}

/// What each action is done to, and whether the table shows it for one's own things too.
fn kinds(action: Action) -> (&'static [On], bool) {
    match action {
        Action::RegisterDataset | Action::SubmitModel | Action::SubmitProduct => (&[On::Domain], false),
        Action::ApproveDataset => (&[On::Dataset], true),
        Action::OpenEpoch => (&[On::Dataset], false),
        Action::WithdrawDataset => (&[On::Dataset, On::Version], true),
        Action::ApproveModel => (&[On::Model], true),
        Action::ApproveProduct => (&[On::Product], true),
        Action::AddGrant | Action::Run | Action::Verify | Action::Replay | Action::Consent => (&[On::Product], false),
        Action::ReadAudit
        | Action::ArchiveAudit
        | Action::ReadBudget
        | Action::ReadRegister
        | Action::AddInstitution => (&[On::Domain], false),
        Action::Suspend | Action::Resume | Action::End => {
            (&[On::Dataset, On::Version, On::Model, On::Product, On::Grant, On::Institution], false)
        }
        Action::Decline => (&[On::Dataset, On::Model, On::Product, On::Institution], false),
        Action::Renew => (&[On::Dataset, On::Product, On::Grant], false),
        Action::AdmitInstitution => (&[On::Institution], true),
        Action::FileRequest => (&[On::Dataset], false),
        Action::AnswerRequest | Action::ReadRequest => (&[On::Request], false),
        Action::Connect | Action::ReadCatalogue | Action::ChangePolicy => (&[On::Domain], false),
        Action::ReadInstitution | Action::ReadGrant | Action::ReadRun => (&[On::Domain, On::Institution], false),
        Action::ManageCredential => (&[On::Institution], false),
        Action::ReadResult => (&[On::Product], false),
    }
}

fn answer(action: Action, on: On, state: State, by: &'static str, actor: (&str, Role, Option<Office>)) -> String {
    let purposes = ["research".to_owned()];
    let holders = ["me".to_owned()];
    let item = ItemFacts { id: "thing", state, submitted_by: by };
    let resource = match on {
        On::Domain => Resource::Domain,
        On::Dataset => Resource::Dataset(item),
        On::Version => Resource::Version(item),
        On::Model => Resource::Model(item),
        On::Grant => Resource::Grant(item),
        On::Institution => Resource::Institution(item),
        On::Request => {
            Resource::Request(RequestFacts { item, holder: if actor.1 == Role::Holder { "me" } else { "them" } })
        }
        On::Product => Resource::Product(ProductFacts {
            item,
            kind: if action == Action::Verify { ProductKind::Verification } else { ProductKind::Aggregate },
            purposes: &purposes,
            dataset_states: &[State::Approved],
            version_states: &[State::Approved],
            model_states: &[State::Approved],
            holders: &holders,
            consented: true,
            registers: &[Holding::Current],
        }),
    };
    let grant = GrantFacts {
        institution: "me".into(),
        product: "thing".into(),
        purposes: purposes.to_vec(),
        from_millis: 0,
        until_millis: NOW + 1,
        state: State::Approved,
        runs_left: None,
        agreed: true,
    };
    let (_, role, office) = actor;
    let request = Request {
        institution: InstitutionFacts { id: "me", role, state: State::Approved, office, divided: office.is_some() },
        action,
        resource,
        grants: &[grant],
        purpose: Some("research"),
        now_millis: NOW,
    };
    match authorise(&request, &SHIPPED) {
        Ok(_) => "yes".to_owned(),
        Err(refused) => {
            let mut codes: Vec<_> = refused.codes().iter().map(|c| c.replace("authorise/", "")).collect();
            codes.dedup();
            codes.join("+")
        }
    }
}

static SHIPPED: std::sync::LazyLock<Policies> = std::sync::LazyLock::new(Policies::default);

#[test]
fn role_by_action_by_state() {
    let mut table = String::new();
    write!(table, "{:<17}{:<12}{:<6}{:<11}", "action", "on", "whose", "state").unwrap();
    for (name, ..) in ACTORS {
        write!(table, "{name:<36}").unwrap();
    }
    table.truncate(table.trim_end().len());
    table.push('\n');
    for action in Action::ALL {
        let (kinds, own) = kinds(action);
        for on in kinds {
            let states: &[State] = if matches!(on, On::Domain) { &STATES[2..3] } else { &STATES };
            for by in if own { &["other", "own"][..] } else { &["other"] } {
                for state in states {
                    let shown = if matches!(on, On::Domain) { "-".to_owned() } else { state.to_string() };
                    write!(table, "{:<17}{:<12}{by:<6}{shown:<11}", action.as_str(), format!("{on:?}")).unwrap();
                    for actor in ACTORS {
                        let by = if *by == "own" { "me" } else { "them" };
                        write!(table, "{:<36}", answer(action, *on, *state, by, actor)).unwrap();
                    }
                    table.truncate(table.trim_end().len());
                    table.push('\n');
                }
            }
        }
    }
    insta::assert_snapshot!("role_by_action_by_state", table);
}

/// The laws behind the table: who hands in never approves, nothing that is not in use is used, and no part of a divided
/// authority can do what another can, but for what both are given.
#[test]
fn the_laws_of_the_table() {
    for action in Action::ALL {
        let (kinds, _) = kinds(action);
        for on in kinds {
            for state in STATES {
                let yes = |by, actor| answer(action, *on, state, by, actor) == "yes";
                if matches!(
                    action,
                    Action::ApproveDataset | Action::ApproveModel | Action::ApproveProduct | Action::AdmitInstitution
                ) {
                    assert!(ACTORS.iter().all(|a| !yes("me", *a)), "{action:?} of one's own");
                }
                if matches!(action, Action::Run | Action::Verify | Action::AddGrant) && state != State::Approved {
                    assert!(ACTORS.iter().all(|a| !yes("them", *a)), "{action:?} of what is {state}");
                }
                let parts = ACTORS[4..].iter().filter(|a| yes("them", **a)).count();
                let shared = action.as_str().starts_with("Read") && action != Action::ReadAudit
                    || matches!(action, Action::FileRequest | Action::Connect);
                assert!(parts <= 1 || shared, "{action:?} on {on:?} {state}: {parts} parts");
            }
        }
    }
}

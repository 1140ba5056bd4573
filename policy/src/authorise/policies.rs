//! Policies that were read, validated against their schema, and whose every forbid explains itself.

use crate::refusal::{Refusal, Refused};
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// The shipped policies and their schema.
const SHIPPED: (&str, &str) = (include_str!("../cedar/yunei.cedar"), include_str!("../cedar/yunei.cedarschema"));

/// The longest text of policies or schema, in bytes.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;

/// The codes that a forbid may carry: programs match on them, so that a policy cannot invent one.
const CODES: &[&str] = &[
    "authorise/denied",
    "authorise/institution-state",
    "authorise/role",
    "authorise/own-submission",
    "authorise/not-yours",
    "authorise/own-suspension",
    "authorise/office",
    "authorise/divided",
    "authorise/consent",
    "authorise/register-missing",
    "authorise/register-lapsed",
    "authorise/agreement",
    "authorise/request-state",
    "authorise/dataset-state",
    "authorise/version-state",
    "authorise/model-state",
    "authorise/product-state",
    "authorise/state",
    "authorise/product-kind",
    "authorise/purpose",
    "authorise/no-grant",
    "authorise/grant-state",
    "authorise/grant-period",
    "authorise/grant-purpose",
    "authorise/grant-quota",
    "authorise/no-single-grant",
];

/// Validated policies.
///
/// INVARIANT: the set passed Cedar's strict validation against `schema`, and every forbid has a code of the known ones and
/// its texts in both languages.
pub struct Policies {
    set: PolicySet,
    schema: Schema,
    /// Each forbid with its position in the text, so that reasons come in the order of the text.
    refusals: HashMap<PolicyId, (usize, Refusal)>,
    text: String,
}

impl Policies {
    /// Reads and validates policies against a schema.
    ///
    /// # Errors
    /// `policies/malformed` where a text does not parse or is too long, `policies/invalid` for each policy that does not
    /// fit the schema or does not explain itself.
    pub fn parse(policies: &str, schema: &str) -> Result<Self, Refused> {
        if policies.len() > MAX_POLICY_BYTES || schema.len() > MAX_POLICY_BYTES {
            return Err(malformed("too long").into());
        }
        let set = PolicySet::from_str(policies).map_err(|e| malformed(&e.to_string()))?;
        let text = format!("{policies}\n// ---- schema ----\n{schema}");
        let (schema, _) = Schema::from_cedarschema_str(schema).map_err(|e| malformed(&e.to_string()))?;
        let validator = Validator::new(schema.clone());
        let result = validator.validate(&set, ValidationMode::Strict);
        let mut reasons: Vec<Refusal> = result.validation_errors().map(|e| invalid(&e.to_string())).collect();
        let mut refusals = HashMap::new();
        for policy in set.policies().filter(|p| p.effect() == Effect::Forbid) {
            match explained(policy) {
                Some(refusal) => {
                    refusals.insert(policy.id().clone(), (position(policy.id()), refusal));
                }
                None => reasons.push(invalid(&format!("{}: @code, @zh, @en, @hint_zh and @hint_en", policy.id()))),
            }
        }
        Refused::unless(reasons, Self { set, schema, refusals, text })
    }

    /// Policies and schema as they were parsed: what a digest is made over.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn set(&self) -> &PolicySet {
        &self.set
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What the forbids among these policies say, in the order of the text.
    pub(super) fn refusals<'i>(&self, ids: impl Iterator<Item = &'i PolicyId>) -> Vec<Refusal> {
        let mut found: Vec<_> = ids.filter_map(|id| self.refusals.get(id)).collect();
        found.sort_by_key(|(position, _)| *position);
        found.into_iter().map(|(_, refusal)| refusal.clone()).collect()
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self::parse(SHIPPED.0, SHIPPED.1).expect("the shipped policies are tested to be valid")
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").field("policies", &self.set.policies().count()).finish_non_exhaustive()
    }
}

/// Cedar numbers the policies of a text: `policy0`, `policy1`, …
fn position(id: &PolicyId) -> usize {
    id.to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

fn explained(policy: &Policy) -> Option<Refusal> {
    let note = |name: &str| policy.annotation(name).filter(|text| !text.is_empty());
    let code = note("code")?;
    let code = CODES.iter().copied().find(|known| *known == code)?;
    Some(Refusal::new(code, note("zh")?, note("en")?).hint(note("hint_zh")?, note("hint_en")?))
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(
        "policies/malformed",
        format!("策略文件无法解析：{why}"),
        format!("the policies cannot be read: {why}"),
    )
}

fn invalid(why: &str) -> Refusal {
    Refusal::new("policies/invalid", format!("策略不符合约定：{why}"), format!("a policy is not valid: {why}"))
}

//! What is sent.

use super::{Office, RequestKind, RequestOutcome, Role, StateAction, Text};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// More items than the rules of any domain allow in a batch.
const MAX_ITEMS: usize = 1_000;

/// A change of state.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateChange {
    /// What is to be done.
    pub action: StateAction,
    /// Why, for those concerned; needed for everything but an approval. Without numbers of persons or firms.
    #[serde(default)]
    pub reason: String,
}

/// A withdrawal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// Why, for those concerned.
    pub reason: String,
}

/// A dataset that is registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDataset {
    /// The catalogue entry, TOML. Its `files` are relative paths under the server's data folder.
    pub entry: String,
}

/// The manifest of a product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestText {
    /// The manifest, TOML.
    pub manifest: String,
}

/// Policies.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesText {
    /// All the policies, in Cedar.
    pub policies: String,
}

/// A model that is checked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCheck {
    /// The manifest, TOML.
    pub manifest: String,
    /// The module, binary or text, base64.
    pub module: String,
}

/// A model that is handed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSubmission {
    /// The manifest, TOML.
    pub manifest: String,
    /// The module, binary or text, base64.
    pub module: String,
    /// Its author's signature.
    pub envelope: Envelope,
}

/// A DSSE envelope around an in-toto statement.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// `application/vnd.in-toto+json`.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The statement, base64.
    pub payload: String,
    /// At least one of a registered key.
    pub signatures: Vec<Signature>,
}

/// A signature of an envelope.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The SHA-256 of the public key.
    pub keyid: String,
    /// Ed25519 over the pre-authentication encoding, base64.
    pub sig: String,
}

/// A grant that is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// To whom.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what; all the product's purposes where none is named.
    #[serde(default)]
    pub purposes: Vec<String>,
    /// For how many days from now, 1 to 1830.
    #[schema(minimum = 1, maximum = 1830)]
    pub days: u32,
    /// At most how many uses.
    #[schema(minimum = 0)]
    pub max_runs: Option<u64>,
    /// The agreement that it rests on; it can be recorded later, and until then the grant bears no use.
    pub agreement: Option<NewAgreement>,
}

/// An agreement (安全承诺书、开放利用协议) that a grant rests on, from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgreement {
    /// SHA-256 of its document: 64 lower-case hexadecimal digits.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: String,
    /// For how many days from now; at most five years.
    #[schema(minimum = 1, maximum = 1826)]
    pub days: u32,
}

/// An institution that is added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstitution {
    /// Its id: lower-case letters, digits and hyphens.
    pub id: String,
    /// What it does.
    pub role: Role,
    /// Its name.
    pub title: Text,
    /// Its part of the authority's staff (三员分立); of the authority alone.
    pub office: Option<Office>,
}

/// A token that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is to be; the caller's where nothing is said.
    pub institution: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// Any of `read`, `submit`, `use`, `approve`, `audit`, `admin`, as far as the caller's token has them.
    pub scopes: Vec<String>,
    /// For how many days, 1 to 400.
    #[schema(minimum = 1, maximum = 400)]
    pub days: u32,
    /// SHA-256 of the client certificate that has to come with it.
    pub certificate: Option<String>,
}

/// A key that models are signed with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Whose it is; the caller's where nothing is said.
    pub institution: Option<String>,
    /// The public key: the 32 bytes of Ed25519, base64.
    pub public_key: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
}

/// A run that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The product.
    pub product: String,
    /// Its parameters: texts, numbers, truth values.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: BTreeMap<String, Value>,
    /// What for.
    pub purpose: String,
}

/// A verification that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVerification {
    /// The product.
    pub product: String,
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed value, where the product takes one.
    pub claim: Option<String>,
    /// The claimed values by column, where it takes several.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// What for.
    pub purpose: String,
    /// In which scene, in the business's own words.
    pub scene: Option<String>,
    /// The business's own serial number: the same one with the same question gives the same answer again, uncharged.
    pub serial: Option<String>,
    /// The subject's consent, a compact JWS.
    pub consent: Option<String>,
}

/// Many subjects, one product. Each item is charged, guarded, recorded and answered as if it were asked alone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// The product; it has to be approved for batches.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// In which scene, in the business's own words.
    pub scene: Option<String>,
    /// The subjects.
    #[schema(min_items = 1, max_items = 1000)]
    #[serde(deserialize_with = "bounded")]
    pub items: Vec<BatchItem>,
}

/// As many items as the largest batch may have, and one more where there are more: a long list of tiny items would take many
/// times its own length.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BatchItem>, D::Error> {
    struct Items;

    impl<'de> Visitor<'de> for Items {
        type Value = Vec<BatchItem>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() <= MAX_ITEMS {
                match list.next_element()? {
                    Some(item) => items.push(item),
                    None => return Ok(items),
                }
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items)
}

/// One subject of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed values by column.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// The business's own serial number of this item.
    pub serial: Option<String>,
    /// The subject's consent, a compact JWS.
    pub consent: Option<String>,
}

/// A subject that asks who asked about it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectProof {
    /// Whether it is a legal person.
    #[serde(default)]
    pub legal_person: bool,
    /// Its number.
    pub number: String,
    /// The proof: a consent over the field `number` for `asked-about-me`, a compact JWS.
    pub consent: String,
}

/// A business whose stop is lifted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// The business.
    pub institution: String,
    /// For which product.
    pub product: String,
}

/// How many rows of an index are looked up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexSample {
    /// About so many.
    #[schema(minimum = 1, maximum = 1000000)]
    pub sample: u64,
}

/// Who may sign consents.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIssuer {
    /// The id of its key (`kid`).
    pub id: String,
    /// Its name.
    pub title: Text,
    /// Its public key, Ed25519 or P-256, PEM.
    pub public_key: String,
}

/// Whether the tokens of an issuer count.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerChange {
    /// What is to be done.
    pub action: IssuerAction,
}

/// What may be done to an issuer of consents.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IssuerAction {
    /// Its tokens count no more.
    Suspend,
    /// They count again.
    Resume,
}

/// A holder's word on a product over its datasets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConsent {
    /// Whether it consents. A consent that is taken back is in force at once.
    pub given: bool,
    /// Why; needed where it is refused.
    #[serde(default)]
    pub reason: String,
}

/// A submission that is declined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    /// Everything that speaks against it, at once.
    #[schema(min_items = 1, max_items = 100)]
    pub reasons: Vec<String>,
}

/// A data subject's request (异议、校核).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// What is asked for.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: String,
    /// The data subject's number, as the dataset knows it. Only a salted commitment to it is kept.
    pub subject: String,
    /// What is said.
    pub details: String,
}

/// More time for an answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Why.
    pub reason: String,
}

/// The holder's answer to a data subject.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequestAnswer {
    /// How the request ended.
    pub outcome: RequestOutcome,
    /// The answer.
    pub answer: String,
    /// The version with the corrected data; of a correction alone.
    #[schema(minimum = 1)]
    pub corrected_version: Option<u64>,
}

/// A replay that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReplay {
    /// Under the rules and policies of the day of the run, where others are in force now.
    #[serde(default)]
    pub recorded_policy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_batch_is_read_to_its_end_and_not_kept() {
        let of = |n: usize| {
            format!("{{\"product\":\"p\",\"purpose\":\"q\",\"items\":[{}]}}", vec!["{\"identity\":{}}"; n].join(","))
        };
        for (sent, kept) in [(0, 0), (1, 1), (1_000, 1_000), (1_001, 1_001), (50_000, 1_001)] {
            assert_eq!(serde_json::from_str::<NewBatch>(&of(sent)).unwrap().items.len(), kept);
        }
        assert!(serde_json::from_str::<NewBatch>(&of(2_000).replace("]}", "")).is_err());
        assert!(serde_json::from_str::<NewBatch>("{\"product\":\"p\",\"purpose\":\"q\",\"items\":{}}").is_err());
    }
}

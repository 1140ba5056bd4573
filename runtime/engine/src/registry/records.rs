//! What the registry keeps of institutions, datasets, models, products and grants.

use super::digest::Digest;
use crate::catalogue::FileEntry;
use yunei_policy::words::{Office, Role, State, Text};

/// An institution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Institution {
    /// Its id.
    pub id: String,
    /// What it does.
    pub role: Role,
    /// Its name.
    pub title: Text,
    /// Where it stands.
    pub state: State,
    /// Its part of the authority's staff.
    pub office: Option<Office>,
    /// Which institution entered it; `None` for those of a new home.
    pub added_by: Option<String>,
}

/// An institution that is to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewInstitution<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it does.
    pub role: Role,
    /// Its name.
    pub title: &'a Text,
    /// Its part of the authority's staff.
    pub office: Option<Office>,
    /// Which institution enters it.
    pub added_by: Option<&'a str>,
    /// Where it stands then: `submitted` or `approved`.
    pub state: State,
}

/// A dataset that is to be registered: its entry and a version of its files.
#[derive(Debug, Clone, Copy)]
pub struct NewDataset<'a> {
    /// Its entry.
    pub spec: &'a crate::catalogue::DatasetSpec,
    /// Its files, checked against this entry.
    pub surveyed: &'a crate::catalogue::Surveyed,
    /// Which institution hands it in.
    pub submitted_by: &'a str,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its id.
    pub id: String,
    /// The digest of its current entry.
    pub spec_digest: Digest,
    /// Its current entry.
    pub spec_toml: String,
    /// Which institution handed it in.
    pub submitted_by: String,
    /// Where it stands.
    pub state: State,
    /// The epoch that its budgets are kept for; counts from 1.
    pub epoch: u64,
    /// The number of its newest version; counts from 1.
    pub newest: u64,
}

/// An immutable version of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetVersion {
    /// The dataset's id.
    pub dataset: String,
    /// Counts from 1.
    pub number: u64,
    /// The digest of the entry that the files were checked against.
    pub spec_digest: Digest,
    /// That entry.
    pub spec_toml: String,
    /// The files.
    pub files: Vec<FileEntry>,
    /// How many rows there are in all.
    pub rows: u64,
    /// When it was registered.
    pub registered_at: i64,
}

/// A model that is handed in. Its files are in the file store already.
#[derive(Debug, Clone, Copy)]
pub struct NewModel<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The digest of its manifest.
    pub manifest_digest: Digest,
    /// The digest of its module.
    pub wasm_digest: Digest,
    /// What the static verifier found, as JSON.
    pub report: &'a str,
    /// Which institution hands it in.
    pub submitted_by: &'a str,
}

/// A model at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The digest of its manifest.
    pub manifest_digest: Digest,
    /// The digest of its module.
    pub wasm_digest: Digest,
    /// What the static verifier found, as JSON.
    pub report: String,
    /// Which institution handed it in.
    pub submitted_by: String,
    /// Where it stands.
    pub state: State,
}

/// A product that is handed in. Its TOML is in the file store already.
#[derive(Debug, Clone, Copy)]
pub struct NewProduct<'a> {
    /// Its id.
    pub id: &'a str,
    /// The digest of its TOML.
    pub toml_digest: Digest,
    /// The fields of its header, as JSON.
    pub header: &'a str,
    /// Which institution hands it in.
    pub submitted_by: &'a str,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: String,
    /// The digest of its TOML.
    pub toml_digest: Digest,
    /// The fields of its header, as JSON.
    pub header: String,
    /// Which institution handed it in.
    pub submitted_by: String,
    /// Where it stands.
    pub state: State,
}

/// A grant that the authority gives: it is approved from the start.
#[derive(Debug, Clone, Copy)]
pub struct NewGrant<'a> {
    /// Its id.
    pub id: &'a str,
    /// To which institution.
    pub institution: &'a str,
    /// For which product.
    pub product: &'a str,
    /// For which purposes; at least one.
    pub purposes: &'a [String],
    /// From when, included.
    pub from_millis: i64,
    /// Until when, excluded; later than `from_millis`.
    pub until_millis: i64,
    /// At most how many runs; `None` for as many as the budgets bear.
    pub max_runs: Option<u64>,
    /// The digest of the agreement that it rests on.
    pub agreement_digest: Option<Digest>,
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// To which institution.
    pub institution: String,
    /// For which product.
    pub product: String,
    /// For which purposes.
    pub purposes: Vec<String>,
    /// From when, included.
    pub from_millis: i64,
    /// Until when, excluded.
    pub until_millis: i64,
    /// At most how many runs.
    pub max_runs: Option<u64>,
    /// How many runs were charged.
    pub used_runs: u64,
    /// The digest of the agreement that it rests on.
    pub agreement_digest: Option<Digest>,
    /// Where it stands.
    pub state: State,
}

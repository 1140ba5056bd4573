//! What is shown of things: plain values that serialise, made of public knowledge only.

use crate::catalogue::{ColumnSpec, ColumnType, Domain};
use crate::dates::format_date;
use serde::{Deserialize, Serialize};
use yunei_policy::Text;
use yunei_policy::clear::{Clearance, HalfWidth};
use yunei_policy::facts::Literal;
use yunei_policy::words::{ReleaseClass, Role, State, UnitKind};

/// An institution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstitutionView {
    /// Its id.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// Its name.
    pub title: Text,
    /// Where it stands.
    pub state: State,
}

/// A dataset as the catalogue shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatasetView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: Text,
    /// Who provides it.
    pub provider: String,
    /// Where it stands.
    pub state: State,
    /// How its aggregates may leave.
    pub release: ReleaseClass,
    /// Whom its rows are about.
    pub unit: UnitKind,
    /// The newest version.
    pub version: u64,
    /// Rows of that version.
    pub rows: u64,
    /// The budget epoch.
    pub epoch: u64,
    /// Its columns.
    pub columns: Vec<ColumnView>,
}

/// A column as the catalogue shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says about its unit.
    pub class: String,
    /// What it may be used for.
    pub usages: Vec<String>,
    /// What it means, for people.
    #[serde(default)]
    pub meaning: Option<Text>,
    /// Declared bounds.
    pub bounds: Option<(f64, f64)>,
    /// The same as a query writes them: dates as `YYYY-MM-DD`.
    #[serde(default)]
    pub range: Option<(String, String)>,
    /// How many values its declared domain has.
    pub values: Option<usize>,
    /// The first of them, in the declared order: at most [`MAX_LISTED`].
    #[serde(default)]
    pub listed: Vec<String>,
}

/// At most how many values of a declared domain a column lists.
pub const MAX_LISTED: usize = 100;

impl ColumnView {
    /// A column of the catalogue; what is declared alone, nothing of the data.
    pub(crate) fn of(column: &ColumnSpec) -> Self {
        let bounds = column.interval().map(|i| (i.lo(), i.hi()));
        let spelled = |end: f64| match column.column_type() {
            // Days since 1970: whole, within the calendar of the catalogue.
            ColumnType::Date32 => format_date(end as i32),
            _ => end.to_string(),
        };
        let listed = column.domain().map(Domain::literals).unwrap_or_default();
        Self {
            name: column.name().to_owned(),
            kind: column.column_type().to_string(),
            class: serde_json::to_value(column.class())
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
            usages: column.usages().iter().map(|u| u.as_str().to_owned()).collect(),
            meaning: column.meaning().cloned(),
            bounds,
            range: bounds.map(|(lo, hi)| (spelled(lo), spelled(hi))),
            values: column.domain().map(Domain::len),
            listed: listed.into_iter().take(MAX_LISTED).map(listed_value).collect(),
        }
    }
}

fn listed_value(value: Literal) -> String {
    match value {
        Literal::Date(days) => format_date(days),
        Literal::Text(text) => text,
        Literal::Int(number) => number.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A model as the registry shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelView {
    /// `id@version`.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Who handed it in.
    pub submitted_by: String,
    /// SHA-256 of the module.
    pub module: String,
    /// What the verifier says of it.
    pub report: serde_json::Value,
}

/// A product as the registry shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductView {
    /// Its id.
    pub id: String,
    /// `aggregate` or `verification`.
    pub kind: String,
    /// Its title.
    pub title: Text,
    /// What it may be used for.
    pub purposes: Vec<String>,
    /// The datasets it reads.
    pub datasets: Vec<String>,
    /// The models it uses.
    pub models: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// Who handed it in.
    pub submitted_by: String,
}

/// A grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantView {
    /// Its id.
    pub id: String,
    /// To whom.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what.
    pub purposes: Vec<String>,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// At most how many uses.
    pub max_runs: Option<u64>,
    /// How many uses there were.
    pub used_runs: u64,
    /// Where it stands.
    pub state: State,
}

/// What a check of a product or model says before anything is submitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkup {
    /// The id.
    pub id: String,
    /// `model`, `aggregate` or `verification`.
    pub kind: String,
    /// The verifier's report, of a model.
    pub report: Option<serde_json::Value>,
    /// The report as a text for people, of a model.
    pub report_text: Option<String>,
    /// The release class, of a product.
    pub class: Option<ReleaseClass>,
    /// ε of one run.
    pub epsilon: Option<f64>,
    /// δ of the same statement.
    pub delta: Option<f64>,
    /// ρ of one run.
    pub rho: Option<f64>,
    /// The columns of the result.
    pub columns: Vec<String>,
    /// The error to expect of each released number.
    pub expected: Vec<Expected>,
    /// What the time of a run can tell, of an aggregate product.
    #[serde(default)]
    pub timing: Option<crate::TimingView>,
}

/// The error to expect of a released number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expected {
    /// The aggregate.
    pub aggregate: String,
    /// Half the width of the 95 % interval.
    pub half_width: Option<f64>,
    /// The same for means: divide by the number of rows in the cell.
    pub half_width_times_rows: Option<f64>,
}

impl Checkup {
    pub(super) fn of_model(checked: &super::CheckedModel) -> Self {
        let (manifest, report) = (&checked.manifest, checked.verified.report());
        Self {
            id: format!("{}@{}", manifest.id(), manifest.version()),
            kind: "model".to_owned(),
            report: serde_json::to_value(report).ok(),
            report_text: Some(report.to_string()),
            class: None,
            epsilon: None,
            delta: None,
            rho: None,
            columns: Vec::new(),
            expected: Vec::new(),
            timing: None,
        }
    }

    pub(super) fn of_clearance(id: &str, clearance: &Clearance, columns: Vec<String>) -> Self {
        let expected = clearance.expected().iter().map(|e| {
            let (half_width, half_width_times_rows) = match e.half_width() {
                HalfWidth::Absolute(width) => (Some(width), None),
                HalfWidth::OverRows(width) => (None, Some(width)),
            };
            Expected { aggregate: e.text().to_owned(), half_width, half_width_times_rows }
        });
        Self {
            id: id.to_owned(),
            kind: "aggregate".to_owned(),
            report: None,
            report_text: None,
            class: Some(clearance.class()),
            epsilon: Some(clearance.epsilon()),
            delta: Some(clearance.delta()),
            rho: Some(clearance.charge().rho.to_f64()),
            columns,
            expected: expected.collect(),
            timing: None,
        }
    }
}

//! The story as one JSON document.

use serde::Serialize;
use serde_json::Value;
use yunei_policy::Lang;

use super::Stop;

/// How a leak ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Held {
    /// The domain said no.
    Refused,
    /// It ran and told nothing.
    Neutralised,
    /// It was not held.
    Leaked,
}

/// One step of the ordinary way.
#[derive(Debug, Default, Serialize)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) outcome: String,
    pub(super) as_expected: bool,
    pub(super) codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epsilon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<Value>,
}

/// One attempt to carry something out.
#[derive(Debug, Serialize)]
pub(super) struct Leak {
    pub(super) name: &'static str,
    pub(super) attempt: String,
    pub(super) plain_engine: String,
    pub(super) outcome: Held,
    pub(super) codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runs_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Audit {
    entries: u64,
    root: String,
    receipts_verified: u64,
}

/// Everything that happened.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    ok: bool,
    rows: u64,
    steps: Vec<Step>,
    leaks: Vec<Leak>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Audit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

impl Report {
    pub(super) fn new(rows: u64) -> Self {
        Self { ok: false, rows, steps: Vec::new(), leaks: Vec::new(), audit: None, errors: Vec::new() }
    }

    /// A step that did what it should.
    pub(super) fn done(&mut self, name: &str, outcome: &str) {
        self.step(Step { name: name.to_owned(), outcome: outcome.to_owned(), as_expected: true, ..Step::default() });
    }

    pub(super) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn leak(&mut self, leak: Leak) {
        self.leaks.push(leak);
    }

    pub(super) fn audited(&mut self, entries: u64, root: String, receipts_verified: u64) {
        self.audit = Some(Audit { entries, root, receipts_verified });
    }

    pub(super) fn stopped(&mut self, stop: &Stop, lang: Lang) {
        self.errors = stop.texts(lang);
    }

    /// How many leaks were held, and how many tried.
    pub(super) fn leaks_held(&self) -> (usize, usize) {
        (self.leaks.iter().filter(|l| l.outcome != Held::Leaked).count(), self.leaks.len())
    }

    /// Whether every step and every leak ended as it must.
    pub(super) fn is_as_it_should_be(&self) -> bool {
        let (held, tried) = self.leaks_held();
        tried >= 8 && held == tried && self.audit.is_some() && self.steps.iter().all(|s| s.as_expected)
    }

    pub(super) fn close(&mut self, code: u8) {
        self.ok = code == 0;
    }
}

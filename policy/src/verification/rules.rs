//! The numbers of verification.

use serde::Deserialize;

/// Rules of verification. A rule file without the section has the shipped ones.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerificationRules {
    business_per_day: u64,
    product_per_day: u64,
    subject_per_day: u64,
    subject_no_match: u64,
    window_days: u32,
    least_asks: u64,
    slow_percent: u32,
    stop_percent: u32,
    canaries: u64,
    neighbours: u64,
    slow_millis: u32,
    quantum_millis: u32,
    batch_items: u32,
    consent_days: u32,
    consent_uses: u32,
}

impl Default for VerificationRules {
    fn default() -> Self {
        Self {
            business_per_day: 200_000,
            product_per_day: 1_000_000,
            subject_per_day: 20,
            subject_no_match: 5,
            window_days: 30,
            least_asks: 16,
            slow_percent: 35,
            stop_percent: 50,
            canaries: 3,
            neighbours: 5,
            slow_millis: 1_000,
            quantum_millis: 5,
            batch_items: 1_000,
            consent_days: 90,
            consent_uses: 100,
        }
    }
}

impl VerificationRules {
    /// At most how many verifications a business asks in a day, over all products.
    pub fn business_per_day(&self) -> u64 {
        self.business_per_day
    }
    /// At most how many a product answers in a day, over all businesses.
    pub fn product_per_day(&self) -> u64 {
        self.product_per_day
    }
    /// At most how many are about one subject in a day, over all businesses and products.
    pub fn subject_per_day(&self) -> u64 {
        self.subject_per_day
    }
    /// At most how many answers other than `match` one subject has in the window, over all businesses and products.
    pub fn subject_no_match(&self) -> u64 {
        self.subject_no_match
    }
    /// How many days, today included, the counts of a business and of a subject look back.
    pub fn window_days(&self) -> u32 {
        self.window_days
    }
    /// From how many questions on the share of `no_match` counts.
    pub fn least_asks(&self) -> u64 {
        self.least_asks
    }
    /// The share of `no_match`, in percent, from which on answers are slowed down.
    pub fn slow_percent(&self) -> u32 {
        self.slow_percent
    }
    /// The share of `no_match`, in percent, from which on a business is stopped.
    pub fn stop_percent(&self) -> u32 {
        self.stop_percent
    }
    /// How many questions about canaries stop a business.
    pub fn canaries(&self) -> u64 {
        self.canaries
    }
    /// How many questions about neighbouring numbers stop a business, where they are more than a fifth.
    pub fn neighbours(&self) -> u64 {
        self.neighbours
    }
    /// By how much a slowed answer is held back, milliseconds.
    pub fn slow_millis(&self) -> u32 {
        self.slow_millis
    }
    /// The quantum at whose ticks answers leave, milliseconds.
    pub fn quantum_millis(&self) -> u32 {
        self.quantum_millis
    }
    /// At most how many items a batch has.
    pub fn batch_items(&self) -> u32 {
        self.batch_items
    }
    /// At most how many days a consent holds.
    pub fn consent_days(&self) -> u32 {
        self.consent_days
    }
    /// At most how many uses a consent may be given for.
    pub fn consent_uses(&self) -> u32 {
        self.consent_uses
    }

    /// Every number with its place and the outer bounds that it must lie in.
    pub(crate) fn bounds(&self) -> [(&'static str, u64, u64, u64); 15] {
        [
            ("verification.business_per_day", self.business_per_day, 1, 1_000_000_000),
            ("verification.product_per_day", self.product_per_day, 1, 1_000_000_000),
            ("verification.subject_per_day", self.subject_per_day, 1, 1_000_000_000),
            ("verification.subject_no_match", self.subject_no_match, 1, 1_000_000_000),
            ("verification.window_days", self.window_days.into(), 1, 366),
            ("verification.least_asks", self.least_asks, 4, 1_000_000),
            ("verification.slow_percent", self.slow_percent.into(), 1, 100),
            ("verification.stop_percent", self.stop_percent.into(), 1, 100),
            ("verification.canaries", self.canaries, 1, 1_000),
            ("verification.neighbours", self.neighbours, 2, 1_000_000),
            ("verification.slow_millis", self.slow_millis.into(), 0, 60_000),
            ("verification.quantum_millis", self.quantum_millis.into(), 1, 1_000),
            ("verification.batch_items", self.batch_items.into(), 1, 1_000),
            ("verification.consent_days", self.consent_days.into(), 1, 90),
            ("verification.consent_uses", self.consent_uses.into(), 1, 10_000),
        ]
    }
}

//! Registers: how long something holds, what lapses, and until when somebody has to act.

mod directory;
mod retention;

pub use directory::{Category, Directory, Elements, MAX_DIRECTORY_TEXT, PriceClass};

use crate::refusal::{Refusal, Refused};
use crate::workdays::{Calendar, MAX_WORKING_DAYS, add_years};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The shipped settings.
const SHIPPED: &str = include_str!("register.toml");
/// The longest settings, in bytes.
pub const MAX_REGISTER_BYTES: usize = 256 * 1024;

/// The settings of registers, terms and deadlines.
///
/// INVARIANT: every number lies inside the bounds that [`RegisterRules::parse`] checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRules {
    text: String,
    file: RegisterFile,
    calendar: Calendar,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterFile {
    registration: RegistrationRules,
    consent: ConsentRules,
    agreement: AgreementRules,
    /// Homes of earlier versions do not name it.
    #[serde(default)]
    retention: retention::RetentionRules,
    warning: WarningRules,
    deadlines: Deadlines,
    calendar: CalendarFile,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationRules {
    prefix: String,
    years: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentRules {
    required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgreementRules {
    required: bool,
    most_years: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WarningRules {
    days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deadlines {
    materials: u32,
    institution: u32,
    dataset: u32,
    model: u32,
    consent: u32,
    product: u32,
    request: u32,
    request_extended: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarFile {
    offset_minutes: i64,
    holidays: Vec<String>,
    workdays: Vec<String>,
}

/// What somebody has to do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Tell everything that is missing of a submission (一次性告知).
    Materials,
    /// Admit an institution.
    Institution,
    /// Publish a catalogue entry.
    Dataset,
    /// Approve a model.
    Model,
    /// Consent to a product over one's dataset.
    Consent,
    /// Register a product.
    Product,
    /// Answer a data subject.
    Request,
    /// Answer a data subject, extended.
    RequestExtended,
}

/// Whether something that holds for a time does so now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holding {
    /// It holds.
    Current,
    /// There is none.
    Missing,
    /// Its time is over, or has not begun.
    Lapsed,
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Holding::Current => "current",
            Holding::Missing => "missing",
            Holding::Lapsed => "lapsed",
        })
    }
}

/// From when until when something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// From when, milliseconds since 1970 UTC, inclusive.
    pub from_millis: i64,
    /// Until when, exclusive.
    pub until_millis: i64,
}

impl Term {
    /// Whether the term of something that may not be there holds.
    pub fn holding(term: Option<Term>, now_millis: i64) -> Holding {
        match term {
            None => Holding::Missing,
            Some(t) if (t.from_millis..t.until_millis).contains(&now_millis) => Holding::Current,
            Some(_) => Holding::Lapsed,
        }
    }
}

impl RegisterRules {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// `rules/…` and `calendar/…` with every reason.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_REGISTER_BYTES {
            return Err(malformed("too long").into());
        }
        let file: RegisterFile = toml::from_str(text).map_err(|e| malformed(e.message()))?;
        let mut reasons = Vec::new();
        let mut within = |name: &str, number: u32, least: u32, most: u32| {
            if !(least..=most).contains(&number) {
                reasons.push(
                    Refusal::new(
                        "rules/out-of-range",
                        format!("须在 {least} 到 {most} 之间"),
                        format!("must lie between {least} and {most}"),
                    )
                    .at(name),
                );
            }
        };
        within("registration.years", file.registration.years, 1, 10);
        within("agreement.most_years", file.agreement.most_years, 1, 10);
        within("retention.logs", file.retention.logs(), retention::LEAST_YEARS, 30);
        within("warning.days", file.warning.days, 1, 730);
        let d = &file.deadlines;
        for (name, days) in [
            ("deadlines.materials", d.materials),
            ("deadlines.institution", d.institution),
            ("deadlines.dataset", d.dataset),
            ("deadlines.model", d.model),
            ("deadlines.consent", d.consent),
            ("deadlines.product", d.product),
            ("deadlines.request", d.request),
            ("deadlines.request_extended", d.request_extended),
        ] {
            within(name, days, 1, MAX_WORKING_DAYS);
        }
        let prefix = &file.registration.prefix;
        if !(1..=16).contains(&prefix.len()) || !prefix.bytes().all(|b| b.is_ascii_alphanumeric()) {
            reasons.push(
                Refusal::new(
                    "rules/prefix",
                    "登记编号前缀为 1 到 16 个字母或数字",
                    "a prefix is 1 to 16 letters or digits",
                )
                .at("registration.prefix"),
            );
        }
        let calendar = Calendar::new(file.calendar.offset_minutes, &file.calendar.holidays, &file.calendar.workdays);
        match (calendar, Refused::from_reasons(reasons.clone())) {
            (Ok(calendar), None) => Ok(Self { text: text.to_owned(), file, calendar }),
            (Ok(_), Some(refused)) => Err(refused),
            (Err(more), _) => {
                reasons.extend(more);
                Err(Refused::from_reasons(reasons).unwrap_or_else(|| malformed("calendar").into()))
            }
        }
    }

    /// The settings as they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The calendar.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Whether a product needs the consent of every holder; else a holder's silence is consent.
    pub fn consent_required(&self) -> bool {
        self.file.consent.required
    }

    /// Whether a use needs an agreement whose term runs.
    pub fn agreement_required(&self) -> bool {
        self.file.agreement.required
    }

    /// How many working days a step may take.
    pub fn days(&self, step: Step) -> u32 {
        let d = &self.file.deadlines;
        match step {
            Step::Materials => d.materials,
            Step::Institution => d.institution,
            Step::Dataset => d.dataset,
            Step::Model => d.model,
            Step::Consent => d.consent,
            Step::Product => d.product,
            Step::Request => d.request,
            Step::RequestExtended => d.request_extended,
        }
    }

    /// When a step that was set going at `from` is due.
    pub fn due(&self, step: Step, from_millis: i64) -> i64 {
        self.calendar.due(from_millis, self.days(step))
    }

    /// The term of a registration that begins now, or follows one that holds until later (renewal).
    pub fn registration(&self, now_millis: i64, current: Option<Term>) -> Term {
        let from_millis = match current {
            Some(t) if Term::holding(current, now_millis) == Holding::Current => t.from_millis,
            _ => now_millis,
        };
        let base = match current {
            Some(t) if t.until_millis > now_millis => t.until_millis,
            _ => now_millis,
        };
        let until_millis = add_years(base, self.file.registration.years, self.file.calendar.offset_minutes);
        Term { from_millis, until_millis }
    }

    /// The registration number of the `n`-th entry of a kind (`D` dataset, `P` product): prefix, kind, ten digits.
    pub fn number(&self, kind: char, n: u64) -> String {
        format!("{}{kind}{n:010}", self.file.registration.prefix)
    }

    /// Checks the term of an agreement.
    ///
    /// # Errors
    /// `agreement/period`, `agreement/too-long`.
    pub fn check_agreement(&self, term: Term) -> Result<(), Refusal> {
        if term.until_millis <= term.from_millis {
            return Err(Refusal::new(
                "agreement/period",
                "协议的结束须晚于开始",
                "an agreement must end after it begins",
            ));
        }
        let years = self.file.agreement.most_years;
        let latest = add_years(term.from_millis, years, self.file.calendar.offset_minutes);
        if term.until_millis > latest {
            return Err(Refusal::new(
                "agreement/too-long",
                format!("协议期限最长 {years} 年"),
                format!("an agreement lasts at most {years} years"),
            )
            .hint("到期前可以续签", "it can be renewed before it ends"));
        }
        Ok(())
    }

    /// Whether something that holds until then is to be listed as lapsing soon, or has lapsed.
    pub fn lapses_soon(&self, until_millis: i64, now_millis: i64) -> bool {
        until_millis.saturating_sub(now_millis) <= i64::from(self.file.warning.days) * 86_400_000
    }
}

impl Default for RegisterRules {
    fn default() -> Self {
        Self::parse(SHIPPED).expect("the shipped settings are tested to be valid")
    }
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(
        "rules/malformed",
        format!("登记设置无法解析：{why}"),
        format!("the settings of the registers do not parse: {why}"),
    )
}

#[cfg(test)]
mod tests;

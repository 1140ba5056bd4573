//! Metering: what was used, by whom, of what, for what, when, and whether it is charged for. From the log alone, so that
//! whoever checks the log can check the bill.

use super::audit::{Outcome, blocking};
use super::{Book, Domain};
use crate::error::DomainError;
use crate::product::PriceClass;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use yunei_audit::Entry;
use yunei_policy::accounting::Rho;

/// Bills are made by the calendar of Beijing: UTC+8, without summer time.
const BEIJING_MILLIS: i64 = 8 * 3_600_000;

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day, `2026-11-26`.
    Day,
    /// A month, `2026-11`.
    #[default]
    Month,
    /// A year, `2026`.
    Year,
    /// Everything in one.
    All,
}

impl Period {
    /// The period that an instant (milliseconds since 1970) is in, by the calendar of Beijing.
    fn of(self, at_millis: i64) -> String {
        let date = crate::dates::format_instant(at_millis.saturating_add(BEIJING_MILLIS));
        let length = match self {
            Period::Day => 10,
            Period::Month => 7,
            Period::Year => 4,
            Period::All => return "all".to_owned(),
        };
        date.chars().take(length).collect()
    }
}

/// What is to be totalled.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    /// Of this institution only.
    pub institution: Option<String>,
    /// Of this product only.
    pub product: Option<String>,
    /// From when, milliseconds since 1970 UTC, inclusive.
    pub from_millis: Option<i64>,
    /// Until when, exclusive.
    pub until_millis: Option<i64>,
    /// By which periods.
    pub period: Period,
}

/// The uses of one product by one institution for one purpose in one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageLine {
    /// The period, by the calendar of Beijing.
    pub period: String,
    /// Who.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what.
    pub purpose: String,
    /// The price class of the product when it was used; `None` where it has none.
    pub price_class: Option<PriceClass>,
    /// Runs that gave a release.
    pub released: u64,
    /// Runs that gave a recorded release again.
    pub repeated: u64,
    /// Verifications that were answered.
    pub answered: u64,
    /// Uses that were refused.
    pub refused: u64,
    /// Uses that broke off or were stopped.
    pub failed: u64,
    /// Uses to be paid for: of a charged product, runs that gave a release, and answers but those that the product gives
    /// away. A repeat gives nothing new and is free.
    pub billable: u64,
    /// Privacy budget that was spent, ρ. Broken-off runs spend too.
    pub rho: f64,
}

type Key = (String, String, String, String, Option<PriceClass>);

#[derive(Default)]
struct Count {
    outcomes: BTreeMap<Outcome, u64>,
    /// Answers that the product gives away.
    free: u64,
    rho: u64,
}

impl Domain {
    /// Totals by period, institution, product, purpose and price class, in that order.
    ///
    /// # Errors
    /// The reasons why the actor may not read the audit; `audit/…` where the log can not be read.
    pub async fn audit_usage(&self, actor: &str, query: &UsageQuery) -> Result<Vec<UsageLine>, DomainError> {
        self.may_read(actor).await?;
        // What an entry itself does not say (a refusal does not) is said by the product as it is registered now.
        let mut prices = HashMap::new();
        for record in self.store.products().await? {
            let (_, product) = self.product_record(&record.id).await?;
            if let Some(price) = product.price_class() {
                prices.insert(record.id, price);
            }
        }
        let given = Given { prices, free: self.store.free_verifications().await? };
        let (logs, query) = (self.books_of(None, query.from_millis)?, query.clone());
        blocking(move || total(&logs, &query, &given)).await
    }
}

/// What the log itself does not say.
struct Given {
    prices: HashMap<String, PriceClass>,
    /// The verifications whose answer is free: the log must not tell, for it would tell the answer.
    free: HashSet<String>,
}

fn total(logs: &[Book], query: &UsageQuery, given: &Given) -> Result<Vec<UsageLine>, DomainError> {
    let mut counts: BTreeMap<Key, Count> = BTreeMap::new();
    for item in logs.iter().flat_map(|log| log.entries(0..log.size())) {
        let (_, entry) = item?;
        let outcome = Outcome::of_kind(entry.kind());
        let charged = entry.kind() == "run.charged";
        if (outcome.is_none() && !charged) || !asked(query, &entry) {
            continue;
        }
        let Some(key) = key_of(&entry, query.period, &given.prices) else { continue };
        let count = counts.entry(key).or_default();
        if let Some(outcome) = outcome {
            *count.outcomes.entry(outcome).or_default() += 1;
            let run = entry.fields().get("run").and_then(Value::as_str);
            let free = outcome == Outcome::Answered && run.is_some_and(|run| given.free.contains(run));
            count.free += u64::from(free);
        }
        if charged {
            let rho = entry.fields().get("rho").and_then(Value::as_u64).unwrap_or(0);
            count.rho = count.rho.saturating_add(rho);
        }
    }
    Ok(counts.into_iter().map(line).collect())
}

fn asked(query: &UsageQuery, entry: &Entry) -> bool {
    let is = |name: &str, wanted: &Option<String>| match wanted {
        None => true,
        Some(wanted) => entry.fields().get(name).and_then(Value::as_str) == Some(wanted),
    };
    is("institution", &query.institution)
        && is("product", &query.product)
        && query.from_millis.is_none_or(|from| entry.at_millis() >= from)
        && query.until_millis.is_none_or(|until| entry.at_millis() < until)
}

/// `None` for an interrupted run: its entry names the run alone, and it is not counted as a use.
fn key_of(entry: &Entry, period: Period, prices: &HashMap<String, PriceClass>) -> Option<Key> {
    let text = |name: &str| entry.fields().get(name).and_then(Value::as_str).map(str::to_owned);
    let (institution, product, purpose) = (text("institution")?, text("product")?, text("purpose")?);
    let logged = text("price_class").and_then(|word| PriceClass::from_word(&word));
    let price = logged.or_else(|| prices.get(&product).copied());
    Some((period.of(entry.at_millis()), institution, product, purpose, price))
}

fn line(((period, institution, product, purpose, price_class), count): (Key, Count)) -> UsageLine {
    let of = |outcome| count.outcomes.get(&outcome).copied().unwrap_or(0);
    let (released, answered) = (of(Outcome::Released), of(Outcome::Answered));
    UsageLine {
        period,
        institution,
        product,
        purpose,
        price_class,
        released,
        repeated: of(Outcome::Repeated),
        answered,
        refused: of(Outcome::Refused),
        failed: of(Outcome::Failed) + of(Outcome::Stopped),
        billable: if price_class == Some(PriceClass::Charged) { released + answered - count.free } else { 0 },
        rho: Rho::from_units(count.rho).to_f64(),
    }
}

/// The lines as CSV (RFC 4180) for billing, with a header line. A cell that a spreadsheet would take for a formula gets an
/// apostrophe in front: purposes are what users wrote.
pub fn usage_csv(lines: &[UsageLine]) -> String {
    let mut csv = String::from(
        "period,institution,product,purpose,price_class,released,repeated,answered,refused,failed,billable,rho\r\n",
    );
    for line in lines {
        let price = line.price_class.map_or("", PriceClass::as_str);
        let texts = [&line.period, &line.institution, &line.product, &line.purpose].map(|text| cell(text));
        let numbers = [line.released, line.repeated, line.answered, line.refused, line.failed, line.billable];
        csv.push_str(&texts.join(","));
        csv.push_str(&format!(",{price}"));
        numbers.iter().for_each(|number| csv.push_str(&format!(",{number}")));
        csv.push_str(&format!(",{}\r\n", line.rho));
    }
    csv
}

fn cell(text: &str) -> String {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if risky { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_follow_the_calendar_of_beijing() {
        // 2026-11-30 16:00 UTC is midnight of the first of December in Beijing.
        let at = 1_796_054_400_000;
        assert_eq!(crate::dates::format_instant(at), "2026-11-30T16:00:00Z");
        assert_eq!(Period::Day.of(at), "2026-12-01");
        assert_eq!(Period::Month.of(at - 1), "2026-11");
        assert_eq!(Period::Year.of(at), "2026");
        assert_eq!(Period::All.of(at), "all");
    }

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        assert_eq!(cell("research"), "research");
        assert_eq!(cell("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"");
        assert_eq!(cell("-1"), "'-1");
        assert_eq!(cell("贷款,审批"), "\"贷款,审批\"");
    }
}

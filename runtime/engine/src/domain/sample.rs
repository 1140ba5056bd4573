//! Synthetic rows of a dataset: drawn from what its entry declares, never from data.

use super::Domain;
use crate::catalogue::{Bounds, ColumnSpec, ColumnType, DatasetSpec, Domain as Values};
use crate::dates::format_date;
use crate::error::DomainError;
use serde_json::{Map, Value, json};
use yunei_policy::authorise::Action;

/// At most how many rows are drawn at once.
pub const MAX_SAMPLE_ROWS: u32 = 1_000;

impl Domain {
    /// Rows that keep to a dataset's entry: the same `seed` gives the same rows.
    ///
    /// # Errors
    /// The reasons why the actor may not; `registry/not-found`.
    pub async fn sample(&self, actor: &str, dataset: &str, rows: u32, seed: u64) -> Result<Vec<Value>, DomainError> {
        self.ask(actor, Action::ReadCatalogue).await?;
        // The store is asked for the entry alone; no file of the dataset is ever touched here.
        self.dataset(dataset).await?;
        let spec = DatasetSpec::parse(&self.store.dataset(dataset).await?.spec_toml)?;
        let mut draws = Draws(seed);
        let rows = (0..rows.min(MAX_SAMPLE_ROWS)).map(|row| {
            let fields: Map<String, Value> =
                spec.columns().iter().map(|c| (c.name().to_owned(), draw(c, row, &mut draws))).collect();
            Value::Object(fields)
        });
        Ok(rows.collect())
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014): good enough to fill a form, and never used where chance protects anybody.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `lo` to `hi`, both included.
    fn between(&mut self, lo: i128, hi: i128) -> i128 {
        let span = (hi - lo).unsigned_abs().saturating_add(1);
        lo + i128::try_from(u128::from(self.next()) % span).unwrap_or(0)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn draw(column: &ColumnSpec, row: u32, draws: &mut Draws) -> Value {
    if let Some(values) = column.domain() {
        let at = usize::try_from(draws.next() % values.len().max(1) as u64).unwrap_or(0);
        return match values {
            Values::Text(texts) => texts.get(at).cloned().map_or(Value::Null, Value::String),
            Values::Int(numbers) => numbers.get(at).copied().map_or(Value::Null, Value::from),
            Values::Date(days) => days.get(at).copied().map_or(Value::Null, |d| format_date(d).into()),
        };
    }
    match column.bounds() {
        Some(Bounds::Int(lo, hi)) => json!(i64::try_from(draws.between(lo.into(), hi.into())).unwrap_or(lo)),
        Some(Bounds::Float(lo, hi)) => json!(lo + (hi - lo) * draws.unit()),
        Some(Bounds::Date(lo, hi)) => {
            let day = i32::try_from(draws.between(lo.into(), hi.into())).unwrap_or(lo);
            format_date(day).into()
        }
        Some(Bounds::Decimal(lo, hi)) => scaled(draws.between(lo, hi), column.column_type()),
        None => undeclared(column, row, draws),
    }
}

/// A value of a column whose entry says no more than its type.
fn undeclared(column: &ColumnSpec, row: u32, draws: &mut Draws) -> Value {
    match column.column_type() {
        ColumnType::Bool => json!(draws.next().is_multiple_of(2)),
        ColumnType::Utf8 => format!("{}-{:06}", column.name(), row + 1).into(),
        ColumnType::Date32 => format_date(i32::try_from(draws.next() % 20_000).unwrap_or(0)).into(),
        ColumnType::Float32 | ColumnType::Float64 => json!(draws.unit()),
        ColumnType::Decimal { .. } => scaled(draws.between(0, 99), column.column_type()),
        _ => json!(draws.next() % 100),
    }
}

/// A decimal as text: JSON numbers would round it.
fn scaled(number: i128, of: ColumnType) -> Value {
    let ColumnType::Decimal { scale, .. } = of else { return Value::Null };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, places) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if places.is_empty() { format!("{sign}{whole}").into() } else { format!("{sign}{whole}.{places}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_between_their_ends() {
        let mut draws = Draws(7);
        for (lo, hi) in [(0, 0), (-3, 4), (i128::from(i64::MIN), i128::from(i64::MAX))] {
            for _ in 0..500 {
                assert!((lo..=hi).contains(&draws.between(lo, hi)));
            }
        }
        assert!((0..1000).all(|_| (0.0..1.0).contains(&draws.unit())));
    }

    #[test]
    fn decimals_are_written_whole() {
        let two = ColumnType::Decimal { precision: 10, scale: 2 };
        assert_eq!((scaled(5, two), scaled(-1234, two)), (json!("0.05"), json!("-12.34")));
        assert_eq!(scaled(7, ColumnType::Decimal { precision: 3, scale: 0 }), json!("7"));
    }
}

//! Released rows on a terminal.

use serde_json::Value;
use yunei_engine::{Format, Released};

use super::Stop;
use crate::term::{Column, Table, count, decimal, plus_minus};

/// At most how many rows of a table are shown; all of them are in the result file.
const SHOWN: usize = 12;

/// The rows as JSON: an array of objects.
pub(super) fn rows(released: &Released) -> Result<Value, Stop> {
    let failed = |_| Stop::Io(std::io::Error::other("json"));
    let bytes = released.write(Format::Json).map_err(|_| Stop::Io(std::io::Error::other("json")))?;
    serde_json::from_slice(&bytes).map_err(failed)
}

/// A table of the product's own columns, numbers with half the width of their interval, and how many rows it leaves out.
pub(super) fn table(released: &Released, rows: &Value) -> (Table, usize) {
    let schema = released.batch().schema();
    let names: Vec<&str> = schema.fields().iter().take(released.columns()).map(|field| field.name().as_str()).collect();
    let numeric = |name: &&str| schema.field_with_name(name).is_ok_and(|f| f.data_type().is_numeric());
    let columns = names.iter().map(|name| if numeric(name) { Column::right(name) } else { Column::left(name) });
    let mut table = Table::new(columns);
    let all = rows.as_array().map_or(&[][..], Vec::as_slice);
    for row in all.iter().take(SHOWN) {
        table.row(names.iter().map(|name| cell(row, name)));
    }
    (table, all.len().saturating_sub(SHOWN))
}

fn cell(row: &Value, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            let places = if number.is_i64() || value.abs() >= 1000.0 {
                0
            } else if value.abs() >= 10.0 {
                1
            } else {
                3
            };
            match interval(row, name) {
                Some((low, high)) => plus_minus(value, (high - low) / 2.0, places),
                None => number.as_i64().map_or_else(|| decimal(value, places), count),
            }
        }
        _ => "–".to_owned(),
    }
}

/// The 95 % interval of a number, where it has one.
pub(super) fn interval(row: &Value, name: &str) -> Option<(f64, f64)> {
    let end = |which: &str| row.get(format!("{name}_{which}")).and_then(Value::as_f64);
    Some((end("low")?, end("high")?))
}

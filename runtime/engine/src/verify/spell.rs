//! One spelling, in bytes, for every value: of a request, of a manifest, and of a column.

use crate::catalogue::{ColumnType, DatasetSpec};
use crate::dates::parse_date;
use crate::functions::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::Result;
use yunei_policy::verification::FieldKind;
use yunei_policy::verification::subject::MAX_FIELD_BYTES;
use yunei_policy::words::UnitKind;

/// A column that a request or a predicate names.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its position in the dataset's entry.
    pub(crate) column: usize,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) column_type: ColumnType,
    /// Its kind, where it is text.
    pub(crate) kind: FieldKind,
}

/// A value in its one spelling. It may be somebody's number: it has no telling `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value(Vec<u8>);

impl Value {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The spelling as text; of a text column the normalised text itself.
    pub(crate) fn as_text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(..)")
    }
}

impl Field {
    /// The field of this name. Where the manifest says no kind, the unit column is a number of its unit's, a column of
    /// direct identifiers called `name` is a name, and anything else is text.
    pub(crate) fn of(spec: &DatasetSpec, name: &str, kind: Option<FieldKind>) -> Option<Self> {
        let column = spec.columns().iter().position(|c| c.name() == name)?;
        let of = spec.columns().get(column)?;
        let kind = kind.unwrap_or_else(|| match (spec.unit(), spec.unit_kind()) {
            (Some(unit), UnitKind::NaturalPerson) if unit.column() == column => FieldKind::PersonNumber,
            (Some(unit), UnitKind::LegalPerson) if unit.column() == column => FieldKind::FirmNumber,
            _ if name == "name" || name.ends_with("_name") => FieldKind::Name,
            _ => FieldKind::Text,
        });
        Some(Self { column, name: name.to_owned(), column_type: of.column_type(), kind })
    }

    /// Reads what a caller or a manifest wrote; `None` where it is malformed.
    pub(crate) fn read(&self, text: &str) -> Option<Value> {
        if self.column_type == ColumnType::Utf8 {
            return self.kind.normalise(text).map(|spelled| Value(spelled.into_bytes()));
        }
        // Digits of any width, no characters that nobody sees.
        let text = FieldKind::Text.normalise(text).filter(|t| t.len() <= MAX_FIELD_BYTES)?;
        let spelled = match self.column_type {
            ColumnType::Utf8 => return None,
            ColumnType::Bool => match text.as_str() {
                "true" | "是" => "true".to_owned(),
                "false" | "否" => "false".to_owned(),
                _ => return None,
            },
            ColumnType::Date32 => parse_date(&text)?.to_string(),
            ColumnType::Decimal { scale, .. } => decimal(&text, scale)?.to_string(),
            ColumnType::Float32 | ColumnType::Float64 => {
                let number: f64 = text.parse().ok().filter(|n: &f64| n.is_finite())?;
                let number = if self.column_type == ColumnType::Float32 { f64::from(number as f32) } else { number };
                float(number)
            }
            ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => {
                text.parse::<i64>().ok()?.to_string()
            }
        };
        Some(Value(spelled.into_bytes()))
    }

    /// The column as it is read for the index: texts as they are, everything else in one type per kind.
    pub(crate) fn prepare(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let to = match self.column_type {
            ColumnType::Utf8 => DataType::Utf8View,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Date32 => DataType::Date32,
            ColumnType::Decimal { .. } => self.column_type.arrow(),
            ColumnType::Float32 | ColumnType::Float64 => DataType::Float64,
            ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => DataType::Int64,
        };
        cast(array, &to).map_err(|_| failed())
    }

    /// Appends the spelling of a row of a prepared column; `false`, and nothing appended, where it is NULL.
    pub(crate) fn spell(&self, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        if array.is_null(row) {
            return Ok(false);
        }
        match self.column_type {
            ColumnType::Utf8 => {
                let text = array.as_string_view_opt().ok_or_else(failed)?.value(row);
                out.extend_from_slice(self.kind.registered(text).as_bytes());
            }
            ColumnType::Bool => {
                let holds = array.as_boolean_opt().ok_or_else(failed)?.value(row);
                out.extend_from_slice(if holds { b"true" } else { b"false" });
            }
            ColumnType::Date32 => {
                let days = array.as_primitive_opt::<Date32Type>().ok_or_else(failed)?.value(row);
                out.extend_from_slice(days.to_string().as_bytes());
            }
            ColumnType::Decimal { .. } => {
                let units = array.as_primitive_opt::<Decimal128Type>().ok_or_else(failed)?.value(row);
                out.extend_from_slice(units.to_string().as_bytes());
            }
            ColumnType::Float32 | ColumnType::Float64 => {
                let number = array.as_primitive_opt::<Float64Type>().ok_or_else(failed)?.value(row);
                out.extend_from_slice(float(number).as_bytes());
            }
            ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => {
                let number = array.as_primitive_opt::<Int64Type>().ok_or_else(failed)?.value(row);
                out.extend_from_slice(number.to_string().as_bytes());
            }
        }
        Ok(true)
    }

    /// A row of a prepared column as a number (dates in days); `None` where it is NULL or no number.
    pub(crate) fn number(&self, array: &ArrayRef, row: usize) -> Option<f64> {
        if array.is_null(row) {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "compared with a threshold that is a double itself")]
        match self.column_type {
            ColumnType::Utf8 | ColumnType::Bool => None,
            ColumnType::Date32 => array.as_primitive_opt::<Date32Type>().map(|a| f64::from(a.value(row))),
            ColumnType::Decimal { scale, .. } => {
                array.as_primitive_opt::<Decimal128Type>().map(|a| a.value(row) as f64 / 10f64.powi(i32::from(scale)))
            }
            ColumnType::Float32 | ColumnType::Float64 => array.as_primitive_opt::<Float64Type>().map(|a| a.value(row)),
            _ => array.as_primitive_opt::<Int64Type>().map(|a| a.value(row) as f64),
        }
    }
}

/// The bits of a double, with one zero and one NaN.
fn float(number: f64) -> String {
    let number = if number == 0.0 { 0.0 } else { number };
    let bits = if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() };
    format!("f{bits:016x}")
}

/// A decimal number in units of its last place; `None` where it has more places than that.
fn decimal(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > usize::from(scale) {
        return None;
    }
    let units: i128 = format!("{whole}{part:0<width$}", width = usize::from(scale)).parse().ok()?;
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BooleanArray, Date32Array, Decimal128Array, Float32Array, Int32Array, StringArray};
    use std::sync::Arc;

    fn field(column_type: ColumnType) -> Field {
        Field { column: 0, name: "x".into(), column_type, kind: FieldKind::Text }
    }

    #[test]
    fn a_request_and_a_column_spell_alike() {
        let decimal = ColumnType::Decimal { precision: 10, scale: 2 };
        let decimals = Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(10, 2).unwrap();
        let cases: Vec<(ColumnType, ArrayRef, &str)> = vec![
            (ColumnType::Utf8, Arc::new(StringArray::from(vec![Some("Ａbc  d"), None])), " aBC d"),
            (ColumnType::Bool, Arc::new(BooleanArray::from(vec![Some(true), None])), "TRUE"),
            (ColumnType::Date32, Arc::new(Date32Array::from(vec![Some(1), None])), "1970-01-02"),
            (ColumnType::Int32, Arc::new(Int32Array::from(vec![Some(-7), None])), "-７"),
            (ColumnType::Float32, Arc::new(Float32Array::from(vec![Some(0.1), None])), "0.1"),
            (ColumnType::Float32, Arc::new(Float32Array::from(vec![Some(-0.0), None])), "0"),
            (decimal, Arc::new(decimals), "12.50"),
        ];
        for (column_type, array, text) in cases {
            let field = field(column_type);
            let array = field.prepare(&array).unwrap();
            let mut out = Vec::new();
            assert!(field.spell(&array, 0, &mut out).unwrap());
            assert_eq!(field.read(text).unwrap().into_bytes(), out, "{text}");
            assert!(!field.spell(&array, 1, &mut Vec::new()).unwrap());
        }
    }

    #[test]
    fn malformed_numbers_are_none() {
        for (column_type, text) in [
            (ColumnType::Int32, "7.5"),
            (ColumnType::Int32, ""),
            (ColumnType::Float64, "nan"),
            (ColumnType::Float64, "inf"),
            (ColumnType::Date32, "2023-02-29"),
            (ColumnType::Bool, "yes"),
            (ColumnType::Decimal { precision: 5, scale: 1 }, "1.25"),
            (ColumnType::Decimal { precision: 5, scale: 1 }, "."),
        ] {
            assert_eq!(field(column_type).read(text), None, "{text}");
        }
    }
}

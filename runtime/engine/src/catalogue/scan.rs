//! Counting, batch by batch, the rows that break what an entry declares.

use super::column::{Bounds, ColumnSpec, ColumnType, Domain};
use super::reasons::Reasons;
use datafusion::arrow::array::types::ArrowDictionaryKeyType;
use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, DictionaryArray, PrimitiveArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::arrow::error::ArrowError;
use std::collections::HashSet;
use yunei_policy::Refusal;

/// The type in which a column is best read for checking.
pub(super) fn reading_type(column: &ColumnSpec) -> DataType {
    match (column.column_type(), column.domain()) {
        // A value of a domain occurs often: it is looked up once per dictionary, not once per row.
        (ColumnType::Utf8, Some(_)) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        (ColumnType::Utf8, None) => DataType::Utf8View,
        (other, _) => other.arrow(),
    }
}

/// Counts the rows of one column that break its declaration.
#[derive(Debug)]
pub(super) struct ColumnCheck<'s> {
    spec: &'s ColumnSpec,
    reading: DataType,
    texts: HashSet<&'s str>,
    numbers: Vec<i64>,
    nulls: u64,
    outside_bounds: u64,
    outside_domain: u64,
    not_finite: u64,
}

impl<'s> ColumnCheck<'s> {
    pub(super) fn new(spec: &'s ColumnSpec) -> Self {
        let mut texts = HashSet::new();
        let mut numbers = Vec::new();
        match spec.domain() {
            Some(Domain::Text(values)) => texts = values.iter().map(String::as_str).collect(),
            Some(Domain::Int(values)) => numbers = values.clone(),
            Some(Domain::Date(values)) => numbers = values.iter().map(|d| i64::from(*d)).collect(),
            None => {}
        }
        numbers.sort_unstable();
        Self {
            spec,
            reading: reading_type(spec),
            texts,
            numbers,
            nulls: 0,
            outside_bounds: 0,
            outside_domain: 0,
            not_finite: 0,
        }
    }

    /// Checks a batch's column, of any type that the declared one accepts; gives it in the reading type.
    pub(super) fn check(&mut self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let column = if *column.data_type() == self.reading { column.clone() } else { cast(column, &self.reading)? };
        if !self.spec.nullable() {
            self.nulls += column.logical_null_count() as u64;
        }
        match self.spec.column_type() {
            ColumnType::Bool => {}
            ColumnType::Int8 => self.integers::<Int8Type>(&column),
            ColumnType::Int16 => self.integers::<Int16Type>(&column),
            ColumnType::Int32 => self.integers::<Int32Type>(&column),
            ColumnType::Int64 => self.integers::<Int64Type>(&column),
            ColumnType::Date32 => self.dates(&column),
            ColumnType::Float32 => self.floats::<Float32Type>(&column, |bound| bound as f32, f32::is_finite),
            ColumnType::Float64 => self.floats::<Float64Type>(&column, |bound| bound, f64::is_finite),
            ColumnType::Decimal { .. } => {
                if let Some(Bounds::Decimal(lo, hi)) = self.spec.bounds() {
                    self.outside_bounds += count(column.as_primitive::<Decimal128Type>(), |v| v < lo || v > hi);
                }
            }
            ColumnType::Utf8 if self.texts.is_empty() => {}
            ColumnType::Utf8 => {
                self.outside_domain += outside_texts(column.as_dictionary::<Int32Type>(), &self.texts);
            }
        }
        Ok(column)
    }

    fn integers<T: ArrowPrimitiveType>(&mut self, column: &ArrayRef)
    where
        T::Native: Into<i64> + TryFrom<i64>,
    {
        let column = column.as_primitive::<T>();
        // Declared bounds are within the type's range, so that both convert.
        if let Some(Bounds::Int(lo, hi)) = self.spec.bounds()
            && let (Ok(lo), Ok(hi)) = (T::Native::try_from(lo), T::Native::try_from(hi))
        {
            self.outside_bounds += count(column, |v| v.is_lt(lo) || v.is_gt(hi));
        }
        if !self.numbers.is_empty() {
            self.outside_domain += count(column, |v| self.numbers.binary_search(&v.into()).is_err());
        }
    }

    fn dates(&mut self, column: &ArrayRef) {
        let column = column.as_primitive::<Date32Type>();
        if let Some(Bounds::Date(lo, hi)) = self.spec.bounds() {
            self.outside_bounds += count(column, |v| v < lo || v > hi);
        }
        if !self.numbers.is_empty() {
            self.outside_domain += count(column, |v| self.numbers.binary_search(&i64::from(v)).is_err());
        }
    }

    fn floats<T: ArrowPrimitiveType>(
        &mut self,
        column: &ArrayRef,
        bound: fn(f64) -> T::Native,
        finite: fn(T::Native) -> bool,
    ) where
        T::Native: PartialOrd,
    {
        let column = column.as_primitive::<T>();
        self.not_finite += count(column, |v| !finite(v));
        if let Some(Bounds::Float(lo, hi)) = self.spec.bounds() {
            let (lo, hi) = (bound(lo), bound(hi));
            self.outside_bounds += count(column, |v| finite(v) && (v < lo || v > hi));
        }
    }

    /// Tells what was found, in counts.
    pub(super) fn tell(&self, is_unit: bool, reasons: &mut Reasons) {
        let name = self.spec.name();
        let mut tell = |count: u64, code: &'static str, zh: &str, en: &str, hint: (&str, &str)| {
            if count > 0 {
                reasons.push(
                    Refusal::new(
                        code,
                        format!("列 `{name}` 有 {count} 行{zh}"),
                        format!("the column `{name}` {en} in {}", counted(count, "row")),
                    )
                    .at(format!("column.{name}"))
                    .hint(hint.0, hint.1),
                );
            }
        };
        if is_unit {
            let hint = ("每一行都须属于一个主体", "every row belongs to a unit");
            tell(self.nulls, "catalogue/null-units", "没有主体标识", "names no unit", hint);
        } else {
            let hint = ("补全数据，或写 missing = \"null\"", "fill it in, or write missing = \"null\"");
            tell(self.nulls, "catalogue/null-values", "缺失", "is missing", hint);
        }
        let hint = ("更正数据，或改写 values", "correct the data, or the list of values");
        tell(self.outside_domain, "catalogue/outside-domain", "不在取值表内", "is not among its values", hint);
        let hint = ("更正数据，或改写 min 与 max", "correct the data, or min and max");
        tell(self.outside_bounds, "catalogue/outside-bounds", "超出上下界", "is outside its bounds", hint);
        let hint = ("以 NULL 表示缺失", "write NULL for what is missing");
        tell(self.not_finite, "catalogue/not-finite", "不是有限的数", "is not a finite number", hint);
    }
}

/// A count and its noun, e.g. `1 row`, `2 rows`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How many of the values that are there hold `bad`.
fn count<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, bad: impl Fn(T::Native) -> bool) -> u64 {
    match column.nulls().filter(|n| n.null_count() > 0) {
        None => column.values().iter().filter(|v| bad(**v)).count() as u64,
        Some(nulls) => column.values().iter().zip(nulls.iter()).filter(|(v, there)| *there && bad(**v)).count() as u64,
    }
}

/// How many rows refer to a text that is not declared.
fn outside_texts<K: ArrowDictionaryKeyType>(column: &DictionaryArray<K>, declared: &HashSet<&str>) -> u64 {
    let texts = column.values().as_string::<i32>();
    let bad: Vec<bool> = texts.iter().map(|text| text.is_some_and(|t| !declared.contains(t))).collect();
    if !bad.contains(&true) {
        return 0;
    }
    column.keys_iter().flatten().filter(|key| bad.get(*key) == Some(&true)).count() as u64
}

//! The columns of a catalogue entry.

use datafusion::arrow::datatypes::DataType;
use std::collections::BTreeSet;
use std::fmt;
use yunei_policy::facts::{ColumnFacts, Interval, Kind, Literal};
use yunei_policy::words::{ColumnClass, Text, Usage};

/// The type of a column, as a catalogue entry writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `bool`
    Bool,
    /// `int8`
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `float32`
    Float32,
    /// `float64`
    Float64,
    /// `decimal(precision, scale)`, 1 ≤ precision ≤ 38, scale ≤ precision
    Decimal {
        /// How many digits in all.
        precision: u8,
        /// How many of them after the point.
        scale: u8,
    },
    /// `date32`: days since 1970-01-01
    Date32,
    /// `utf8`
    Utf8,
}

/// The words of [`ColumnType`], for hints.
pub(super) const TYPE_WORDS: &str = "bool, int8, int16, int32, int64, float32, float64, decimal(p,s), date32, utf8";

impl ColumnType {
    /// From the word in a catalogue entry.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "date32" => Self::Date32,
            "utf8" => Self::Utf8,
            _ => {
                let (precision, scale) = word.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
                let precision = precision.trim().parse().ok().filter(|p| (1..=38).contains(p))?;
                let scale = scale.trim().parse().ok().filter(|s| *s <= precision)?;
                Self::Decimal { precision, scale }
            }
        })
    }

    /// The type that the engine's schema gives it.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            // Both fit: precision is at most 38, scale at most the precision.
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
            Self::Date32 => DataType::Date32,
            Self::Utf8 => DataType::Utf8,
        }
    }

    /// Whether a file's column of type `found` holds the same values.
    pub(super) fn accepts(self, found: &DataType) -> bool {
        match (self, found) {
            (Self::Utf8, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
            (Self::Utf8, DataType::Dictionary(_, of)) => self.accepts(of),
            (
                Self::Decimal { precision, scale },
                DataType::Decimal32(p, s)
                | DataType::Decimal64(p, s)
                | DataType::Decimal128(p, s)
                | DataType::Decimal256(p, s),
            ) => *p == precision && i16::from(*s) == i16::from(scale),
            _ => self.arrow() == *found,
        }
    }

    /// The type as far as decisions care.
    pub fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 => Kind::Int,
            Self::Float32 | Self::Float64 | Self::Decimal { .. } => Kind::Float,
            Self::Date32 => Kind::Date,
            Self::Utf8 => Kind::Text,
        }
    }

    /// The range of an integer type.
    pub(super) fn integer_range(self) -> Option<(i64, i64)> {
        match self {
            Self::Int8 => Some((i8::MIN.into(), i8::MAX.into())),
            Self::Int16 => Some((i16::MIN.into(), i16::MAX.into())),
            Self::Int32 => Some((i32::MIN.into(), i32::MAX.into())),
            Self::Int64 => Some((i64::MIN, i64::MAX)),
            _ => None,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int8 => f.write_str("int8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date32 => f.write_str("date32"),
            Self::Utf8 => f.write_str("utf8"),
        }
    }
}

/// Declared bounds, both ends included, `min <= max`, in the column's own type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Of an integer column; both within ±2^53, so that they are exact as `f64` too.
    Int(i64, i64),
    /// Of a floating-point column; finite. For `float32` both are exact as `f32`.
    Float(f64, f64),
    /// Of a decimal column: the unscaled integers.
    Decimal(i128, i128),
    /// Of a date column: days since 1970-01-01.
    Date(i32, i32),
}

/// A declared domain: all the values that a column may hold, each once, in the declared order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// Of a text column.
    Text(Vec<String>),
    /// Of an integer column.
    Int(Vec<i64>),
    /// Of a date column: days since 1970-01-01.
    Date(Vec<i32>),
}

impl Domain {
    /// How many values there are; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a declared domain is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Date(values) => values.len(),
        }
    }

    /// All of them, as literals of a query.
    pub fn literals(&self) -> Vec<Literal> {
        match self {
            Self::Text(values) => values.iter().cloned().map(Literal::Text).collect(),
            Self::Int(values) => values.iter().copied().map(Literal::Int).collect(),
            Self::Date(values) => values.iter().copied().map(Literal::Date).collect(),
        }
    }

    /// The bounds that the values imply, where there are any that are exact as `f64`.
    fn bounds(&self) -> Option<Interval> {
        let (lo, hi) = match self {
            Self::Text(_) => return None,
            Self::Int(values) => (*values.iter().min()?, *values.iter().max()?),
            Self::Date(values) => (i64::from(*values.iter().min()?), i64::from(*values.iter().max()?)),
        };
        let exact = |n: i64| (n.unsigned_abs() <= EXACT).then_some(n as f64);
        Interval::new(exact(lo)?, exact(hi)?)
    }
}

/// Integers up to this magnitude are exact as `f64` (2^53, IEEE 754 binary64).
pub(super) const EXACT: u64 = 1 << 53;

/// One column of a catalogue entry.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    pub(super) name: String,
    pub(super) column_type: ColumnType,
    pub(super) class: ColumnClass,
    pub(super) usages: BTreeSet<Usage>,
    pub(super) meaning: Option<Text>,
    pub(super) bounds: Option<Bounds>,
    pub(super) domain: Option<Domain>,
    pub(super) nullable: bool,
}

impl ColumnSpec {
    /// Its name, as in the files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// What it says about its unit.
    pub fn class(&self) -> ColumnClass {
        self.class
    }

    /// What it may be used for.
    pub fn usages(&self) -> &BTreeSet<Usage> {
        &self.usages
    }

    /// What it means, for people.
    pub fn meaning(&self) -> Option<&Text> {
        self.meaning.as_ref()
    }

    /// The declared bounds.
    pub fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }

    /// The declared domain.
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// Whether NULL may occur (`missing = "null"`).
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The bounds as numbers: the declared ones, else those that a domain of integers or dates implies.
    pub fn interval(&self) -> Option<Interval> {
        match self.bounds {
            // Exact: integer bounds are within ±2^53.
            Some(Bounds::Int(lo, hi)) => Interval::new(lo as f64, hi as f64),
            Some(Bounds::Float(lo, hi)) => Interval::new(lo, hi),
            Some(Bounds::Decimal(lo, hi)) => {
                let ColumnType::Decimal { scale, .. } = self.column_type else { return None };
                let unit = 10f64.powi(i32::from(scale));
                Interval::new(lo as f64 / unit, hi as f64 / unit)
            }
            Some(Bounds::Date(lo, hi)) => Interval::new(lo.into(), hi.into()),
            None => self.domain.as_ref().and_then(Domain::bounds),
        }
    }

    /// The column as decisions see it. A `bool` column has the domain `false`, `true`.
    pub fn facts(&self) -> ColumnFacts {
        let values = match self.column_type {
            ColumnType::Bool => Some(vec![Literal::Bool(false), Literal::Bool(true)]),
            _ => self.domain.as_ref().map(Domain::literals),
        };
        ColumnFacts {
            name: self.name.clone(),
            kind: self.column_type.kind(),
            class: self.class,
            usages: self.usages.clone(),
            bounds: self.interval(),
            values,
            nullable: self.nullable,
        }
    }
}

//! From Arrow columns to the bytes that a module reads.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_buffer::{BooleanBuffer, NullBuffer, ToByteSlice};
use arrow_schema::DataType;

use super::SandboxError;
use crate::limits::{CHUNK, FEATURES};
use crate::manifest::{Feature, FeatureType};

impl FeatureType {
    /// Whether a column of this type can be given to a parameter of this one.
    ///
    /// `f64` and `f32` take every numeric column, booleans as 0 and 1, dates as days since
    /// 1970-01-01, decimals as their value. `i64` and `i32` take the integers, booleans, dates and
    /// decimals (as the unscaled integer) but no floats. Dictionaries count as their values.
    pub fn accepts(self, data_type: &DataType) -> bool {
        use DataType as D;
        let integer = matches!(self, FeatureType::I64 | FeatureType::I32);
        match data_type {
            D::Float64 | D::Float32 => !integer,
            D::Int8
            | D::Int16
            | D::Int32
            | D::Int64
            | D::UInt8
            | D::UInt16
            | D::UInt32
            | D::UInt64
            | D::Boolean
            | D::Date32
            | D::Decimal128(_, _) => true,
            D::Dictionary(_, values) => !matches!(**values, D::Dictionary(_, _)) && self.accepts(values),
            _ => false,
        }
    }
}

/// The values of a column, borrowed from its array.
#[derive(Clone, Copy)]
enum Values<'a> {
    F64(&'a [f64]),
    F32(&'a [f32]),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    Boolean(&'a BooleanBuffer),
    /// Unscaled integers and what divides them to give the value.
    Decimal(&'a [i128], f64),
}

/// The keys of a dictionary.
#[derive(Clone, Copy)]
enum Keys<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

/// One column, ready to be written for a feature.
struct Column<'a> {
    values: Values<'a>,
    /// For a dictionary: a key per row, and how many values the keys choose from.
    keys: Option<(Keys<'a>, usize)>,
    nulls: Option<NullBuffer>,
    feature_type: FeatureType,
    missing: Option<f64>,
}

/// Rows of a chunk, at most [`CHUNK`] of them.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// From one row up to another.
    Range(usize, usize),
    /// These rows.
    List(&'a [u32]),
}

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Rows::Range(from, to) => to - from,
            Rows::List(rows) => rows.len(),
        }
    }
}

/// Columns in the order of the features, and the rows that must not be given to the model. Lies on the
/// stack, and is filled where it lies: a batch costs no allocation but those of its results.
pub(crate) struct Columns<'a> {
    columns: [Option<Column<'a>>; FEATURES],
    count: usize,
    nulls: Option<NullBuffer>,
}

impl<'a> Columns<'a> {
    pub(crate) fn none() -> Self {
        // A constant array would be copied, all of its bytes.
        Self { columns: std::array::from_fn(|_| None), count: 0, nulls: None }
    }

    pub(crate) fn bind(
        &mut self,
        arrays: &'a [ArrayRef],
        features: &[Feature],
        rows: usize,
    ) -> Result<(), SandboxError> {
        if arrays.len() != features.len() {
            return Err(SandboxError::Columns { expected: features.len(), got: arrays.len() });
        }
        for (feature, ((array, spec), slot)) in arrays.iter().zip(features).zip(&mut self.columns).enumerate() {
            if array.len() != rows {
                return Err(SandboxError::Rows { feature, expected: rows, got: array.len() });
            }
            let column = Column::bind(array, spec).ok_or(SandboxError::Type { feature })?;
            if spec.missing().is_none() {
                self.nulls = match (self.nulls.take(), &column.nulls) {
                    (None, nulls) => nulls.clone(),
                    (nulls, None) => nulls,
                    (nulls, more) => NullBuffer::union(nulls.as_ref(), more.as_ref()),
                };
            }
            *slot = Some(column);
            self.count = feature + 1;
        }
        Ok(())
    }

    /// The mask of rows that have all they need; `None` when all rows do.
    pub(crate) fn complete(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref().filter(|n| n.null_count() > 0)
    }

    /// Writes `rows` of every column to its place in `memory`.
    pub(crate) fn write(&self, rows: Rows<'_>, memory: &mut [u8], place: impl Fn(usize) -> usize) {
        for (i, column) in self.columns[..self.count].iter().flatten().enumerate() {
            let at = place(i);
            let width = column.width();
            column.write(rows, &mut memory[at..at + rows.len() * width]);
        }
    }
}

impl<'a> Column<'a> {
    fn bind(array: &'a ArrayRef, feature: &Feature) -> Option<Self> {
        if !feature.feature_type().accepts(array.data_type()) {
            return None;
        }
        let (values, keys) = match array.as_any_dictionary_opt() {
            None => (values(array)?, None),
            Some(dictionary) => {
                let count = dictionary.values().len();
                (values(dictionary.values())?, Some((keys(dictionary.keys())?, count)))
            }
        };
        Some(Self {
            values,
            keys,
            nulls: array.logical_nulls().filter(|n| n.null_count() > 0),
            feature_type: feature.feature_type(),
            missing: feature.missing(),
        })
    }

    fn width(&self) -> usize {
        match self.feature_type {
            FeatureType::F64 | FeatureType::I64 => 8,
            FeatureType::F32 | FeatureType::I32 => 4,
        }
    }

    fn write(&self, rows: Rows<'_>, out: &mut [u8]) {
        match self.feature_type {
            FeatureType::F64 => self.write_as::<f64, 8>(rows, out),
            FeatureType::F32 => self.write_as::<f32, 4>(rows, out),
            FeatureType::I64 => self.write_as::<i64, 8>(rows, out),
            FeatureType::I32 => self.write_as::<i32, 4>(rows, out),
        }
    }

    /// Values that are already what the parameter takes, byte by byte.
    #[cfg(target_endian = "little")]
    fn as_they_are(&self, from: usize, to: usize) -> Option<&[u8]> {
        match (&self.keys, &self.values, self.feature_type) {
            (None, Values::F64(v), FeatureType::F64) => Some(v[from..to].to_byte_slice()),
            (None, Values::F32(v), FeatureType::F32) => Some(v[from..to].to_byte_slice()),
            (None, Values::I64(v), FeatureType::I64) => Some(v[from..to].to_byte_slice()),
            (None, Values::I32(v), FeatureType::I32) => Some(v[from..to].to_byte_slice()),
            _ => None,
        }
    }

    #[cfg(not(target_endian = "little"))]
    fn as_they_are(&self, _: usize, _: usize) -> Option<&[u8]> {
        None
    }

    fn write_as<P: Param<N>, const N: usize>(&self, rows: Rows<'_>, out: &mut [u8]) {
        let plain = match rows {
            Rows::Range(from, to) => self.as_they_are(from, to),
            Rows::List(_) => None,
        };
        match (&self.keys, plain) {
            (_, Some(bytes)) => out.copy_from_slice(bytes),
            (None, None) => write_values::<P, N>(&self.values, rows, out),
            // A dictionary without values has null keys only; they must not be looked up.
            (Some((_, 0)), None) => out.fill(0),
            (Some((keys, count)), None) => {
                let mut looked_up = [0; CHUNK];
                let looked_up = &mut looked_up[..rows.len()];
                look_up(keys, *count, rows, looked_up);
                write_values::<P, N>(&self.values, Rows::List(looked_up), out);
            }
        }
        let (Some(nulls), Some(missing)) = (&self.nulls, self.missing) else {
            return;
        };
        let missing = P::of(missing).bytes();
        let slots = out.chunks_exact_mut(N);
        match rows {
            Rows::Range(from, to) => put_missing(slots.zip(from..to), nulls, missing),
            Rows::List(list) => put_missing(slots.zip(list.iter().map(|r| *r as usize)), nulls, missing),
        }
    }
}

/// The number of each row's value in a dictionary. A null's key may be anything: it is brought into range
/// here, and its value replaced later or never shown.
fn look_up(keys: &Keys<'_>, count: usize, rows: Rows<'_>, out: &mut [u32]) {
    fn each(rows: Rows<'_>, out: &mut [u32], count: usize, key: impl Fn(usize) -> usize) {
        let number = |row| key(row).min(count - 1) as u32;
        match rows {
            Rows::Range(from, to) => out.iter_mut().zip(from..to).for_each(|(o, r)| *o = number(r)),
            Rows::List(list) => out.iter_mut().zip(list).for_each(|(o, r)| *o = number(*r as usize)),
        }
    }
    match keys {
        Keys::I8(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::I16(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::I32(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::I64(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::U8(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::U16(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::U32(k) => each(rows, out, count, |r| k[r] as usize),
        Keys::U64(k) => each(rows, out, count, |r| k[r] as usize),
    }
}

fn put_missing<'o, const N: usize>(
    slots: impl Iterator<Item = (&'o mut [u8], usize)>,
    nulls: &NullBuffer,
    missing: [u8; N],
) {
    for (slot, row) in slots {
        if nulls.is_null(row) {
            slot.copy_from_slice(&missing);
        }
    }
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

fn values(array: &ArrayRef) -> Option<Values<'_>> {
    use DataType as D;
    Some(match array.data_type() {
        D::Float64 => Values::F64(native::<Float64Type>(array)),
        D::Float32 => Values::F32(native::<Float32Type>(array)),
        D::Int8 => Values::I8(native::<Int8Type>(array)),
        D::Int16 => Values::I16(native::<Int16Type>(array)),
        D::Int32 => Values::I32(native::<Int32Type>(array)),
        D::Int64 => Values::I64(native::<Int64Type>(array)),
        D::UInt8 => Values::U8(native::<UInt8Type>(array)),
        D::UInt16 => Values::U16(native::<UInt16Type>(array)),
        D::UInt32 => Values::U32(native::<UInt32Type>(array)),
        D::UInt64 => Values::U64(native::<UInt64Type>(array)),
        D::Date32 => Values::I32(native::<Date32Type>(array)),
        D::Boolean => Values::Boolean(array.as_boolean().values()),
        D::Decimal128(_, scale) => Values::Decimal(native::<Decimal128Type>(array), power_of_ten(*scale)?),
        _ => return None,
    })
}

fn keys(array: &dyn Array) -> Option<Keys<'_>> {
    use DataType as D;
    Some(match array.data_type() {
        D::Int8 => Keys::I8(native::<Int8Type>(array)),
        D::Int16 => Keys::I16(native::<Int16Type>(array)),
        D::Int32 => Keys::I32(native::<Int32Type>(array)),
        D::Int64 => Keys::I64(native::<Int64Type>(array)),
        D::UInt8 => Keys::U8(native::<UInt8Type>(array)),
        D::UInt16 => Keys::U16(native::<UInt16Type>(array)),
        D::UInt32 => Keys::U32(native::<UInt32Type>(array)),
        D::UInt64 => Keys::U64(native::<UInt64Type>(array)),
        _ => return None,
    })
}

/// 10^scale, correctly rounded: read from its decimal form rather than multiplied up, and without an
/// allocation. `None` for a scale that no decimal has.
fn power_of_ten(scale: i8) -> Option<f64> {
    let mut text = [0_u8; 8];
    let mut rest = &mut text[..];
    std::io::Write::write_fmt(&mut rest, format_args!("1e{scale}")).ok()?;
    let length = 8 - rest.len();
    std::str::from_utf8(&text[..length]).ok()?.parse().ok()
}

/// A column's value on its way to a parameter.
trait Value: Copy {
    fn float(self) -> f64;
    fn integer(self) -> i64;
}

macro_rules! value {
    ($($t:ty)*) => { $(impl Value for $t {
        fn float(self) -> f64 { self as f64 }
        fn integer(self) -> i64 { self as i64 }
    })* };
}
value!(f64 f32 i8 i16 i32 i64 u8 u16 u32);

impl Value for u64 {
    fn float(self) -> f64 {
        self as f64
    }
    fn integer(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Value for bool {
    fn float(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn integer(self) -> i64 {
        i64::from(self)
    }
}

/// An unscaled decimal and its divisor.
#[derive(Clone, Copy)]
struct Scaled(i128, f64);

impl Value for Scaled {
    fn float(self) -> f64 {
        self.0 as f64 / self.1
    }
    fn integer(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A parameter of a module, in the little-endian bytes of WebAssembly.
trait Param<const N: usize>: Sized {
    fn of(value: impl Value) -> Self;
    fn bytes(self) -> [u8; N];
}

impl Param<8> for f64 {
    fn of(value: impl Value) -> Self {
        value.float()
    }
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
}

impl Param<4> for f32 {
    fn of(value: impl Value) -> Self {
        value.float() as f32
    }
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
}

impl Param<8> for i64 {
    fn of(value: impl Value) -> Self {
        value.integer()
    }
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
}

impl Param<4> for i32 {
    fn of(value: impl Value) -> Self {
        let value = value.integer();
        i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
    }
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
}

fn write_values<P: Param<N>, const N: usize>(values: &Values<'_>, rows: Rows<'_>, out: &mut [u8]) {
    match values {
        Values::F64(v) => write_slice::<_, P, N>(v, rows, out),
        Values::F32(v) => write_slice::<_, P, N>(v, rows, out),
        Values::I8(v) => write_slice::<_, P, N>(v, rows, out),
        Values::I16(v) => write_slice::<_, P, N>(v, rows, out),
        Values::I32(v) => write_slice::<_, P, N>(v, rows, out),
        Values::I64(v) => write_slice::<_, P, N>(v, rows, out),
        Values::U8(v) => write_slice::<_, P, N>(v, rows, out),
        Values::U16(v) => write_slice::<_, P, N>(v, rows, out),
        Values::U32(v) => write_slice::<_, P, N>(v, rows, out),
        Values::U64(v) => write_slice::<_, P, N>(v, rows, out),
        Values::Boolean(v) => write_each::<P, N>(rows, out, |r| P::of(v.value(r))),
        Values::Decimal(v, scale) => write_each::<P, N>(rows, out, |r| P::of(Scaled(v[r], *scale))),
    }
}

fn write_slice<V: Value, P: Param<N>, const N: usize>(values: &[V], rows: Rows<'_>, out: &mut [u8]) {
    if let Rows::Range(from, to) = rows {
        for (slot, value) in out.chunks_exact_mut(N).zip(&values[from..to]) {
            slot.copy_from_slice(&P::of(*value).bytes());
        }
    } else {
        write_each::<P, N>(rows, out, |r| P::of(values[r]));
    }
}

fn write_each<P: Param<N>, const N: usize>(rows: Rows<'_>, out: &mut [u8], value: impl Fn(usize) -> P) {
    let slots = out.chunks_exact_mut(N);
    match rows {
        Rows::Range(from, to) => {
            for (slot, row) in slots.zip(from..to) {
                slot.copy_from_slice(&value(row).bytes());
            }
        }
        Rows::List(list) => {
            for (slot, row) in slots.zip(list) {
                slot.copy_from_slice(&value(*row as usize).bytes());
            }
        }
    }
}

/// Checks that every unit is a range of rows, one after the other.
pub(crate) fn check_units(units: &[Range<usize>], rows: usize) -> Result<(), SandboxError> {
    let mut last = 0;
    for (unit, range) in units.iter().enumerate() {
        if range.start < last || range.end < range.start || range.end > rows {
            return Err(SandboxError::Units { unit });
        }
        last = range.end;
    }
    Ok(())
}

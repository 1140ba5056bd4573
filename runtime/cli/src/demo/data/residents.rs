//! The people: one row each.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::errors::ParquetError;

use super::DataError;
use super::draw::{Draw, Of};
use super::ids::{self, Citizen, Code18, Spread};
use super::names;
use super::places::{PREFECTURES, Prefecture};
use super::table::{self, Progress, Shape};

/// The day on which everybody has the age of the table: year, month, day.
pub(crate) const TODAY: (u32, u32, u32) = (2026, 11, 23);

/// The most residents whose identity numbers are unique by construction (see [`slot`]).
pub(crate) const MAX_RESIDENTS: u64 = 5_000_000;

/// The declared values of `sex`.
pub(crate) const SEXES: [&str; 2] = ["女", "男"];

/// The declared values of `education`, lowest first; a model is given the place in this list.
pub(crate) const EDUCATIONS: [&str; 5] = ["小学", "初中", "高中", "本科", "研究生"];

const YOUNGEST: u32 = 18;
const OLDEST: u32 = 90;
const MOST_INCOME: f64 = 500_000.0;
const MOST_DEBTS: f64 = 2_000_000.0;
const MOST_MONTHS: u32 = 480;

/// One resident, as the row of the table says it.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Resident {
    /// Citizen identity number, GB 11643-1999.
    pub(crate) id_number: Code18,
    /// Name, two to four characters.
    pub(crate) name: String,
    /// One of [`SEXES`].
    pub(crate) sex: &'static str,
    /// Years completed on [`TODAY`], 18..=90.
    pub(crate) age: i32,
    /// The prefecture, by its short name.
    pub(crate) city: &'static str,
    /// One of [`EDUCATIONS`].
    pub(crate) education: &'static str,
    /// Yuan a year, 0..=500,000.
    pub(crate) income: i64,
    /// Months of social insurance paid, 0..=480.
    pub(crate) months_insured: i32,
    /// Yuan owed, 0..=2,000,000.
    pub(crate) debts: i64,
}

/// Days of the year without 29 February.
const DAYS: u64 = 365;
/// Sequence numbers in use: 001 to 998, as many odd as even.
const SEQUENCES: u64 = 998;
/// Residues of the age.
const AGE_CLASSES: u64 = 14;
const SLOTS: Spread = Spread::new(DAYS * SEQUENCES * AGE_CLASSES, 3_151_837);

const _: () = assert!(DAYS * SEQUENCES * AGE_CLASSES >= MAX_RESIDENTS);

/// The part of an identity number that keeps it unique.
struct Slot {
    /// Day of the year, 0..365.
    day: u32,
    /// 1..=998; its parity is the sex.
    sequence: u32,
    /// The age is 18 + this, plus any multiple of 14.
    age_class: u32,
}

/// Two residents never share an identity number, because two indices never share a slot.
///
/// The slot (day of the year, sequence number, age modulo 14) is a one-to-one image of the index: a permutation of
/// 0..365·998·14 = 0..5,099,780, taken apart into its three digits. All three can be read back from the number:
/// the day and the sequence stand in it, and day and year of birth give the age on [`TODAY`]. Equal numbers would
/// mean equal slots, hence equal indices. Everything else (county, which age of the class) is drawn freely.
fn slot(seed: u64, index: u64) -> Slot {
    let at = SLOTS.at(seed, index);
    let part = |n: u64| u32::try_from(n).expect("a digit of the slot");
    Slot { day: part(at % DAYS), sequence: 1 + part(at / DAYS % SEQUENCES), age_class: part(at / DAYS / SEQUENCES) }
}

/// The slot as one number, for the test that no two are equal.
#[cfg(test)]
pub(super) fn slot_for_test(seed: u64, index: u64) -> usize {
    SLOTS.at(seed, index) as usize
}

/// The resident of row `index`, 0-based, of the table that `seed` makes. Needs no file and no other row.
pub(crate) fn resident(seed: u64, index: u64) -> Resident {
    let mut draw = Draw::new(Of::Resident, seed, index);
    let slot = slot(seed, index);
    let woman = slot.sequence.is_multiple_of(2);
    let place = draw.weighted(&PREFECTURES, |p| p.weight);
    let age = age(&mut draw, slot.age_class);
    let (year, month, day) = born(age, slot.day);
    let county = place.county(draw.below(1 << 16));
    let id_number = ids::citizen(&Citizen { region: county, year, month, day, sequence: slot.sequence });
    let name = names::person(&mut draw, woman);
    let education = education(&mut draw, age, place);
    let income = income(&mut draw, age, education, place);
    Resident {
        id_number,
        name,
        sex: SEXES[usize::from(!woman)],
        age: i32::try_from(age).expect("at most 90"),
        city: place.name,
        education: EDUCATIONS[education],
        income: whole(income, MOST_INCOME, 10.0),
        months_insured: months_insured(&mut draw, age, education),
        debts: debts(&mut draw, age, income),
    }
}

/// About how many of each age there are, in relation to each other (Yunnan's adults, census of 2020 smoothed).
fn age_weight(age: u32) -> u32 {
    match age {
        ..25 => 125,
        25..30 => 140,
        30..35 => 172,
        35..40 => 152,
        40..45 => 146,
        45..50 => 165,
        50..55 => 160,
        55..60 => 130,
        60..65 => 88,
        65..70 => 86,
        70..75 => 62,
        75..80 => 42,
        80..85 => 25,
        _ => 10,
    }
}

fn age(draw: &mut Draw, class: u32) -> u32 {
    const STEP: u32 = 14;
    let ages: [u32; 6] = std::array::from_fn(|n| YOUNGEST + class + STEP * u32::try_from(n).expect("below 6"));
    *draw.weighted(&ages, |&age| if age <= OLDEST { age_weight(age) } else { 0 })
}

/// Days before each month in a year without 29 February.
const BEFORE_MONTH: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// The day of birth of somebody whose birthday is the `day`th of the year and who is `age` on [`TODAY`].
fn born(age: u32, day: u32) -> (u32, u32, u32) {
    let month = BEFORE_MONTH.iter().rposition(|&before| before <= day).expect("the first is 0");
    let today = BEFORE_MONTH[TODAY.1 as usize - 1] + TODAY.2 - 1;
    let this_year = if day <= today { TODAY.0 } else { TODAY.0 - 1 };
    (this_year - age, u32::try_from(month).expect("below 12") + 1, day - BEFORE_MONTH[month] + 1)
}

/// The place in [`EDUCATIONS`]: the young and the rich prefectures went to school for longer.
fn education(draw: &mut Draw, age: u32, place: &Prefecture) -> usize {
    let shares: [u32; 5] = match age {
        ..25 => [3, 20, 43, 32, 2],
        25..35 => [5, 31, 27, 33, 4],
        35..45 => [13, 43, 23, 18, 3],
        45..60 => [35, 42, 15, 7, 1],
        _ => [66, 22, 9, 3, 0],
    };
    let items: [(usize, u32); 5] = std::array::from_fn(|n| {
        let tilt = if n >= 3 { place.level } else { 100 };
        (n, shares[n] * tilt)
    });
    draw.weighted(&items, |item| item.1).0
}

/// Yuan a year, not yet rounded; at most [`MOST_INCOME`].
fn income(draw: &mut Draw, age: u32, education: usize, place: &Prefecture) -> f64 {
    const MEDIANS: [f64; 5] = [21_000.0, 30_000.0, 41_000.0, 70_000.0, 112_000.0];
    let stage = match age {
        ..23 => 0.45,
        23..30 => 0.85,
        30..40 => 1.05,
        40..55 => 1.15,
        55..60 => 1.0,
        _ => 0.65,
    };
    let spread = draw.lognormal(0.55);
    if draw.chance(1, 25) {
        return 0.0;
    }
    (MEDIANS[education] * stage * f64::from(place.level) / 100.0 * spread).min(MOST_INCOME)
}

/// Months of insurance: part of the years worked since leaving school, up to 60; one in eight never paid.
fn months_insured(draw: &mut Draw, age: u32, education: usize) -> i32 {
    const FIRST_WORK: [u32; 5] = [18, 18, 19, 22, 25];
    let years = age.min(60).saturating_sub(FIRST_WORK[education]);
    let part = draw.unit().sqrt();
    if draw.chance(1, 8) {
        return 0;
    }
    let months = whole(f64::from(years) * 12.0 * part, f64::from(MOST_MONTHS), 1.0);
    i32::try_from(months).expect("at most 480")
}

/// Yuan owed: nothing for two in five, else up to a few years of income and, seldom, very much.
fn debts(draw: &mut Draw, age: u32, income: f64) -> i64 {
    let share = draw.unit();
    let spread = draw.lognormal(0.7);
    if draw.chance(2, 5) {
        return 0;
    }
    let stage = if age >= 65 { 0.25 } else { 1.0 };
    whole((6_000.0 + income * 2.6 * share * share) * spread * stage, MOST_DEBTS, 100.0)
}

/// `amount` rounded to a multiple of `step`, in 0..=`most`.
fn whole(amount: f64, most: f64, step: f64) -> i64 {
    let steps = (amount / step).round() * step;
    // In range by the clamp, so the cast is exact.
    steps.clamp(0.0, most) as i64
}

/// The columns of the table, in order. None is ever NULL.
fn schema() -> SchemaRef {
    let column = |name, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        column("id_number", DataType::Utf8),
        column("name", DataType::Utf8),
        column("sex", DataType::Utf8),
        column("age", DataType::Int32),
        column("city", DataType::Utf8),
        column("education", DataType::Utf8),
        column("income", DataType::Int64),
        column("months_insured", DataType::Int32),
        column("debts", DataType::Int64),
    ]))
}

/// Writes the first `rows` residents of `seed` to a Parquet file at `path`, in the order of their indices.
///
/// # Errors
/// [`DataError::TooMany`] above [`MAX_RESIDENTS`], before anything is written; [`DataError::Io`],
/// [`DataError::Parquet`].
pub(crate) fn residents(path: &Path, rows: u64, seed: u64, progress: &mut Progress<'_>) -> Result<(), DataError> {
    if rows > MAX_RESIDENTS {
        return Err(DataError::TooMany { most: MAX_RESIDENTS });
    }
    let shape = Shape { rows, schema: schema(), unique: &["id_number"] };
    table::write(path, &shape, progress, |range| batch(&shape.schema, seed, range))
}

fn batch(schema: &SchemaRef, seed: u64, range: Range<u64>) -> Result<RecordBatch, ParquetError> {
    let [mut id_number, mut name, mut sex, mut city, mut education] = std::array::from_fn(|_| StringBuilder::new());
    let (mut age, mut months_insured) = (Int32Builder::new(), Int32Builder::new());
    let (mut income, mut debts) = (Int64Builder::new(), Int64Builder::new());
    for index in range {
        let row = resident(seed, index);
        id_number.append_value(row.id_number.as_str());
        name.append_value(&row.name);
        sex.append_value(row.sex);
        age.append_value(row.age);
        city.append_value(row.city);
        education.append_value(row.education);
        income.append_value(row.income);
        months_insured.append_value(row.months_insured);
        debts.append_value(row.debts);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(id_number.finish()),
        Arc::new(name.finish()),
        Arc::new(sex.finish()),
        Arc::new(age.finish()),
        Arc::new(city.finish()),
        Arc::new(education.finish()),
        Arc::new(income.finish()),
        Arc::new(months_insured.finish()),
        Arc::new(debts.finish()),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

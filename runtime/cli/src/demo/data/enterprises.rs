//! The enterprises: one row each.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::errors::ParquetError;

use super::DataError;
use super::draw::{Draw, Of};
use super::ids::{self, Code18, ORGANISATIONS, Spread};
use super::names;
use super::places::PREFECTURES;
use super::table::{self, Progress, Shape};

/// The most enterprises that can be made; their codes would stay unique up to 31⁵.
pub(crate) const MAX_ENTERPRISES: u64 = 5_000_000;

const MOST_CAPITAL: f64 = 5_000_000_000.0;
const MOST_TAX: f64 = 500_000_000.0;
const MOST_EMPLOYEES: f64 = 20_000.0;

const ORGANISATION_CODES: Spread = Spread::new(ORGANISATIONS, 17_693_903);

/// A section of GB/T 4754-2017.
pub(crate) struct Industry {
    /// Its name in the standard, as the catalogue declares it.
    pub(crate) name: &'static str,
    /// What an enterprise of it calls its trade.
    trade: &'static str,
    /// How many there are, in relation to the others; invented.
    weight: u32,
    /// Median number of employees; invented.
    employees: f64,
    /// Median capital in yuan; invented.
    capital: f64,
}

const fn industry(name: &'static str, trade: &'static str, weight: u32, employees: f64, capital: f64) -> Industry {
    Industry { name, trade, weight, employees, capital }
}

/// The sections in use, in the order of the standard.
pub(crate) const INDUSTRIES: [Industry; 12] = [
    industry("农、林、牧、渔业", "农业开发", 90, 6.0, 1_200_000.0),
    industry("采矿业", "矿业", 6, 34.0, 9_000_000.0),
    industry("制造业", "制造", 74, 16.0, 2_400_000.0),
    industry("电力、热力、燃气及水生产和供应业", "能源", 9, 22.0, 12_000_000.0),
    industry("建筑业", "建筑工程", 98, 12.0, 4_200_000.0),
    industry("批发和零售业", "商贸", 330, 4.0, 600_000.0),
    industry("交通运输、仓储和邮政业", "物流", 42, 9.0, 1_500_000.0),
    industry("住宿和餐饮业", "餐饮管理", 48, 8.0, 400_000.0),
    industry("信息传输、软件和信息技术服务业", "信息技术", 62, 7.0, 900_000.0),
    industry("房地产业", "置业", 34, 9.0, 6_500_000.0),
    industry("租赁和商务服务业", "商务服务", 142, 4.0, 700_000.0),
    industry("科学研究和技术服务业", "科技", 65, 6.0, 900_000.0),
];

/// One enterprise, as the row of the table says it.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Enterprise {
    /// Unified social credit code, GB 32100-2015.
    pub(crate) credit_code: Code18,
    /// Registered name.
    pub(crate) name: String,
    /// The name of one of [`INDUSTRIES`].
    pub(crate) industry: &'static str,
    /// The prefecture, by its short name.
    pub(crate) city: &'static str,
    /// Registered capital in yuan, 0..=5,000,000,000.
    pub(crate) capital: i64,
    /// Tax paid in the year, in yuan, 0..=500,000,000.
    pub(crate) tax: i64,
    /// Persons insured by it, 0..=20,000.
    pub(crate) employees: i32,
}

/// The enterprise of row `index`, 0-based, of the table that `seed` makes.
///
/// Credit codes are unique because the five free characters of the organisation code are a permutation of the index.
pub(crate) fn enterprise(seed: u64, index: u64) -> Enterprise {
    let mut draw = Draw::new(Of::Enterprise, seed, index);
    let place = draw.weighted(&PREFECTURES, |p| p.weight * p.level);
    let industry = draw.weighted(&INDUSTRIES, |i| i.weight);
    let county = place.county(draw.below(1 << 16));
    let credit_code = ids::enterprise(county, ORGANISATION_CODES.at(seed, index));
    let name = names::firm(&mut draw, place.name, industry.trade);
    // One size for all three figures: few enterprises are most of the sum, as they are in life.
    let size = draw.lognormal(1.25);
    let capital = industry.capital * size * draw.lognormal(0.6);
    let employees = industry.employees * size * draw.lognormal(0.3);
    let tax = if draw.chance(1, 5) { 0.0 } else { employees * 5_200.0 * draw.lognormal(0.7) };
    Enterprise {
        credit_code,
        name,
        industry: industry.name,
        city: place.name,
        capital: rounded(capital, MOST_CAPITAL, 10_000.0),
        tax: rounded(tax, MOST_TAX, 1.0),
        employees: i32::try_from(rounded(employees, MOST_EMPLOYEES, 1.0)).expect("at most 20,000"),
    }
}

fn rounded(amount: f64, most: f64, step: f64) -> i64 {
    // In range by the clamp, so the cast is exact.
    ((amount / step).round() * step).clamp(0.0, most) as i64
}

fn schema() -> SchemaRef {
    let column = |name, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        column("credit_code", DataType::Utf8),
        column("name", DataType::Utf8),
        column("industry", DataType::Utf8),
        column("city", DataType::Utf8),
        column("capital", DataType::Int64),
        column("tax", DataType::Int64),
        column("employees", DataType::Int32),
    ]))
}

/// Writes the first `rows` enterprises of `seed` to a Parquet file at `path`, in the order of their indices.
///
/// # Errors
/// [`DataError::TooMany`] above [`MAX_ENTERPRISES`], before anything is written; [`DataError::Io`],
/// [`DataError::Parquet`].
pub(crate) fn enterprises(path: &Path, rows: u64, seed: u64, progress: &mut Progress<'_>) -> Result<(), DataError> {
    if rows > MAX_ENTERPRISES {
        return Err(DataError::TooMany { most: MAX_ENTERPRISES });
    }
    let shape = Shape { rows, schema: schema(), unique: &["credit_code", "name"] };
    table::write(path, &shape, progress, |range| batch(&shape.schema, seed, range))
}

fn batch(schema: &SchemaRef, seed: u64, range: Range<u64>) -> Result<RecordBatch, ParquetError> {
    let [mut credit_code, mut name, mut industry, mut city] = std::array::from_fn(|_| StringBuilder::new());
    let (mut capital, mut tax) = (Int64Builder::new(), Int64Builder::new());
    let mut employees = Int32Builder::new();
    for index in range {
        let row = enterprise(seed, index);
        credit_code.append_value(row.credit_code.as_str());
        name.append_value(&row.name);
        industry.append_value(row.industry);
        city.append_value(row.city);
        capital.append_value(row.capital);
        tax.append_value(row.tax);
        employees.append_value(row.employees);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(credit_code.finish()),
        Arc::new(name.finish()),
        Arc::new(industry.finish()),
        Arc::new(city.finish()),
        Arc::new(capital.finish()),
        Arc::new(tax.finish()),
        Arc::new(employees.finish()),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

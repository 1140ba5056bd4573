//! Firms under disclosure control, for the tests.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use crate::common::{World, write};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use std::sync::Arc;
use yunei_policy::words::State;

pub const FIRMS: &str = r#"
[dataset]
id = "firms"
title = { zh = "企业", en = "Firms" }
provider = { name = "市场监管局", code = "11530000015000011Y" }
files = ["firms.parquet"]
update = "monthly"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-3"
unit = { kind = "legal_person", column = "code", most_rows = 1 }
release = "statistical"
[[column]]
name = "code"
type = "utf8"
class = "direct_identifier"
usages = ["join", "verify"]
[[column]]
name = "town"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
values = ["东", "南", "西", "北"]
[[column]]
name = "trade"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
values = ["农", "工", "商"]
[[column]]
name = "fined"
type = "bool"
class = "sensitive"
usages = ["filter", "group"]
[[column]]
name = "brand"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
[[column]]
name = "staff"
type = "int32"
class = "attribute"
usages = ["filter", "group", "feature", "aggregate"]
min = 0
max = 20000
[[column]]
name = "tax"
type = "int64"
class = "sensitive"
usages = ["feature", "aggregate"]
min = 0
max = 500000000
"#;

pub const BILLS: &str = r#"
[dataset]
id = "bills"
title = { zh = "账单", en = "Bills" }
provider = { name = "电网", code = "11530000015000011Y" }
files = ["bills.parquet"]
update = "monthly"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-3"
unit = { kind = "legal_person", column = "code", most_rows = 3 }
release = "statistical"
[[column]]
name = "code"
type = "utf8"
class = "direct_identifier"
usages = ["join"]
[[column]]
name = "month"
type = "int32"
class = "attribute"
usages = ["filter", "group"]
min = 1
max = 3
[[column]]
name = "kwh"
type = "int64"
class = "attribute"
usages = ["filter", "aggregate"]
min = 0
max = 1000000
"#;

/// A firm: town, trade, whether it was fined, its brand, staff and tax.
#[derive(Clone)]
pub struct Firm(pub &'static str, pub &'static str, pub bool, pub String, pub i32, pub i64);

/// `n` ordinary firms, spread evenly over towns and trades.
pub fn ordinary(n: usize) -> Vec<Firm> {
    (0..n)
        .map(|i| {
            let brand = format!("牌{}", i % 4);
            let town = ["东", "南", "西", "北"][i % 4];
            let trade = ["农", "工", "商"][i / 4 % 3];
            Firm(town, trade, i % 7 == 0, brand, 5 + (i % 40) as i32, 1_000 + (i as i64 * 37) % 900)
        })
        .collect()
}

/// A world in which these firms are registered; each has three bills.
pub async fn world(firms: &[Firm]) -> World {
    let world = World::new(30).await;
    let codes: Vec<String> = (0..firms.len()).map(|i| format!("F{i:06}")).collect();
    let texts = |f: &dyn Fn(&Firm) -> String| -> ArrayRef {
        Arc::new(firms.iter().map(|x| Some(f(x))).collect::<StringArray>())
    };
    write(
        &world.folder.path().join("firms.parquet"),
        vec![
            ("code", Arc::new(StringArray::from(codes.clone()))),
            ("town", texts(&|f| f.0.to_owned())),
            ("trade", texts(&|f| f.1.to_owned())),
            ("fined", Arc::new(firms.iter().map(|f| Some(f.2)).collect::<datafusion::arrow::array::BooleanArray>())),
            ("brand", texts(&|f| f.3.clone())),
            ("staff", Arc::new(firms.iter().map(|f| f.4).collect::<Int32Array>())),
            ("tax", Arc::new(firms.iter().map(|f| f.5).collect::<Int64Array>())),
        ],
    );
    let months: Vec<(usize, i32)> = (0..firms.len()).flat_map(|i| (1..=3).map(move |m| (i, m))).collect();
    write(
        &world.folder.path().join("bills.parquet"),
        vec![
            ("code", Arc::new(months.iter().map(|(i, _)| Some(codes[*i].clone())).collect::<StringArray>())),
            ("month", Arc::new(months.iter().map(|(_, m)| *m).collect::<Int32Array>())),
            (
                "kwh",
                Arc::new(months.iter().map(|(i, m)| 100 + (*i as i64 % 50) * i64::from(*m)).collect::<Int64Array>()),
            ),
        ],
    );
    for (name, text) in [("firms.toml", FIRMS), ("bills.toml", BILLS)] {
        let path = world.file(name, text);
        let submission = world.domain.register_dataset("holder", &path, |_, _| {}).await.unwrap();
        world.domain.set_dataset_state("authority", &submission.id, State::Approved).await.unwrap();
    }
    world
}

pub fn product(id: &str, sql: &str) -> String {
    format!(
        "[product]\nid = \"{id}\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"research\"]\n\
         datasets = [\"firms\", \"bills\"]\nmodels = [\"burden@1.0.0\"]\nsql = '''{sql}'''\n"
    )
}

/// Submits, approves, grants and runs a product; the result.
pub async fn ask(world: &World, id: &str, sql: &str) -> RecordBatch {
    world.approve(id, &product(id, sql), "operator", &["research"]).await;
    world.run(id, &[], "research").await.unwrap().released.batch().clone()
}

/// The codes of the refusal of a product.
pub async fn refused(world: &World, sql: &str) -> Vec<&'static str> {
    let path = world.file("product.toml", &product("probe", sql));
    match world.domain.check_product(&path).await {
        Ok(_) => Vec::new(),
        Err(e) => e.reasons().iter().map(|r| r.code()).collect(),
    }
}

/// A column of numbers.
pub fn numbers(batch: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    let column = cast(batch.column_by_name(name).unwrap(), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

/// A column of texts.
pub fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
    let column = column.as_string::<i32>();
    (0..column.len()).map(|i| (!column.is_null(i)).then(|| column.value(i).to_owned())).collect()
}

//! What the tests of the catalogue share.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use yunei_engine::catalogue::{DatasetSpec, Surveyed, survey};
use yunei_policy::{Lang, Refused};

/// A valid entry that has something of everything.
pub(crate) const ENTRY: &str = r#"
[dataset]
id = "residents"
title = { zh = "常住人口", en = "Residents" }
provider = { name = "某市公安局", code = "91350100M000100Y43" }
files = ["residents/*.parquet"]
format = "parquet"
update = "monthly"
sharing = { attribute = "conditional", conditions = "经授权" }
opening = { type = "none" }
grade = "general-3"
unit = { kind = "natural_person", column = "id_number", most_rows = 3, most_groups = 2 }
release = "personal"

[[column]]
name = "id_number"
type = "utf8"
class = "direct_identifier"
usages = ["join", "verify"]
meaning = { zh = "公民身份号码", en = "Citizen identification number" }

[[column]]
name = "age"
type = "int32"
class = "quasi_identifier"
usages = ["filter", "group", "feature", "aggregate"]
min = 0
max = 120

[[column]]
name = "city"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
values = ["昆明", "曲靖", "玉溪"]

[[column]]
name = "income"
type = "decimal(12,2)"
class = "sensitive"
usages = ["aggregate"]
min = 0
max = 99999.99
missing = "null"

[[column]]
name = "score"
type = "float64"
class = "attribute"
usages = ["feature"]
min = -1.5
max = 1.5

[[column]]
name = "born"
type = "date32"
class = "quasi_identifier"
usages = ["filter"]
min = "1900-01-01"
max = 2026-12-31

[[column]]
name = "grade"
type = "int8"
class = "attribute"
usages = ["group"]
values = [1, 2, 4]

[[column]]
name = "employed"
type = "bool"
class = "attribute"
usages = ["filter", "group"]
missing = "null"
"#;

pub(crate) fn spec() -> DatasetSpec {
    DatasetSpec::parse(ENTRY).unwrap()
}

/// All that people are told, in both languages.
pub(crate) fn told(refused: &Refused) -> String {
    let mut out = String::new();
    for reason in refused.reasons() {
        writeln!(out, "{} [{}]", reason.code(), reason.place().unwrap_or("-")).unwrap();
        for lang in [Lang::En, Lang::Zh] {
            let hint = reason.advice().map_or(String::new(), |h| format!(" | {}", h.get(lang)));
            writeln!(out, "    {}{hint}", reason.message().get(lang)).unwrap();
        }
    }
    out
}

/// Writes a Parquet file of these columns.
pub(crate) fn write(path: &Path, columns: &[(&str, ArrayRef)]) {
    write_with(path, columns, WriterProperties::builder().set_max_row_group_row_count(Some(100)).build());
}

pub(crate) fn write_with(path: &Path, columns: &[(&str, ArrayRef)], properties: WriterProperties) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(n, a)| (*n, Arc::clone(a), true))).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub(crate) fn surveyed(spec: &DatasetSpec, base: &Path) -> Result<Surveyed, Refused> {
    survey(spec, base, &mut |_, _| ())
}

/// The codes and places, and the counts that stand last in the messages.
pub(crate) fn counts(refused: &Refused) -> Vec<(String, u64)> {
    let last = |text: &str| text.split(' ').rev().find_map(|word| word.parse().ok()).unwrap_or(0);
    let key = |r: &yunei_policy::Refusal| format!("{} {}", r.code(), r.place().unwrap_or("-"));
    refused.reasons().iter().map(|r| (key(r), last(&r.message().en))).collect()
}

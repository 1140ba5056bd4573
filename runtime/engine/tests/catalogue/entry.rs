//! Catalogue entries: what is read, and what is refused with which words.

use crate::tools::{ENTRY, spec, told};
use datafusion::arrow::datatypes::DataType;
use std::fmt::Write;
use yunei_engine::catalogue::{
    Attribute, Bounds, ColumnType, DatasetSpec, Domain, Grade, MAX_COLUMNS, MAX_ENTRY_BYTES, MAX_PATTERNS, MAX_VALUES,
    Update,
};
use yunei_engine::registry::Digest;
use yunei_policy::facts::{Interval, Kind, Literal};
use yunei_policy::words::{ColumnClass, ReleaseClass, UnitKind, Usage};

#[test]
fn a_whole_entry_is_read() {
    let spec = spec();
    assert_eq!(spec.id(), "residents");
    assert_eq!((spec.title().zh.as_str(), spec.title().en.as_str()), ("常住人口", "Residents"));
    assert_eq!((spec.provider().name(), spec.provider().code()), ("某市公安局", "91350100M000100Y43"));
    assert_eq!(spec.files(), ["residents/*.parquet"]);
    assert!(!spec.names_absolute_files());
    assert_eq!(spec.update(), Update::Monthly);
    assert_eq!(spec.sharing().attribute(), Attribute::Conditional);
    assert_eq!(spec.sharing().conditions(), Some("经授权"));
    assert_eq!(spec.opening().attribute(), Attribute::None);
    assert_eq!(spec.opening().conditions(), None);
    assert_eq!(spec.grade(), Grade::General3);
    let unit = spec.unit().unwrap();
    assert_eq!((unit.kind(), unit.column()), (UnitKind::NaturalPerson, 0));
    assert_eq!((unit.most_rows(), unit.most_groups()), (3, Some(2)));
    assert_eq!(spec.release(), ReleaseClass::Personal);
    assert_eq!((spec.text(), spec.digest()), (ENTRY, Digest::of(ENTRY.as_bytes())));

    let column = |name| spec.column(name).unwrap();
    assert_eq!(column("id_number").meaning().unwrap().zh, "公民身份号码");
    assert_eq!(column("id_number").usages().iter().copied().collect::<Vec<_>>(), [Usage::Join, Usage::Verify]);
    assert_eq!(column("id_number").class(), ColumnClass::DirectIdentifier);
    assert_eq!(column("age").bounds(), Some(Bounds::Int(0, 120)));
    assert_eq!(column("income").column_type(), ColumnType::Decimal { precision: 12, scale: 2 });
    assert_eq!(column("income").bounds(), Some(Bounds::Decimal(0, 9_999_999)));
    assert_eq!(column("income").interval(), Interval::new(0.0, 99_999.99));
    assert!(column("income").nullable() && !column("age").nullable());
    assert_eq!(column("score").bounds(), Some(Bounds::Float(-1.5, 1.5)));
    assert_eq!(column("born").bounds(), Some(Bounds::Date(-25_567, 20_818)));
    assert_eq!(column("grade").domain(), Some(&Domain::Int(vec![1, 2, 4])));
    assert_eq!(column("grade").interval(), Interval::new(1.0, 4.0), "a domain of integers has bounds");
    assert!(spec.column("Age").is_none());
}

#[test]
fn decisions_see_the_entry_as_a_scan() {
    let scan = spec().scan();
    assert_eq!(
        (scan.dataset.as_str(), scan.release, scan.unit_kind),
        ("residents", ReleaseClass::Personal, UnitKind::NaturalPerson)
    );
    assert_eq!((scan.unit, scan.most_rows, scan.most_groups), (Some(0), Some(3), Some(2)));
    let kinds: Vec<Kind> = scan.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [Kind::Text, Kind::Int, Kind::Text, Kind::Float, Kind::Float, Kind::Date, Kind::Int, Kind::Bool]);
    let cities = ["昆明", "曲靖", "玉溪"].map(|c| Literal::Text(c.into()));
    assert_eq!(scan.columns[2].values.as_deref(), Some(cities.as_slice()), "in the declared order");
    assert_eq!(scan.columns[7].values, Some(vec![Literal::Bool(false), Literal::Bool(true)]));
    assert_eq!(scan.columns[0].values, None);
    assert_eq!(scan.columns[1].bounds, Interval::new(0.0, 120.0));
    assert!(scan.columns[3].nullable && !scan.columns[0].nullable);
}

#[test]
fn queries_see_the_declared_schema() {
    let schema = spec().arrow_schema();
    let fields: Vec<(&str, &DataType, bool)> =
        schema.fields().iter().map(|f| (f.name().as_str(), f.data_type(), f.is_nullable())).collect();
    assert_eq!(
        fields,
        [
            ("id_number", &DataType::Utf8, false),
            ("age", &DataType::Int32, false),
            ("city", &DataType::Utf8, false),
            ("income", &DataType::Decimal128(12, 2), true),
            ("score", &DataType::Float64, false),
            ("born", &DataType::Date32, false),
            ("grade", &DataType::Int8, false),
            ("employed", &DataType::Boolean, true),
        ]
    );
}

/// One change to the entry, and what is then told.
fn changed(out: &mut String, name: &str, from: &str, to: &str) {
    assert_eq!(ENTRY.matches(from).count(), 1, "{name}: `{from}` must occur once");
    let text = ENTRY.replace(from, to);
    match DatasetSpec::parse(&text) {
        Ok(_) => panic!("{name}: taken"),
        Err(refused) => writeln!(out, "== {name}\n{}", told(&refused)).unwrap(),
    }
}

#[test]
fn every_fault_of_an_entry_has_its_words() {
    let mut out = String::new();
    let cases = [
        ("not TOML", "id = \"residents\"", "id = "),
        ("a key twice", "id = \"residents\"", "id = \"residents\"\nid = \"people\""),
        ("unknown key", "update = \"monthly\"", "update = \"monthly\"\nowner = \"me\""),
        ("unknown key in a column", "max = 120", "max = 120\nmaximum = 130"),
        ("missing key", "grade = \"general-3\"\n", ""),
        ("wrong type of value", "id = \"residents\"", "id = 7"),
        ("id", "id = \"residents\"", "id = \"Residents-1\""),
        ("blank text", "zh = \"常住人口\"", "zh = \" \""),
        ("credit code", "91350100M000100Y43", "91350100M000100Y44"),
        ("no files", "[\"residents/*.parquet\"]", "[]"),
        ("path upwards", "residents/*.parquet", "../residents/*.parquet"),
        ("bad pattern", "residents/*.parquet", "residents/***.parquet"),
        ("format", "format = \"parquet\"", "format = \"csv\""),
        ("update", "update = \"monthly\"", "update = \"sometimes\""),
        (
            "conditions",
            "sharing = { attribute = \"conditional\", conditions = \"经授权\" }",
            "sharing = { attribute = \"conditional\" }",
        ),
        ("grade", "grade = \"general-3\"", "grade = \"secret\""),
        ("unit kind", "kind = \"natural_person\"", "kind = \"person\""),
        ("unit column", "column = \"id_number\", most", "column = \"id\", most"),
        ("unit class", "column = \"id_number\", most", "column = \"city\", most"),
        ("unit missing and of a wrong type", "column = \"id_number\", most", "column = \"income\", most"),
        ("no most_rows", "most_rows = 3, ", ""),
        ("most_rows zero", "most_rows = 3, ", "most_rows = 0, "),
        ("most_groups beyond most_rows", "most_groups = 2", "most_groups = 4"),
        ("unit none with a column", "unit = { kind = \"natural_person\"", "unit = { kind = \"none\""),
        (
            "no unit",
            "unit = { kind = \"natural_person\", column = \"id_number\", most_rows = 3, most_groups = 2 }",
            "unit = { kind = \"none\" }",
        ),
        ("statistical people", "release = \"personal\"", "release = \"statistical\""),
        ("open people", "release = \"personal\"", "release = \"open\""),
        ("column name", "name = \"age\"", "name = \"a.ge\""),
        ("column twice", "name = \"age\"", "name = \"CITY\""),
        ("column type", "type = \"int32\"", "type = \"uint32\""),
        ("decimal type", "type = \"decimal(12,2)\"", "type = \"decimal(39,2)\""),
        ("class", "class = \"sensitive\"", "class = \"secret\""),
        ("usage", "usages = [\"aggregate\"]", "usages = [\"sum\"]"),
        ("usage twice", "usages = [\"aggregate\"]", "usages = [\"aggregate\", \"aggregate\"]"),
        ("identifier usages", "usages = [\"join\", \"verify\"]", "usages = [\"join\", \"filter\", \"feature\"]"),
        ("one bound", "min = 0\nmax = 120", "min = 0"),
        ("bounds the wrong way", "min = 0\nmax = 120", "min = 121\nmax = 120"),
        ("bounds of another type", "min = 0\nmax = 120", "min = \"0\"\nmax = 1.5"),
        ("bounds of text", "values = [\"昆明\", \"曲靖\", \"玉溪\"]", "min = 1\nmax = 2"),
        ("bounds of a decimal", "max = 99999.99", "max = 99999.999"),
        ("bounds of a float", "max = 1.5", "max = inf"),
        ("bounds of a date", "min = \"1900-01-01\"", "min = \"1900-02-30\""),
        ("values of another type", "values = [1, 2, 4]", "values = [1, \"2\", 400]"),
        ("values twice", "values = [1, 2, 4]", "values = [1, 2, 1]"),
        ("no values", "values = [1, 2, 4]", "values = []"),
        ("values of a float", "min = -1.5\nmax = 1.5", "values = [1.5]"),
        ("values beyond the bounds", "values = [1, 2, 4]", "values = [1, 2, 4]\nmin = 2\nmax = 4"),
        (
            "missing",
            "missing = \"null\"\n\n[[column]]\nname = \"score\"",
            "missing = \"sometimes\"\n\n[[column]]\nname = \"score\"",
        ),
        ("meaning in one language", ", en = \"Citizen identification number\"", ""),
    ];
    for (name, from, to) in cases {
        changed(&mut out, name, from, to);
    }
    insta::assert_snapshot!("faults_of_an_entry", out);
}

#[test]
fn core_data_and_sensitive_columns_are_not_open() {
    let text = ENTRY
        .replace("kind = \"natural_person\"", "kind = \"legal_person\"")
        .replace("release = \"personal\"", "release = \"open\"")
        .replace("grade = \"general-3\"", "grade = \"important\"");
    insta::assert_snapshot!("open_faults", told(&DatasetSpec::parse(&text).unwrap_err()));
    let statistical = text.replace("release = \"open\"", "release = \"statistical\"");
    assert_eq!(DatasetSpec::parse(&statistical).unwrap().release(), ReleaseClass::Statistical);
}

#[test]
fn all_faults_are_told_at_once_and_at_most_a_hundred_of_them() {
    let text = ENTRY.replace("monthly", "sometimes").replace("general-3", "secret").replace("int32", "int128");
    let refused = DatasetSpec::parse(&text).unwrap_err();
    assert_eq!(refused.codes(), ["catalogue/bad-choice"; 3]);

    let unknown = |n: usize| format!("{}{ENTRY}", (0..n).map(|i| format!("k{i} = 1\n")).collect::<String>());
    assert_eq!(DatasetSpec::parse(&unknown(100)).unwrap_err().reasons().len(), 100);
    let refused = DatasetSpec::parse(&unknown(150)).unwrap_err();
    assert_eq!(refused.reasons().len(), 101);
    insta::assert_snapshot!(refused.reasons()[100].to_string(), @"catalogue/more-reasons: 50 more reasons are not listed");
}

#[test]
fn an_empty_entry_says_what_is_missing() {
    insta::assert_snapshot!("empty_entry", told(&DatasetSpec::parse("").unwrap_err()));
}

/// An entry with a comment that makes it exactly so long.
fn padded(bytes: usize) -> String {
    format!("{ENTRY}#{}", "x".repeat(bytes - ENTRY.len() - 1))
}

#[test]
fn limits_hold_and_one_past_them_does_not() {
    assert!(DatasetSpec::parse(&padded(MAX_ENTRY_BYTES)).is_ok());
    let codes = |text: &str| DatasetSpec::parse(text).unwrap_err().codes();
    assert_eq!(codes(&padded(MAX_ENTRY_BYTES + 1)), ["catalogue/too-large"]);

    let wide = |n: usize| {
        let more = (8..n).map(|i| format!("[[column]]\nname='c{i}'\ntype='bool'\nclass='attribute'\nusages=[]\n"));
        format!("{ENTRY}{}", more.collect::<String>())
    };
    assert_eq!(DatasetSpec::parse(&wide(MAX_COLUMNS)).unwrap().columns().len(), MAX_COLUMNS);
    assert_eq!(codes(&wide(MAX_COLUMNS + 1)), ["catalogue/too-many"]);

    let values = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("\"v{i}\"")).collect();
        ENTRY.replace("\"昆明\", \"曲靖\", \"玉溪\"", &list.join(","))
    };
    assert_eq!(
        DatasetSpec::parse(&values(MAX_VALUES)).unwrap().column("city").unwrap().domain().unwrap().len(),
        MAX_VALUES
    );
    assert_eq!(codes(&values(MAX_VALUES + 1)), ["catalogue/too-many"]);

    let id = |n: usize| ENTRY.replace("id = \"residents\"", &format!("id = \"{}\"", "a".repeat(n)));
    assert!(DatasetSpec::parse(&id(63)).is_ok());
    assert_eq!(codes(&id(64)), ["catalogue/bad-id"]);

    let title = |n: usize| ENTRY.replace("常住人口", &"人".repeat(n));
    assert!(DatasetSpec::parse(&title(200)).is_ok());
    assert_eq!(codes(&title(201)), ["catalogue/bad-text"]);

    let name = |n: usize| ENTRY.replace("name = \"age\"", &format!("name = \"{}\"", "龄".repeat(n)));
    assert!(DatasetSpec::parse(&name(128)).is_ok());
    assert_eq!(codes(&name(129)), ["catalogue/bad-name"]);

    let rows = |n: u32| ENTRY.replace("most_rows = 3", &format!("most_rows = {n}"));
    assert!(DatasetSpec::parse(&rows(1_000_000)).is_ok());
    assert_eq!(codes(&rows(1_000_001)), ["catalogue/bad-number"]);

    let patterns = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("\"f{i}\"")).collect();
        ENTRY.replace("\"residents/*.parquet\"", &list.join(","))
    };
    assert_eq!(DatasetSpec::parse(&patterns(MAX_PATTERNS)).unwrap().files().len(), MAX_PATTERNS);
    assert_eq!(codes(&patterns(MAX_PATTERNS + 1)), ["catalogue/too-many"]);

    let value = |n: usize| ENTRY.replace("\"昆明\"", &format!("\"{}\"", "x".repeat(n)));
    assert!(DatasetSpec::parse(&value(1024)).is_ok());
    assert_eq!(codes(&value(1025)), ["catalogue/bad-values"]);

    let conditions = |n: usize| ENTRY.replace("经授权", &"条".repeat(n));
    assert!(DatasetSpec::parse(&conditions(2000)).is_ok());
    assert_eq!(codes(&conditions(2001)), ["catalogue/bad-text"]);

    let bound = |n: u64| {
        let wide = ENTRY.replace("type = \"int32\"", "type = \"int64\"");
        wide.replace("max = 120", &format!("max = {n}"))
    };
    assert!(DatasetSpec::parse(&bound(1 << 53)).is_ok());
    assert_eq!(codes(&bound((1 << 53) + 1)), ["catalogue/bad-bounds"]);
}

#[test]
fn a_document_as_deep_as_it_is_long_is_refused() {
    let n = MAX_ENTRY_BYTES / 2 - 10;
    let deep = [
        format!("x = {}{}", "[".repeat(n), "]".repeat(n)),
        format!("{}x = 1", "a.".repeat(n)),
        format!("[{}x]", "a.".repeat(n)),
        format!("x = {}", "{a=".repeat(n / 2)),
        format!("x = {{ {}x = 1 }}", "a.".repeat(n - 10)),
    ];
    for text in deep {
        assert!(DatasetSpec::parse(&text).is_err(), "{}", &text[..20]);
    }
}

#[test]
fn a_megabyte_of_faults_is_read_at_once() {
    let text =
        "a=1\n[[column]]\nusages=[7,7]\n".replace("a=1", &(0..60_000).map(|i| format!("k{i}=1\n")).collect::<String>());
    assert_eq!(DatasetSpec::parse(&text).unwrap_err().reasons().len(), 101);
    let many = format!(
        "{ENTRY}\n[[column]]\nname='z'\ntype='utf8'\nclass='attribute'\nusages=[]\nvalues=[{}]",
        "7,".repeat(10_000)
    );
    assert_eq!(DatasetSpec::parse(&many).unwrap_err().reasons().len(), 101);
}

#[test]
fn files_may_be_absolute_but_never_upwards() {
    let with = |file: &str| DatasetSpec::parse(&ENTRY.replace("residents/*.parquet", file));
    assert!(with("/data/*.parquet").unwrap().names_absolute_files());
    assert!(with("a/**/b.parquet").is_ok());
    for bad in ["", "..", "a/../b", "/data/../etc/x", "a\\\\b", "a/[", &"x".repeat(1025)] {
        assert_eq!(with(bad).unwrap_err().codes(), ["catalogue/bad-path"], "{bad}");
    }
    assert!(with(&"x".repeat(1024)).is_ok());
}

#[test]
fn data_without_a_unit_is_open() {
    let entry = r#"
[dataset]
id = "stations"
title = { zh = "站点", en = "Stations" }
provider = { name = "某局", code = "91350100M000100Y43" }
files = ["stations.parquet"]
update = "never"
sharing = { attribute = "unconditional" }
opening = { type = "unconditional" }
grade = "general-1"
unit = { kind = "none" }
release = "open"
[[column]]
name = "站名"
type = "utf8"
class = "attribute"
usages = ["group"]
"#;
    let spec = DatasetSpec::parse(entry).unwrap();
    assert_eq!((spec.unit(), spec.unit_kind()), (None, UnitKind::None));
    let scan = spec.scan();
    assert_eq!((scan.unit, scan.most_rows, scan.most_groups), (None, None, None));
}

//! The manifests against the data that they describe.

use std::collections::HashSet;

use toml::{Table, Value};
use yunei_engine::catalogue::{DatasetSpec, survey};
use yunei_engine::product::Product;
use yunei_policy::rules::RuleSet;
use yunei_sandbox::Manifest;

use super::*;
use crate::demo::data::{self, EDUCATIONS, INDUSTRIES, Needles, PREFECTURES, SEXES, Sizes, forbidden_strings};

const PRODUCTS: [Asset; 8] = [
    RISK_BY_CITY,
    ELECTRICITY_BY_RISK,
    LOW_RISK,
    EDUCATION_VERIFIED,
    LEAK_RAW_ROWS,
    LEAK_ONE_PERSON,
    LEAK_LEAST_INCOME,
    LEAK_UNBOUNDED_SUM,
];

fn products() -> impl Iterator<Item = Asset> {
    PRODUCTS.into_iter().chain(LEAKS_BY_MODEL)
}

fn models() -> impl Iterator<Item = ModelAsset> {
    std::iter::once(CREDIT_RISK).chain(HOSTILE_MODELS)
}

fn all() -> impl Iterator<Item = Asset> {
    [RESIDENTS, ELECTRICITY, ENTERPRISES].into_iter().chain(products())
}

fn table(asset: Asset) -> Table {
    asset.text.parse().expect("TOML")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).expect("a text")
}

/// The declared values of a column, as texts.
fn declared(asset: Asset, column: &str) -> Vec<String> {
    let entry = table(asset);
    let columns = entry["column"].as_array().expect("columns");
    let found = columns.iter().find(|c| text(c, "name") == column).expect("a column");
    let values = found.get("values").and_then(Value::as_array).expect("values");
    values.iter().map(|v| v.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn declared_values_are_the_values_of_the_data_in_their_order() {
    let cities: Vec<&str> = PREFECTURES.iter().map(|p| p.name).collect();
    assert_eq!(declared(RESIDENTS, "city"), cities);
    assert_eq!(declared(ENTERPRISES, "city"), cities);
    assert_eq!(declared(RESIDENTS, "sex"), SEXES);
    assert_eq!(declared(RESIDENTS, "education"), EDUCATIONS);
    assert_eq!(declared(ENTERPRISES, "industry"), INDUSTRIES.map(|i| i.name));
}

#[test]
fn the_columns_are_those_of_the_files() {
    let names = |asset: Asset| -> Vec<String> {
        table(asset)["column"].as_array().expect("columns").iter().map(|c| text(c, "name").to_owned()).collect()
    };
    assert_eq!(
        names(RESIDENTS),
        ["id_number", "name", "sex", "age", "city", "education", "income", "months_insured", "debts"]
    );
    assert_eq!(names(ELECTRICITY), ["id_number", "month", "kwh"]);
    assert_eq!(names(ENTERPRISES), ["credit_code", "name", "industry", "city", "capital", "tax", "employees"]);
}

#[test]
fn every_product_names_models_and_datasets_that_are_there() {
    let models: HashSet<String> = models()
        .map(|asset| {
            let model = &table(asset.manifest)["model"];
            assert_eq!((text(model, "id"), text(model, "file")), (asset.id, asset.module.file));
            format!("{}@{}", text(model, "id"), text(model, "version"))
        })
        .collect();
    assert_eq!(models.len(), 4);
    let datasets = ["residents", "electricity"];
    let mut ids = HashSet::new();
    for asset in products() {
        let product = &table(asset)["product"];
        assert_eq!(format!("{}.toml", text(product, "id")), asset.file);
        assert!(ids.insert(text(product, "id").to_owned()));
        for used in product["datasets"].as_array().expect("datasets") {
            assert!(datasets.contains(&used.as_str().expect("a text")));
        }
        for used in product.get("models").and_then(Value::as_array).into_iter().flatten() {
            assert!(models.contains(used.as_str().expect("a text")));
        }
    }
}

#[test]
fn every_title_is_in_both_languages() {
    for asset in all() {
        let manifest = table(asset);
        let part = manifest.get("dataset").or_else(|| manifest.get("product"));
        let title = part.and_then(|p| p.get("title")).expect("a title");
        assert!(!text(title, "zh").is_ascii() && text(title, "en").is_ascii());
    }
}

#[test]
fn no_manifest_holds_anything_of_the_data() {
    let needles =
        Needles::new(forbidden_strings(20_261_123, Sizes::of(20_000).expect("in range")).map(|(_, text)| text));
    for asset in all() {
        assert_eq!(needles.find(asset.text.as_bytes()), None, "{}", asset.file);
    }
}

#[test]
fn the_domain_takes_every_manifest() {
    for asset in [RESIDENTS, ELECTRICITY, ENTERPRISES] {
        assert_eq!(DatasetSpec::parse(asset.text).err(), None, "{}", asset.file);
    }
    for asset in products() {
        assert_eq!(Product::parse(asset.text).err(), None, "{}", asset.file);
    }
    for asset in models() {
        assert_eq!(Manifest::parse(asset.manifest.text).err(), None, "{}", asset.id);
    }
}

#[test]
fn the_files_keep_to_their_entries() {
    let home = tempfile::tempdir().expect("a folder");
    let sizes = Sizes::of(3_000).expect("in range");
    let (seed, quiet) = (7, &mut |_, _| ());
    data::residents(&home.path().join("residents.parquet"), sizes.residents(), seed, quiet).expect("written");
    let meters = home.path().join("electricity.parquet");
    data::electricity(&meters, sizes.residents(), sizes.metered(), seed, quiet).expect("written");
    data::enterprises(&home.path().join("enterprises.parquet"), sizes.enterprises(), seed, quiet).expect("written");
    for (asset, rows) in [(RESIDENTS, 3_000), (ELECTRICITY, 7_200), (ENTERPRISES, 300)] {
        let spec = DatasetSpec::parse(asset.text).expect("an entry");
        let surveyed = survey(&spec, home.path(), quiet).expect("files as declared");
        assert_eq!(surveyed.rows(), rows);
    }
}

#[test]
fn the_domain_takes_the_manifests_of_the_tpch_example() {
    assert_eq!(DatasetSpec::parse(include_str!("../../../../../examples/tpch/dataset.toml")).err(), None);
    assert_eq!(Product::parse(include_str!("../../../../../examples/tpch/product.toml")).err(), None);
    assert_eq!(RuleSet::parse(include_str!("../../../../../examples/tpch/rules.toml")).err(), None);
}

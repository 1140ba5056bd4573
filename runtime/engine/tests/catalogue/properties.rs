//! Properties: entries read back as they were meant; planted faults counted exactly.

use crate::survey::good;
use crate::tools::{counts, spec, surveyed, write_with};
use datafusion::arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int32Array, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int8Type, Int32Type};
use datafusion::parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yunei_engine::catalogue::{Bounds, ColumnType, DatasetSpec, Domain};
use yunei_policy::words::{ColumnClass, UnitKind, Usage};

/// A column as it is meant, and how it is written.
#[derive(Debug, Clone)]
struct Meant {
    column_type: ColumnType,
    class: ColumnClass,
    usages: BTreeSet<Usage>,
    bounds: Option<(Bounds, String)>,
    domain: Option<(Domain, String)>,
    nullable: bool,
}

/// Bounds and a domain, each with how it is written.
type Limits = (Option<(Bounds, String)>, Option<(Domain, String)>);

fn limits(of: ColumnType) -> BoxedStrategy<Limits> {
    match of {
        ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => {
            let bounds = (-128i64..=127, -128i64..=127).prop_map(|(a, b)| {
                let (lo, hi) = (a.min(b), a.max(b));
                (Some((Bounds::Int(lo, hi), format!("min = {lo}\nmax = {hi}"))), None)
            });
            let domain = prop::collection::hash_set(-128i64..=127, 1..6).prop_map(|set| {
                let values: Vec<i64> = set.into_iter().collect();
                let written = format!("values = {values:?}");
                (None, Some((Domain::Int(values), written)))
            });
            prop_oneof![Just((None, None)), bounds, domain].boxed()
        }
        ColumnType::Float64 => (-1e9f64..1e9, 0f64..1e9)
            .prop_map(|(lo, width)| {
                let hi = lo + width;
                (Some((Bounds::Float(lo, hi), format!("min = {lo:?}\nmax = {hi:?}"))), None)
            })
            .boxed(),
        ColumnType::Decimal { scale, .. } => (-9_999i128..=9_999, 0i128..=9_999)
            .prop_map(move |(a, b)| {
                let (lo, hi) = (a.min(b), a.max(b));
                let written = |v: i128| {
                    let (sign, v, unit) = (if v < 0 { "-" } else { "" }, v.abs(), 10i128.pow(scale.into()));
                    format!("{sign}{}.{:0>width$}", v / unit, v % unit, width = usize::from(scale))
                };
                (Some((Bounds::Decimal(lo, hi), format!("min = {}\nmax = {}", written(lo), written(hi)))), None)
            })
            .boxed(),
        ColumnType::Utf8 => prop::collection::hash_set("[a-z人口 '\"\\\\]{1,8}", 1..6)
            .prop_map(|set| {
                let values: Vec<String> = set.into_iter().collect();
                let written = format!("values = {}", serde_json::to_string(&values).unwrap());
                (None, Some((Domain::Text(values), written)))
            })
            .boxed(),
        _ => Just((None, None)).boxed(),
    }
}

fn column() -> impl Strategy<Value = Meant> {
    let types = prop::sample::select(vec![
        ColumnType::Bool,
        ColumnType::Int8,
        ColumnType::Int16,
        ColumnType::Int32,
        ColumnType::Int64,
        ColumnType::Float32,
        ColumnType::Float64,
        ColumnType::Decimal { precision: 9, scale: 3 },
        ColumnType::Date32,
        ColumnType::Utf8,
    ]);
    let classes =
        prop::sample::select(vec![ColumnClass::QuasiIdentifier, ColumnClass::Sensitive, ColumnClass::Attribute]);
    let usages = prop::sample::subsequence(
        vec![Usage::Filter, Usage::Group, Usage::Feature, Usage::Aggregate, Usage::Join, Usage::Verify],
        0..=6,
    );
    (types, classes, usages, any::<bool>()).prop_flat_map(|(column_type, class, usages, nullable)| {
        limits(column_type).prop_map(move |(bounds, domain)| Meant {
            column_type,
            class,
            usages: usages.iter().copied().collect(),
            bounds,
            domain,
            nullable,
        })
    })
}

fn written(columns: &[Meant]) -> String {
    let mut text = String::from(
        "[dataset]\nid='t'\ntitle={zh='表',en='T'}\nprovider={name='x',code='91350100M000100Y43'}\nfiles=['a']\n\
         update='never'\nsharing={attribute='none'}\nopening={type='none'}\ngrade='general-4'\n\
         unit={kind='natural_person',column='unit',most_rows=1}\nrelease='personal'\n\
         [[column]]\nname='unit'\ntype='utf8'\nclass='direct_identifier'\nusages=[]\n",
    );
    for (i, column) in columns.iter().enumerate() {
        let class = match column.class {
            ColumnClass::DirectIdentifier => "direct_identifier",
            ColumnClass::QuasiIdentifier => "quasi_identifier",
            ColumnClass::Sensitive => "sensitive",
            ColumnClass::Attribute => "attribute",
        };
        let usages: Vec<&str> = column.usages.iter().map(|u| u.as_str()).collect();
        text += &format!(
            "[[column]]\nname='c{i}'\ntype='{}'\nclass='{class}'\nusages={usages:?}\n{}\n{}\n{}",
            column.column_type,
            column.bounds.as_ref().map_or("", |b| &b.1),
            column.domain.as_ref().map_or("", |d| &d.1),
            if column.nullable { "missing='null'\n" } else { "" },
        );
    }
    text
}

/// A row of each kind of fault: which column it is in and what is then told.
const FAULTS: [(&str, &str); 8] = [
    ("age", "catalogue/outside-bounds column.age"),
    ("age", "catalogue/null-values column.age"),
    ("city", "catalogue/outside-domain column.city"),
    ("income", "catalogue/outside-bounds column.income"),
    ("score", "catalogue/not-finite column.score"),
    ("score", "catalogue/outside-bounds column.score"),
    ("born", "catalogue/outside-bounds column.born"),
    ("grade", "catalogue/outside-domain column.grade"),
];

/// Replaces the values of a column at some rows.
fn plant(array: &ArrayRef, fault: usize, rows: &BTreeSet<usize>) -> ArrayRef {
    let hit = |i: &usize| rows.contains(i);
    let ints = |bad: Option<i32>| -> ArrayRef {
        let old = array.as_primitive::<Int32Type>();
        Arc::new(Int32Array::from_iter(old.iter().enumerate().map(|(i, v)| if hit(&i) { bad } else { v })))
    };
    let floats = |bad: [f64; 2]| -> ArrayRef {
        let old = array.as_primitive::<Float64Type>();
        Arc::new(Float64Array::from_iter(
            old.iter().enumerate().map(|(i, v)| if hit(&i) { Some(bad[i % 2]) } else { v }),
        ))
    };
    match fault {
        0 => ints(Some(121)),
        1 => ints(None),
        2 => {
            let old = array.as_string::<i32>();
            Arc::new(StringArray::from_iter(
                old.iter().enumerate().map(|(i, v)| if hit(&i) { Some("大理") } else { v }),
            ))
        }
        3 => {
            let old = array.as_primitive::<Decimal128Type>();
            let new = old.iter().enumerate().map(|(i, v)| if hit(&i) { Some(-1) } else { v });
            Arc::new(Decimal128Array::from_iter(new).with_precision_and_scale(12, 2).unwrap())
        }
        4 => floats([f64::NAN, f64::NEG_INFINITY]),
        5 => floats([1.500_000_1, -1.500_000_1]),
        6 => {
            let old = array.as_primitive::<Date32Type>();
            Arc::new(Date32Array::from_iter(
                old.iter().enumerate().map(|(i, v)| if hit(&i) { Some(20_819) } else { v }),
            ))
        }
        _ => {
            let old = array.as_primitive::<Int8Type>();
            Arc::new(Int8Array::from_iter(old.iter().enumerate().map(|(i, v)| if hit(&i) { Some(3) } else { v })))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_reads_back_as_it_was_meant(columns in prop::collection::vec(column(), 0..12)) {
        let text = written(&columns);
        let spec = DatasetSpec::parse(&text).map_err(|r| TestCaseError::fail(format!("{r}\n{text}")))?;
        prop_assert_eq!(spec.unit_kind(), UnitKind::NaturalPerson);
        prop_assert_eq!(spec.columns().len(), columns.len() + 1);
        for (read, meant) in spec.columns()[1..].iter().zip(&columns) {
            prop_assert_eq!(read.column_type(), meant.column_type);
            prop_assert_eq!(read.class(), meant.class);
            prop_assert_eq!(read.usages(), &meant.usages);
            prop_assert_eq!(read.bounds(), meant.bounds.as_ref().map(|b| b.0));
            prop_assert_eq!(read.domain(), meant.domain.as_ref().map(|d| &d.0));
            prop_assert_eq!(read.nullable(), meant.nullable);
        }
        prop_assert_eq!(DatasetSpec::parse(spec.text()).unwrap(), spec);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\[dataset\\]|id|=|\"x\"|\\{|\\}|\\[|\\]|\n|[0-9.]|[a-z人]){0,60}") {
        prop_assert!(DatasetSpec::parse(&text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planted_faults_are_counted_exactly(
        n in 1usize..400,
        planted in prop::collection::btree_map(0usize..8, prop::collection::btree_set(0usize..400, 0..40), 0..8),
        twice in prop::collection::btree_set(0usize..400, 0..20),
        group in 1usize..200,
        dictionary in any::<bool>(),
        view in any::<bool>(),
    ) {
        let mut columns = good(n);
        let mut expected = BTreeMap::new();
        let mut taken: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (fault, rows) in &planted {
            let (name, told) = FAULTS[*fault];
            let used = taken.entry(name).or_default();
            let rows: BTreeSet<usize> = rows.iter().copied().filter(|r| *r < n && used.insert(*r)).collect();
            let column = columns.iter_mut().find(|(c, _)| *c == name).unwrap();
            column.1 = plant(&column.1, *fault, &rows);
            if !rows.is_empty() {
                expected.insert(told.to_owned(), rows.len() as u64);
            }
        }
        if view {
            for name in ["id_number", "city"] {
                let column = columns.iter_mut().find(|(c, _)| *c == name).unwrap();
                column.1 = cast(&column.1, &DataType::Utf8View).unwrap();
            }
        }
        let home = tempfile::tempdir().unwrap();
        let properties = || WriterProperties::builder()
            .set_dictionary_enabled(dictionary)
            .set_max_row_group_row_count(Some(group))
            .build();
        write_with(&home.path().join("residents/a.parquet"), &columns, properties());
        // Units that stand four times where three are allowed: three more rows of each, in a second file.
        let above: Vec<usize> = twice.into_iter().filter(|r| *r < n).collect();
        if !above.is_empty() {
            let rows: Vec<u32> = above.iter().flat_map(|r| [*r as u32; 3]).collect();
            let take = |a: &ArrayRef| datafusion::arrow::compute::take(a, &datafusion::arrow::array::UInt32Array::from(rows.clone()), None).unwrap();
            let more: Vec<_> = good(n).iter().map(|(c, a)| (*c, take(a))).collect();
            write_with(&home.path().join("residents/b.parquet"), &more, properties());
            expected.insert("catalogue/too-many-rows-per-unit dataset.unit.most_rows".to_owned(), above.len() as u64);
        }
        let found = match surveyed(&spec(), home.path()) {
            Ok(_) => BTreeMap::new(),
            Err(refused) => counts(&refused).into_iter().collect(),
        };
        prop_assert_eq!(found, expected);
    }
}

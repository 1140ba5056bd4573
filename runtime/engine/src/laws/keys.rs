//! Attacks on what is claimed of keys, units and rows before any data is read: plans that pass where one unit, taken away,
//! would move an answer by more than is computed, or would show in whether the run fails.

use super::{HEAD, Sums, apart, column, families, sums, write};
use crate::catalogue::{DatasetSpec, FileEntry};
use crate::plan::{Source, Sources};
use crate::product::Product;
use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use std::path::Path;
use std::sync::Arc;
use yunei_policy::clear::Clearance;
use yunei_policy::release::{RawCell, Seed, release};

/// What each person has: the target is the only one of 47 years, with ratios of both signs of zero.
fn person(id: usize) -> (i32, i64) {
    (if id == 0 { 47 } else { 20 + (id % 20) as i32 }, id as i64)
}

fn entry(id: &str, unit: &str, columns: &[String]) -> String {
    format!("[dataset]\nid = \"{id}\"\nfiles = [\"{id}.parquet\"]\nunit = {{ {unit} }}\n{HEAD}{}", columns.join(""))
}

fn identifier(kind: &str) -> String {
    format!("[[column]]\nname = \"id\"\ntype = \"{kind}\"\nclass = \"direct_identifier\"\nusages = [\"join\"]\n")
}

fn persons_of(rows: usize) -> String {
    format!("kind = \"natural_person\", column = \"id\", most_rows = {rows}")
}

/// `people` (one row each), `visits` (four each), `numbered` (the people under whole numbers), and the open list `codes` whose
/// unique keys are texts that are the same number.
fn town(folder: &Path, without: Option<usize>) -> Sources {
    let ids: Vec<usize> = (0..30).filter(|i| Some(*i) != without).collect();
    let visits: Vec<(usize, usize)> = ids.iter().flat_map(|i| (0..4).map(move |n| (*i, n))).collect();
    let path = |name: &str| folder.join(format!("{name}.parquet"));
    let text = |i: usize| format!("{i}");
    write(
        &path("people"),
        vec![
            ("id", Arc::new(StringArray::from_iter_values(ids.iter().map(|i| text(*i)))) as ArrayRef),
            ("age", Arc::new(Int32Array::from_iter_values(ids.iter().map(|i| person(*i).0)))),
            ("code", Arc::new(Int64Array::from_iter_values(ids.iter().map(|_| 1)))),
        ],
    );
    write(
        &path("visits"),
        vec![
            ("id", Arc::new(StringArray::from_iter_values(visits.iter().map(|(i, _)| text(*i)))) as ArrayRef),
            ("n", Arc::new(Int32Array::from_iter_values(visits.iter().map(|(_, n)| *n as i32)))),
            ("x", Arc::new(Float64Array::from_iter_values(visits.iter().map(|(_, n)| [-0.0, 0.0, 0.4, -0.4][*n])))),
            ("f", Arc::new(Float32Array::from_iter_values(visits.iter().map(|(_, n)| [0.0, 1.0, 1e30, 0.3][*n])))),
            (
                "d",
                Arc::new(
                    Decimal128Array::from_iter_values(visits.iter().map(|(_, n)| [5, 999, 95, 0][*n]))
                        .with_precision_and_scale(5, 1)
                        .unwrap(),
                ),
            ),
        ],
    );
    write(
        &path("numbered"),
        vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids.iter().map(|i| *i as i64))) as ArrayRef),
            ("age", Arc::new(Int32Array::from_iter_values(ids.iter().map(|i| person(*i).0)))),
        ],
    );
    let keys = ["1", "01", "001", "0001", "1.0", " 1"];
    write(
        &path("codes"),
        vec![
            ("key", Arc::new(StringArray::from_iter_values(keys)) as ArrayRef),
            ("label", Arc::new(StringArray::from_iter_values(keys.iter().map(|_| "a")))),
        ],
    );
    let people =
        [identifier("utf8"), column("age", "int32", "min = 0\nmax = 120"), column("code", "int64", "min = 0\nmax = 9")];
    let visits = [
        identifier("utf8"),
        column("n", "int32", "min = 0\nmax = 3"),
        column("x", "float64", "min = -0.4\nmax = 0.4"),
        column("f", "float32", "min = 0\nmax = 1e30"),
        column("d", "decimal(5,1)", "min = 0\nmax = 99.9"),
    ];
    let numbered = [identifier("int64"), column("age", "int32", "min = 0\nmax = 120")];
    let codes = [column("key", "utf8", ""), column("label", "utf8", "values = [\"a\"]")];
    let open = |text: String| {
        text.replace("release = \"personal\"", "release = \"open\"")
            .replace("\"conditional\", conditions = \"x\"", "\"unconditional\"")
            .replace("general-3", "general-1")
    };
    let source = |name: &str, text: String| Source {
        spec: Arc::new(DatasetSpec::parse(&text).unwrap_or_else(|e| panic!("{name}: {e:?}"))),
        files: vec![FileEntry::unchecked(&path(name))],
        epoch: 1,
    };
    let datasets = vec![
        source("people", entry("people", &persons_of(1), &people)),
        source("visits", entry("visits", &persons_of(4), &visits)),
        source("numbered", entry("numbered", &persons_of(1), &numbered)),
        source("codes", open(entry("codes", "kind = \"none\", column = \"key\", most_rows = 1", &codes))),
    ];
    Sources { datasets, ..Sources::default() }
}

fn product(sql: &str, limits: &str) -> Product {
    let text = format!(
        "[product]\nid = \"law\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"x\"]\n\
         datasets = [\"people\", \"visits\", \"numbered\", \"codes\"]\nsql = '''{sql}'''\n[product.privacy]\nepsilon = 1.0\n{limits}"
    );
    Product::parse(&text).unwrap()
}

/// Whether the gate releases these sums.
fn leaves(found: &Sums, clearance: &Clearance) -> bool {
    let seed = Seed::from_bytes([5; 32]);
    found.iter().zip(clearance.leaves()).enumerate().all(|(at, (cells, leaf))| {
        let cells = cells.values().map(|(key, sums)| RawCell { key: key.clone(), sums: sums.clone() }).collect();
        release(leaf, cells, &seed, at as u32).is_ok()
    })
}

/// What is wrong with a product that passes; nothing where it is refused or all is well.
async fn flaw(sql: &str, limits: &str, whole: &Sources, less: &Sources) -> Option<String> {
    let product = product(sql, limits);
    let (a, clearance) = sums(&product, whole).await?;
    let (b, _) = sums(&product, less).await?;
    if leaves(&a, &clearance) != leaves(&b, &clearance) {
        return Some(format!("{sql}: whether it fails tells of one person"));
    }
    if !leaves(&a, &clearance) {
        return Some(format!("{sql}: it fails"));
    }
    for ((a, b), leaf) in a.iter().zip(&b).zip(clearance.leaves()) {
        for family in families(leaf.measures()) {
            let measure = &leaf.measures()[family.start];
            let distance = apart(a, b, family);
            if distance > measure.sensitivity() * (1.0 + 1e-9) {
                let sensitivity = measure.sensitivity();
                return Some(format!("{sql}: {:?} moves by {distance}, allowed {sensitivity}", measure.kind()));
            }
        }
    }
    None
}

/// A number that is NULL or none for the target alone, though none of its parts may be NULL.
const SECRET: &[&str] = &[
    "width_bucket(1.0, 0.0, CASE WHEN age = 47 THEN 0.0 ELSE 1.0 END, 5)",
    "width_bucket(power(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END, 0.5), 0.0, 2.0, 3)",
    "width_bucket(0.5, 0.0, 1.0, CASE WHEN age = 47 THEN 0 ELSE 1 END)",
    "signum(power(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END, 0.5))",
    "floor(clamp(power(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END, 0.5), 0.0, 2.0))",
    "CASE WHEN age = 47 THEN -9223372036854775808 ELSE 5 END / 5 > 3",
    "abs(CASE WHEN age = 47 THEN -9223372036854775808 ELSE 5 END) > 3",
    "CASE WHEN age = 47 THEN -9223372036854775808 ELSE 5 END % 3 > 1",
    "CAST(age AS DECIMAL(3,1)) > 5",
    "floor(CAST(CASE WHEN age = 47 THEN 0.96 ELSE 0.1 END AS DECIMAL(3,1)))",
    "floor(CAST(CASE WHEN age = 47 THEN 0.99999999 ELSE 0.1 END AS REAL))",
    "floor(CAST(CAST(age AS TEXT) AS DECIMAL(2,0)))",
    "sqrt(CASE WHEN age = 47 THEN 9223372036854775807 ELSE 1 END + age) > 3",
    "CAST(CASE WHEN age = 47 THEN 40000 ELSE 1 END AS SMALLINT) > 3",
    "round(CASE WHEN age = 47 THEN -0.2 ELSE 0.2 END)",
    "signum(CASE WHEN age = 47 THEN -0.0 ELSE 0.0 END)",
    "nullif(age, 47) > 3",
    "lower(CASE WHEN age = 47 THEN 'ΑΣ' ELSE 'ας' END)",
    "upper(CASE WHEN age = 47 THEN 'ß' ELSE 'SS' END)",
    "left(CASE WHEN age = 47 THEN 'e\u{301}x' ELSE 'ex' END, 2)",
    "btrim(CASE WHEN age = 47 THEN '\ta' ELSE 'a' END)",
    "concat(CASE WHEN age = 47 THEN NULL ELSE 'a' END, 'b')",
    "coalesce(CAST(CASE WHEN age = 47 THEN 'x' ELSE '1' END AS INT), 7) > 3",
    "round(CAST(age AS DOUBLE), -1)",
    "trunc(CAST(age AS DOUBLE), -1)",
    "round(age, -1)",
    "power(CASE WHEN age = 47 THEN 0.0 ELSE 1.0 END, -1.0) > 3",
    "power(CASE WHEN age = 47 THEN -0.0 ELSE 1.0 END, -0.5) > 3",
    "round(CASE WHEN age = 47 THEN 9223372036854775807 ELSE 5 END, -1) > 3",
    "trunc(CASE WHEN age = 47 THEN 9223372036854775807 ELSE 5 END, -18) > 3",
    "abs(CAST(CASE WHEN age = 47 THEN -128 ELSE 5 END AS TINYINT)) > 3",
    "ceil(CAST(CASE WHEN age = 47 THEN 99.9 ELSE 5 END AS DECIMAL(3,1))) > 3",
    "floor(CAST(CASE WHEN age = 47 THEN -99.9 ELSE 5 END AS DECIMAL(3,1))) > 3",
    "round(CAST(CASE WHEN age = 47 THEN 99.9 ELSE 5 END AS DECIMAL(3,1))) > 3",
    "-(CASE WHEN age = 47 THEN -9223372036854775808 ELSE 5 END) > 3",
    "-CAST(CASE WHEN age = 47 THEN -128 ELSE 5 END AS TINYINT) > 3",
    "CASE WHEN age = 47 THEN 'x' LIKE 'x\\' ELSE true END",
    "CASE WHEN age = 47 THEN CAST(age AS TEXT) LIKE CAST(3 AS TEXT) ELSE true END",
    "CASE WHEN age = 47 THEN 1 / 0 ELSE 1 END > 0",
    "CASE WHEN age = 47 THEN CAST('x' AS INT) ELSE 1 END > 0",
    "CASE WHEN age = 47 THEN power(0.0, -1.0) ELSE 1 END > 0",
    "CASE WHEN age = 47 THEN sqrt(-1) ELSE 1 END > 0",
    "CASE WHEN age = 47 THEN round(9223372036854775807, -1) ELSE 1 END > 0",
    "CASE WHEN age = 47 THEN DATE '2020-01-01' ELSE DATE '2021-01-01' END > DATE '2020-06-01'",
    "date_trunc('month', CASE WHEN age = 47 THEN DATE '9999-01-01' ELSE DATE '2021-01-01' END)",
    "CASE WHEN age = 47 THEN DATE '9999-12-31' ELSE DATE '2021-01-31' END + INTERVAL '1 month'",
    "CASE WHEN age = 47 THEN DATE '2020-02-29' ELSE DATE '2021-01-31' END - INTERVAL '1 year' > DATE '2019-02-28'",
    "CASE WHEN age = 47 THEN DATE '0001-01-01' ELSE DATE '2021-01-31' END - INTERVAL '150000000 months' > DATE '2020-01-01'",
    "CASE WHEN age = 47 THEN DATE '9999-12-31' ELSE DATE '2021-01-31' END + INTERVAL '2147483647 days' IS NULL",
    "CASE WHEN age = 47 THEN CAST('x' AS DATE) ELSE DATE '2021-01-31' END + INTERVAL '1 day'",
    "date_trunc('month', CASE WHEN age = 47 THEN DATE '2020-01-31' ELSE DATE '2021-01-31' END + INTERVAL '1 month')",
    "date_part('day', INTERVAL '1 month' + CASE WHEN age = 47 THEN DATE '2020-01-31' ELSE DATE '2021-01-31' END)",
    "DATE '2020-01-01' - CASE WHEN age = 47 THEN DATE '0001-01-01' ELSE DATE '2021-01-01' END > 3",
    "log2(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END) > 3",
    "log10(CASE WHEN age = 47 THEN -1 ELSE 1 END) > 3",
    "ln(CAST(CASE WHEN age = 47 THEN -1 ELSE 1 END AS DECIMAL(3,1))) > 3",
    "exp(CASE WHEN age = 47 THEN 99999.0 ELSE 1.0 END) > 3",
    "CAST(exp(CASE WHEN age = 47 THEN 99999.0 ELSE 1.0 END) AS INT) > 3",
    "substr(CASE WHEN age = 47 THEN '' ELSE 'abc' END, 2, 1)",
    "strpos(CASE WHEN age = 47 THEN '' ELSE 'abc' END, 'b') > 1",
    "nvl(CAST(CASE WHEN age = 47 THEN 'x' ELSE '1' END AS INT), 7) > 3",
    "ln(CASE WHEN age = 47 THEN 0.0 ELSE 1.0 END) > 3",
    "CAST(power(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END, 0.5) AS INT) IS NULL",
    "date_part('year', DATE '2020-01-01') + age / 100",
    "least(power(CASE WHEN age = 47 THEN -1.0 ELSE 1.0 END, 0.5), 1.0) >= 1.0",
    "CASE WHEN age = 47 THEN 1 ELSE 2 END = 2 AND NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_key_that_was_not_expected_tells_of_one_person() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, less) = (town(a.path(), None), town(b.path(), Some(0)));
    let mut flaws = Vec::new();
    for key in SECRET {
        let sql = format!("SELECT {key} AS k, COUNT(*) FROM people GROUP BY {key}");
        flaws.extend(flaw(&sql, "", &whole, &less).await);
        let sql = format!("SELECT COUNT({key}) FROM people");
        flaws.extend(flaw(&sql, "", &whole, &less).await);
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// Keys of an inner aggregate by the unit: it has as many rows per unit as they are claimed to have values.
const INNER: &[&str] = &[
    "round(x)",
    "signum(x)",
    "trunc(x)",
    "ceil(x)",
    "floor(x * 0.5)",
    "signum(f * f - f * f * f)",
    "width_bucket(f * f - f * f * f, 0.0, 1.0, 1)",
    "floor(clamp(f * f * f - f * f * f, 0.0, 0.5))",
    "width_bucket(0.5, 0.0, CASE WHEN n = 0 THEN 0.0 ELSE 1.0 END, 1)",
    "CAST(d AS DECIMAL(2,0)) > 5",
    "floor(CAST(d / 200.0 AS DECIMAL(3,0)))",
    "floor(CAST(CASE WHEN n = 1 THEN 0.99999999 ELSE 0.1 END AS REAL))",
    "CASE WHEN n = 1 THEN -9223372036854775808 ELSE 5 END / 5 > 3",
    "signum(power(CASE WHEN n > 1 THEN -1.0 WHEN n = 1 THEN 0.0 ELSE 1.0 END, 0.5))",
    "n % 1",
    "n / 4",
    "round(n, -1)",
    "n - n",
    "n * 2 - n - n",
    "date_part('year', DATE '2020-02-01')",
    "CASE n WHEN 0 THEN DATE '2020-01-30' WHEN 1 THEN DATE '2020-01-31' ELSE DATE '2020-01-29' END + INTERVAL '1 month'",
    "left(CAST(n AS TEXT), 0)",
    "CASE WHEN n > 5 THEN 1 END",
    "x = 0.0",
    "coalesce(nullif(x, 0.0), 0.0) = 0.0",
    "CAST(x AS INT)",
    "CAST(n AS DOUBLE) * 0.0",
    "CAST(-n AS DOUBLE) * 0.0",
    "least(n, 0)",
    "greatest(x, 0.4)",
    "upper(CASE n WHEN 0 THEN 'ß' WHEN 1 THEN 'SS' WHEN 2 THEN 'ss' ELSE 'sS' END)",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_group_has_no_more_rows_than_claimed() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, less) = (town(a.path(), None), town(b.path(), Some(0)));
    let mut flaws = Vec::new();
    for key in INNER {
        for limits in ["", "max_rows = 1\nmax_groups = 1\n"] {
            let sql = format!("SELECT COUNT(*) FROM (SELECT id, {key} AS k FROM visits GROUP BY id, {key}) t");
            flaws.extend(flaw(&sql, limits, &whole, &less).await);
            let sql = format!("SELECT k, COUNT(*) FROM (SELECT id, {key} AS k, n FROM visits) t GROUP BY k");
            flaws.extend(flaw(&sql, limits, &whole, &less).await);
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// Joins that are told to meet one row each.
const JOINS: &[&str] = &[
    // Whole numbers against texts: '1', '01' and '001' are one number.
    "SELECT COUNT(*) FROM people p JOIN codes c ON p.code = c.key",
    "SELECT COUNT(*) FROM people p JOIN codes c ON c.key = p.code",
    "SELECT COUNT(*) FROM people p LEFT JOIN codes c ON p.code = c.key",
    "SELECT COUNT(*) FROM people p, codes c WHERE p.code = c.key",
    "SELECT COUNT(*) FROM people p JOIN codes c ON p.code = CAST(c.key AS TEXT)",
    "SELECT COUNT(*) FROM visits v JOIN codes c ON v.n = c.key",
    "SELECT COUNT(*) FROM visits v JOIN codes c ON v.x + 1 = c.key",
    "SELECT COUNT(*) FROM people p JOIN (SELECT key FROM codes GROUP BY key) c ON p.code = c.key",
    "SELECT COUNT(*) FROM people p JOIN (SELECT a.key FROM codes a JOIN codes b ON a.key = b.key) c ON CAST(p.code AS TEXT) = c.key",
    // Units of two types.
    "SELECT COUNT(*) FROM numbered a JOIN visits b ON a.id = b.id",
    "SELECT COUNT(*) FROM visits a JOIN numbered b ON a.id = b.id",
    "SELECT COUNT(*) FROM numbered a WHERE a.id IN (SELECT id FROM visits)",
    "SELECT COUNT(*) FROM (SELECT id, age FROM numbered UNION ALL SELECT id, n FROM visits) t",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_row_meets_no_more_rows_than_claimed() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, less) = (town(a.path(), None), town(b.path(), Some(1)));
    let mut flaws = Vec::new();
    for sql in JOINS {
        for limits in ["", "max_rows = 1\n"] {
            flaws.extend(flaw(sql, limits, &whole, &less).await);
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// Names that stand for columns of ours: the unit, or what a model said.
#[tokio::test(flavor = "multi_thread")]
async fn no_column_of_the_author_takes_the_place_of_ours() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, less) = (town(a.path(), None), town(b.path(), Some(0)));
    let mut flaws = Vec::new();
    for name in
        ["'yunei_unit'", "yunei_unit", "\"yunei_unit\"", "\"Yunei_Unit\"", "E'yunei_unit'", "U&'\\0079unei_unit'"]
    {
        let sql = format!(
            "SELECT q.k, COUNT(*) FROM (SELECT t.* FROM (SELECT n AS {name}, n AS k, id FROM visits) t) q GROUP BY q.k"
        );
        flaws.extend(flaw(&sql, "max_rows = 1\nmax_groups = 1\n", &whole, &less).await);
        let sql = format!(
            "SELECT q.k, COUNT(*) FROM (SELECT t.k, t.\"yunei_unit\" FROM (SELECT n AS {name}, n AS k, id FROM visits) t) q GROUP BY q.k"
        );
        flaws.extend(flaw(&sql, "max_rows = 1\nmax_groups = 1\n", &whole, &less).await);
        let sql = format!("SELECT q.k, COUNT(*) FROM (SELECT n AS {name}, n AS k, id FROM visits) q GROUP BY q.k");
        if let Some((_, clearance)) = sums(&product(&sql, ""), &whole).await {
            flaws.push(format!("{sql}: passes with {} leaves", clearance.leaves().len()));
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// One unit's floats, in whatever order and however cut: what it adds depends on its own rows alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_of_rows_shows_in_what_a_unit_adds() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = town(folder.path(), None);
    let huge = "CASE n WHEN 0 THEN 1e16 WHEN 1 THEN 1.0 WHEN 2 THEN -1e16 ELSE 0.25 END";
    let mut seen: std::collections::BTreeMap<&str, Sums> = std::collections::BTreeMap::new();
    for (partitions, batch_rows) in [(1, 8_192), (4, 8_192), (4, 1), (3, 7), (1, 3)] {
        town.tuning = crate::plan::Tuning { partitions, batch_rows };
        for call in ["SUM", "AVG", "VAR_SAMP", "STDDEV_POP"] {
            // The rows of a unit in two orders: one half of it from each.
            let sql = format!(
                "SELECT COUNT(*), SUM(clamp(s, -10.0, 10.0)) FROM (SELECT id, {call}({huge}) AS s FROM \
                 (SELECT id, n FROM visits UNION ALL SELECT id, 3 - n FROM visits) v GROUP BY id) t"
            );
            let (found, _) = sums(&product(&sql, ""), &town).await.unwrap();
            match seen.get(call) {
                None => assert!(seen.insert(call, found).is_none()),
                Some(first) => assert_eq!(&found, first, "{call} in {partitions} of {batch_rows}"),
            }
        }
    }
}

#[test]
fn the_target_is_the_only_one() {
    assert_eq!((0..30).filter(|i| person(*i).0 == 47).count(), 1);
}

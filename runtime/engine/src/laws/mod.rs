//! The law that the noise is made for, on plans from a grammar: whatever passes the gate changes by no more than the computed
//! sensitivity when one unit is taken away, through every step from SQL text to exact sums.
//!
//! `YUNEI_LAW_CASES=5000 cargo test -p yunei-engine --lib laws` for a longer search.

mod demand;
mod keys;
mod texts;

use crate::catalogue::{DatasetSpec, FileEntry};
use crate::execute::cells_of;
use crate::measure::Texts;
use crate::plan::{Source, Sources, UNIT, prepare_unauthorised};
use crate::product::{Body, Product};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use yunei_policy::clear::{Clearance, Measure, MeasureKind};
use yunei_policy::facts::Literal;
use yunei_policy::rules::RuleSet;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

const HEAD: &str = "title = { zh = \"测\", en = \"t\" }\nprovider = { name = \"测\", code = \"11530000015000011Y\" }\n\
    update = \"monthly\"\nsharing = { attribute = \"conditional\", conditions = \"x\" }\n\
    opening = { type = \"conditional\", conditions = \"x\" }\ngrade = \"general-3\"\nrelease = \"personal\"\n";

fn column(name: &str, kind: &str, rest: &str) -> String {
    let usages = "usages = [\"filter\", \"group\", \"aggregate\", \"join\"]";
    format!("[[column]]\nname = \"{name}\"\ntype = \"{kind}\"\nclass = \"attribute\"\n{usages}\n{rest}\n")
}

fn people() -> String {
    let id = "[[column]]\nname = \"id\"\ntype = \"utf8\"\nclass = \"direct_identifier\"\nusages = [\"join\"]\n";
    format!(
        "[dataset]\nid = \"people\"\nfiles = [\"people.parquet\"]\nunit = {{ kind = \"natural_person\", column = \"id\", most_rows = 1 }}\n{HEAD}{id}{}{}{}{}",
        column("city", "utf8", "values = [\"a\", \"b\", \"c\"]"),
        column("street", "utf8", ""),
        column("age", "int32", "min = 0\nmax = 120"),
        column("income", "int64", "min = -1000\nmax = 100000\nmissing = \"null\""),
    )
}

fn meters() -> String {
    let id = "[[column]]\nname = \"id\"\ntype = \"utf8\"\nclass = \"direct_identifier\"\nusages = [\"join\"]\n";
    format!(
        "[dataset]\nid = \"meters\"\nfiles = [\"meters.parquet\"]\nunit = {{ kind = \"natural_person\", column = \"id\", most_rows = 6 }}\n{HEAD}{id}{}{}",
        column("quarter", "int32", "min = 1\nmax = 4"),
        column("kwh", "float64", "min = 0\nmax = 1000"),
    )
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const UNITS: usize = 24;

/// Number, city, age, income, and the rows of the meter: quarter and kwh.
type Person = (usize, usize, i32, Option<i64>, Vec<(i32, f64)>);

/// The two datasets without one unit. Numbers stand at the ends of their ranges, and kwh beyond: whatever the files hold, the
/// law must hold. Unit 0 has as many rows as it may.
fn world(folder: &Path, without: Option<usize>) -> Sources {
    let mut random = Random(9);
    let all: Vec<Person> = (0..UNITS)
        .map(|i| {
            let income = [Some(-1_000), Some(100_000), None, Some(random.below(100_000) as i64)][random.below(4)];
            let age = [0, 120, random.below(121) as i32][random.below(3)];
            let count = if i == 0 { 6 } else { random.below(7) };
            let rows = (0..count).map(|_| {
                let kwh = [0.0, 1_000.0, -5.0, 1e9, random.below(1_000) as f64 + 0.25][random.below(5)];
                (random.below(4) as i32 + 1, kwh)
            });
            let rows = rows.collect();
            (i, random.below(3), age, income, rows)
        })
        .collect();
    let kept: Vec<_> = all.into_iter().filter(|p| Some(p.0) != without).collect();
    let id = |i: usize| format!("P{i:03}");
    let (a, b) = (folder.join("people.parquet"), folder.join("meters.parquet"));
    write(
        &a,
        vec![
            ("id", Arc::new(StringArray::from_iter_values(kept.iter().map(|p| id(p.0)))) as ArrayRef),
            ("city", Arc::new(StringArray::from_iter_values(kept.iter().map(|p| ["a", "b", "c"][p.1])))),
            ("street", Arc::new(StringArray::from_iter_values(kept.iter().map(|p| format!("street {}", p.0 % 5))))),
            ("age", Arc::new(Int32Array::from_iter_values(kept.iter().map(|p| p.2)))),
            ("income", Arc::new(kept.iter().map(|p| p.3).collect::<Int64Array>())),
        ],
    );
    let rows: Vec<(usize, i32, f64)> = kept.iter().flat_map(|p| p.4.iter().map(|(q, k)| (p.0, *q, *k))).collect();
    write(
        &b,
        vec![
            ("id", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| id(r.0)))) as ArrayRef),
            ("quarter", Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1)))),
            ("kwh", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2)))),
        ],
    );
    let source = |text: String, path: &Path| Source {
        spec: Arc::new(DatasetSpec::parse(&text).unwrap_or_else(|e| panic!("{e:?}"))),
        files: vec![FileEntry::unchecked(path)],
        epoch: 1,
    };
    Sources { datasets: vec![source(people(), &a), source(meters(), &b)], ..Sources::default() }
}

const OF_PEOPLE: &[&str] = &["age", "income", "coalesce(income, 7)", "CASE WHEN age > 40 THEN income ELSE age END"];
const OF_METERS: &[&str] = &["kwh", "quarter", "CASE WHEN quarter = 2 THEN kwh END", "nullif(kwh, 0)"];

/// A number over the tables at hand.
fn number(random: &mut Random, columns: &[&'static str], depth: usize) -> String {
    if depth == 0 || random.chance(3) {
        return random.of(columns).to_owned();
    }
    let a = number(random, columns, depth - 1);
    let b = number(random, columns, depth - 1);
    match random.below(9) {
        0 => format!("({a} + {b})"),
        1 => format!("({a} - {b})"),
        2 => format!("({a} * 3)"),
        3 => format!("abs({a})"),
        4 => format!("clamp({a}, -10, 50)"),
        5 => format!("greatest({a}, {b})"),
        6 => format!("({a} / 7)"),
        7 => format!("round({a}, -1)"),
        _ => format!("CASE WHEN {a} > {b} THEN {a} ELSE 2 END"),
    }
}

/// A product: its SQL and its limits.
fn query(random: &mut Random) -> (String, String) {
    let (from, people, meters) = [
        ("people p", true, false),
        ("meters m", false, true),
        ("people p JOIN meters m ON p.id = m.id", true, true),
        ("people p LEFT JOIN meters m ON p.id = m.id", true, true),
        ("meters m JOIN people p ON m.id = p.id AND p.age > 20", true, true),
        ("(SELECT id, quarter, SUM(kwh) AS kwh FROM meters GROUP BY id, quarter) m", false, true),
        ("(SELECT quarter, kwh FROM meters WHERE kwh > 1) m", false, true),
        ("(SELECT id, quarter, kwh FROM meters UNION ALL SELECT id, 1, kwh / 2 FROM meters) m", false, true),
        ("(SELECT id, MAX(kwh) AS kwh, COUNT(*) AS quarter FROM meters GROUP BY id) m", false, true),
        ("(SELECT DISTINCT id, quarter, kwh FROM meters) m", false, true),
    ][random.below(10)];
    let mut columns = Vec::new();
    let mut keys = vec!["CASE WHEN 1 = 1 THEN 'x' END"];
    if people {
        columns.extend(OF_PEOPLE);
        keys.extend(["city", "street", "age / 20", "age > 50", "floor(age / 10) * 10", "left(city, 1)", "income > 5"]);
    }
    if meters {
        columns.extend(OF_METERS);
        keys.extend(["quarter", "floor(kwh / 100)", "width_bucket(kwh, 0, 100, 4)", "kwh > 10", "quarter % 2"]);
    }
    let mut aggregates = vec!["COUNT(*)".to_owned()];
    for _ in 0..=random.below(3) {
        let x = number(random, &columns, 2);
        let call = match random.below(8) {
            0 | 1 => format!("SUM({x})"),
            2 => format!("AVG({x})"),
            3 => format!("VAR_SAMP({x})"),
            4 => format!("COUNT({x})"),
            5 => format!("MEDIAN({x})"),
            6 if from.starts_with("people") => "COUNT(DISTINCT p.id)".to_owned(),
            _ => format!("STDDEV_POP({x})"),
        };
        let filter =
            if random.chance(4) { format!(" FILTER (WHERE {} > 3)", random.of(&columns)) } else { String::new() };
        aggregates.push(call + &filter);
    }
    let group: Vec<&str> = (0..random.below(3)).map(|_| random.of(&keys)).collect();
    let grouped = match group.is_empty() {
        true => String::new(),
        false if random.chance(5) => format!(" GROUP BY ROLLUP ({})", group.join(", ")),
        false => format!(" GROUP BY {}", group.join(", ")),
    };
    let condition = match random.below(6) {
        0 => format!(" WHERE {} < 60", number(random, &columns, 1)),
        1 => format!(" WHERE {} BETWEEN 1 AND 500", random.of(&columns)),
        2 if people => " WHERE city IN ('a', 'b')".to_owned(),
        3 if people && !meters => " WHERE p.id IN (SELECT id FROM meters WHERE kwh > 10)".to_owned(),
        4 if people && !meters => {
            " WHERE NOT EXISTS (SELECT 1 FROM meters x WHERE x.id = p.id AND x.quarter = 1)".to_owned()
        }
        _ => String::new(),
    };
    let mut limits = String::new();
    if random.chance(2) {
        limits.push_str(&format!("max_rows = {}\n", random.below(4) + 1));
    }
    if random.chance(2) {
        limits.push_str(&format!("max_groups = {}\n", random.below(3) + 1));
    }
    (format!("SELECT {} FROM {from}{condition}{grouped}", aggregates.join(", ")), limits)
}

fn product(sql: &str, limits: &str) -> Product {
    let text = format!(
        "[product]\nid = \"law\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"x\"]\n\
         datasets = [\"people\", \"meters\"]\nsql = '''{sql}'''\n[product.privacy]\nepsilon = 1.0\n{limits}"
    );
    Product::parse(&text).unwrap()
}

/// The exact sums of every leaf, by key.
type Sums = Vec<Cells>;

/// Key and sums.
type Cells = BTreeMap<String, (Vec<Literal>, Vec<i128>)>;

async fn sums(product: &Product, sources: &Sources) -> Option<(Sums, Clearance)> {
    let Body::Aggregate(aggregate) = product.body() else { panic!("an aggregate") };
    let runtime = RuntimeEnvBuilder::new().build_arc().unwrap();
    let (prepared, clearance, state) =
        prepare_unauthorised(aggregate, sources, &RuleSet::default(), &runtime).await.ok()?;
    let mut all = Vec::new();
    for (prepared, leaf) in prepared.iter().zip(clearance.leaves()) {
        let prepared = prepared.as_ref().unwrap();
        let cells = cells_of(prepared, leaf, &state.task_ctx(), &[3; 32], usize::MAX).await.unwrap();
        all.push(cells.into_iter().map(|c| (format!("{:?}", c.key), (c.key, c.sums))).collect());
    }
    Some((all, clearance))
}

/// How far two vectors of sums are apart in the measures of one family: a histogram is one vector.
fn apart(a: &Cells, b: &Cells, measures: std::ops::Range<usize>) -> f64 {
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let at = |cells: &Cells, key: &String, m: usize| cells.get(key).map_or(0, |(_, sums)| sums[m]);
    let squares =
        keys.iter().flat_map(|key| measures.clone().map(move |m| ((at(a, key, m) - at(b, key, m)) as f64).powi(2)));
    squares.sum::<f64>().sqrt()
}

fn families(measures: &[Measure]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for (at, measure) in measures.iter().enumerate() {
        match measure.kind() {
            MeasureKind::Bar { at: 0, of } => found.push(at..at + of as usize),
            MeasureKind::Bar { .. } => {}
            _ => found.push(at..at + 1),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unit_changes_no_sum_by_more_than_its_sensitivity() {
    let cases = std::env::var("YUNEI_LAW_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(80);
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let whole = world(folders[0].path(), None);
    let without: Vec<Sources> = [0, 7, 13].iter().zip(&folders[1..]).map(|(u, f)| world(f.path(), Some(*u))).collect();
    let mut random = Random(20_261_126);
    let (mut passed, mut changed) = (0, 0);
    for _ in 0..cases {
        let (sql, limits) = query(&mut random);
        let product = product(&sql, &limits);
        let Some((all, clearance)) = sums(&product, &whole).await else { continue };
        passed += 1;
        for other in &without {
            let (less, _) = sums(&product, other).await.unwrap();
            for ((a, b), leaf) in all.iter().zip(&less).zip(clearance.leaves()) {
                for family in families(leaf.measures()) {
                    let measure = &leaf.measures()[family.start];
                    let distance = apart(a, b, family);
                    changed += usize::from(distance > 0.0);
                    assert!(
                        distance <= measure.sensitivity() * (1.0 + 1e-9),
                        "{sql}\n{limits}{:?}: {distance} > {}",
                        measure.kind(),
                        measure.sensitivity()
                    );
                }
            }
        }
    }
    assert!(
        passed * 2 > cases && changed > passed,
        "{passed} of {cases} queries passed the gate, {changed} sums changed"
    );
}

/// What one unit adds can only be bounded where it is known who the unit is: every leaf that is cleared with limits per unit has
/// its unit beside the keys when it runs, also where the query projects it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_leaf_carries_its_unit() {
    let folder = tempfile::tempdir().unwrap();
    let sources = world(folder.path(), None);
    let runtime = RuntimeEnvBuilder::new().build_arc().unwrap();
    let mut random = Random(17);
    let (mut bounded, mut carried) = (0, 0);
    for _ in 0..120 {
        let (sql, limits) = query(&mut random);
        let product = product(&sql, &limits);
        let Body::Aggregate(aggregate) = product.body() else { panic!("an aggregate") };
        let rules = RuleSet::default();
        let Ok((prepared, clearance, _)) = prepare_unauthorised(aggregate, &sources, &rules, &runtime).await else {
            continue;
        };
        for (prepared, leaf) in prepared.iter().flatten().zip(clearance.leaves()) {
            let unit = prepared.rows.schema().index_of(UNIT).ok();
            assert_eq!(prepared.shape.bounds.is_some(), leaf.bounding().is_some(), "{sql}\n{limits}");
            assert_eq!(unit, leaf.bounding().map(|_| leaf.keys().len()), "{sql}\n{limits}");
            bounded += usize::from(unit.is_some());
            carried += usize::from(unit.is_some() && leaf.unit().is_none());
        }
    }
    assert!(bounded > 20 && carried > 0, "{bounded} leaves with limits, {carried} whose query leaves the unit out");
}

/// Any text gets an answer: pieces of SQL in any order, valid queries with pieces torn out, and the shapes that break parsers.
#[tokio::test(flavor = "multi_thread")]
async fn any_text_gets_clearance_or_reasons() {
    let product = Texts::new();
    let mut texts: Vec<String> = shapes();
    let mut random = Random(4);
    for _ in 0..150 {
        let words: Vec<&str> = (0..random.below(40)).map(|_| random.of(WORDS)).collect();
        texts.push(format!("SELECT {}", words.join(" ")));
        let (sql, _) = query(&mut random);
        let mut parts: Vec<&str> = sql.split(' ').collect();
        parts.remove(random.below(parts.len()));
        let at = random.below(parts.len() + 1);
        parts.insert(at, random.of(WORDS));
        texts.push(parts.join(" "));
    }
    for sql in texts {
        // It panics where there is neither a clearance nor a reason.
        product.check(&sql).await;
    }
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "people",
    "meters",
    "p",
    "m",
    "city",
    "age",
    "kwh",
    "id",
    "(",
    ")",
    ",",
    "*",
    "+",
    "/",
    "COUNT(*)",
    "SUM(age)",
    "1",
    "0",
    "-1",
    "'x'",
    "NULL",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "UNION ALL",
    "WITH",
    "AS",
    "ROLLUP (city)",
    "HAVING",
    "ORDER BY",
    "LIMIT 1",
    "OVER ()",
    "DISTINCT",
    "EXISTS (SELECT 1)",
    "CAST(age AS TEXT)",
    "::date",
    "INTERVAL '1 day'",
    ";",
    "--",
    "\"",
    "$1",
    "$x",
    "🦀",
    "\u{0}",
    "昆明",
    "1e999",
    "0x",
    "E'\\'",
    "unnest([1])",
    "generate_series(1, 1000000000)",
    "VALUES (1)",
];

/// Long and deep texts, at the limits and past them.
fn shapes() -> Vec<String> {
    let count = |of: String| format!("SELECT COUNT(*) FROM people WHERE {of}");
    let chain = |n: usize, op: &str| count(vec!["age = 1"; n].join(op));
    let nested = |n: usize| count(format!("{}age{} = 1", "(".repeat(n), ")".repeat(n)));
    let doubling = |n: usize| {
        let mut sql = "WITH c0 AS (SELECT * FROM people)".to_owned();
        for i in 1..=n {
            sql.push_str(&format!(", c{i} AS (SELECT a.* FROM c{0} a JOIN c{0} b ON a.id = b.id)", i - 1));
        }
        sql + &format!(" SELECT COUNT(*) FROM c{n}")
    };
    vec![
        chain(300, " OR "),
        chain(2_000, " OR "),
        chain(8_000, " AND "),
        nested(30),
        nested(3_000),
        count("NOT ".repeat(5_000) + "age = 1"),
        count("-".repeat(30_000) + "age = 1"),
        count(format!("age IN ({})", vec!["1"; 10_000].join(","))),
        count(format!("city = '{}'", "x".repeat(60_000))),
        count(format!("city LIKE '{}'", "%_".repeat(20_000))),
        format!("SELECT COUNT(*) FROM {}", vec!["people"; 5_000].join(", ")),
        format!("SELECT {} FROM people", vec!["COUNT(*)"; 5_000].join(", ")),
        vec!["SELECT 1"; 3_000].join(" UNION ALL "),
        format!("SELECT {}1", "(SELECT ".repeat(2_000)),
        format!(
            "SELECT COUNT(*) FROM people GROUP BY CUBE ({})",
            (0..20).map(|i| format!("age + {i}")).collect::<Vec<_>>().join(", ")
        ),
        format!("SELECT COUNT(*) FROM people GROUP BY {}", ["ROLLUP (city, age)"; 12].join(", ")),
        doubling(5),
        doubling(30),
        format!("SELECT {} FROM people", "CASE WHEN age = 1 THEN ".repeat(2_000)),
        "SELECT COUNT(*) FROM people WHERE age = 99999999999999999999999999999999999999999".to_owned(),
        "SELECT * FROM generate_series(1, 1000000000000)".to_owned(),
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r".to_owned(),
        String::new(),
        ";".repeat(60_000),
        "\"".to_owned(),
    ]
}

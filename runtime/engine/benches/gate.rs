//! The private part of products against the same queries in plain DataFusion, in one process, turn by turn: ratios.
//!
//! ```sh
//! tpchgen-cli parquet -s 1 -T orders,lineitem --output-dir "$TPCH"
//! TPCH=… cargo bench -p yunei-engine --features measure --bench gate               # all of it: texts, checks, TPC-H, 10 M rows
//! TPCH=… YUNEI_BENCH_ROWS=10000000,100000000 YUNEI_BENCH_DIR=/var/tmp cargo bench -p yunei-engine --features measure --bench gate
//! YUNEI_BENCH_ONLY=sealing cargo bench -p yunei-engine --features measure --bench gate    # 30 M rows
//! YUNEI_BENCH_ONLY=texts,check cargo bench -p yunei-engine --features measure --bench gate
//! ```

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use yunei_engine::measure::{Measured, Texts};

const ROUNDS: usize = 9;

fn entry(id: &str, kind: &str, unit: &str, most_rows: u32, columns: &str) -> String {
    format!(
        "[dataset]\nid = \"{id}\"\ntitle = {{ zh = \"测\", en = \"t\" }}\nprovider = {{ name = \"测\", code = \"11530000015000011Y\" }}\n\
         files = [\"x.parquet\"]\nupdate = \"monthly\"\nsharing = {{ attribute = \"conditional\", conditions = \"x\" }}\n\
         opening = {{ type = \"conditional\", conditions = \"x\" }}\ngrade = \"general-3\"\n\
         unit = {{ kind = \"{kind}\", column = \"{unit}\", most_rows = {most_rows} }}\nrelease = \"personal\"\n{columns}"
    )
}

fn unit_column(name: &str) -> String {
    format!("[[column]]\nname = \"{name}\"\ntype = \"int64\"\nclass = \"direct_identifier\"\nusages = [\"join\"]\n")
}

const PRIORITY: &str = "[[column]]\nname = \"o_orderpriority\"\ntype = \"utf8\"\nclass = \"attribute\"\nusages = [\"group\"]\n\
    values = [\"1-URGENT\", \"2-HIGH\", \"3-MEDIUM\", \"4-NOT SPECIFIED\", \"5-LOW\"]\n";
const TOTAL: &str = "[[column]]\nname = \"o_totalprice\"\ntype = \"decimal(15,2)\"\nclass = \"attribute\"\nusages = [\"aggregate\"]\n\
    min = 0\nmax = 600000\n";
const PRICE: &str = "[[column]]\nname = \"l_extendedprice\"\ntype = \"decimal(15,2)\"\nclass = \"attribute\"\nusages = [\"aggregate\"]\n\
    min = 0\nmax = 110000\n";

fn product(datasets: &[&str], sql: &str, privacy: &str) -> String {
    let datasets = datasets.iter().map(|d| format!("\"{d}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "[product]\nid = \"bench\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"x\"]\n\
         datasets = [{datasets}]\nsql = '''{sql}'''\n[product.privacy]\nepsilon = 1.0\n{privacy}"
    )
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

async fn plain(context: &SessionContext, sql: &str) -> Duration {
    // As with the private part, what is measured begins when the plan is made.
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let begun = Instant::now();
    let rows = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    assert!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() == 5);
    begun.elapsed()
}

async fn compare(name: &str, asked: &str, context: &SessionContext, sql: &str, ours: &Measured) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(plain(context, sql).await);
        let (time, cells) = ours.run().await.unwrap();
        assert_eq!(cells, 5);
        b.push(time);
    }
    let (a, b) = (median(a), median(b));
    let bounded = if ours.is_bounded() { "bounded" } else { "no bounding" };
    println!("| {name} ({bounded}) | {a:.1} ms | {b:.1} ms | {:.2} x | {asked} |", b / a);
}

async fn tpch(folder: &Path) {
    let (orders, lineitem) = (folder.join("orders.parquet"), folder.join("lineitem.parquet"));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(threads));
    for (name, path) in [("orders", &orders), ("lineitem", &lineitem)] {
        context.register_parquet(name, path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    }
    let by_priority =
        "SELECT o_orderpriority, COUNT(*) AS n, SUM(o_totalprice) AS total FROM orders GROUP BY o_orderpriority";
    let columns = format!("{PRIORITY}{TOTAL}");

    let one = entry("orders", "natural_person", "o_orderkey", 1, &format!("{}{columns}", unit_column("o_orderkey")));
    let ours = Measured::new(&[(&one, &[&orders])], &product(&["orders"], by_priority, ""), 1 << 30).await.unwrap();
    compare("orders, one row per unit", "<= 1.2 x", &context, by_priority, &ours).await;

    let many = entry("orders", "natural_person", "o_custkey", 46, &format!("{}{columns}", unit_column("o_custkey")));
    for privacy in ["max_rows = 10\n", "max_rows = 10\nmax_groups = 3\n"] {
        let ours =
            Measured::new(&[(&many, &[&orders])], &product(&["orders"], by_priority, privacy), 1 << 30).await.unwrap();
        let name = format!("orders by o_custkey, {}", privacy.trim().replace('\n', ", "));
        compare(&name, "<= 6 x", &context, by_priority, &ours).await;
    }

    let joined = "SELECT o_orderpriority, COUNT(*) AS n, SUM(l_extendedprice) AS total FROM lineitem JOIN orders ON l_orderkey = o_orderkey GROUP BY o_orderpriority";
    let lines = entry("lineitem", "natural_person", "l_orderkey", 7, &format!("{}{PRICE}", unit_column("l_orderkey")));
    let sources: [(&str, &[&Path]); 2] = [(&one, &[&orders]), (&lines, &[&lineitem])];
    let ours =
        Measured::new(&sources, &product(&["orders", "lineitem"], joined, "max_rows = 4\n"), 1 << 30).await.unwrap();
    compare("lineitem join orders", "<= 3 x", &context, joined, &ours).await;
}

const PRIVATE: &str = "[[column]]\nname = \"city\"\ntype = \"utf8\"\nclass = \"attribute\"\nusages = [\"filter\", \"group\"]\n\
    values = [\"a\", \"b\", \"c\"]\n\
    [[column]]\nname = \"age\"\ntype = \"int32\"\nclass = \"attribute\"\nusages = [\"filter\", \"group\", \"aggregate\"]\nmin = 0\nmax = 120\n";

/// How long the check of a product takes from its text to its clearance, through all its plans.
async fn checks(folder: &Path) {
    let path = folder.join(format!("yunei-bench-check-{}.parquet", std::process::id()));
    write_rows(&path, 1_000);
    let values = "[[column]]\nname = \"value\"\ntype = \"float64\"\nclass = \"attribute\"\nusages = [\"aggregate\"]\nmin = 0\nmax = 1000\n";
    let people = entry("people", "natural_person", "unit", 1, &format!("{}{PRIVATE}", unit_column("unit")));
    let meters = entry("meters", "natural_person", "unit", 12, &format!("{}{values}", unit_column("unit")));
    let sources: [(&str, &[&Path]); 2] = [(&people, &[&path]), (&meters, &[&path])];
    let rounds = std::env::var("YUNEI_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(101);
    println!("\n| product | check, text to clearance (asked: < 5 ms) |\n|---|---|");
    for (name, sql) in [
        ("a count by city", "SELECT city, COUNT(*) AS n FROM people GROUP BY city"),
        (
            "a join, a sum and a mean by city",
            "SELECT city, COUNT(*) AS n, SUM(value) AS total, AVG(value) AS mean FROM meters m JOIN people p ON m.unit = p.unit \
             WHERE age BETWEEN 18 AND 65 GROUP BY city ORDER BY n DESC",
        ),
    ] {
        let ours =
            Measured::new(&sources, &product(&["people", "meters"], sql, "max_rows = 4\n"), 1 << 30).await.unwrap();
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push(ours.check().await.unwrap());
        }
        println!("| {name} | {:.2} ms |", median(times));
    }
    let _ = std::fs::remove_file(&path);
}

/// Rows in no order: unit, one of ten groups, a number.
fn write_rows(path: &Path, rows: usize) {
    let units = (rows / 10) as u64;
    let batch = |from: usize, count: usize| {
        let mix = |i: usize| {
            let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x ^= x >> 32;
            x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
            x ^ (x >> 32)
        };
        let numbers: Vec<u64> = (from..from + count).map(mix).collect();
        let unit: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.iter().map(|x| (x % units) as i64)));
        let group: ArrayRef = Arc::new(Int32Array::from_iter_values(numbers.iter().map(|x| (x >> 40) as i32 % 10)));
        let value: ArrayRef = Arc::new(Float64Array::from_iter_values(numbers.iter().map(|x| (x >> 30) as f64 % 1e4)));
        RecordBatch::try_from_iter([("unit", unit), ("grp", group), ("value", value)]).unwrap()
    };
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(0, 1).schema(), None).unwrap();
    for from in (0..rows).step_by(1 << 20) {
        writer.write(&batch(from, (1 << 20).min(rows - from))).unwrap();
    }
    writer.close().unwrap();
}

fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn rows_entry() -> String {
    let columns = format!(
        "{}[[column]]\nname = \"grp\"\ntype = \"int32\"\nclass = \"attribute\"\nusages = [\"group\"]\nmin = 0\nmax = 9\n\
         [[column]]\nname = \"value\"\ntype = \"float64\"\nclass = \"attribute\"\nusages = [\"aggregate\"]\nmin = 0\nmax = 10000\n",
        unit_column("unit")
    );
    entry("rows", "natural_person", "unit", 1_000, &columns)
}

async fn synthetic(path: &Path) {
    let text = rows_entry();
    let sql = "SELECT grp, COUNT(*) AS n, SUM(value) AS total FROM rows GROUP BY grp";
    let privacy = "max_rows = 3\nmax_groups = 5\n";
    let ours = Measured::new(&[(&text, &[path])], &product(&["rows"], sql, privacy), 512 << 20).await.unwrap();
    let (time, cells) = ours.run().await.unwrap();
    assert_eq!(cells, 10);
    println!("{} {}", time.as_secs_f64(), peak_memory());
}

/// What it costs that rows in temporary files are encrypted: the same run with and without, turn by turn.
async fn sealing(folder: &Path) {
    let rows = std::env::var("YUNEI_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000_000);
    let path = folder.join("yunei-bench-seal.parquet");
    write_rows(&path, rows);
    let sql = "SELECT grp, COUNT(*) AS n, SUM(value) AS total FROM rows GROUP BY grp";
    let privacy = "max_rows = 3\nmax_groups = 5\n";
    let sources: [(&str, &[&Path]); 1] = [(&rows_entry(), &[&path])];
    let ours = Measured::new(&sources, &product(&["rows"], sql, privacy), 512 << 20).await.unwrap();
    println!("\n| {rows} rows, memory for rows | encrypted | not | ratio (asked: < 1.1 x) |\n|---|---|---|---|");
    for memory in [640usize << 20, 64 << 20] {
        let (mut sealed, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            sealed.push(ours.run_within(memory).await.unwrap().0);
            plain.push(ours.run_unsealed(memory).await.unwrap().0);
        }
        let (sealed, plain) = (median(sealed), median(plain));
        println!("| {} MiB | {sealed:.0} ms | {plain:.0} ms | {:.3} x |", memory >> 20, sealed / plain);
    }
    let _ = std::fs::remove_file(&path);
}

/// Texts that are long, deep or many things at once: each gets its clearance or its reasons, and here the time that takes.
fn hostile() -> Vec<(&'static str, String)> {
    let count = |of: String| format!("SELECT COUNT(*) FROM people WHERE {of}");
    let chain = |n: usize, term: &str, op: &str| count(vec![term; n].join(op));
    let aggregates = |n: usize| {
        let calls = (0..n).map(|i| format!("SUM(age + {i}), AVG(age * {i})")).collect::<Vec<_>>().join(", ");
        format!("SELECT {calls} FROM people GROUP BY city")
    };
    let cte = |n: usize| {
        let mut sql = "WITH c0 AS (SELECT * FROM people)".to_owned();
        for i in 1..=n {
            sql.push_str(&format!(", c{i} AS (SELECT a.* FROM c{0} a JOIN c{0} b ON a.id = b.id)", i - 1));
        }
        sql + &format!(" SELECT COUNT(*) FROM c{n}")
    };
    let case = |n: usize| {
        let whens = (0..n).map(|i| format!("WHEN age = {i} THEN {i}")).collect::<Vec<_>>().join(" ");
        format!("SELECT CASE {whens} END AS k, COUNT(*) FROM people GROUP BY 1")
    };
    let union = |n: usize| vec!["SELECT city, COUNT(*) FROM people GROUP BY city"; n].join(" UNION ALL ");
    let nested = |n: usize| {
        let inner = "SELECT * FROM (".repeat(n) + "SELECT * FROM people" + &") t".repeat(n);
        format!("SELECT COUNT(*) FROM ({inner}) t")
    };
    let mut texts = vec![
        ("300 conditions by OR", chain(300, "age = 1", " OR ")),
        ("499 conditions by AND", chain(499, "age > 1", " AND ")),
        ("10,000 conditions by OR", chain(10_000, "a=1", " OR ")),
        ("10,000 values in IN", count(format!("age IN ({})", vec!["1"; 10_000].join(",")))),
        (
            "3,000 different texts in IN",
            count(format!("city IN ({})", (0..3_000).map(|i| format!("'{i}'")).collect::<Vec<_>>().join(","))),
        ),
        ("30 brackets", count("(".repeat(30) + "age" + &")".repeat(30) + " = 1")),
        ("3,000 brackets", count("(".repeat(3_000) + "age" + &")".repeat(3_000) + " = 1")),
        ("5,000 NOTs", count("NOT ".repeat(5_000) + "age = 1")),
        ("30,000 signs", count("-".repeat(30_000) + "age = 1")),
        ("90 additions", count("age + ".repeat(90) + "1 > 0")),
        ("a text of 60,000 letters", count(format!("city = '{}'", "x".repeat(60_000)))),
        ("a text of a megabyte", count(format!("city = '{}'", "x".repeat(1 << 20)))),
        ("a pattern of 40,000 signs", count(format!("city LIKE '{}'", "%_".repeat(20_000)))),
        ("30 tables side by side", format!("SELECT COUNT(*) FROM {}", vec!["people"; 30].join(", "))),
        ("16 CTEs of a join each, 32 tables", cte(5)),
        ("30 CTEs, each twice the one before", cte(30)),
        ("14 aggregates by city", aggregates(7)),
        ("100 aggregates by city", aggregates(50)),
        ("5,000 counts", format!("SELECT {} FROM people", vec!["COUNT(*)"; 5_000].join(", "))),
        ("120 branches of CASE as a key", case(120)),
        ("900 branches of CASE as a key", case(900)),
        (
            "ROLLUP of six",
            "SELECT COUNT(*) FROM people GROUP BY ROLLUP (city, age, age + 1, age + 2, age + 3, age + 4)".to_owned(),
        ),
        (
            "CUBE of six, 64 leaves",
            "SELECT COUNT(*) FROM people GROUP BY CUBE (city, age, age + 1, age + 2, age + 3, age + 4)".to_owned(),
        ),
        ("8 leaves by UNION ALL", union(8)),
        ("90 leaves by UNION ALL", union(90)),
        ("20 subqueries inside one another", nested(20)),
        ("90 subqueries inside one another", nested(90)),
        ("2,000 CASEs inside one another", format!("SELECT {} FROM people", "CASE WHEN age = 1 THEN ".repeat(2_000))),
        ("3,000 SELECTs", vec!["SELECT 1"; 3_000].join(" UNION ALL ")),
        ("60,000 semicolons", ";".repeat(60_000)),
        ("a series without end", "SELECT * FROM generate_series(1, 1000000000000)".to_owned()),
    ];
    texts.extend(nested_and_wide());
    texts
}

/// Texts that are short and say much.
fn nested_and_wide() -> Vec<(&'static str, String)> {
    let nest = |levels: usize, inner: &str, outer: &dyn Fn(String) -> String| {
        (0..levels).fold(inner.to_owned(), |inner, _| outer(inner))
    };
    let calls = |levels: usize, outer: &dyn Fn(String) -> String| {
        format!("SELECT COUNT(*) FROM people WHERE {} > 1", nest(levels, "age", outer))
    };
    let doubled = |levels: usize, first: &str, last: &str| {
        let deep = nest(levels, first, &|x| format!("SELECT a + a AS a, id FROM ({x}) t"));
        format!("SELECT {last} FROM ({deep}) t WHERE a > 1")
    };
    let wide = |columns: usize, levels: usize| {
        let items: Vec<String> = (0..columns).map(|at| format!("n AS c{at}")).collect();
        let first = format!("SELECT {} FROM (SELECT COUNT(*) AS n FROM people) q", items.join(", "));
        nest(levels, &first, &|x| format!("SELECT * FROM ({x}) t"))
    };
    let chain = |count: usize, op: &str| {
        let all: Vec<String> = (0..count).map(|at| format!("x{at}.n")).collect();
        let from: Vec<String> =
            (0..count).map(|at| format!("(SELECT COUNT(*) AS n FROM people WHERE age > {at}) x{at}")).collect();
        format!("SELECT {} AS r FROM {}", all.join(op), from.join(", "))
    };
    let many =
        |count: usize, term: &str| format!("SELECT COUNT(*) FROM people WHERE {}", vec![term; count].join(" AND "));
    vec![
        ("12 calls of round(x, -1) inside one another", calls(12, &|x| format!("round({x}, -1)"))),
        ("45 calls of abs inside one another", calls(45, &|x| format!("abs({x})"))),
        ("12 divisors inside one another", calls(12, &|x| format!("(7 / {x})"))),
        ("12 calls of coalesce inside one another", calls(12, &|x| format!("coalesce({x}, 1)"))),
        ("24 BETWEENs inside one another", calls(24, &|x| format!("CASE WHEN {x} BETWEEN 1 AND 5 THEN 1 ELSE 0 END"))),
        (
            "12 simple CASEs inside one another",
            calls(12, &|x| format!("CASE {x} WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 4 ELSE 5 END")),
        ),
        ("a column doubled 8 times", doubled(8, "SELECT age AS a, id FROM people", "COUNT(*)")),
        ("a column doubled 20 times", doubled(20, "SELECT age AS a, id FROM people", "COUNT(*)")),
        (
            "a released column doubled 8 times",
            doubled(8, "SELECT COUNT(*) AS a, city AS id FROM people GROUP BY city", "id"),
        ),
        ("420 columns", wide(420, 0)),
        ("100 columns, 7 deep", wide(100, 7)),
        ("150 columns, 15 deep", wide(150, 15)),
        ("4,000 columns, 20 deep", wide(4_000, 20)),
        ("a ratio of 16 released numbers", chain(16, " / ")),
        ("a sum of 16 released numbers", chain(16, " + ")),
        ("333 conditions on date_trunc", many(333, "date_trunc('day', born) > DATE '2000-01-01'")),
        ("199 conditions on four calls each", many(199, "upper(lower(upper(lower(city)))) = 'a'")),
        ("30 EXISTS", many(30, "NOT EXISTS (SELECT 1 FROM people x WHERE x.id = people.id AND x.age > 9)")),
        (
            "16 grouping sets",
            format!(
                "SELECT COUNT(*), SUM(age), AVG(age), VAR_SAMP(age) FROM people GROUP BY GROUPING SETS ({})",
                (1..=16).map(|at| format!("(age / {at})")).collect::<Vec<_>>().join(", ")
            ),
        ),
    ]
}

/// The texts above, or those of a file, one a line: its name, a tab, the SQL.
fn asked_texts() -> Vec<(String, String)> {
    let Some(path) = std::env::var_os("YUNEI_BENCH_TEXTS") else {
        return hostile().into_iter().map(|(name, sql)| (name.to_owned(), sql)).collect();
    };
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().filter_map(|l| l.split_once('\t')).map(|(name, sql)| (name.to_owned(), sql.to_owned())).collect()
}

async fn texts() {
    let texts = Texts::new();
    let mut times = Vec::new();
    for (name, sql) in asked_texts() {
        let mut rounds = Vec::new();
        let mut cleared = false;
        for _ in 0..3 {
            let begun = Instant::now();
            cleared = texts.check(&sql).await;
            rounds.push(begun.elapsed());
            // A text of a file may take minutes: what took so long is seen before it ends.
            if rounds[0] > Duration::from_secs(2) {
                println!("{name}: {:.1} s", rounds[0].as_secs_f64());
                break;
            }
        }
        times.push((median(rounds), name, cleared));
    }
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("\n| text | answer | time (asked: <= 100 ms) |\n|---|---|---|");
    for (time, name, cleared) in times {
        println!("| {name} | {} | {time:.1} ms |", if cleared { "clearance" } else { "reasons" });
    }
    println!("\npeak memory of the process: {:.0} MiB", peak_memory());
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Ok(path) = std::env::var("YUNEI_BENCH_CHILD") {
        runtime.block_on(synthetic(Path::new(&path)));
        return;
    }
    let only = std::env::var("YUNEI_BENCH_ONLY").unwrap_or_else(|_| "texts,check,tpch,rows".to_owned());
    let asked = |part: &str| only.split(',').any(|p| p.trim() == part);
    let folder = std::env::var_os("YUNEI_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    if asked("texts") {
        runtime.block_on(texts());
    }
    if asked("check") {
        runtime.block_on(checks(&folder));
    }
    if asked("tpch") {
        println!("\n| query | plain DataFusion | private part | ratio | asked |\n|---|---|---|---|---|");
        match std::env::var_os("TPCH").map(PathBuf::from) {
            Some(folder) => runtime.block_on(tpch(&folder)),
            None => println!("(TPCH is not set: see the head of benches/gate.rs)"),
        }
    }
    if asked("rows") {
        growth(&folder);
    }
    if asked("sealing") {
        runtime.block_on(sealing(&folder));
    }
}

/// How time grows with rows: each size in a process of its own, whose peak memory is its own.
fn growth(folder: &Path) {
    let sizes = std::env::var("YUNEI_BENCH_ROWS").unwrap_or_else(|_| "1000000,10000000".to_owned());
    let mut points = Vec::new();
    for rows in sizes.split(',').filter_map(|s| s.trim().parse::<usize>().ok()) {
        let path = folder.join(format!("yunei-bench-{rows}.parquet"));
        write_rows(&path, rows);
        let child =
            std::process::Command::new(std::env::current_exe().unwrap()).env("YUNEI_BENCH_CHILD", &path).output();
        let text = String::from_utf8(child.unwrap().stdout).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|x| x.parse().ok()).collect();
        println!("\n{rows} rows, {} units, bounded: {:.2} s, peak memory {:.0} MiB", rows / 10, numbers[0], numbers[1]);
        points.push(((rows as f64).ln(), numbers[0].ln()));
        let _ = std::fs::remove_file(&path);
    }
    if let (Some(first), Some(last)) = (points.first(), points.last())
        && points.len() > 1
    {
        println!("\nfitted exponent: {:.3} (asked: <= 1.1)", (last.1 - first.1) / (last.0 - first.0));
    }
}

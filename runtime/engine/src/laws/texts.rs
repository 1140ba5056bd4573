//! Texts that are short and say much. Each of these once made the engine do work without end, or work that grows with the square of the
//! text; each is answered now, at its limit with a clearance and past it with a reason.

use crate::measure::Texts;

fn nest(levels: usize, mut inner: String, outer: impl Fn(String) -> String) -> String {
    for _ in 0..levels {
        inner = outer(inner);
    }
    inner
}

async fn codes(texts: &Texts, sql: &str) -> Vec<&'static str> {
    texts.answer(sql).await.err().map_or(Vec::new(), |refused| refused.codes())
}

/// Calls whose operand was once said twice or more: 30 of them inside one another were a plan of 2^30 parts. (The parser alone reads
/// such a text 2^30 times: `calls_inside_one_another_have_an_end`.)
#[tokio::test(flavor = "multi_thread")]
async fn no_function_doubles_what_it_is_given() {
    let texts = Texts::new();
    type Outer = fn(String) -> String;
    let functions: [(&str, Outer); 15] = [
        ("round", |x| format!("round({x}, -1)")),
        ("abs", |x| format!("abs({x})")),
        ("divisor", |x| format!("(7 / {x})")),
        ("dividend", |x| format!("({x} / age)")),
        ("modulo", |x| format!("(7 % {x})")),
        ("base", |x| format!("power({x}, 2)")),
        ("exponent", |x| format!("power(2, {x})")),
        ("root", |x| format!("sqrt({x})")),
        ("coalesce", |x| format!("coalesce({x}, 1)")),
        ("nullif", |x| format!("nullif({x}, 1)")),
        ("greatest", |x| format!("greatest({x}, age)")),
        ("clamp", |x| format!("clamp({x}, 0, 5)")),
        ("case", |x| format!("CASE WHEN {x} > 1 THEN 2 ELSE 1 END")),
        ("simple case", |x| format!("CASE {x} WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 1 END")),
        ("dates", |x| format!("date_part('day', date_trunc('day', CAST({x} AS DATE)))")),
    ];
    let released = "(SELECT COUNT(*) AS age FROM people) t";
    for (name, function) in functions {
        let deep = nest(10, "age".to_owned(), function);
        for sql in [
            format!("SELECT SUM(clamp({deep}, 0, 9)) FROM people"),
            format!("SELECT COUNT(*) FROM people WHERE {deep} > 1"),
            format!("SELECT {deep} AS k, COUNT(*) FROM people GROUP BY 1"),
            format!("SELECT {deep} AS k FROM {released}"),
        ] {
            // A clearance, or a reason that is the author's matter: nothing here is too large for the engine but what is told so.
            let codes = codes(&texts, &sql).await;
            assert!(codes.iter().all(|code| !code.starts_with("plan/")), "{name}: {codes:?}");
        }
    }
}

/// The parser reads the arguments of a call twice, and so on.
#[tokio::test(flavor = "multi_thread")]
async fn calls_inside_one_another_have_an_end() {
    let texts = Texts::new();
    for call in ["abs", "COUNT", "\"abs\"", "no_such_function", "ROW", "CUBE"] {
        let deep = nest(45, "age".to_owned(), |x| format!("{call}({x})"));
        let codes = codes(&texts, &format!("SELECT {deep} FROM people")).await;
        assert_eq!(codes, ["sql/too-complex"], "{call}");
    }
    let sums =
        |levels: usize| format!("SELECT SUM({}) FROM people", nest(levels, "age".to_owned(), |x| format!("abs({x})")));
    assert!(codes(&texts, &sums(12)).await.is_empty());
    assert_eq!(codes(&texts, &sums(16)).await, ["sql/too-complex"]);
    // Side by side they are no deeper; in brackets of their own neither.
    let beside = vec!["abs(abs(abs(age)))"; 150].join(", ");
    assert!(codes(&texts, &format!("SELECT COUNT(*) FROM people WHERE age IN ({beside})")).await.is_empty());
    let listed = (0..5_000).map(|at| at.to_string()).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT SUM(coalesce(CASE WHEN age IN ({listed}) THEN 1 END, 0)) FROM people");
    assert!(codes(&texts, &sql).await.is_empty());
}

/// `CASE x WHEN …` is told as comparisons with x: inside one another they multiply.
#[tokio::test(flavor = "multi_thread")]
async fn a_case_inside_a_case_is_counted_with_all_its_branches() {
    let texts = Texts::new();
    let sql = |levels: usize| {
        let deep = nest(levels, "age".to_owned(), |x| {
            format!("CASE {x} WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 4 WHEN 4 THEN 1 ELSE 5 END")
        });
        format!("SELECT SUM({deep}) FROM people")
    };
    assert!(codes(&texts, &sql(4)).await.is_empty());
    assert_eq!(codes(&texts, &sql(12)).await, ["sql/too-complex"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn subqueries_that_double_a_column_have_an_end() {
    let texts = Texts::new();
    for (inner, levels, passes) in
        [("people", 8, true), ("people", 20, false), ("released", 8, true), ("released", 20, false)]
    {
        for column in ["a + a", "CASE WHEN a > 1 THEN a ELSE 2 END"] {
            let first = match inner {
                "people" => "SELECT age AS a, id FROM people".to_owned(),
                _ => "SELECT COUNT(*) AS a, city AS id FROM people GROUP BY city".to_owned(),
            };
            let deep = nest(levels, first, |x| format!("SELECT {column} AS a, id FROM ({x}) t"));
            let sql = match inner {
                "people" => format!("SELECT COUNT(*) FROM ({deep}) t WHERE a > 1"),
                _ => format!("SELECT id FROM ({deep}) t WHERE a > 1"),
            };
            let codes = codes(&texts, &sql).await;
            let wanted: &[&str] = if passes { &[] } else { &["sql/too-complex"] };
            assert_eq!(codes, wanted, "{inner} {levels} {column}");
        }
    }
}

/// A thread of the server has two megabytes of stack, as this one has.
#[test]
fn deep_texts_fit_the_stack() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let texts = Texts::new();
            let inner = nest(20, "SELECT * FROM people".to_owned(), |x| format!("SELECT * FROM ({x}) t"));
            assert!(codes(&texts, &format!("SELECT COUNT(*) FROM ({inner}) t")).await.is_empty());
            let mut chain = "WITH c0 AS (SELECT id, age AS a FROM people)".to_owned();
            for at in 1..=12 {
                chain.push_str(&format!(", c{at} AS (SELECT id, a{} AS a FROM c{})", " + 1".repeat(18), at - 1));
            }
            assert!(codes(&texts, &format!("{chain} SELECT COUNT(*) FROM c12 WHERE a > 1")).await.is_empty());
            let many = (0..90).map(|at| {
                format!(
                    "c{at} AS (SELECT * FROM {})",
                    if at == 0 { "people".to_owned() } else { format!("c{}", at - 1) }
                )
            });
            let many = many.collect::<Vec<_>>().join(", ");
            let answer = codes(&texts, &format!("WITH {many} SELECT COUNT(*) FROM c89")).await;
            assert_eq!(answer, ["sql/too-complex"]);
        });
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

/// Numbers that are computed from many have no interval in the end, but their number.
#[tokio::test(flavor = "multi_thread")]
async fn intervals_of_intervals_have_an_end() {
    let texts = Texts::new();
    for op in ["+", "-", "/"] {
        let many = (0..15).map(|at| format!("x{at}.n")).collect::<Vec<_>>().join(&format!(" {op} "));
        let from = (0..15).map(|at| format!("(SELECT COUNT(*) AS n FROM people WHERE age > {at}) x{at}"));
        let sql = format!("SELECT {many} AS r FROM {}", from.collect::<Vec<_>>().join(", "));
        assert!(codes(&texts, &sql).await.is_empty(), "{op}");
    }
}

/// Each limit, and one past it.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_texts() {
    let texts = Texts::new();
    let released = "(SELECT COUNT(*) AS n FROM people) t";
    let windows = |count: usize| {
        let all = (0..count).map(|at| format!("SUM(n) OVER (ORDER BY n) AS w{at}")).collect::<Vec<_>>().join(", ");
        format!("SELECT {all} FROM {released}")
    };
    let arguments = |count: usize| format!("SELECT greatest({}) AS g FROM {released}", vec!["n"; count].join(", "));
    let calls =
        |count: usize| format!("SELECT COUNT(*) FROM people WHERE age IN ({})", vec!["abs(age)"; count].join(", "));
    let levels = |count: usize| format!("SELECT {} AS m FROM {released}", vec!["n"; count].join(" - "));
    let wide = |count: usize, levels: usize| {
        let all = (0..count).map(|at| format!("n AS c{at}")).collect::<Vec<_>>().join(", ");
        nest(levels, format!("SELECT {all} FROM {released}"), |x| format!("SELECT * FROM ({x}) u"))
    };
    for (what, at, past) in [
        ("windows", windows(100), windows(101)),
        ("arguments", arguments(256), arguments(257)),
        // COUNT is one of them.
        ("calls", calls(799), calls(800)),
        ("levels", levels(60), levels(66)),
        ("one wide", wide(420, 0), wide(450, 0)),
        ("many wide", wide(100, 7), wide(150, 15)),
        ("wider than the planner is given", wide(100, 0), wide(4_000, 20)),
    ] {
        assert!(codes(&texts, &at).await.is_empty(), "{what}: {:?}", codes(&texts, &at).await);
        assert!(codes(&texts, &past).await.contains(&"sql/too-complex"), "{what}");
    }
    // Of thousands of parameters that nobody declared, some are told.
    let unknown = (0..5_000).map(|at| format!("$p{at}")).collect::<Vec<_>>().join(", ");
    let told = codes(&texts, &format!("SELECT COUNT(*) FROM people WHERE age IN ({unknown})")).await;
    assert!(told.len() == 32 && told.iter().all(|code| *code == "parameter/undeclared"), "{}", told.len());
}

/// Texts that the planner panics on.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_planner_was_not_written_for_is_refused() {
    let texts = Texts::new();
    for sql in [
        "SELECT * FROM (VALUES (EXISTS (SELECT FROM people))) v",
        "VALUES ((SELECT FROM people))",
        "SELECT FROM people",
        "SELECT COUNT(*) FROM people WHERE age IN (SELECT FROM people)",
    ] {
        assert!(!codes(&texts, sql).await.is_empty(), "{sql}");
    }
}

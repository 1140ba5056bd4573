//! Withheld cells computed from published ones (Cox 1980; Fischetti & Salazar-González 2001), rounding taken off.

use crate::firms::{Firm, ask, numbers, ordinary, texts, world};

/// Of the traders in the east only four are left.
fn with_small_cell() -> Vec<Firm> {
    let mut firms = ordinary(240);
    let mut seen = 0;
    firms.retain(|f| {
        let of = f.0 == "东" && f.1 == "商";
        seen += usize::from(of);
        !of || seen <= 4
    });
    firms
}

/// The total less the published cells. Plain engine with a threshold alone: the withheld cell.
#[tokio::test(flavor = "multi_thread")]
async fn total_less_the_rest() {
    let world = world(&with_small_cell()).await;
    let cells = ask(&world, "cells", "SELECT trade, COUNT(*) AS n FROM firms WHERE town = '东' GROUP BY trade").await;
    let withheld = numbers(&cells, "n").iter().filter(|n| n.is_none()).count();
    assert!(withheld >= 2, "one alone could be computed from the total");
    let total = ask(&world, "total", "SELECT COUNT(*) AS n FROM firms WHERE town = '东'").await;
    // The total may leave: two unknown cells share the difference, more units than the threshold.
    assert_eq!(numbers(&total, "n").len(), 1);
}

/// Margins of a two-way table, asked in products of their own. Plain engine: a system of equations with one solution.
#[tokio::test(flavor = "multi_thread")]
async fn margins_from_other_products() {
    let world = world(&with_small_cell()).await;
    let table = ask(&world, "table", "SELECT town, trade, COUNT(*) AS n FROM firms GROUP BY town, trade").await;
    let rows = ask(&world, "towns", "SELECT town, COUNT(*) AS n FROM firms GROUP BY town").await;
    let columns = ask(&world, "trades", "SELECT trade, COUNT(*) AS n FROM firms GROUP BY trade").await;
    let (towns, trades) = (texts(&table, "town"), texts(&table, "trade"));
    let n = numbers(&table, "n");
    let at = (0..n.len()).find(|i| towns[*i].as_deref() == Some("东") && trades[*i].as_deref() == Some("商")).unwrap();
    assert_eq!(n[at], None);
    // In its row and in its column at least one other cell, or the total itself, is unknown.
    let unknown = |names: &[Option<String>], name: &str, totals: &datafusion::arrow::array::RecordBatch, key: &str| {
        let cells = (0..n.len()).filter(|i| names[*i].as_deref() == Some(name) && n[*i].is_none()).count();
        let place = texts(totals, key).iter().position(|t| t.as_deref() == Some(name)).unwrap();
        cells + usize::from(numbers(totals, "n")[place].is_none())
    };
    assert!(unknown(&towns, "东", &rows, "town") >= 2);
    assert!(unknown(&trades, "商", &columns, "trade") >= 2);
}

/// The other way round: margins first, then the table.
#[tokio::test(flavor = "multi_thread")]
async fn margins_before_the_table() {
    let world = world(&with_small_cell()).await;
    ask(&world, "towns", "SELECT town, COUNT(*) AS n FROM firms GROUP BY town").await;
    ask(&world, "trades", "SELECT trade, COUNT(*) AS n FROM firms GROUP BY trade").await;
    let table = ask(&world, "table", "SELECT town, trade, COUNT(*) AS n FROM firms GROUP BY town, trade").await;
    assert!(numbers(&table, "n").iter().filter(|n| n.is_none()).count() >= 4);
}

/// The withheld cell asked for by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_cell_itself() {
    let world = world(&with_small_cell()).await;
    let cell = ask(&world, "cell", "SELECT COUNT(*) AS n FROM firms WHERE town = '东' AND trade = '商'").await;
    assert_eq!(texts(&cell, "n_withheld"), [Some("too_few".to_owned())]);
}

/// The published rest asked for as one set, and the whole: their difference is the withheld cell.
#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_cell() {
    let world = world(&with_small_cell()).await;
    let rest = ask(&world, "rest", "SELECT COUNT(*) AS n FROM firms WHERE NOT (town = '东' AND trade = '商')").await;
    assert_eq!(numbers(&rest, "n"), [Some(220.0)]);
    let whole = ask(&world, "whole", "SELECT COUNT(*) AS n FROM firms").await;
    assert_eq!(texts(&whole, "n_withheld"), [Some("overlap".to_owned())]);
}

/// A mean times its count is the sum that was withheld.
#[tokio::test(flavor = "multi_thread")]
async fn the_mean_of_a_dominated_sum() {
    let mut firms = ordinary(240);
    firms[0].5 = 400_000_000;
    let world = world(&firms).await;
    let mean = ask(&world, "mean", "SELECT town, AVG(tax) AS tax FROM firms GROUP BY town ORDER BY town").await;
    let marks = texts(&mean, "tax_withheld");
    assert!(marks.iter().flatten().any(|m| m == "dominated"), "{marks:?}");
}

/// Rounding removed by shifting: the count of a cell with 0, 1, 2, … further units shows where it steps (Fellegi 1972).
/// Sets that differ by one unit do not both leave. Plain engine with rounding: the exact count.
#[tokio::test(flavor = "multi_thread")]
async fn rounding_taken_off_by_shifting() {
    let mut firms = ordinary(240);
    for (i, firm) in firms.iter_mut().enumerate().filter(|(_, f)| f.0 == "西").take(5) {
        firm.4 = 10_000 + i as i32;
    }
    let world = world(&firms).await;
    let mut told = 0;
    for i in 0..5 {
        let most = firms.iter().filter(|f| f.4 >= 10_000).map(|f| f.4).nth(i).unwrap();
        let sql = format!("SELECT COUNT(*) AS n FROM firms WHERE town = '东' OR staff BETWEEN 10000 AND {most}");
        told += usize::from(numbers(&ask(&world, &format!("s{i}"), &sql).await, "n")[0].is_some());
    }
    assert!(told <= 1, "{told}");
}

/// Everything is a multiple of the base: no residue tells.
#[tokio::test(flavor = "multi_thread")]
async fn no_residue() {
    let world = world(&ordinary(237)).await;
    let sql = "SELECT town, COUNT(*) AS n, SUM(tax) AS tax, SUM(staff) AS staff FROM firms GROUP BY town";
    let batch = ask(&world, "p", sql).await;
    for name in ["n", "tax", "staff"] {
        assert!(numbers(&batch, name).iter().flatten().all(|x| x % 5.0 == 0.0), "{name}");
    }
}

/// What all of a group have, the group's size tells (Hundepool et al. 2012, section 4.2).
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_group() {
    let mut firms = ordinary(240);
    firms.iter_mut().filter(|f| f.0 == "南").for_each(|f| f.2 = true);
    let world = world(&firms).await;
    let batch = ask(&world, "p", "SELECT town, fined, COUNT(*) AS n FROM firms GROUP BY town, fined").await;
    assert!(texts(&batch, "n_withheld").iter().flatten().any(|m| m == "whole_group"));
}

/// Ranks, ratios and filters above the released table see what was released: NULL where it is withheld.
#[tokio::test(flavor = "multi_thread")]
async fn computed_above() {
    let world = world(&with_small_cell()).await;
    let sql = "SELECT town, trade, n, n * 1.0 / SUM(n) OVER () AS share FROM
               (SELECT town, trade, COUNT(*) AS n FROM firms GROUP BY town, trade) t ORDER BY n";
    let batch = ask(&world, "p", sql).await;
    let (n, share) = (numbers(&batch, "n"), numbers(&batch, "share"));
    assert!(n.iter().zip(&share).all(|(n, s)| n.is_none() == s.is_none()));
    assert!(n.iter().any(Option::is_none));
}

/// Small cells hidden among the open keys' remainder cannot be taken out of it.
#[tokio::test(flavor = "multi_thread")]
async fn remainder_less_something() {
    let mut firms = ordinary(240);
    firms.iter_mut().take(30).enumerate().for_each(|(i, f)| f.3 = format!("秘{}", i % 5));
    let world = world(&firms).await;
    let brands = ask(&world, "brands", "SELECT brand, COUNT(*) AS n FROM firms GROUP BY brand").await;
    assert!(texts(&brands, "brand").iter().flatten().all(|b| b.starts_with('牌')));
    let less = ask(&world, "less", "SELECT COUNT(*) AS n FROM firms WHERE brand <> '秘0'").await;
    let whole = ask(&world, "whole", "SELECT COUNT(*) AS n FROM firms").await;
    let told = usize::from(numbers(&less, "n")[0].is_some()) + usize::from(numbers(&whole, "n")[0].is_some());
    assert!(told <= 1);
}

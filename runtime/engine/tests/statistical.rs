//! Datasets under disclosure control, the whole way: exact, rounded, and with what would tell of a few withheld.

#![allow(clippy::unwrap_used)]

mod common;
mod firms;

use firms::{Firm, ask, numbers, ordinary, refused, texts, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_leaves_rounded_and_without_budget() {
    let world = world(&ordinary(240)).await;
    let sql = "SELECT town, trade, COUNT(*) AS firms, SUM(tax) AS tax, AVG(staff) AS staff FROM firms
               GROUP BY town, trade ORDER BY town, trade";
    let batch = ask(&world, "towns", sql).await;
    assert_eq!(batch.num_rows(), 12);
    assert_eq!(numbers(&batch, "firms"), vec![Some(20.0); 12]);
    assert!(numbers(&batch, "tax").iter().all(|t| t.unwrap() % 5.0 == 0.0 && t.unwrap() > 20_000.0));
    assert!(numbers(&batch, "staff").iter().all(|t| (5.0..46.0).contains(&t.unwrap())));
    assert_eq!(texts(&batch, "firms_withheld"), vec![None; 12]);
    assert!(batch.column_by_name("firms_low").is_none());
    assert!(world.domain.budgets("authority").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_cell_is_withheld_and_another_with_it() {
    let mut firms = ordinary(240);
    // Of the traders in the east only four are left.
    let mut seen = 0;
    firms.retain(|f| {
        let of = f.0 == "东" && f.1 == "商";
        seen += usize::from(of);
        !of || seen <= 4
    });
    let world = world(&firms).await;
    let batch = ask(&world, "t", "SELECT town, trade, COUNT(*) AS n FROM firms GROUP BY town, trade").await;
    let marks = texts(&batch, "n_withheld");
    assert_eq!(marks.iter().flatten().filter(|m| *m == "too_few").count(), 1);
    // A row, a column: at least three more cells, or totals, must go with it.
    assert!(marks.iter().flatten().filter(|m| *m == "complementary").count() >= 1, "{marks:?}");
    assert!(numbers(&batch, "n").iter().zip(&marks).all(|(n, m)| n.is_none() == m.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_is_not_told_by_a_sum() {
    let mut firms = ordinary(240);
    firms[0].5 = 400_000_000;
    let world = world(&firms).await;
    let batch =
        ask(&world, "t", "SELECT town, SUM(tax) AS tax, COUNT(*) AS n FROM firms GROUP BY town ORDER BY town").await;
    let marks = texts(&batch, "tax_withheld");
    assert!(marks.iter().flatten().any(|m| m == "dominated"), "{marks:?}");
    // The total of all towns is the giant's too.
    let batch = ask(&world, "all", "SELECT SUM(tax) AS tax FROM firms").await;
    assert_eq!(texts(&batch, "tax_withheld"), [Some("dominated".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_of_products_are_withheld() {
    let mut firms = ordinary(240);
    firms[17].4 = 19_999;
    let world = world(&firms).await;
    let all = ask(&world, "all", "SELECT COUNT(*) AS n, SUM(tax) AS tax FROM firms").await;
    assert_eq!(numbers(&all, "n"), [Some(240.0)]);
    let less = ask(&world, "less", "SELECT COUNT(*) AS n, SUM(tax) AS tax FROM firms WHERE staff < 19999").await;
    assert_eq!((numbers(&less, "tax"), texts(&less, "tax_withheld")), (vec![None], vec![Some("overlap".to_owned())]));
    // The same question again is the same answer; another one about the same cell tells nothing new.
    let again = ask(&world, "again", "SELECT COUNT(*) AS firms FROM firms").await;
    assert_eq!(numbers(&again, "firms"), [Some(240.0)]);
    // By town, then by trade without the one: the totals would tell.
    ask(&world, "towns", "SELECT town, SUM(tax) AS tax FROM firms GROUP BY town").await;
    let trades =
        ask(&world, "trades", "SELECT trade, SUM(tax) AS tax FROM firms WHERE staff < 19999 GROUP BY trade").await;
    assert!(texts(&trades, "tax_withheld").iter().flatten().any(|m| m == "overlap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rows_of_the_same_units_are_a_difference() {
    let world = world(&ordinary(120)).await;
    let all = ask(&world, "all", "SELECT SUM(kwh) AS kwh, COUNT(DISTINCT code) AS firms FROM bills").await;
    assert_eq!(numbers(&all, "firms"), [Some(120.0)]);
    // 247 = 100 + 49 · 3: the March bills of the two firms with that number. All units stay in.
    let less = ask(&world, "less", "SELECT SUM(kwh) AS kwh FROM bills WHERE kwh <> 247").await;
    assert_eq!(texts(&less, "kwh_withheld"), [Some("overlap".to_owned())]);
    let month = ask(&world, "march", "SELECT SUM(kwh) AS kwh FROM bills WHERE month = 3").await;
    assert_eq!(texts(&month, "kwh_withheld"), [None]);
    let nested = "SELECT SUM(s) AS kwh FROM (SELECT code, SUM(kwh) AS s FROM bills WHERE kwh <> 247 GROUP BY code) t";
    assert_eq!(texts(&ask(&world, "nested", nested).await, "kwh_withheld"), [Some("overlap".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_keys_show_over_the_threshold_alone() {
    let mut firms = ordinary(120);
    for (i, firm) in firms.iter_mut().enumerate().take(24) {
        firm.3 = format!("秘{}", i % 4);
    }
    let world = world(&firms).await;
    let batch = ask(&world, "brands", "SELECT brand, COUNT(*) AS n FROM firms GROUP BY brand").await;
    let brands = texts(&batch, "brand");
    assert!(brands.iter().flatten().all(|b| b.starts_with('牌')), "{brands:?}");
    let marks = texts(&batch, "n_withheld");
    let rest = brands.iter().position(Option::is_none).unwrap();
    assert_eq!(marks[rest].as_deref(), Some("remainder"));
    assert_eq!(numbers(&batch, "n")[rest], Some(25.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_that_all_of_a_group_were_fined() {
    let mut firms = ordinary(240);
    for firm in firms.iter_mut().filter(|f| f.0 == "南") {
        firm.2 = true;
    }
    let world = world(&firms).await;
    let batch = ask(&world, "fines", "SELECT town, fined, COUNT(*) AS n FROM firms GROUP BY town, fined").await;
    let marks = texts(&batch, "n_withheld");
    assert!(marks.iter().flatten().filter(|m| *m == "whole_group").count() >= 2, "{marks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_choose_units_inside_a_number_is_refused() {
    let world = world(&ordinary(24)).await;
    for (sql, code) in [
        ("SELECT SUM(CASE WHEN staff > 40 THEN tax ELSE 0 END) AS s FROM firms", "statistical/argument"),
        ("SELECT COUNT(CASE WHEN staff > 40 THEN 1 END) AS s FROM firms", "statistical/argument"),
        ("SELECT AVG(burden(staff, tax)) AS s FROM firms", "statistical/argument"),
        ("SELECT SUM(clamp(tax, 0, 100)) AS s FROM firms", "statistical/argument"),
        ("SELECT SUM(x) AS s FROM (SELECT code, clamp(tax, 0, 100) AS x FROM firms) t", "statistical/argument"),
        ("SELECT SUM(m) AS s FROM (SELECT code, MAX(kwh) AS m FROM bills GROUP BY code) t", "statistical/argument"),
        ("SELECT SUM(tax - 5) AS s FROM firms", "statistical/negative"),
        ("SELECT VAR_SAMP(tax) AS s FROM firms", "statistical/aggregate"),
        ("SELECT SUM(f.tax) AS s FROM firms f JOIN bills b ON f.code = b.code", "statistical/join"),
        ("SELECT MAX(tax) AS s FROM firms", "aggregate/min-max"),
        (
            "SELECT width_bucket(staff, 0, 20000, 3000), town, COUNT(*) AS s FROM firms GROUP BY 1, 2",
            "group/too-many-cells",
        ),
    ] {
        let codes = refused(&world, sql).await;
        assert!(codes.contains(&code), "{sql}: {codes:?}, wanted {code}");
    }
    for sql in [
        "SELECT SUM(tax) / 1000 AS s FROM firms",
        "SELECT SUM(tax * 2 + 1) AS s FROM firms",
        "SELECT SUM(f.tax) AS s FROM firms f JOIN (SELECT code, SUM(kwh) AS k FROM bills GROUP BY code) b ON f.code = b.code",
        "SELECT width_bucket(burden(staff, tax), 0, 1, 2) AS band, COUNT(*) AS n FROM firms GROUP BY 1",
    ] {
        assert_eq!(refused(&world, sql).await, Vec::<&str>::new(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_and_aggregated_by_unit() {
    let mut firms = ordinary(240);
    firms.push(Firm("东", "农", false, "牌0".into(), 5, 900));
    let world = world(&firms).await;
    let sql = "SELECT f.town, SUM(b.k) AS kwh, COUNT(*) AS n FROM firms f
               JOIN (SELECT code, SUM(kwh) AS k FROM bills GROUP BY code) b ON f.code = b.code GROUP BY f.town ORDER BY 1";
    let batch = ask(&world, "joined", sql).await;
    assert_eq!(numbers(&batch, "n").iter().flatten().sum::<f64>(), 240.0);
    assert_eq!(texts(&batch, "n_withheld"), vec![None; 4]);
}

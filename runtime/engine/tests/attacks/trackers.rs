//! Trackers and intersections: sets that are large enough, chosen so that their sums give a small one.

use crate::firms::{Firm, ask, ordinary, texts, world};

fn target() -> Vec<Firm> {
    let mut firms = ordinary(240);
    firms[17].4 = 19_999;
    firms
}

async fn marks(world: &crate::common::World, id: &str, condition: &str) -> Option<String> {
    let sql = format!("SELECT COUNT(*) AS n, SUM(tax) AS tax FROM firms WHERE {condition}");
    texts(&ask(world, id, &sql).await, "tax_withheld").remove(0)
}

/// Schlörer's individual tracker (1975): q(A) and q(A ∧ ¬B) give q(A ∧ B), which nobody would answer.
#[tokio::test(flavor = "multi_thread")]
async fn individual_tracker() {
    let world = world(&target()).await;
    assert_eq!(marks(&world, "a", "town = '南'").await, None);
    assert_eq!(marks(&world, "b", "town = '南' AND NOT (staff = 19999)").await.as_deref(), Some("overlap"));
}

/// The general tracker (Denning, Denning & Schwartz 1979): q(B ∨ T) + q(B ∨ ¬T) − q(all) = q(B).
#[tokio::test(flavor = "multi_thread")]
async fn general_tracker() {
    let world = world(&target()).await;
    assert_eq!(marks(&world, "t", "town = '东'").await, None);
    assert_eq!(marks(&world, "not-t", "town <> '东'").await, None);
    let first = marks(&world, "b-or-t", "staff = 19999 OR town = '东'").await;
    let second = marks(&world, "b-or-not-t", "staff = 19999 OR town <> '东'").await;
    // The target stands in the south: with T it is one more than T; with ¬T nothing is new.
    assert_eq!((first.as_deref(), second), (Some("overlap"), None));
}

/// The double tracker (Schwartz, Denning & Denning 1979): T within U, both padded.
#[tokio::test(flavor = "multi_thread")]
async fn double_tracker() {
    let world = world(&target()).await;
    assert_eq!(marks(&world, "u", "town IN ('东', '西')").await, None);
    assert_eq!(marks(&world, "t", "town = '东'").await, None);
    let mut told = 0;
    told += usize::from(marks(&world, "b-or-u", "staff = 19999 OR town IN ('东', '西')").await.is_none());
    told += usize::from(marks(&world, "b-or-t", "staff = 19999 OR town = '东'").await.is_none());
    assert_eq!(told, 0);
}

/// The union tracker over three products, whose last closes the equation.
#[tokio::test(flavor = "multi_thread")]
async fn union_tracker() {
    let world = world(&target()).await;
    assert_eq!(marks(&world, "a", "town = '东'").await, None);
    assert_eq!(marks(&world, "b", "town = '西'").await, None);
    let union = marks(&world, "c", "town IN ('东', '西') OR staff = 19999").await;
    assert_eq!(union.as_deref(), Some("overlap"));
}

/// Three overlapping pairs give their parts: (AB + BC − AC) / 2 = B (Dobkin, Jones & Lipton 1979, "Secure databases").
/// Here B is four firms.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_pairs() {
    let mut firms = ordinary(240);
    for firm in firms.iter_mut().filter(|f| f.0 == "南").skip(4) {
        firm.0 = "北";
    }
    let world = world(&firms).await;
    let mut told = 0;
    for (id, pair) in [("ab", "'东', '南'"), ("bc", "'南', '西'"), ("ac", "'东', '西'")] {
        told += usize::from(marks(&world, id, &format!("town IN ({pair})")).await.is_none());
    }
    assert!(told < 3, "all three would give the four");
}

/// Intersection over products: many large sets that have only the target in common (Friedman & Hoffman 1980).
#[tokio::test(flavor = "multi_thread")]
async fn intersection_of_many() {
    let world = world(&target()).await;
    let conditions =
        ["town = '南'", "trade = '工'", "town = '南' OR trade = '工'", "town = '南' AND trade = '工'", "staff = 19999"];
    let mut last = None;
    for (i, condition) in conditions.iter().enumerate() {
        last = marks(&world, &format!("p{i}"), condition).await;
    }
    assert_eq!(last.as_deref(), Some("too_few"));
    let less = marks(&world, "less", "town = '南' AND trade = '工' AND staff < 19999").await;
    assert!(less.is_some());
}

/// A negated condition of a negated condition, so that the text is another one: the set counts.
#[tokio::test(flavor = "multi_thread")]
async fn by_other_words() {
    let world = world(&target()).await;
    assert_eq!(marks(&world, "a", "NOT (town <> '南')").await, None);
    let less = marks(&world, "b", "town IN ('南') AND (staff > 19999 OR staff < 19999)").await;
    assert_eq!(less.as_deref(), Some("overlap"));
}

/// A random walk of filters by many users: as long as the audit lets something out, no two answers differ by few. Seeded.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_of_filters() {
    let world = world(&target()).await;
    let mut released: Vec<Vec<usize>> = Vec::new();
    let firms = target();
    let mut state = 20_261_126u64;
    for i in 0..24 {
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let (lo, hi) = (5 + next(10) as i32, 30 + next(16) as i32);
        let town = ["东", "南", "西", "北"][next(4) as usize];
        let condition = format!("staff BETWEEN {lo} AND {hi} AND town <> '{town}'");
        if marks(&world, &format!("w{i}"), &condition).await.is_none() {
            let inside = |f: &Firm| (lo..=hi).contains(&f.4) && f.0 != town;
            released.push(firms.iter().enumerate().filter(|(_, f)| inside(f)).map(|(at, _)| at).collect());
        }
    }
    assert!(released.len() >= 2);
    for a in &released {
        for b in &released {
            let difference = a.iter().filter(|x| !b.contains(x)).count() + b.iter().filter(|x| !a.contains(x)).count();
            assert!(difference == 0 || difference >= 10, "{difference}");
        }
    }
}

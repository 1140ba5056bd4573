//! Bits of floating point, and the order in which it is added.

use crate::common::World;
use crate::firms::numbers;

/// Noise in floating point leaves low bits that tell the exact value (Mironov 2012). Here noise and sums are whole numbers of
/// grid steps: whatever leaves lies on the grid, whatever the rows were. Plain engine with floating Laplace noise: the sum.
#[tokio::test(flavor = "multi_thread")]
async fn low_bits() {
    let world = World::new(90).await;
    world
        .approve("p", &World::product_text("p", "SELECT SUM(kwh) AS s FROM meters", ""), "operator", &["research"])
        .await;
    let answer = world.run("p", &[], "research").await.unwrap();
    let s = numbers(answer.released.batch(), "s")[0].unwrap();
    // Values up to 1,000 have a grid of 2^-21.
    assert_eq!((s * 2f64.powi(21)).fract(), 0.0);
}

/// Counts are whole: no fraction of a noise shows.
#[tokio::test(flavor = "multi_thread")]
async fn whole_counts() {
    let world = World::new(90).await;
    let sql = "SELECT city, COUNT(*) AS n FROM people GROUP BY city";
    world.approve("p", &World::product_text("p", sql, ""), "operator", &["research"]).await;
    let answer = world.run("p", &[], "research").await.unwrap();
    assert!(numbers(answer.released.batch(), "n").iter().flatten().all(|n| n.fract() == 0.0));
}

/// A floating sum of 2^53, many ones and −2^53 depends on the order of the rows by more than its sensitivity (Casacuberta et
/// al. 2022). Sums here are of whole numbers: any order, any partition, the same. Plain engine: 0 or the number of ones.
#[test]
fn order_of_addition() {
    use yunei_policy::clear::clear;
    use yunei_policy::rules::RuleSet;
    let facts = crate::search::sum_of(0.0, 9_007_199_254_740_992.0);
    let clearance = clear(&facts, &RuleSet::default()).unwrap();
    let measure = &clearance.leaves()[0].measures()[0];
    let rows: Vec<f64> = std::iter::once(9_007_199_254_740_992.0).chain(std::iter::repeat_n(1.0, 1_000)).collect();
    let exact =
        |order: &mut dyn Iterator<Item = &f64>| order.map(|x| i128::from(measure.contribution(*x))).sum::<i128>();
    assert_eq!(exact(&mut rows.iter()), exact(&mut rows.iter().rev()));
    // One more row moves the sum by at most the computed sensitivity, wherever it stands.
    assert!((measure.contribution(rows[0]) as f64).abs() <= measure.sensitivity());
}

/// NaN and infinities count as nothing, or as the bound: no row makes a sum NaN. Plain engine: NaN.
#[test]
fn not_a_number() {
    use yunei_policy::clear::clear;
    use yunei_policy::rules::RuleSet;
    let clearance = clear(&crate::search::sum_of(0.0, 10.0), &RuleSet::default()).unwrap();
    let measure = &clearance.leaves()[0].measures()[0];
    let most = measure.contribution(10.0);
    for x in [f64::INFINITY, 1e300] {
        assert_eq!(measure.contribution(x), most);
    }
    for x in [f64::NEG_INFINITY, -1.0, -0.0, 1e-320] {
        assert_eq!(measure.contribution(x), 0);
    }
    assert_eq!(measure.contribution(f64::NAN), 0);
}

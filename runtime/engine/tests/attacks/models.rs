//! Hostile models: what a function of one person's features can try to say about it or about others.

use crate::common::World;
use crate::firms::numbers;
use crate::tools::is_allowed;

refused! {
    /// A model that is given the identifier could put it into its score digit by digit. Plain engine: the identifier.
    identifier_as_feature, alone, "SELECT AVG(burden(id, income)) FROM people",
    ["feature/identifier", "model/text-feature", "sql/resolve"]
}
refused! {
    /// The score as a group key shows single scores, which may be codes. Plain engine: every score.
    score_as_key, alone, "SELECT burden(age, income), COUNT(*) FROM people GROUP BY 1", ["group/float"]
}
refused! {
    /// The greatest score is one person's. Plain engine: it.
    greatest_score, alone, "SELECT MAX(burden(age, income)) FROM people", ["aggregate/min-max"]
}
refused! {
    /// Scores as rows. Plain engine: one per person.
    scores_as_rows, alone, "SELECT burden(age, income) FROM people", ["release/raw-rows"]
}
refused! {
    /// A feature that the catalogue does not allow. Plain engine: whatever is given.
    undeclared_feature, alone, "SELECT AVG(burden(age, character_length(city))) FROM people", ["column/usage"]
}

/// A model on constants alone: nothing may run it while planning, where no limit of a run holds; it would also be a way to
/// compute on other queries' memory. It is volatile to the planner, so that it is called on rows or not at all.
#[test]
fn folded_constants() {
    is_allowed("SELECT COUNT(*) FROM people WHERE burden(1.0, 2.0) < 2.0");
}

fn manifest(id: &str, min: f64, max: f64) -> String {
    format!(
        "[model]\nid = \"{id}\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"{id}.wat\"\n[[feature]]\nname = \"age\"\ntype = \"f64\"\n\
         [[feature]]\nname = \"income\"\ntype = \"f64\"\n[output]\nmin = {min:?}\nmax = {max:?}\nstep = 0.001\ndefault = 0.0\n"
    )
}

/// The sum of a hostile model's scores over 60 people, under ε = 5.
async fn sum_of(body: &str, before: &str) -> f64 {
    let world = World::new(60).await;
    let wat = format!("(module {before} (func (export \"score\") (param f64 f64) (result f64) {body}))");
    world.model(&manifest("evil", 0.0, 1.0), "evil.wat", &wat).await;
    let sql = "SELECT SUM(evil(age, income)) AS s FROM people";
    let text = World::product_text("p", sql, "").replace("burden@1.0.0", "evil@1.0.0");
    world.approve("p", &text, "operator", &["research"]).await;
    let answer = world.run("p", &[], "research").await.unwrap();
    numbers(answer.released.batch(), "s")[0].unwrap()
}

/// A score far outside the declared range, to drown the noise with one person's income. The host clamps: one person moves the
/// sum by at most 1. Plain engine: the income, 10^6 above everything else.
#[tokio::test(flavor = "multi_thread")]
async fn score_out_of_range() {
    let s = sum_of("(f64.mul (local.get 1) (f64.const 1e6))", "").await;
    assert!(s < 60.0 + 40.0, "{s}");
}

/// NaN for one person would make a plain sum NaN: a bit about the person.
#[tokio::test(flavor = "multi_thread")]
async fn nan_for_one() {
    let body = "(select (f64.const nan) (f64.const 0.5) (f64.eq (local.get 0) (f64.const 23)))";
    assert!(sum_of(body, "").await.is_finite());
}

/// A trap for one person would fail a plain query: a bit about the person (Haeberlen et al. 2011). It gets the default.
#[tokio::test(flavor = "multi_thread")]
async fn trap_for_one() {
    let body = "(if (f64.eq (local.get 0) (f64.const 23)) (then (unreachable))) (f64.const 0.5)";
    assert!((sum_of(body, "").await - 30.0).abs() < 20.0);
}

/// Endless work for one person: out of fuel, the default. The time that it takes is bounded, see `under_fire`.
#[tokio::test(flavor = "multi_thread")]
async fn endless_for_one() {
    let body = "(loop $l (br_if $l (f64.eq (local.get 0) (f64.const 23)))) (f64.const 0.5)";
    assert!((sum_of(body, "").await - 30.0).abs() < 20.0);
}

/// A global that remembers that the person was seen, and gives 1 for everybody after (state attack): the sensitivity would be
/// n. The instance is put back before every unit: everybody gets 0 but the one.
#[tokio::test(flavor = "multi_thread")]
async fn state_across_persons() {
    let before = "(global $seen (mut f64) (f64.const 0))";
    let body = "(if (f64.eq (local.get 0) (f64.const 20)) (then (global.set $seen (f64.const 1)))) (global.get $seen)";
    let s = sum_of(body, before).await;
    assert!(s < 30.0, "{s}: sixty people, of whom one is twenty");
}

/// The same through memory.
#[tokio::test(flavor = "multi_thread")]
async fn memory_across_persons() {
    let before = "(memory 1)";
    let body = "(if (f64.eq (local.get 0) (f64.const 20)) (then (f64.store (i32.const 64) (f64.const 1)))) (f64.load (i32.const 64))";
    let s = sum_of(body, before).await;
    assert!(s < 30.0, "{s}");
}

//! The rules at their limits, and inversion attacks on what is published.

use super::flow::Shape;
use super::*;
use crate::rules::RuleSet;
use proptest::prelude::*;

fn rules() -> StatisticalRules {
    *RuleSet::default().statistical()
}

fn entry(count: u64) -> Entry {
    Entry { units: count, count, sums: Vec::new() }
}

fn magnitude(contributions: &[i128]) -> Magnitude {
    let mut largest = contributions.to_vec();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let total = largest.iter().sum();
    largest.truncate(3);
    Magnitude { total, largest, contributors: 20, counts: false }
}

/// A two-way table of counts with all margins.
fn with_margins(cells: &[Vec<u64>], sensitive: Sensitive) -> Table {
    let columns = cells[0].len();
    let mut entries = Vec::new();
    for row in cells {
        entries.extend(row.iter().map(|n| entry(*n)));
        entries.push(entry(row.iter().sum()));
    }
    for column in 0..columns {
        entries.push(entry(cells.iter().map(|row| row[column]).sum()));
    }
    entries.push(entry(cells.iter().flatten().sum()));
    Table::new(cells.len(), columns, true, sensitive, entries).unwrap()
}

fn reason(outcome: &Outcome) -> Option<Withheld> {
    match outcome {
        Outcome::Withheld(reason) => Some(*reason),
        Outcome::Released { .. } => None,
    }
}

#[test]
fn ten_units_are_enough_and_nine_are_not() {
    assert_eq!(judge(&entry(10), &rules()), None);
    assert_eq!(judge(&entry(9), &rules()), Some(Withheld::TooFew));
    assert_eq!(judge(&entry(1), &rules()), Some(Withheld::TooFew));
    assert_eq!(judge(&entry(0), &rules()), None);
}

#[test]
fn sums_that_one_or_two_units_make_are_withheld() {
    let judge_sum =
        |contributions: &[i128]| judge(&Entry { units: 20, count: 20, sums: vec![magnitude(contributions)] }, &rules());
    // p %: the rest must be 10 % of the largest.
    assert_eq!(judge_sum(&[1_000, 500, 100, 100]), None);
    assert_eq!(judge_sum(&[1_000, 10, 60, 20, 9]), Some(Withheld::Dominated));
    // Two make more than 90 %.
    assert_eq!(judge_sum(&[500, 400, 100]), None, "exactly 90 %");
    assert_eq!(judge_sum(&[500, 401, 99]), Some(Withheld::Dominated));
    assert_eq!(judge_sum(&[700]), Some(Withheld::Dominated));
    assert_eq!(judge_sum(&[0, 0]), None);
    // Not knowing who makes a sum is no excuse.
    let blind = Magnitude { total: 9, largest: Vec::new(), contributors: 20, counts: false };
    assert_eq!(judge(&Entry { units: 20, count: 20, sums: vec![blind] }, &rules()), Some(Withheld::Dominated));
}

#[test]
fn all_or_none_of_a_group_is_withheld_where_the_key_is_sensitive() {
    let cells = [vec![0, 50], vec![30, 40], vec![20, 25]];
    let table = with_margins(&cells, Sensitive::Columns);
    let protected = protect(&table, &rules(), &[]);
    assert_eq!(protected.at(0, 0).and_then(reason), Some(Withheld::WholeGroup));
    assert_eq!(protected.at(0, 1).and_then(reason), Some(Withheld::WholeGroup));
    let plain = protect(&with_margins(&cells, Sensitive::Neither), &rules(), &[]);
    assert!(plain.outcomes().iter().all(|o| reason(o).is_none()));
    let rows = protect(&with_margins(&[vec![50, 20], vec![0, 30]], Sensitive::Rows), &rules(), &[]);
    assert_eq!(rows.at(0, 0).and_then(reason), Some(Withheld::WholeGroup));
}

#[test]
fn what_leaves_is_rounded() {
    let table = Table::new(1, 3, false, Sensitive::Neither, vec![entry(12), entry(13), entry(0)]).unwrap();
    let counts: Vec<u64> = protect(&table, &rules(), &[])
        .outcomes()
        .iter()
        .map(|o| if let Outcome::Released { count, .. } = o { *count } else { u64::MAX })
        .collect();
    assert_eq!(counts, [10, 15, 0]);
}

#[test]
fn one_withheld_cell_never_stays_alone_under_a_total() {
    let entries = vec![entry(40), entry(3), entry(25), entry(68)];
    let table = Table::new(1, 3, true, Sensitive::Neither, entries).unwrap();
    let protected = protect(&table, &rules(), &[]);
    let reasons: Vec<_> = protected.outcomes().iter().map(reason).collect();
    assert_eq!(reasons, [None, Some(Withheld::TooFew), Some(Withheld::Complementary), None]);
}

#[test]
fn without_margins_nothing_more_is_withheld() {
    let table = Table::new(1, 3, false, Sensitive::Neither, vec![entry(40), entry(3), entry(25)]).unwrap();
    let withheld = protect(&table, &rules(), &[]).outcomes().iter().filter(|o| reason(o).is_some()).count();
    assert_eq!(withheld, 1);
}

#[test]
fn an_overlap_withholds_like_a_small_cell() {
    let entries = vec![entry(40), entry(30), entry(25), entry(95)];
    let table = Table::new(1, 3, true, Sensitive::Neither, entries).unwrap();
    let protected = protect(&table, &rules(), &[true]);
    assert_eq!(reason(&protected.outcomes()[0]), Some(Withheld::Overlap));
    assert!(protected.outcomes()[1..].iter().any(|o| reason(o) == Some(Withheld::Complementary)));
}

#[test]
fn tables_that_do_not_add_up_are_refused() {
    let code = |rows, columns, margins, entries| {
        Table::new(rows, columns, margins, Sensitive::Neither, entries).map_or_else(|r| r.codes(), |_| Vec::new())
    };
    assert_eq!(code(1, 2, true, vec![entry(1), entry(2), entry(4)]), ["statistical/not-additive"]);
    assert_eq!(code(1, 2, true, vec![entry(1), entry(2)]), ["statistical/shape"]);
    assert_eq!(code(0, 2, false, vec![]), ["statistical/shape"]);
    assert_eq!(code(usize::MAX, 2, true, vec![]), ["statistical/shape"]);
    assert_eq!(code(1, MAX_ENTRIES + 1, false, vec![entry(1); MAX_ENTRIES + 1]), ["statistical/shape"]);
    let negative =
        Entry { sums: vec![Magnitude { total: -1, largest: vec![], contributors: 20, counts: false }], ..entry(20) };
    assert_eq!(code(1, 1, false, vec![negative]), ["statistical/negative"]);
    assert!(code(1, MAX_ENTRIES, false, vec![entry(10); MAX_ENTRIES]).is_empty());
}

/// Every value that an entry could have, found by trying all tables with small numbers.
fn possible(cells: &[Vec<u64>], withheld: &dyn Fn(usize, usize) -> bool, most: u64) -> Vec<Vec<(u64, u64)>> {
    let (rows, columns) = (cells.len(), cells[0].len());
    let free: Vec<(usize, usize)> =
        (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))).filter(|(r, c)| withheld(*r, *c)).collect();
    let mut found = vec![vec![(u64::MAX, 0); columns]; rows];
    let total = (most + 1).pow(u32::try_from(free.len()).unwrap());
    for mut code in 0..total {
        let mut guess = cells.to_vec();
        for (r, c) in &free {
            guess[*r][*c] = code % (most + 1);
            code /= most + 1;
        }
        let row = |t: &[Vec<u64>], r: usize| t[r].iter().sum::<u64>();
        let column = |t: &[Vec<u64>], c: usize| t.iter().map(|row| row[c]).sum::<u64>();
        let all = |t: &[Vec<u64>]| t.iter().flatten().sum::<u64>();
        let rows_fit = (0..rows).all(|r| withheld(r, columns) || row(&guess, r) == row(cells, r));
        let columns_fit = (0..columns).all(|c| withheld(rows, c) || column(&guess, c) == column(cells, c));
        if rows_fit && columns_fit && (withheld(rows, columns) || all(&guess) == all(cells)) {
            for (r, c) in &free {
                let value = guess[*r][*c];
                let range = &mut found[*r][*c];
                *range = (range.0.min(value), range.1.max(value));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Slack by flows is what trying every table finds.
    #[test]
    fn slack_is_exact(cells in prop::collection::vec(prop::collection::vec(0u64..4, 2), 2), mask in any::<u16>()) {
        let withheld: Vec<bool> = (0..9).map(|i| mask >> i & 1 == 1).collect();
        let table = with_margins(&cells, Sensitive::Neither);
        let values = table.values(0);
        let most = 14;
        let found = possible(&cells, &|r, c| withheld[r * 3 + c], most);
        let shape = Shape::two_way(2, 2);
        for (r, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let at = r * 3 + c;
            if !withheld[at] {
                continue;
            }
            let (least, greatest) = found[r][c];
            let value = cells[r][c];
            let down = shape.slack(&values, &withheld, at, false, 100);
            prop_assert_eq!(down, i128::from(value - least));
            let up = shape.slack(&values, &withheld, at, true, 100);
            // Trying stops at `most`; further up flows may say more.
            if greatest < most {
                prop_assert_eq!(up, i128::from(greatest - value));
            } else {
                prop_assert!(up >= i128::from(most - value));
            }
        }
    }

    /// Nobody who knows what is published can tell a withheld number closely.
    #[test]
    fn withheld_numbers_stay_vague(
        cells in prop::collection::vec(prop::collection::vec(prop_oneof![1 => 0u64..10, 3 => 0u64..200], 4), 2..5)
    ) {
        let table = with_margins(&cells, Sensitive::Neither);
        let protected = protect(&table, &rules(), &[]);
        let withheld: Vec<bool> = protected.outcomes().iter().map(|o| reason(o).is_some()).collect();
        let values = table.values(0);
        for (at, outcome) in protected.outcomes().iter().enumerate() {
            if matches!(reason(outcome), Some(r) if r != Withheld::Complementary) {
                let up = table.shape().slack(&values, &withheld, at, true, 5);
                let down = table.shape().slack(&values, &withheld, at, false, 5);
                prop_assert!(up >= 5, "{up}");
                prop_assert!(down >= values[at].min(5), "{down} of {}", values[at]);
            }
        }
    }

    /// Sums are protected as counts are.
    #[test]
    fn withheld_sums_stay_vague(
        cells in prop::collection::vec((0u64..40, prop::collection::vec(0i128..1_000, 1..6)), 2..8)
    ) {
        let mut entries: Vec<Entry> = cells
            .iter()
            .map(|(count, parts)| Entry { units: *count, count: *count, sums: vec![magnitude(parts)] })
            .collect();
        let all: Vec<i128> = cells.iter().flat_map(|(_, parts)| parts.clone()).collect();
        let count = cells.iter().map(|(count, _)| count).sum();
        entries.push(Entry { units: count, count, sums: vec![magnitude(&all)] });
        let table = Table::new(1, cells.len(), true, Sensitive::Neither, entries).unwrap();
        let protected = protect(&table, &rules(), &[]);
        let withheld: Vec<bool> = protected.outcomes().iter().map(|o| reason(o).is_some()).collect();
        for variable in 0..2 {
            let values = table.values(variable);
            for (at, outcome) in protected.outcomes().iter().enumerate() {
                if matches!(reason(outcome), Some(r) if r != Withheld::Complementary) {
                    let needed = (values[at] * 10 + 99) / 100;
                    let up = table.shape().slack(&values, &withheld, at, true, needed.max(5));
                    prop_assert!(up >= needed.max(5), "{up} of {needed}");
                    let down = table.shape().slack(&values, &withheld, at, false, needed.max(5));
                    prop_assert!(down >= values[at].min(needed.max(5)));
                }
            }
        }
    }
}

#[test]
fn a_large_table_is_decided() {
    let cells: Vec<Vec<u64>> = (0..99).map(|r| (0..99).map(|c| (r * 37 + c * 91) % 173).collect()).collect();
    let table = with_margins(&cells, Sensitive::Columns);
    let protected = protect(&table, &rules(), &[]);
    assert_eq!(protected.outcomes().len(), MAX_ENTRIES);
    assert!(protected.outcomes().iter().any(|o| reason(o).is_none()));
}

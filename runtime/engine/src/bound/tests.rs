//! Against a plain reading of the definition, with every kind of unit and key, in memory and through files.

use super::{Bounds, Cells, Shape, Slot, sum_cells};
use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A small generator, so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[derive(Clone)]
struct Row {
    group: u64,
    unit: u64,
    value: i64,
    bar: i64,
}

fn rows(count: usize, units: u64, groups: u64, seed: u64) -> Vec<Row> {
    let mut random = Random(seed);
    (0..count)
        .map(|_| Row {
            group: random.below(groups),
            unit: random.below(units),
            value: random.below(2_001) as i64 - 1_000,
            bar: random.below(6) as i64 - 1,
        })
        .collect()
}

fn batch(rows: &[Row], text_units: bool) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| format!("group {}", r.group))));
    let more: ArrayRef =
        Arc::new(rows.iter().map(|r| (!r.group.is_multiple_of(3)).then_some(r.group as i32)).collect::<Int32Array>());
    let units: ArrayRef = if text_units {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| format!("unit number {}", r.unit))))
    } else {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.unit as i64 - 3)))
    };
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.value)));
    let bars: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.bar)));
    let flags: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::from(r.value > 900))));
    RecordBatch::try_from_iter([("k0", keys), ("k1", more), ("u", units), ("v", values), ("b", bars), ("f", flags)])
        .unwrap()
}

fn shape(bounds: Option<Bounds>) -> Shape {
    let mut slots = vec![Slot::Rows, Slot::Sum(3), Slot::Bars { column: 4, of: 5 }];
    if bounds.is_some() {
        slots.extend([Slot::Units, Slot::UnitsWhere(5)]);
    }
    Shape { keys: 2, slots, bounds }
}

async fn run(
    rows: &[Row],
    text_units: bool,
    shape: &Shape,
    seed: u8,
    memory: usize,
    parts: usize,
) -> BTreeMap<String, Vec<i128>> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(parts));
    let whole = batch(rows, text_units);
    let per_part = rows.len().div_ceil(parts).max(1);
    let partitions: Vec<Vec<RecordBatch>> = (0..parts)
        .map(|p| {
            let from = (p * per_part).min(rows.len());
            let part = whole.slice(from, per_part.min(rows.len() - from));
            (0..part.num_rows()).step_by(701).map(|at| part.slice(at, 701.min(part.num_rows() - at))).collect()
        })
        .collect();
    let table = MemTable::try_new(whole.schema(), partitions).unwrap();
    let plan = context.read_table(Arc::new(table)).unwrap().create_physical_plan().await.unwrap();
    let cells = sum_cells(&plan, &context.task_ctx(), shape, &[seed; 32], memory).await.unwrap();
    assert_eq!(cells.width, shape.width());
    named(&cells)
}

fn named(cells: &Cells) -> BTreeMap<String, Vec<i128>> {
    let count = cells.sums.len() / cells.width;
    (0..count)
        .map(|at| {
            let key: Vec<String> = cells.keys.iter().map(|k| array_value_to_string(k, at).unwrap()).collect();
            (key.join("/"), cells.sums[at * cells.width..][..cells.width].to_vec())
        })
        .collect()
}

fn name(group: u64) -> String {
    format!("group {group}/{}", if !group.is_multiple_of(3) { group.to_string() } else { String::new() })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bounds_rows_are_added_up() {
    let rows = rows(5_000, 40, 7, 1);
    let mut wanted: BTreeMap<String, Vec<i128>> = BTreeMap::new();
    for row in &rows {
        let cell = wanted.entry(name(row.group)).or_insert_with(|| vec![0; 7]);
        cell[0] += 1;
        cell[1] += i128::from(row.value);
        if row.bar >= 0 {
            cell[2 + row.bar as usize] += 1;
        }
    }
    for parts in [1, 2, 3] {
        assert_eq!(run(&rows, false, &shape(None), 1, 0, parts).await, wanted);
    }
}

fn bounds(max_groups: Option<u32>, max_rows: u32) -> Bounds {
    let c = i128::from(max_rows);
    let mut per_group = vec![(0, c), (-c * 300, c * 300)];
    per_group.extend([(0, c); 5]);
    per_group.extend([(0, 1), (0, 1)]);
    Bounds { max_groups, max_rows, per_group }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_unit_is_moved_into_its_limits() {
    let rows = rows(20_000, 300, 9, 2);
    let mut per: BTreeMap<(u64, u64), (i128, i128, bool)> = BTreeMap::new();
    for row in &rows {
        let entry = per.entry((row.unit, row.group)).or_default();
        entry.0 += 1;
        entry.1 += i128::from(row.value);
        entry.2 |= row.value > 900;
    }
    let mut wanted: BTreeMap<String, [i128; 4]> = BTreeMap::new();
    for ((_, group), (count, sum, flagged)) in per {
        let cell = wanted.entry(name(group)).or_default();
        cell[0] += count.min(3);
        cell[1] += sum.clamp(-900, 900);
        cell[2] += 1;
        cell[3] += i128::from(flagged);
    }
    for text in [false, true] {
        for (parts, memory) in [(1, usize::MAX), (2, usize::MAX), (3, 1)] {
            let cells = run(&rows, text, &shape(Some(bounds(None, 3))), 5, memory, parts).await;
            let found: BTreeMap<String, [i128; 4]> =
                cells.iter().map(|(k, s)| (k.clone(), [s[0], s[1], s[7], s[8]])).collect();
            assert_eq!(found, wanted, "text units: {text}, {parts} threads, {memory} bytes");
            // No unit fills more of a group's histogram than its limit.
            for (key, sums) in &cells {
                let bars: i128 = sums[2..7].iter().sum();
                assert!(bars > 0 && bars <= sums[0], "{key}: {bars} of {}", sums[0]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_groups_depend_on_the_unit_and_the_seed_alone() {
    let all = rows(6_000, 50, 12, 3);
    let shape = shape(Some(bounds(Some(4), 2)));
    let cells = run(&all, true, &shape, 7, usize::MAX, 2).await;
    let units: i128 = cells.values().map(|s| s[7]).sum();
    assert_eq!(units, 50 * 4, "each of 50 units keeps 4 of its 12 groups");
    // The same through files, in another order, on another number of threads.
    let mut turned = all.clone();
    turned.reverse();
    assert_eq!(run(&turned, true, &shape, 7, 1, 3).await, cells);
    assert_ne!(run(&all, true, &shape, 8, usize::MAX, 2).await, cells, "another seed keeps other groups");
    // Without one unit the others keep what they kept: every cell changes by at most what one unit may add.
    let without: Vec<Row> = all.iter().filter(|r| r.unit != 17).cloned().collect();
    let rest = run(&without, true, &shape, 7, usize::MAX, 2).await;
    let changed = cells.iter().filter(|(key, sums)| rest.get(*key) != Some(sums)).count();
    assert!(changed <= 4, "{changed} cells changed");
    for (key, sums) in &cells {
        assert!(sums[7] - rest.get(key).map_or(0, |s| s[7]) <= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_all() {
    for bounds in [None, Some(bounds(Some(4), 2))] {
        assert!(run(&[], true, &shape(bounds), 1, 0, 2).await.is_empty());
    }
}

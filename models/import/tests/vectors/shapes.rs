//! Every shape of code for the same trees says the same: nested conditionals, lanes, and the plain walk of the tree in
//! Rust, on values at, just below and just above every threshold, zeros, infinities and missing ones.

use std::sync::Arc;

use crate::common::*;
use arrow_array::{ArrayRef, Float64Array};
use yunei_import::ir::{Ensemble, Num, Op};
use yunei_import::{Imported, Style};

/// What is drawn.
#[derive(Clone, Copy)]
struct Shape {
    trees: usize,
    depth: usize,
    features: usize,
    /// Distinct thresholds per feature.
    thresholds: usize,
}

fn threshold(i: usize) -> f64 {
    // Halves around zero, zero itself among them: exact in binary32.
    (i as f64 - 3.0) / 2.0
}

/// A random tree as nested lists: splits before their children, depth at most `depth`.
struct Drawn {
    feature: Vec<i64>,
    threshold: Vec<f64>,
    decision: Vec<u64>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaves: Vec<f64>,
}

impl Drawn {
    fn new(r: &mut Random, shape: Shape) -> Self {
        let mut drawn = Drawn {
            feature: Vec::new(),
            threshold: Vec::new(),
            decision: Vec::new(),
            left: Vec::new(),
            right: Vec::new(),
            leaves: Vec::new(),
        };
        drawn.grow(r, shape, shape.depth, true);
        drawn
    }

    /// A child as LightGBM writes it: a split's number, or a leaf's below zero.
    fn grow(&mut self, r: &mut Random, shape: Shape, depth: usize, root: bool) -> i64 {
        if depth == 0 || (!root && r.below(5) == 0) {
            self.leaves.push((r.unit() * 2000.0 - 1000.0).round() / 64.0);
            return -(self.leaves.len() as i64);
        }
        let at = self.feature.len();
        self.feature.push(r.below(shape.features as u64) as i64);
        self.threshold.push(threshold(r.below(shape.thresholds as u64) as usize));
        // Missing: nothing, zero or NaN; to the left or right.
        self.decision.push(r.below(2) << 1 | r.below(3) << 2);
        self.left.push(0);
        self.right.push(0);
        let left = self.grow(r, shape, depth - 1, false);
        let right = self.grow(r, shape, depth - 1, false);
        (self.left[at], self.right[at]) = (left, right);
        at as i64
    }
}

fn join<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn lightgbm(r: &mut Random, shape: Shape) -> Vec<u8> {
    let names: Vec<String> = (0..shape.features).map(|i| format!("f{i}")).collect();
    let mut text = format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx={}\nfeature_names={}\nobjective=regression\n",
        shape.features - 1,
        names.join(" ")
    );
    for i in 0..shape.trees {
        let t = Drawn::new(r, shape);
        text.push_str(&format!(
            "\nTree={i}\nnum_leaves={}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}\n",
            t.leaves.len(), join(&t.feature), join(&t.threshold), join(&t.decision), join(&t.left), join(&t.right), join(&t.leaves)
        ));
    }
    text.push_str("\nend of trees\n");
    text.into_bytes()
}

fn xgboost(r: &mut Random, shape: Shape) -> Vec<u8> {
    let trees: Vec<serde_json::Value> = (0..shape.trees)
        .map(|_| {
            let t = Drawn::new(r, shape);
            let splits = t.feature.len() as i64;
            let child = |c: &i64| if *c < 0 { splits - c - 1 } else { *c };
            let tail =
                |v: Vec<i64>, with: i64| v.into_iter().chain(t.leaves.iter().map(|_| with)).collect::<Vec<i64>>();
            let conditions: Vec<f64> = t.threshold.iter().chain(&t.leaves).copied().collect();
            serde_json::json!({
                "left_children": tail(t.left.iter().map(child).collect(), -1),
                "right_children": tail(t.right.iter().map(child).collect(), -1),
                "split_indices": tail(t.feature.clone(), 0),
                "split_conditions": conditions,
                "default_left": tail(t.decision.iter().map(|d| (*d >> 1 & 1) as i64).collect(), 0),
                "tree_param": { "size_leaf_vector": "1" },
            })
        })
        .collect();
    let info = vec![0; shape.trees];
    serde_json::to_vec(&serde_json::json!({
        "learner": {
            "feature_names": [], "feature_types": [], "objective": { "name": "reg:squarederror" },
            "learner_model_param": { "base_score": "5E-1", "num_class": "0", "num_feature": shape.features.to_string() },
            "gradient_booster": { "name": "gbtree", "model": { "trees": trees, "tree_info": info } },
        },
        "version": [3, 2, 0],
    }))
    .unwrap()
}

fn value(r: &mut Random, shape: Shape) -> f64 {
    let t = threshold(r.below(shape.thresholds as u64) as usize);
    match r.below(12) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => 0.0,
        4 => -0.0,
        5 => 1e-36,
        6 => -1e-35,
        7 => f64::from((t as f32).next_up()),
        8 => f64::from((t as f32).next_down()),
        9 => t + 0.25,
        _ => t,
    }
}

/// The trees of a model, and their sum for a row as the source sums it.
fn sum(imported: &Imported, row: &[f64]) -> f64 {
    let found = imported.model.graph.values().iter().find_map(|v| match &v.op {
        Op::Trees(_, ensemble) => Some((ensemble, v.num)),
        _ => None,
    });
    let (ensemble, num): (&Ensemble, Num) = found.unwrap();
    let mut total = num.round(ensemble.start[0]);
    for (_, tree) in &ensemble.trees {
        total = num.round(total + tree.answer(row));
    }
    total
}

fn check(file: &[u8], shape: Shape, r: &mut Random, lanes: Option<bool>) {
    let rows: Vec<Vec<f64>> = (0..150)
        .map(|i| (0..shape.features).map(|_| if i % 3 == 0 { r.unit() * 9.0 - 4.0 } else { value(r, shape) }).collect())
        .map(|row: Vec<f64>| row.into_iter().map(|x| f64::from(x as f32)).collect())
        .collect();
    for style in [Style::Nested, Style::Lanes, Style::Auto] {
        let imported = import(file, style);
        if style == Style::Lanes
            && let Some(lanes) = lanes
        {
            assert_eq!(imported.summary.trees_in_lanes > 0, lanes);
        }
        let used: Vec<usize> = imported.summary.features.iter().map(|f| f.from[1..].parse().unwrap()).collect();
        let columns: Vec<ArrayRef> = used
            .iter()
            .map(|f| Arc::new(Float64Array::from_iter(rows.iter().map(|row| Some(row[*f])))) as ArrayRef)
            .collect();
        let said = load(&imported, "score").score(&columns, rows.len()).unwrap();
        for (row, said) in rows.iter().zip(said.values()) {
            assert_eq!(*said, sum(&imported, row), "{style:?} {row:?}");
        }
    }
}

#[test]
fn all_shapes_agree_on_random_forests() {
    let mut r = Random(3);
    for (trees, depth, features, thresholds) in [
        (1, 1, 1, 1),
        (3, 2, 2, 4),
        (17, 3, 3, 16),
        (16, 4, 5, 17),
        (33, 6, 9, 60),
        (20, 8, 20, 300),
        (40, 5, 40, 30),
        (9, 7, 2, 600),
    ] {
        let shape = Shape { trees, depth, features, thresholds };
        // With rules for zero as well, many features may need more ranks than there are.
        check(&lightgbm(&mut r, shape), shape, &mut r, (features < 10).then_some(true));
        check(&xgboost(&mut r, shape), shape, &mut r, Some(true));
    }
}

#[test]
fn a_rank_counts_up_to_its_last_threshold_and_the_next_one_opens_another() {
    let mut r = Random(5);
    for thresholds in [15, 16, 17, 31, 32, 33, 239, 240, 241, 254, 255, 256, 257, 510, 511] {
        let shape = Shape { trees: 24, depth: 7, features: 1, thresholds };
        check(&xgboost(&mut r, shape), shape, &mut r, Some(true));
        check(&lightgbm(&mut r, shape), shape, &mut r, Some(true));
    }
}

#[test]
fn trees_deeper_than_lanes_stay_nested_beside_those_that_are_not() {
    let mut r = Random(9);
    let deep = Shape { trees: 6, depth: 9, features: 4, thresholds: 40 };
    check(&xgboost(&mut r, Shape { trees: 40, ..deep }), deep, &mut r, Some(true));
    // Both directions for what is missing, of sixty features: still ranks enough. With rules for zero as well: too many.
    let many = Shape { trees: 60, depth: 5, features: 60, thresholds: 40 };
    check(&xgboost(&mut r, many), many, &mut r, Some(true));
    check(&lightgbm(&mut r, many), many, &mut r, Some(false));
}

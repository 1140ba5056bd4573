//! Made-up models and rows, the same in every run.

/// Features of the ensembles.
const FEATURES: usize = 20;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1), a multiple of 2^-24: exact in binary32.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// Rows of numbers in [0, 1).
pub(crate) fn uniform(rows: usize, features: usize) -> Vec<Vec<f32>> {
    let mut r = Random(2);
    (0..rows).map(|_| (0..features).map(|_| r.unit()).collect()).collect()
}

/// Feature and threshold of each inner node in the order of a heap, and the leaves.
type Tree = (Vec<(usize, f32)>, Vec<f32>);

/// Complete trees. Their thresholds lie on a grid of 255 steps, as histograms make them.
pub(crate) struct Trees {
    depth: usize,
    trees: Vec<Tree>,
}

impl Trees {
    pub(crate) fn new(count: usize, depth: usize) -> Self {
        let mut r = Random(1);
        let inner = (1 << depth) - 1;
        let node = |r: &mut Random| ((r.next() % FEATURES as u64) as usize, (1 + r.next() % 254) as f32 / 255.0);
        let trees = (0..count)
            .map(|_| {
                let nodes = (0..inner).map(|_| node(&mut r)).collect();
                (nodes, (0..=inner).map(|_| r.unit() - 0.5).collect())
            })
            .collect();
        Self { depth, trees }
    }

    pub(crate) fn rows(&self, rows: usize) -> Vec<Vec<f32>> {
        uniform(rows, FEATURES)
    }

    /// What the model file says of a row: the trees in their order, in binary32.
    pub(crate) fn sum(&self, row: &[f32]) -> f32 {
        let inner = (1 << self.depth) - 1;
        self.trees.iter().fold(0.0, |sum, (nodes, leaves)| {
            let mut at = 0;
            while at < inner {
                let (feature, threshold) = nodes[at];
                at = 2 * at + 2 - usize::from(row[feature] < threshold);
            }
            sum + leaves[at - inner]
        })
    }

    /// As XGBoost writes it.
    pub(crate) fn file(&self) -> Vec<u8> {
        let inner = (1_i64 << self.depth) - 1;
        let children =
            |side: i64| -> Vec<i64> { (0..=2 * inner).map(|i| if i < inner { 2 * i + side } else { -1 }).collect() };
        let trees: Vec<serde_json::Value> = self
            .trees
            .iter()
            .map(|(nodes, leaves)| {
                let features: Vec<usize> = nodes.iter().map(|n| n.0).chain(leaves.iter().map(|_| 0)).collect();
                let conditions: Vec<f32> = nodes.iter().map(|n| n.1).chain(leaves.iter().copied()).collect();
                serde_json::json!({
                    "left_children": children(1),
                    "right_children": children(2),
                    "split_indices": features,
                    "split_conditions": conditions,
                    "default_left": vec![0; 2 * leaves.len() - 1],
                    "tree_param": { "size_leaf_vector": "1" },
                })
            })
            .collect();
        let info = vec![0; trees.len()];
        serde_json::json!({
            "learner": {
                "feature_names": [], "feature_types": [], "objective": { "name": "reg:squarederror" },
                "learner_model_param": { "base_score": "0E0", "num_class": "0", "num_feature": FEATURES.to_string() },
                "gradient_booster": { "name": "gbtree", "model": { "trees": trees, "tree_info": info } },
            },
            "version": [3, 2, 0],
        })
        .to_string()
        .into_bytes()
    }
}

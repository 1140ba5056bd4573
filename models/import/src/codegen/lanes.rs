//! Sixteen trees at once, one per byte lane of a vector.
//!
//! A threshold is known by its place among all thresholds of its feature, and a value by its rank: how many of
//! them it reaches. `x < t` is then a comparison of two small integers. For each row the rank of every feature is
//! found once, by counting, and kept as one byte of a vector. After that no float is compared any more: for
//! each place in the trees (root, left child, …) one shuffle brings sixteen trees' ranks to their lanes, one comparison
//! answers sixteen questions, and blends choose, level by level, the answers that lie on each tree's path. All
//! splits of a tree are asked, those off its path too: a comparison costs a sixteenth of a cycle or two, a
//! mispredicted branch fifteen.
//!
//! The idea of working on ranks and asking all splits is that of QuickScorer (Lucchese et al., SIGIR 2015) and its
//! vector versions; here trees, not rows, lie beside each other, because a model is asked one row at a time.

use std::collections::BTreeMap;

use wasm_encoder::{Instruction as I, ValType};

use super::emit::Elem;
use super::module::{Arithmetic, Body, Module, at};
use super::nested::settled;
use crate::ir::{Missing, Node, Num, Split, Test, Tree, ZERO};
use crate::refusal::Refusal;

/// Trees per vector.
pub(super) const GROUP: usize = 16;
/// Levels of splits: all places of a level are asked, and a leaf's number is one byte.
const DEPTH: usize = 8;
/// Thresholds per rank: what a byte can count.
const SEGMENT: usize = 255;
/// Ranks: eight vectors of sixteen.
const SLOTS: usize = 128;
/// Thresholds that are counted in one step.
const BLOCK: usize = 16;

/// Whether a tree can run in lanes.
pub(super) fn fits(tree: &Tree) -> bool {
    tree.depth() <= DEPTH && tree.splits().all(|s| matches!(s.test, Test::Below(t) if t.is_finite()))
}

/// Where a value that is missing ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// NaN below everything.
    Low,
    /// NaN above everything.
    High,
    /// NaN and zero below everything.
    ZeroLow,
    /// NaN and zero above everything.
    ZeroHigh,
}

/// One rank: a feature, how it treats what is missing, and up to [`SEGMENT`] thresholds in their order.
struct Slot {
    feature: u32,
    rule: Rule,
    thresholds: Vec<f64>,
}

/// The ranks that an ensemble needs.
pub(super) struct Plan {
    slots: Vec<Slot>,
    /// The thresholds of each feature.
    thresholds: BTreeMap<u32, Vec<f64>>,
    /// The slot of a feature, rule and segment.
    index: BTreeMap<(u32, Rule, usize), usize>,
    /// For rows in which nothing is missing: a feature needs no second rank for NaN then.
    whole: bool,
}

/// A plan whose tables lie in the module.
pub(super) struct Lanes {
    plan: Plan,
    tables: Vec<Table>,
    compare: Num,
}

struct Table {
    /// Ends of the blocks of thresholds, and how many vectors they fill; none where one block is enough.
    ends: Option<(u32, usize)>,
    blocks: u32,
    /// Vectors per block.
    width: usize,
}

/// A threshold that is not finite has no place here; zero has one sign.
fn threshold(split: &Split) -> f64 {
    match split.test {
        Test::Below(t) => t + 0.0,
        _ => 0.0,
    }
}

fn rule(split: &Split, whole: bool) -> Rule {
    match settled(split.missing, threshold(split)) {
        Missing::Left if !whole => Rule::Low,
        Missing::Left | Missing::Right | Missing::Zero => Rule::High,
        Missing::ZeroLeft => Rule::ZeroLow,
        Missing::ZeroRight => Rule::ZeroHigh,
    }
}

/// The ranks for the trees that fit; `None` where there are too many of them, or no tree.
pub(super) fn plan(trees: &[&Tree], fit: &[bool], whole: bool) -> Option<Plan> {
    let splits = || trees.iter().zip(fit).filter(|(_, f)| **f).flat_map(|(t, _)| t.splits());
    let mut thresholds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for split in splits() {
        thresholds.entry(split.feature).or_default().push(threshold(split));
    }
    for list in thresholds.values_mut() {
        list.sort_by(f64::total_cmp);
        list.dedup();
    }
    let mut plan = Plan { slots: Vec::new(), thresholds, index: BTreeMap::new(), whole };
    for split in splits() {
        let (segment, _) = plan.place(split);
        let key = (split.feature, rule(split, plan.whole), segment);
        if plan.index.contains_key(&key) {
            continue;
        }
        if plan.slots.len() == SLOTS {
            return None;
        }
        let own = &plan.thresholds[&split.feature][segment * SEGMENT..];
        let own = own[..own.len().min(SEGMENT)].to_vec();
        plan.index.insert(key, plan.slots.len());
        plan.slots.push(Slot { feature: split.feature, rule: rule(split, whole), thresholds: own });
    }
    (!plan.slots.is_empty()).then_some(plan)
}

impl Plan {
    /// The segment of a split's threshold, and its place in the segment.
    fn place(&self, split: &Split) -> (usize, usize) {
        let t = threshold(split);
        let place = self.thresholds[&split.feature].partition_point(|x| *x < t);
        (place / SEGMENT, place % SEGMENT)
    }

    /// Vectors of ranks.
    pub(super) fn vectors(&self) -> usize {
        self.slots.len().div_ceil(GROUP)
    }

    /// An estimate of the machine cycles per row, at three instructions each.
    pub(super) fn cycles(&self, trees: &[&Tree], fit: &[bool]) -> f64 {
        let ranks: usize = self.slots.iter().map(|s| if s.thresholds.len() > BLOCK { 28 } else { 14 }).sum();
        let fitting: Vec<&Tree> = trees.iter().zip(fit).filter(|(_, f)| **f).map(|(t, _)| *t).collect();
        let group = |members: &[&Tree]| {
            let depth = members.iter().map(|t| t.depth()).max().unwrap_or(0);
            ((1 << depth) - 1) * (self.vectors() + 2) + 4 * depth + 20
        };
        let groups: usize = fitting.chunks(GROUP).map(group).sum();
        (ranks + groups + 5 * fitting.len()) as f64 / 3.0
    }

    /// Writes the tables of thresholds.
    pub(super) fn build(self, module: &mut Module, compare: Num) -> Result<Lanes, Refusal> {
        let per_vector = per_vector(compare);
        let mut tables = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let n = slot.thresholds.len();
            let blocks = n.div_ceil(BLOCK);
            let width = if blocks > 1 { BLOCK / per_vector } else { n.div_ceil(per_vector) };
            let mut all = slot.thresholds.clone();
            all.resize(if blocks > 1 { blocks * BLOCK } else { width * per_vector }, f64::INFINITY);
            // The end of a block is its last threshold; who reaches it belongs to a later block.
            let ends = if blocks > 1 {
                let mut ends: Vec<f64> = all.chunks(BLOCK).take(blocks - 1).map(|b| b[BLOCK - 1]).collect();
                let vectors = ends.len().div_ceil(per_vector);
                ends.resize(vectors * per_vector, f64::INFINITY);
                Some((module.numbers(ends, compare)?, vectors))
            } else {
                None
            };
            tables.push(Table { ends, blocks: module.numbers(all, compare)?, width });
        }
        Ok(Lanes { plan: self, tables, compare })
    }
}

fn per_vector(num: Num) -> usize {
    match num {
        Num::F32 => 4,
        Num::F64 => 2,
    }
}

impl Lanes {
    /// Vectors of ranks.
    pub(super) fn vectors(&self) -> usize {
        self.plan.vectors()
    }

    /// Pushes whether any value that is ranked is NaN.
    pub(super) fn any_missing(&self, body: &mut Body, inputs: &[Elem]) {
        body.push(I::I32Const(0));
        for feature in self.plan.thresholds.keys() {
            if let Some(Elem::Local(local)) = inputs.get(*feature as usize) {
                body.all([I::LocalGet(*local), I::LocalGet(*local), self.compare.ne(), I::I32Or]);
            }
        }
    }

    /// Emits the rank of every slot.
    pub(super) fn ranks(&self, body: &mut Body, inputs: &[Elem]) -> Vec<u32> {
        let vectors: Vec<u32> = (0..self.vectors()).map(|_| body.local(ValType::V128)).collect();
        let (x, block) = (body.local(ValType::V128), body.local(ValType::I32));
        for (i, (slot, table)) in self.plan.slots.iter().zip(&self.tables).enumerate() {
            let input = inputs.get(slot.feature as usize).copied().unwrap_or(Elem::Const(0.0));
            self.spread(body, input, slot.rule);
            body.push(I::LocalSet(x));
            let vector = vectors[i / GROUP];
            let per = per_vector(self.compare) as i32;
            // rank - 128 = 16 · blocks passed + passed in the block - 128
            if let Some((ends, width)) = table.ends {
                body.push(I::I32Const(width as i32 * per));
                self.count_above(body, x, None, ends, width);
                let bytes = BLOCK as i32 * 16 / per;
                body.all([I::I32Sub, I::LocalTee(block), I::I32Const(4), I::I32Shl, I::I32Const(16 - 128), I::I32Add]);
                body.all([I::LocalGet(block), I::I32Const(bytes), I::I32Mul, I::LocalSet(block)]);
                self.count_above(body, x, Some(block), table.blocks, table.width);
            } else {
                body.push(I::I32Const(table.width as i32 * per - 128));
                self.count_above(body, x, None, table.blocks, table.width);
            }
            let rank = body.local(ValType::I32);
            body.all([I::I32Sub, I::LocalSet(rank), I::LocalGet(vector), I::LocalGet(rank)]);
            body.all([I::I8x16ReplaceLane((i % GROUP) as u8), I::LocalSet(vector)]);
        }
        vectors
    }

    /// Pushes the value in all lanes; a missing one as the least or greatest. What is infinite becomes the
    /// greatest finite number, so that it lies below the padding of the tables.
    fn spread(&self, body: &mut Body, input: Elem, rule: Rule) {
        let num = self.compare;
        let push = |body: &mut Body| {
            match input {
                Elem::Local(local) => body.push(I::LocalGet(local)),
                Elem::Const(c) => body.push(num.constant(c)),
            };
        };
        let greatest = match num {
            Num::F32 => f64::from(f32::MAX),
            Num::F64 => f64::MAX,
        };
        let splat = |body: &mut Body| {
            body.push(if num == Num::F32 { I::F32x4Splat } else { I::F64x2Splat });
        };
        let everywhere = |x: f64| match num {
            Num::F32 => {
                let bits = u128::from((x as f32).to_bits());
                I::V128Const((bits | bits << 32 | bits << 64 | bits << 96) as i128)
            }
            Num::F64 => {
                let bits = u128::from(x.to_bits());
                I::V128Const((bits | bits << 64) as i128)
            }
        };
        let (min, max) = match num {
            Num::F32 => (I::F32x4PMin, I::F32x4PMax),
            Num::F64 => (I::F64x2PMin, I::F64x2PMax),
        };
        // pmin(a, b) is b where b < a, else a: a NaN in b gives a.
        body.push(everywhere(greatest));
        if rule == Rule::Low {
            body.push(everywhere(f64::NEG_INFINITY));
        }
        push(body);
        if matches!(rule, Rule::ZeroLow | Rule::ZeroHigh) {
            let missing = if rule == Rule::ZeroLow { f64::NEG_INFINITY } else { greatest };
            body.push(num.constant(missing));
            push(body);
            // The value itself where it is neither missing nor as small as zero.
            body.all([num.abs(), num.constant(ZERO), num.gt(), I::Select]);
        }
        splat(body);
        if rule == Rule::Low {
            body.push(max);
        }
        body.push(min);
    }

    /// Pushes how many numbers of a table lie above `x`.
    fn count_above(&self, body: &mut Body, x: u32, base: Option<u32>, address: u32, vectors: usize) {
        let load = |body: &mut Body, v: usize| {
            body.push(I::LocalGet(x));
            body.push(base.map_or(I::I32Const(0), I::LocalGet));
            body.push(I::V128Load(at(address + v as u32 * 16, 4)));
            body.push(if self.compare == Num::F32 { I::F32x4Lt } else { I::F64x2Lt });
        };
        // Masks of four 32-bit lanes each.
        let quarter = |body: &mut Body, q: usize| match self.compare {
            Num::F32 => load(body, q),
            Num::F64 => {
                load(body, 2 * q);
                if 2 * q + 1 < vectors {
                    load(body, 2 * q + 1);
                } else {
                    body.push(I::V128Const(0));
                }
                body.push(I::I8x16Shuffle([0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]));
            }
        };
        let quarters = if self.compare == Num::F32 { vectors } else { vectors.div_ceil(2) };
        quarter(body, 0);
        if quarters == 1 {
            body.all([I::I32x4Bitmask, I::I32Popcnt]);
            return;
        }
        quarter(body, 1);
        body.push(I::I16x8NarrowI32x4S);
        if quarters == 2 {
            body.all([I::I16x8Bitmask, I::I32Popcnt]);
            return;
        }
        quarter(body, 2);
        if quarters == 4 {
            quarter(body, 3);
        } else {
            body.push(I::V128Const(0));
        }
        body.all([I::I16x8NarrowI32x4S, I::I8x16NarrowI16x8S, I::I8x16Bitmask, I::I32Popcnt]);
    }

    /// Makes the function of a group and its table of leaves, and calls it.
    pub(super) fn group(
        &self,
        body: &mut Body,
        module: &mut Module,
        trees: &[&Tree],
        sum: Num,
    ) -> Result<Group, Refusal> {
        let depth = trees.iter().map(|t| t.depth()).max().unwrap_or(0);
        let mut leaves = Vec::with_capacity(trees.len() << depth);
        for tree in trees {
            let mut own = vec![0.0; 1 << depth];
            spread_leaves(tree, 0, 0, depth, &mut own);
            leaves.extend(own);
        }
        let leaves = module.numbers(leaves, sum)?;
        let function = module.add(Asker { lanes: self, trees, depth }.function())?;
        let found = body.local(ValType::V128);
        for v in 0..self.vectors() as u32 {
            body.push(I::LocalGet(v));
        }
        body.all([I::Call(function), I::LocalSet(found)]);
        Ok(Group { found, leaves, depth })
    }
}

/// A group that has been asked: the numbers of the leaves, one per lane.
pub(super) struct Group {
    found: u32,
    leaves: u32,
    depth: usize,
}

impl Group {
    /// Adds a tree's answer to the total.
    pub(super) fn add_leaf(&self, body: &mut Body, lane: usize, total: u32, sum: Num) {
        let (shift, bytes) = if sum == Num::F32 { (2, 4) } else { (3, 8) };
        let address = self.leaves + ((lane << self.depth) * bytes) as u32;
        body.all([I::LocalGet(total), I::LocalGet(self.found), I::I8x16ExtractLaneU(lane as u8)]);
        body.all([I::I32Const(shift), I::I32Shl, sum.load(address), sum.add(), I::LocalSet(total)]);
    }
}

/// Fills `out` with the leaves by path: the first question is the highest bit, and right is one.
fn spread_leaves(tree: &Tree, node: u32, path: usize, levels: usize, out: &mut [f64]) {
    match &tree.nodes()[node as usize] {
        Node::Leaf(value) => out[path << levels..(path + 1) << levels].fill(*value),
        Node::Split(s) => {
            spread_leaves(tree, s.left, path << 1, levels - 1, out);
            spread_leaves(tree, s.right, path << 1 | 1, levels - 1, out);
        }
    }
}

/// Makes the function that asks a group's questions: ranks in, numbers of leaves out.
struct Asker<'a> {
    lanes: &'a Lanes,
    trees: &'a [&'a Tree],
    depth: usize,
}

impl Asker<'_> {
    fn function(&self) -> Body {
        let mut body = Body::new(vec![ValType::V128; self.lanes.vectors()], vec![ValType::V128]);
        let mut paths: Vec<u32> = Vec::with_capacity(self.depth);
        for level in 0..self.depth {
            let path = body.local(ValType::V128);
            let roots: Vec<Option<u32>> = self.trees.iter().map(|_| Some(0)).collect();
            // Below the deepest tree of the group there is nothing to ask.
            if !self.choose(&mut body, &paths, level, 0, &roots) {
                body.push(I::V128Const(0));
            } else if level > 0 {
                // A blend leaves the compiler in doubt whether lanes are all ones or zeros; a comparison does not.
                body.push(I::LocalSet(path)).all([I::V128Const(0), I::LocalGet(path), I::I8x16GtS]);
            }
            body.push(I::LocalSet(path));
            paths.push(path);
        }
        body.push(I::V128Const(0));
        for (level, path) in paths.iter().enumerate() {
            let bit = 1_u8 << (self.depth - 1 - level);
            let bits = i128::from_le_bytes([bit; 16]);
            body.all([I::LocalGet(*path), I::V128Const(bits), I::V128And, I::V128Or]);
        }
        body
    }

    /// Pushes the answers at `level` below the nodes that the trees have at this place of the level `above`; false where no tree
    /// has a question there and nothing is pushed.
    fn choose(&self, body: &mut Body, paths: &[u32], level: usize, above: usize, nodes: &[Option<u32>]) -> bool {
        let splits: Vec<Option<&Split>> = nodes
            .iter()
            .zip(self.trees)
            .map(|(node, tree)| match node.map(|n| &tree.nodes()[n as usize]) {
                Some(Node::Split(split)) => Some(split),
                _ => None,
            })
            .collect();
        if splits.iter().all(Option::is_none) {
            return false;
        }
        if above == level {
            self.ask(body, &splits);
            return true;
        }
        let child = |pick: fn(&Split) -> u32| -> Vec<Option<u32>> { splits.iter().map(|s| s.map(pick)).collect() };
        let right = self.choose(body, paths, level, above + 1, &child(|s| s.right));
        let left = self.choose(body, paths, level, above + 1, &child(|s| s.left));
        if left && right {
            body.all([I::LocalGet(paths[above]), I::V128Bitselect]);
        }
        left || right
    }

    /// Pushes all ones in the lanes of the trees that go to the right.
    fn ask(&self, body: &mut Body, splits: &[Option<&Split>]) {
        let plan = &self.lanes.plan;
        let (mut slots, mut places) = ([None; GROUP], [127_i8; GROUP]);
        for (lane, split) in splits.iter().enumerate() {
            let Some(split) = split else { continue };
            let (segment, place) = plan.place(split);
            slots[lane] = plan.index.get(&(split.feature, rule(split, plan.whole), segment)).copied();
            // To the right where rank > place, both less 128. No rank is above 127.
            places[lane] = (place as i32 - 128) as i8;
        }
        gather(body, &slots, plan.vectors());
        let places = i128::from_le_bytes(places.map(|p| p as u8));
        body.all([I::V128Const(places), I::I8x16GtS]);
    }
}

/// Pushes the ranks of the slots, each in its lane: one shuffle per pair of vectors that is asked for.
fn gather(body: &mut Body, slots: &[Option<usize>; GROUP], vectors: usize) {
    let mut seen = [false; GROUP];
    let mut first = true;
    for pair in 0..vectors.div_ceil(2) {
        let found = slots.map(|s| s.filter(|s| s / 32 == pair).map(|s| (s % 32) as u8));
        let Some(any) = found.iter().flatten().next().copied() else {
            continue;
        };
        // A lane that asks for nothing here takes what another one takes, so that one vector may be enough.
        shuffle(body, pair, found.map(|lane| lane.unwrap_or(any)), vectors);
        if !first {
            let mask = seen.map(|s| if s { 0xff } else { 0 });
            body.all([I::V128Const(i128::from_le_bytes(mask)), I::V128Bitselect]);
        }
        first = false;
        for (seen, lane) in seen.iter_mut().zip(found) {
            *seen |= lane.is_some();
        }
    }
    if first {
        body.push(I::LocalGet(0));
    }
}

/// Pushes lanes of a pair of vectors; of one of them alone where that is enough.
fn shuffle(body: &mut Body, pair: usize, lanes: [u8; GROUP], vectors: usize) {
    let (a, b) = (2 * pair as u32, (2 * pair + 1).min(vectors - 1) as u32);
    let low = lanes.iter().all(|l| *l < 16);
    let high = lanes.iter().all(|l| *l >= 16);
    let (first, second) = if low {
        (a, a)
    } else if high {
        (b, b)
    } else {
        (a, b)
    };
    let lanes = if high { lanes.map(|l| l - 16) } else { lanes };
    body.all([I::LocalGet(first), I::LocalGet(second), I::I8x16Shuffle(lanes)]);
}

//! Sums of trees: which shape each tree gets, and the functions that add them up in their order.

use std::collections::BTreeMap;

use wasm_encoder::{Instruction as I, ValType};

use super::emit::Elem;
use super::lanes::{self, Lanes};
use super::module::{Arithmetic, Body, Module, val_type};
use super::{Style, nested};
use crate::ir::{Ensemble, Id, Num, Tree};
use crate::refusal::{Refusal, at_most};

/// Bytes of nested conditionals in one function: compilers take more than proportionally long for long functions.
const CHUNK_BYTES: usize = 48 * 1024;
/// Features that can be handed to a function beside the ranks; the sandbox takes 128 parameters.
const PARAMETERS: usize = 120;
/// Machine cycles that a split costs as a branch: half of them are mispredicted.
const BRANCH_CYCLES: f64 = 7.0;

/// How the trees of one operation are made into code.
pub(super) struct Planned {
    lanes: Option<Lanes>,
    /// The same for rows in which nothing is missing, where that takes fewer ranks.
    whole: Option<Lanes>,
    /// Per tree: whether it runs in lanes.
    in_lanes: Vec<bool>,
    /// Features that nested trees ask for.
    features: Vec<u32>,
}

impl Planned {
    pub(super) fn new(ensemble: &Ensemble, compare: Num, style: Style, module: &mut Module) -> Result<Self, Refusal> {
        let trees: Vec<&Tree> = ensemble.trees.iter().map(|(_, t)| t).collect();
        let fit: Vec<bool> = trees.iter().map(|t| style != Style::Nested && lanes::fits(t)).collect();
        let mut plan = lanes::plan(&trees, &fit, false);
        if style == Style::Auto
            && let Some(found) = &plan
        {
            let branches = |t: &Tree| mean_depth(t) * BRANCH_CYCLES;
            let nested: f64 = trees.iter().zip(&fit).filter(|(_, f)| **f).map(|(t, _)| branches(t)).sum();
            if found.cycles(&trees, &fit) > nested {
                plan = None;
            }
        }
        let mut whole = lanes::plan(&trees, &fit, true);
        if plan.as_ref().map(lanes::Plan::vectors) <= whole.as_ref().map(lanes::Plan::vectors) {
            whole = None;
        }
        let in_lanes = if plan.is_some() { fit } else { vec![false; trees.len()] };
        let mut features: Vec<u32> = trees
            .iter()
            .zip(&in_lanes)
            .filter(|(_, lanes)| !**lanes)
            .flat_map(|(t, _)| t.splits().map(|s| s.feature))
            .collect();
        features.sort_unstable();
        features.dedup();
        at_most(features.len(), PARAMETERS, "features that trees ask for", "树所用特征数")?;
        let lanes = plan.map(|p| p.build(module, compare)).transpose()?;
        let whole = whole.map(|p| p.build(module, compare)).transpose()?;
        Ok(Self { lanes, whole, in_lanes, features })
    }

    /// How many trees have which shape.
    pub(super) fn shapes(&self) -> [(&'static str, usize); 2] {
        let lanes = self.in_lanes.iter().filter(|l| **l).count();
        [("lanes", lanes), ("nested", self.in_lanes.len() - lanes)]
    }

    /// Which ranks: of rows in which nothing is missing, or of any row.
    fn of(&self, whole: bool) -> Option<&Lanes> {
        if whole { self.whole.as_ref() } else { self.lanes.as_ref() }
    }

    /// The two ways in which rows are asked; one, where rows in which nothing is missing gain nothing.
    pub(super) fn ways(&self) -> &'static [bool] {
        if self.whole.is_some() { &[false, true] } else { &[false] }
    }

    /// Pushes whether a value is missing.
    pub(super) fn any_missing(&self, body: &mut Body, inputs: &[Elem]) {
        match &self.whole {
            Some(lanes) => lanes.any_missing(body, inputs),
            None => {
                body.push(I::I32Const(1));
            }
        }
    }

    /// Emits the ranks of the features; returns the vector variables that hold them.
    pub(super) fn ranks(&self, body: &mut Body, inputs: &[Elem], whole: bool) -> Vec<u32> {
        self.of(whole).map_or_else(Vec::new, |lanes| lanes.ranks(body, inputs))
    }
}

/// The mean number of splits from the root to a leaf.
fn mean_depth(tree: &Tree) -> f64 {
    let mut depth = vec![0_u32; tree.nodes().len()];
    let (mut sum, mut leaves) = (0.0, 0.0);
    for (i, node) in tree.nodes().iter().enumerate() {
        match node {
            crate::ir::Node::Split(s) => {
                depth[s.left as usize] = depth[i] + 1;
                depth[s.right as usize] = depth[i] + 1;
            }
            crate::ir::Node::Leaf(_) => {
                sum += f64::from(depth[i]);
                leaves += 1.0;
            }
        }
    }
    sum / f64::max(leaves, 1.0)
}

/// A function that sums one output's trees, and what it is given.
#[derive(Clone)]
pub(super) struct Call {
    function: u32,
    features: Vec<u32>,
}

impl Call {
    pub(super) fn push(&self, body: &mut Body, ranks: &[u32], inputs: &[Elem], compare: Num) {
        for local in ranks {
            body.push(I::LocalGet(*local));
        }
        for f in &self.features {
            match inputs.get(*f as usize) {
                Some(Elem::Local(local)) => body.push(I::LocalGet(*local)),
                Some(Elem::Const(x)) => body.push(compare.constant(*x)),
                None => body.push(compare.constant(0.0)),
            };
        }
        body.push(I::Call(self.function));
    }
}

/// The functions made so far, shared by all exports.
#[derive(Default)]
pub(super) struct Sums(BTreeMap<(Id, u32, bool), Call>);

impl Sums {
    /// The function that sums the trees of an output.
    pub(super) fn function(
        &mut self,
        key: (Id, u32, bool),
        planned: &Planned,
        ensemble: &Ensemble,
        compare: Num,
        sum: Num,
        module: &mut Module,
    ) -> Result<Call, Refusal> {
        if let Some(call) = self.0.get(&key) {
            return Ok(call.clone());
        }
        let (_, output, whole) = key;
        let lanes = planned.of(whole);
        let vectors = lanes.map_or(0, Lanes::vectors);
        let mut params = vec![ValType::V128; vectors];
        params.extend(vec![val_type(compare); planned.features.len()]);
        let mut body = Body::new(params, vec![val_type(sum)]);
        let total = body.local(val_type(sum));
        body.all([sum.constant(ensemble.start[output as usize]), I::LocalSet(total)]);
        let trees: Vec<(&Tree, bool)> = ensemble
            .trees
            .iter()
            .zip(&planned.in_lanes)
            .filter(|((o, _), _)| *o == output)
            .map(|((_, t), lanes)| (t, *lanes))
            .collect();
        let mut maker = Maker { planned, lanes, compare, sum, vectors: vectors as u32, total, module };
        maker.all(&mut body, &trees)?;
        let end = ensemble.end[output as usize];
        body.push(I::LocalGet(total));
        if end != 0.0 {
            body.all([sum.constant(end), sum.add()]);
        }
        let call = Call { function: module.add(body)?, features: planned.features.clone() };
        self.0.insert(key, call.clone());
        Ok(call)
    }
}

struct Maker<'a> {
    planned: &'a Planned,
    lanes: Option<&'a Lanes>,
    compare: Num,
    sum: Num,
    vectors: u32,
    total: u32,
    module: &'a mut Module,
}

impl Maker<'_> {
    /// Adds the trees to the total in their order, whatever their shapes.
    fn all(&mut self, body: &mut Body, trees: &[(&Tree, bool)]) -> Result<(), Refusal> {
        let in_lanes: Vec<&Tree> = trees.iter().filter(|(_, lanes)| *lanes).map(|(t, _)| *t).collect();
        let mut group = None;
        let (mut seen, mut i) = (0, 0);
        while i < trees.len() {
            let (_, lanes) = trees[i];
            match (self.lanes, lanes) {
                (Some(plan), true) => {
                    if seen % lanes::GROUP == 0 {
                        let members = &in_lanes[seen..(seen + lanes::GROUP).min(in_lanes.len())];
                        group = Some(plan.group(body, self.module, members, self.sum)?);
                    }
                    if let Some(group) = &group {
                        group.add_leaf(body, seen % lanes::GROUP, self.total, self.sum);
                    }
                    seen += 1;
                    i += 1;
                }
                _ => {
                    let run = trees[i..].iter().take_while(|(_, lanes)| !*lanes).count();
                    self.nested(body, trees[i..i + run].iter().map(|(t, _)| *t))?;
                    i += run;
                }
            }
        }
        Ok(())
    }

    /// Nested trees, in functions of bounded size: features and the total so far in, the total out.
    fn nested<'t>(&mut self, body: &mut Body, trees: impl Iterator<Item = &'t Tree>) -> Result<(), Refusal> {
        let (num, sum) = (val_type(self.compare), val_type(self.sum));
        let features = &self.planned.features;
        let mut params = vec![num; features.len()];
        params.push(sum);
        let fresh = || Body::new(params.clone(), vec![sum]);
        let total = features.len() as u32;
        let place = |f: u32| features.binary_search(&f).unwrap_or(0) as u32;
        let scene = nested::Scene { local: &place, compare: self.compare, sum: self.sum };
        let mut chunk = fresh();
        chunk.push(I::LocalGet(total));
        let mut chunks = Vec::new();
        for tree in trees {
            if chunk.len() > CHUNK_BYTES {
                let full = std::mem::replace(&mut chunk, fresh());
                chunk.push(I::LocalGet(total));
                chunks.push(self.module.add(full)?);
            }
            nested::tree(&mut chunk, self.module, tree, &scene)?;
            chunk.push(self.sum.add());
        }
        chunks.push(self.module.add(chunk)?);
        for function in chunks {
            for i in 0..features.len() as u32 {
                body.push(I::LocalGet(self.vectors + i));
            }
            body.all([I::LocalGet(self.total), I::Call(function), I::LocalSet(self.total)]);
        }
        Ok(())
    }
}

//! Trees as nested conditionals: one branch per split. Fits every test; fastest for few or uneven trees.

use wasm_encoder::{BlockType, Instruction as I};

use super::module::{Arithmetic, Body, Module, val_type};
use crate::ir::{Missing, Node, Num, Split, Test, Tree, ZERO};
use crate::refusal::Refusal;

/// What the code of a tree needs to know of its surroundings.
pub(super) struct Scene<'s> {
    /// The local variable of each feature that is used.
    pub(super) local: &'s dyn Fn(u32) -> u32,
    /// What features are compared as.
    pub(super) compare: Num,
    /// What answers are summed as.
    pub(super) sum: Num,
}

/// Pushes the tree's answer.
pub(super) fn tree(body: &mut Body, module: &mut Module, tree: &Tree, scene: &Scene<'_>) -> Result<(), Refusal> {
    enum Step {
        Node(u32),
        Else,
        End,
    }
    let nodes = tree.nodes();
    let mut steps = vec![Step::Node(0)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Else => {
                body.push(I::Else);
            }
            Step::End => {
                body.push(I::End);
            }
            Step::Node(id) => match &nodes[id as usize] {
                Node::Leaf(value) => {
                    body.push(scene.sum.constant(*value));
                }
                Node::Split(split) => {
                    let inverted = condition(body, module, split, scene)?;
                    body.push(I::If(BlockType::Result(val_type(scene.sum))));
                    let (first, second) = if inverted { (split.right, split.left) } else { (split.left, split.right) };
                    steps.extend([Step::End, Step::Node(second), Step::Else, Step::Node(first)]);
                }
            },
        }
    }
    Ok(())
}

/// Pushes whether a value goes to the left or, where `true` is returned, whether it goes to the right.
fn condition(body: &mut Body, module: &mut Module, split: &Split, scene: &Scene<'_>) -> Result<bool, Refusal> {
    let num = scene.compare;
    let x = I::LocalGet((scene.local)(split.feature));
    let Test::Below(t) = &split.test else {
        general(body, module, split, scene)?;
        return Ok(false);
    };
    // A comparison with NaN is false: asking the other way round sends it to the other side.
    let (below, above) = ([x.clone(), num.constant(*t), num.lt()], [x.clone(), num.constant(*t), num.ge()]);
    match settled(split.missing, *t) {
        Missing::Left => {
            body.all(above);
            return Ok(true);
        }
        Missing::Right | Missing::Zero => {
            body.all(below);
        }
        Missing::ZeroLeft => {
            // Right: |x| > zero and x >= t; both are false for NaN.
            body.all([x.clone(), num.abs(), num.constant(ZERO), num.gt()]).all(above).push(I::I32And);
            return Ok(true);
        }
        Missing::ZeroRight => {
            body.all([x, num.abs(), num.constant(ZERO), num.gt()]).all(below).push(I::I32And);
        }
    }
    Ok(false)
}

/// The rule for NaN at `x < t` without rules about zero where they change nothing: a zero that goes where
/// missing values go anyway is no exception.
pub(super) fn settled(missing: Missing, t: f64) -> Missing {
    match missing {
        Missing::Zero if 0.0 < t => Missing::Left,
        Missing::Zero => Missing::Right,
        Missing::ZeroLeft if t > ZERO => Missing::Left,
        Missing::ZeroRight if t <= -ZERO => Missing::Right,
        other => other,
    }
}

/// Pushes whether a value goes to the left, for tests other than a threshold.
fn general(body: &mut Body, module: &mut Module, split: &Split, scene: &Scene<'_>) -> Result<(), Refusal> {
    let num = scene.compare;
    let x = I::LocalGet((scene.local)(split.feature));
    match &split.test {
        Test::Below(t) => {
            body.all([x.clone(), num.constant(*t), num.lt()]);
        }
        Test::Equal(t) => {
            body.all([x.clone(), num.constant(*t), num.eq()]);
        }
        Test::Member(set) => {
            body.push(I::I32Const(0));
            for t in set {
                body.all([x.clone(), num.constant(*t), num.eq(), I::I32Or]);
            }
        }
        Test::Category { set, truncate } => category(body, module, &x, num, set, *truncate)?,
    }
    let is_nan = [x.clone(), x.clone(), num.ne()];
    let is_small = [x.clone(), num.abs(), num.constant(ZERO), num.gt(), I::I32Eqz];
    let zero_left = split.goes_left(0.0);
    match split.missing {
        Missing::Left => body.all(is_nan).push(I::I32Or),
        Missing::Zero if zero_left => body.all(is_nan).push(I::I32Or),
        // NaN passes no test of equality and is in no set: it goes to the right by itself.
        Missing::Right | Missing::Zero => body,
        Missing::ZeroLeft => body.all(is_small).push(I::I32Or),
        Missing::ZeroRight => body.all(is_small).all([I::I32Eqz, I::I32And]),
    };
    Ok(())
}

/// Pushes whether the whole part of `x` is in `set`; false for NaN.
fn category(
    body: &mut Body,
    module: &mut Module,
    x: &I<'static>,
    num: Num,
    set: &[u32],
    truncate: bool,
) -> Result<(), Refusal> {
    let Some(&last) = set.last() else {
        body.push(I::I32Const(0));
        return Ok(());
    };
    let integer = match num {
        Num::F32 => I::I32TruncSatF32S,
        Num::F64 => I::I32TruncSatF64S,
    };
    let (lowest, compare) = if truncate { (-1.0, num.gt()) } else { (0.0, num.ge()) };
    let bound = f64::from(last) + 1.0;
    // Out of range, the address is that of bit 0 and the answer is put out by the two comparisons.
    let in_range = [x.clone(), num.constant(lowest), compare, x.clone(), num.constant(bound), num.lt(), I::I32And];
    if last < 64 {
        let mask = set.iter().fold(0_u64, |m, c| m | 1 << c);
        body.push(I::I64Const(mask as i64)).all([x.clone(), integer, I::I64ExtendI32S, I::I64ShrU, I::I32WrapI64]);
    } else {
        let mut bits = vec![0_u8; last as usize / 8 + 1];
        for c in set {
            bits[*c as usize / 8] |= 1 << (c % 8);
        }
        let address = module.data(bits, 1)?;
        let code = body.local(wasm_encoder::ValType::I32);
        body.all([x.clone(), integer, I::I32Const(0)])
            .all(in_range.clone())
            .all([I::Select, I::LocalTee(code), I::I32Const(3), I::I32ShrU])
            .push(I::I32Load8U(super::module::at(address, 0)))
            .all([I::LocalGet(code), I::I32Const(7), I::I32And, I::I32ShrU]);
    }
    body.all([I::I32Const(1), I::I32And]).all(in_range).push(I::I32And);
    Ok(())
}

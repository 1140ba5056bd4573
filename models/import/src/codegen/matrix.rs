//! Products with matrices: four columns at a time in vector variables.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::emit::{Elem, Form};
use super::module::{Arithmetic, Body, Module, at, val_type};
use crate::ir::{Matrix, Num, Unary};
use crate::refusal::Refusal;

/// Inputs that are worked into all sums at once: spread, they stay in registers, of which there are sixteen, beside one sum and one
/// product.
const TOGETHER: usize = 12;

/// Emits `bias + input · weights`.
///
/// In binary32, few columns are made of fused multiplications and additions in the order of the input, the bias last, as
/// ONNX Runtime's kernels do it; many columns are added in the order of the input, bias first; few columns over vector
/// variables are summed in four partial sums. In binary64 everything is in the order of the input.
pub(super) fn product(
    body: &mut Body,
    module: &mut Module,
    input: &Form,
    width: usize,
    matrix: &Matrix,
    num: Num,
) -> Result<Form, Refusal> {
    let columns = matrix.columns as usize;
    match input {
        Form::Lanes(lanes) if columns < 4 => dots(body, module, lanes, width, matrix),
        _ if num == Num::F32 && columns >= 4 => wide(body, module, input, width, matrix),
        Form::Lanes(_) => Err(Refusal::malformed("a product mixes arithmetics", "乘积混用了不同精度")),
        Form::Elements(elements) if num == Num::F32 => Ok(fused(body, elements, matrix)),
        Form::Elements(elements) => {
            let mut out = Vec::with_capacity(columns);
            for c in 0..columns {
                body.push(num.constant(matrix.bias.get(c).copied().unwrap_or(0.0)));
                for (r, x) in elements.iter().enumerate() {
                    push(body, *x, num);
                    body.all([num.constant(matrix.weights[r * columns + c]), num.mul(), num.add()]);
                }
                let local = body.local(val_type(num));
                body.push(I::LocalSet(local));
                out.push(Elem::Local(local));
            }
            Ok(Form::Elements(out))
        }
    }
}

/// Few columns in binary32: `a · b + c` rounded once, by way of binary64, where the product is exact.
fn fused(body: &mut Body, elements: &[Elem], matrix: &Matrix) -> Form {
    let columns = matrix.columns as usize;
    let wide: Vec<Elem> = elements
        .iter()
        .map(|x| match x {
            Elem::Local(local) => {
                let wide = body.local(ValType::F64);
                body.all([I::LocalGet(*local), I::F64PromoteF32, I::LocalSet(wide)]);
                Elem::Local(wide)
            }
            Elem::Const(c) => Elem::Const(*c),
        })
        .collect();
    let column = |body: &mut Body, c: usize| {
        body.push(Num::F32.constant(0.0));
        for (r, x) in wide.iter().enumerate() {
            body.push(I::F64PromoteF32);
            push(body, *x, Num::F64);
            body.all([Num::F64.constant(matrix.weights[r * columns + c]), I::F64Mul, I::F64Add, I::F32DemoteF64]);
        }
        if let Some(bias) = matrix.bias.get(c) {
            body.all([Num::F32.constant(*bias), I::F32Add]);
        }
        let local = body.local(ValType::F32);
        body.push(I::LocalSet(local));
        Elem::Local(local)
    };
    Form::Elements((0..columns).map(|c| column(body, c)).collect())
}

fn push(body: &mut Body, x: Elem, num: Num) {
    match x {
        Elem::Local(local) => body.push(I::LocalGet(local)),
        Elem::Const(c) => body.push(num.constant(c)),
    };
}

/// Columns in groups of four; one input is spread over the four and multiplied into all sums.
///
/// A compiler that takes every value for free to move (Cranelift's e-graphs) would compute one sum after the other, each
/// addition waiting for the last, and keep all that was spread in memory meanwhile. So [`TOGETHER`] inputs at a time are
/// worked into all sums behind a branch that is always taken and that nobody can foresee before it runs: where its two ways meet,
/// every sum has to be there. The weights are constants of the code, which an instruction takes where it needs them; as loads, which
/// stay where they are written, they would all be made before the first product.
fn wide(body: &mut Body, module: &mut Module, input: &Form, width: usize, matrix: &Matrix) -> Result<Form, Refusal> {
    let columns = matrix.columns as usize;
    let vectors = columns.div_ceil(4);
    let constant = |row: &[f64], v: usize| {
        let four = (0..4).map(|i| row.get(v * 4 + i).map_or(0, |x| (*x as f32).to_bits()));
        I::V128Const(four.rev().fold(0_u128, |bits, x| bits << 32 | u128::from(x)) as i128)
    };
    let sums: Vec<u32> = (0..vectors).map(|_| body.local(ValType::V128)).collect();
    let spread: Vec<u32> = (0..TOGETHER).map(|_| body.local(ValType::V128)).collect();
    let taken = module.data([1], 1)?;
    for (v, sum) in sums.iter().enumerate() {
        body.all([constant(&matrix.bias, v), I::LocalSet(*sum)]);
    }
    for together in (0..width).step_by(TOGETHER) {
        body.all([I::I32Const(0), I::I32Load8U(at(taken, 0)), I::If(BlockType::Empty)]);
        for (r, spread) in (together..width.min(together + TOGETHER)).zip(&spread) {
            match input {
                Form::Lanes(lanes) => {
                    // Not by a shuffle of bytes: that could show the bits of a NaN, and the sandbox would have every
                    // result of the module brought to one NaN, at three times the cost.
                    body.all([I::LocalGet(lanes[r / 4]), I::F32x4ExtractLane((r % 4) as u8)]);
                }
                Form::Elements(elements) => {
                    push(body, elements.get(r).copied().unwrap_or(Elem::Const(0.0)), Num::F32);
                }
            }
            body.all([I::F32x4Splat, I::LocalSet(*spread)]);
            let weights = &matrix.weights[r * columns..(r + 1) * columns];
            for (v, sum) in sums.iter().enumerate() {
                body.all([I::LocalGet(*sum), I::LocalGet(*spread), constant(weights, v)]).all([
                    I::F32x4Mul,
                    I::F32x4Add,
                    I::LocalSet(*sum),
                ]);
            }
        }
        body.push(I::End);
    }
    Ok(Form::Lanes(sums))
}

/// Few columns over an input in vector variables: four partial sums per column.
fn dots(body: &mut Body, module: &mut Module, lanes: &[u32], width: usize, matrix: &Matrix) -> Result<Form, Refusal> {
    let columns = matrix.columns as usize;
    let mut out = Vec::with_capacity(columns);
    for c in 0..columns {
        let mut weights: Vec<f64> = (0..width).map(|r| matrix.weights[r * columns + c]).collect();
        // Lanes beyond the width hold sums of a padded layer: zero times zero.
        weights.resize(lanes.len() * 4, 0.0);
        let address = module.numbers(weights, Num::F32)?;
        let sum = body.local(ValType::V128);
        for (v, lane) in lanes.iter().enumerate() {
            body.all([I::LocalGet(*lane), I::I32Const(0), I::V128Load(at(address + v as u32 * 16, 4)), I::F32x4Mul]);
            if v > 0 {
                body.all([I::LocalGet(sum), I::F32x4Add]);
            }
            body.push(I::LocalSet(sum));
        }
        body.push(Num::F32.constant(matrix.bias.get(c).copied().unwrap_or(0.0)));
        for pair in [[0, 1], [2, 3]] {
            body.all([I::LocalGet(sum), I::F32x4ExtractLane(pair[0]), I::LocalGet(sum), I::F32x4ExtractLane(pair[1])])
                .push(I::F32Add);
        }
        body.all([I::F32Add, I::F32Add]);
        let local = body.local(ValType::F32);
        body.push(I::LocalSet(local));
        out.push(Elem::Local(local));
    }
    Ok(Form::Elements(out))
}

/// The positive part, where the input is in vector variables: `x < 0 ? 0 : x`, so that a NaN stays one.
pub(super) fn relu(body: &mut Body, f: Unary, input: Option<&Form>) -> Option<Form> {
    let (Unary::Relu, Some(Form::Lanes(lanes))) = (f, input) else {
        return None;
    };
    let zero = body.local(ValType::V128);
    body.all([I::V128Const(0), I::LocalSet(zero)]);
    let out = lanes
        .iter()
        .map(|lane| {
            let local = body.local(ValType::V128);
            body.all([I::LocalGet(*lane), I::LocalGet(zero), I::F32x4PMax, I::LocalSet(local)]);
            local
        })
        .collect();
    Some(Form::Lanes(out))
}

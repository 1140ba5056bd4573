//! Functions that WebAssembly has no instruction for.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::module::{Arithmetic, Body, Module};
use crate::ir::{Num, Unary};
use crate::refusal::Refusal;

/// Functions of the module that are made when they are first used.
#[derive(Default)]
pub(super) struct Math {
    exp: Option<u32>,
    tanh: Option<u32>,
}

/// ln 2 in two parts, so that `k · ln 2` is exact for every exponent (FreeBSD msun, `e_exp.c`).
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// The coefficients of the rational approximation of `e^r` on |r| ≤ ln 2 / 2 (FreeBSD msun, `e_exp.c`), error below 1 ulp.
const P: [f64; 5] = [
    1.666_666_666_666_660_2e-1,
    -2.777_777_777_701_559_3e-3,
    6.613_756_321_437_934e-5,
    -1.653_390_220_546_525_2e-6,
    4.138_136_797_057_238_5e-8,
];

impl Math {
    /// `e^x` in binary64.
    fn exp(&mut self, module: &mut Module) -> Result<u32, Refusal> {
        if let Some(f) = self.exp {
            return Ok(f);
        }
        let f = module.add(exp())?;
        self.exp = Some(f);
        Ok(f)
    }

    fn tanh(&mut self, module: &mut Module) -> Result<u32, Refusal> {
        if let Some(f) = self.tanh {
            return Ok(f);
        }
        let exp = self.exp(module)?;
        let f = module.add(tanh(exp))?;
        self.tanh = Some(f);
        Ok(f)
    }

    /// Replaces the number on the stack by its exponential, rounded to `num`.
    pub(super) fn push_exp(&mut self, body: &mut Body, module: &mut Module, num: Num) -> Result<(), Refusal> {
        let exp = self.exp(module)?;
        wide(body, num, exp);
        Ok(())
    }

    /// Replaces the number on the stack by a function of it.
    pub(super) fn unary(&mut self, body: &mut Body, module: &mut Module, f: Unary, num: Num) -> Result<(), Refusal> {
        let ty = super::module::val_type(num);
        match f {
            Unary::Identity => {}
            Unary::Relu => {
                // select(x, 0, not x < 0): a NaN is not below zero and stays.
                let x = body.local(ty);
                body.all([I::LocalTee(x), num.constant(0.0), I::LocalGet(x), num.constant(0.0), num.lt()])
                    .all([I::I32Eqz, I::Select]);
            }
            Unary::Negate => {
                body.push(neg(num));
            }
            Unary::Absolute => {
                body.push(num.abs());
            }
            Unary::Root => {
                body.push(if num == Num::F32 { I::F32Sqrt } else { I::F64Sqrt });
            }
            Unary::SignedSquare => {
                let x = body.local(ty);
                body.all([I::LocalTee(x), I::LocalGet(x), num.abs(), num.mul()]);
            }
            Unary::Truncate => {
                body.push(if num == Num::F32 { I::F32Trunc } else { I::F64Trunc });
            }
            Unary::Positive => {
                body.all([num.constant(0.0), num.gt()]).push(from_bool(num));
            }
            Unary::Exp => self.push_exp(body, module, num)?,
            Unary::Tanh => {
                let tanh = self.tanh(module)?;
                wide(body, num, tanh);
            }
            Unary::Sigmoid => {
                body.push(neg(num));
                if num == Num::F32 {
                    body.all([num.constant(f64::from(88.7_f32)), I::F32Min]);
                }
                self.push_exp(body, module, num)?;
                one_over_one_plus(body, num);
            }
            Unary::Logistic => {
                let (x, v) = (body.local(ty), body.local(ty));
                body.all([I::LocalTee(x), num.abs(), neg(num)]);
                self.push_exp(body, module, num)?;
                one_over_one_plus(body, num);
                body.all([I::LocalSet(v), num.constant(1.0), I::LocalGet(v), num.sub(), I::LocalGet(v)]).all([
                    I::LocalGet(x),
                    num.constant(0.0),
                    num.lt(),
                    I::Select,
                ]);
            }
        }
        Ok(())
    }
}

/// 0 or 1 as a number.
pub(super) fn from_bool(num: Num) -> I<'static> {
    match num {
        Num::F32 => I::F32ConvertI32U,
        Num::F64 => I::F64ConvertI32U,
    }
}

fn neg(num: Num) -> I<'static> {
    if num == Num::F32 { I::F32Neg } else { I::F64Neg }
}

/// `e` on the stack becomes `1 / (e + 1)`.
fn one_over_one_plus(body: &mut Body, num: Num) {
    let e = body.local(super::module::val_type(num));
    body.all([num.constant(1.0), num.add(), I::LocalSet(e)]).all([num.constant(1.0), I::LocalGet(e), num.div()]);
}

/// Calls a function of binary64 for the number on the stack.
fn wide(body: &mut Body, num: Num, f: u32) {
    if num == Num::F32 {
        body.all([I::F64PromoteF32, I::Call(f), I::F32DemoteF64]);
    } else {
        body.push(I::Call(f));
    }
}

/// `e^x`: x = k · ln 2 + r, a rational approximation of `e^r` without its one, and the two halves of 2^k.
fn exp() -> Body {
    let c = |x: f64| I::F64Const(x.into());
    let mut b = Body::new(vec![ValType::F64], vec![ValType::F64]);
    let x = 0;
    let (k, high, low, r, t, q) = (
        b.local(ValType::F64),
        b.local(ValType::F64),
        b.local(ValType::F64),
        b.local(ValType::F64),
        b.local(ValType::F64),
        b.local(ValType::F64),
    );
    let half = b.local(ValType::I64);
    let whole = b.local(ValType::I64);
    // Beyond these bounds the result is infinite or zero whatever x is; a NaN passes both comparisons.
    b.all([
        I::LocalGet(x),
        c(709.782_712_893_384),
        I::F64Gt,
        I::If(BlockType::Empty),
        c(f64::INFINITY),
        I::Return,
        I::End,
    ]);
    b.all([I::LocalGet(x), c(-745.133_219_101_941_2), I::F64Lt, I::If(BlockType::Empty), c(0.0), I::Return, I::End]);
    b.all([I::LocalGet(x), c(std::f64::consts::LOG2_E), I::F64Mul, I::F64Nearest, I::LocalSet(k)]);
    b.all([I::LocalGet(x), I::LocalGet(k), c(LN2_HIGH), I::F64Mul, I::F64Sub, I::LocalSet(high)]);
    b.all([I::LocalGet(k), c(LN2_LOW), I::F64Mul, I::LocalSet(low)]);
    b.all([I::LocalGet(high), I::LocalGet(low), I::F64Sub, I::LocalTee(r)]);
    b.all([I::LocalGet(r), I::F64Mul, I::LocalSet(t)]);
    // q = r - t · (P1 + t · (P2 + …))
    b.all([I::LocalGet(r), I::LocalGet(t), c(P[4])]);
    for p in P[..4].iter().rev() {
        b.all([I::LocalGet(t), I::F64Mul, c(*p), I::F64Add]);
    }
    b.all([I::F64Mul, I::F64Sub, I::LocalSet(q)]);
    // 1 - ((low - r · q / (2 - q)) - high)
    b.all([c(1.0), I::LocalGet(low), I::LocalGet(r), I::LocalGet(q), I::F64Mul, c(2.0), I::LocalGet(q), I::F64Sub]);
    b.all([I::F64Div, I::F64Sub, I::LocalGet(high), I::F64Sub, I::F64Sub]);
    // · 2^(k/2) · 2^(k - k/2): each factor is a normal number.
    b.all([I::LocalGet(k), I::I64TruncSatF64S, I::LocalTee(whole), I::I64Const(1), I::I64ShrS, I::LocalTee(half)]);
    b.all([I::I64Const(1023), I::I64Add, I::I64Const(52), I::I64Shl, I::F64ReinterpretI64, I::F64Mul]);
    b.all([I::LocalGet(whole), I::LocalGet(half), I::I64Sub, I::I64Const(1023), I::I64Add, I::I64Const(52), I::I64Shl]);
    b.all([I::F64ReinterpretI64, I::F64Mul]);
    b
}

/// `(1 - e^(-2|x|)) / (1 + e^(-2|x|))` with the sign of x; `x - x³/3` near zero, where the difference would cancel.
fn tanh(exp: u32) -> Body {
    let c = |x: f64| I::F64Const(x.into());
    let mut b = Body::new(vec![ValType::F64], vec![ValType::F64]);
    let e = b.local(ValType::F64);
    b.all([I::LocalGet(0), I::F64Abs, c(1e-4), I::F64Lt, I::If(BlockType::Empty)]);
    b.all([I::LocalGet(0), I::LocalGet(0), I::LocalGet(0), I::F64Mul, I::LocalGet(0), I::F64Mul, c(3.0), I::F64Div]);
    b.all([I::F64Sub, I::Return, I::End]);
    b.all([I::LocalGet(0), I::F64Abs, c(-2.0), I::F64Mul, I::Call(exp), I::LocalSet(e)]);
    b.all([c(1.0), I::LocalGet(e), I::F64Sub, c(1.0), I::LocalGet(e), I::F64Add, I::F64Div, I::LocalTee(e)]);
    // The sign by a comparison: `copysign` could tell one NaN from another.
    b.all([I::LocalGet(e), I::F64Neg, I::LocalGet(0), c(0.0), I::F64Lt, I::I32Eqz, I::Select]);
    b
}

//! Sums, means and variances of the floats of one unit, below a private leaf, for which no order of rows matters.
//!
//! Rows reach an aggregate in an order that depends on how files are cut and on which thread comes first, and so on the rows of
//! others. Sums of floats depend on their order (Casacuberta et al. 2022, "Widespread underestimation of sensitivity"): with
//! values such as 10^16, 1 and -10^16 what a unit adds could be moved at will by another unit's rows, and a replay would not
//! come out the same. Here every number is taken apart into an integer and a power of two, the integers are added exactly in bins
//! of 32 powers each, and one fixed walk over the bins makes a float of them.

use super::{failed, float64};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::mem::size_of;
use std::sync::Arc;

/// What is made of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Exact {
    /// `SUM(x)`
    Sum,
    /// `AVG(x)`
    Mean,
    /// `VAR_SAMP(x)`, `VAR_POP(x)` and their roots
    Variance {
        /// Whether it is divided by n - 1.
        sample: bool,
        /// Whether its root is taken.
        root: bool,
    },
}

impl Exact {
    /// What takes the place of an aggregate of the query engine; nothing where its order does not matter.
    pub(crate) fn of(name: &str, argument: &DataType) -> Option<Self> {
        let float = matches!(argument, DataType::Float16 | DataType::Float32 | DataType::Float64);
        Some(match name {
            "sum" if float => Self::Sum,
            "avg" => Self::Mean,
            "var" => Self::Variance { sample: true, root: false },
            "var_pop" => Self::Variance { sample: false, root: false },
            "stddev" => Self::Variance { sample: true, root: true },
            "stddev_pop" => Self::Variance { sample: false, root: true },
            _ => return None,
        })
    }

    /// Whether a function is one of these.
    pub(crate) fn is_name(name: &str) -> bool {
        name.starts_with("yunei_exact_")
    }

    /// The aggregate function over 64-bit floats.
    pub(crate) fn udaf(self) -> Arc<AggregateUDF> {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Function { exact: self, signature }))
    }

    fn squares(self) -> bool {
        matches!(self, Self::Variance { .. })
    }

    fn value(self, tally: &Tally) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "a unit has fewer rows than 2^53")]
        let n = tally.count as f64;
        match self {
            _ if tally.count == 0 => None,
            Self::Sum => Some(tally.sum.value().0),
            Self::Mean => Some(tally.sum.value().0 / n),
            Self::Variance { sample: true, .. } if tally.count < 2 => None,
            Self::Variance { sample, root } => {
                // (n Σx² - (Σx)²) / (n (n - 1)), in twice the precision: the difference may be small.
                let (s, s_rest) = tally.sum.value();
                let (q, q_rest) = tally.squares.as_ref().map_or((0.0, 0.0), |bins| bins.value());
                let (a, a_rest) = (q * n, q.mul_add(n, -(q * n)) + q_rest * n);
                let (b, b_rest) = (s * s, s.mul_add(s, -(s * s)) + 2.0 * s * s_rest);
                let spread = (a - b) + (a_rest - b_rest);
                let variance = (spread / (n * if sample { n - 1.0 } else { n })).max(0.0);
                Some(if root { variance.sqrt() } else { variance })
            }
        }
    }
}

/// One bin per 32 powers of two; what is no finite number is counted in bins of its own.
type Bin = (i16, i128);
const NAN: i16 = i16::MAX;
const INFINITE: i16 = i16::MAX - 1;
const MINUS_INFINITE: i16 = i16::MIN;
/// Added to exponents so that they are not negative; the least one is -1074.
const BIAS: i32 = 1_088;

/// Sums in bins. Nearly always one or two are used.
#[derive(Debug, Clone, Default)]
#[allow(clippy::box_collection, reason = "most groups have none, and there are millions of groups")]
struct Bins {
    first: Option<Bin>,
    rest: Option<Box<Vec<Bin>>>,
}

impl Bins {
    /// A finite number is m * 2^e with |m| < 2^53: shifted inside its bin it has at most 84 bits, so that 2^43 rows fit.
    fn push(&mut self, x: f64) -> Result<()> {
        if !x.is_finite() {
            let bin = if x.is_nan() {
                NAN
            } else if x > 0.0 {
                INFINITE
            } else {
                MINUS_INFINITE
            };
            return self.add(bin, 1);
        }
        let bits = x.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, (bits & ((1 << 52) - 1)) as i64);
        let (mantissa, exponent) =
            if exponent == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, exponent - 1_075) };
        let place = exponent + BIAS;
        let value = i128::from(mantissa) << (place & 31);
        self.add((place >> 5) as i16, if x < 0.0 { -value } else { value })
    }

    fn add(&mut self, bin: i16, value: i128) -> Result<()> {
        let sum = match &mut self.first {
            none @ None => &mut none.insert((bin, 0)).1,
            Some((at, sum)) if *at == bin => sum,
            Some(_) => {
                let rest = self.rest.get_or_insert_default();
                let at = rest.iter().position(|(at, _)| *at == bin).unwrap_or_else(|| {
                    rest.push((bin, 0));
                    rest.len() - 1
                });
                &mut rest[at].1
            }
        };
        *sum = sum.checked_add(value).ok_or_else(failed)?;
        Ok(())
    }

    fn sorted(&self) -> Vec<Bin> {
        let mut bins: Vec<Bin> = self.first.iter().chain(self.rest.iter().flat_map(|r| r.iter())).copied().collect();
        bins.sort_unstable();
        bins
    }

    /// The sum and what it is short of: a function of the bins alone.
    fn value(&self) -> (f64, f64) {
        let bins = self.sorted();
        let some = |bin: i16| bins.iter().any(|(at, count)| *at == bin && *count != 0);
        match (some(NAN), some(INFINITE), some(MINUS_INFINITE)) {
            (true, ..) | (_, true, true) => return (f64::NAN, 0.0),
            (_, true, _) => return (f64::INFINITY, 0.0),
            (_, _, true) => return (f64::NEG_INFINITY, 0.0),
            _ => {}
        }
        // From the greatest on; what each addition loses is kept (Knuth's two-sum).
        let (mut sum, mut lost) = (0.0f64, 0.0f64);
        for (bin, value) in bins.into_iter().rev().filter(|(bin, _)| !matches!(*bin, NAN | INFINITE | MINUS_INFINITE)) {
            #[allow(clippy::cast_precision_loss, reason = "the rest is the second part")]
            let high = value as f64;
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "of at most 75 bits")]
            let low = (value - high as i128) as f64;
            for part in [high, low] {
                let part = scaled(part, i32::from(bin) * 32 - BIAS);
                let next = sum + part;
                let back = next - sum;
                lost += (sum - (next - back)) + (part - back);
                sum = next;
            }
        }
        let all = sum + lost;
        (all, lost - (all - sum))
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let bins = self.sorted();
        into.extend((bins.len() as u16).to_le_bytes());
        for (bin, value) in bins {
            into.extend(bin.to_le_bytes());
            into.extend(value.to_le_bytes());
        }
    }

    fn merge<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let (count, mut rest) = bytes.split_first_chunk::<2>().ok_or_else(failed)?;
        for _ in 0..u16::from_le_bytes(*count) {
            let (bin, more) = rest.split_first_chunk::<2>().ok_or_else(failed)?;
            let (value, more) = more.split_first_chunk::<16>().ok_or_else(failed)?;
            self.add(i16::from_le_bytes(*bin), i128::from_le_bytes(*value))?;
            rest = more;
        }
        Ok(rest)
    }

    fn heap(&self) -> usize {
        self.rest.as_ref().map_or(0, |r| size_of::<Vec<Bin>>() + r.capacity() * size_of::<Bin>())
    }
}

/// `x * 2^exponent`, in two steps: the power alone may be beyond all floats.
fn scaled(x: f64, exponent: i32) -> f64 {
    x * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

/// The numbers of one group.
#[derive(Debug, Clone, Default)]
struct Tally {
    count: u64,
    sum: Bins,
    squares: Option<Box<Bins>>,
}

impl Tally {
    fn push(&mut self, x: f64, squares: bool) -> Result<()> {
        self.count += 1;
        self.sum.push(x)?;
        if squares {
            let bins = self.squares.get_or_insert_default();
            let square = x * x;
            bins.push(square)?;
            // What the product lost to rounding, exactly.
            if square.is_finite() {
                bins.push(x.mul_add(x, -square))?;
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        self.sum.encode(&mut bytes);
        if let Some(squares) = &self.squares {
            squares.encode(&mut bytes);
        }
        bytes
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or_else(failed)?;
        self.count += u64::from_le_bytes(*count);
        let rest = self.sum.merge(rest)?;
        if !rest.is_empty() {
            self.squares.get_or_insert_default().merge(rest)?;
        }
        Ok(())
    }

    fn heap(&self) -> usize {
        self.sum.heap() + self.squares.as_ref().map_or(0, |s| size_of::<Bins>() + s.heap())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    exact: Exact,
    signature: Signature,
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        match self.exact {
            Exact::Sum => "yunei_exact_sum",
            Exact::Mean => "yunei_exact_mean",
            Exact::Variance { sample: true, root: false } => "yunei_exact_var",
            Exact::Variance { sample: false, root: false } => "yunei_exact_var_pop",
            Exact::Variance { sample: true, root: true } => "yunei_exact_stddev",
            Exact::Variance { sample: false, root: true } => "yunei_exact_stddev_pop",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One { exact: self.exact, tally: Tally::default() }))
    }
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "tally"), DataType::Binary, true))])
    }
    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }
    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many { exact: self.exact, tallies: Vec::new(), heap: 0 }))
    }
}

/// Calls `f` with each number that is not NULL, and its position.
fn each(values: &[ArrayRef], mut f: impl FnMut(usize, f64) -> Result<()>) -> Result<()> {
    let numbers = float64(values.first().ok_or_else(failed)?)?;
    numbers.iter().enumerate().try_for_each(|(at, x)| x.map_or(Ok(()), |x| f(at, x)))
}

fn each_state(states: &[ArrayRef], mut f: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let states = states.first().and_then(|s| s.as_binary_opt::<i32>()).ok_or_else(failed)?;
    states.iter().enumerate().try_for_each(|(at, bytes)| bytes.map_or(Ok(()), |bytes| f(at, bytes)))
}

#[derive(Debug)]
struct One {
    exact: Exact,
    tally: Tally,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |_, x| self.tally.push(x, self.exact.squares()))
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.exact.value(&self.tally)))
    }
    fn size(&self) -> usize {
        size_of::<Self>() + self.tally.heap()
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.tally.encode()))])
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_state(states, |_, bytes| self.tally.merge(bytes))
    }
}

#[derive(Debug)]
struct Many {
    exact: Exact,
    tallies: Vec<Tally>,
    /// What the tallies hold outside of themselves.
    heap: usize,
}

impl Many {
    fn change(&mut self, group: usize, f: impl FnOnce(&mut Tally) -> Result<()>) -> Result<()> {
        let tally = self.tallies.get_mut(group).ok_or_else(failed)?;
        let before = tally.heap();
        f(tally)?;
        self.heap += tally.heap() - before;
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Tally> {
        let taken = emit_to.take_needed(&mut self.tallies);
        self.heap -= taken.iter().map(Tally::heap).sum::<usize>();
        taken
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.tallies.resize_with(total_num_groups, Tally::default);
        let squares = self.exact.squares();
        each(values, |at, x| match filter {
            Some(filter) if !(filter.is_valid(at) && filter.value(at)) => Ok(()),
            _ => self.change(group_indices[at], |tally| tally.push(x, squares)),
        })
    }
    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let exact = self.exact;
        Ok(Arc::new(self.take(emit_to).iter().map(|tally| exact.value(tally)).collect::<Float64Array>()))
    }
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut states = BinaryBuilder::new();
        self.take(emit_to).iter().for_each(|tally| states.append_value(tally.encode()));
        Ok(vec![Arc::new(states.finish())])
    }
    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.tallies.resize_with(total_num_groups, Tally::default);
        each_state(values, |at, bytes| self.change(group_indices[at], |tally| tally.merge(bytes)))
    }
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |a| a.len());
        let mut each = Many { exact: self.exact, tallies: Vec::new(), heap: 0 };
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }
    fn size(&self) -> usize {
        self.tallies.capacity() * size_of::<Tally>() + self.heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[f64]) -> Tally {
        let mut tally = Tally::default();
        numbers.iter().for_each(|x| tally.push(*x, true).unwrap());
        tally
    }

    /// Numbers of all sizes, always the same.
    fn numbers(of: usize) -> Vec<f64> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        (0..of)
            .map(|_| {
                let exponent = (next() % 120) as i32 - 60;
                let sign = if next() % 2 == 0 { 1.0 } else { -1.0 };
                sign * (next() as f64) * 2f64.powi(exponent)
            })
            .collect()
    }

    #[test]
    fn no_order_and_no_cut_matters() {
        const ALL: [Exact; 3] = [Exact::Sum, Exact::Mean, Exact::Variance { sample: true, root: true }];
        let mut numbers = numbers(500);
        let whole = ALL.map(|e| e.value(&tally(&numbers)).map(f64::to_bits));
        for cut in [1, 7, 250, 499] {
            numbers.rotate_left(cut);
            numbers.swap(0, cut);
            let mut merged = tally(&numbers[..cut]);
            merged.merge(&tally(&numbers[cut..]).encode()).unwrap();
            assert_eq!(ALL.map(|e| e.value(&merged).map(f64::to_bits)), whole);
        }
    }

    #[test]
    fn sums_are_what_they_are() {
        let sum = |numbers: &[f64]| Exact::Sum.value(&tally(numbers));
        assert_eq!(sum(&[1e16, 1.0, -1e16]), Some(1.0));
        assert_eq!(sum(&[0.1, 0.2, -0.3]), Some(2.775_557_561_562_891_4e-17));
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), Some(f64::MAX));
        assert_eq!(sum(&[5e-324, 5e-324]), Some(1e-323));
        assert_eq!(sum(&[-0.0]).map(f64::to_bits), Some(0));
        assert_eq!(sum(&[]), None);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), Some(f64::INFINITY));
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_some_and(f64::is_nan));
        assert_eq!(Exact::Mean.value(&tally(&[1.0, 2.0, 6.0])), Some(3.0));
    }

    #[test]
    fn variances_keep_their_digits() {
        let of = |sample, root, numbers: &[f64]| Exact::Variance { sample, root }.value(&tally(numbers));
        assert_eq!(of(true, false, &[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]), Some(1.0));
        assert_eq!(of(false, true, &[1.0, 3.0]), Some(1.0));
        assert_eq!(of(true, false, &[5.0]), None);
        assert_eq!(of(false, false, &[5.0]), Some(0.0));
        assert!(of(true, true, &[0.1; 9]).is_some_and(|s| s < 1e-15));
    }
}

//! An exact sum of whole numbers in 128 bits: no order of addition, no overflow, no floating point can be told from it.
//!
//! Inputs are 64-bit grid steps (or sums of them), so that 2^63 rows could not overflow; the addition is checked all the same.

use super::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, TypeSignature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The type of exact sums.
const SUM_TYPE: DataType = DataType::Decimal128(38, 0);

/// The aggregate function.
pub(crate) fn sum128() -> Arc<AggregateUDF> {
    static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let signature = Signature::one_of(
            vec![TypeSignature::Exact(vec![DataType::Int64]), TypeSignature::Exact(vec![SUM_TYPE])],
            Volatility::Immutable,
        );
        Arc::new(AggregateUDF::new_from_impl(Sum128 { signature }))
    });
    Arc::clone(&SUM)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum128 {
    signature: Signature,
}

impl AggregateUDFImpl for Sum128 {
    fn name(&self) -> &str {
        "yunei_sum"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SUM_TYPE)
    }
    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(0)))
    }
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sum");
        Ok(vec![Arc::new(datafusion::arrow::datatypes::Field::new(name, SUM_TYPE, true))])
    }
    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }
    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many(Vec::new())))
    }
}

fn add(sum: &mut i128, value: i128) -> Result<()> {
    *sum = sum.checked_add(value).ok_or_else(failed)?;
    Ok(())
}

/// Adds each value of an Int64 or Decimal128 array, with its position.
fn each(array: &ArrayRef, mut f: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
    let nulls = array.nulls().filter(|n| n.null_count() > 0);
    let valid = |i: usize| nulls.is_none_or(|n| n.is_valid(i));
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        for (i, value) in array.values().iter().enumerate() {
            if valid(i) {
                f(i, i128::from(*value))?;
            }
        }
    } else {
        let array = array.as_primitive_opt::<Decimal128Type>().ok_or_else(failed)?;
        for (i, value) in array.values().iter().enumerate() {
            if valid(i) {
                f(i, *value)?;
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
struct One(i128);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, v| add(&mut self.0, v))
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Decimal128(Some(self.0), 38, 0))
    }
    fn size(&self) -> usize {
        size_of_val(self)
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

#[derive(Debug)]
struct Many(Vec<i128>);

impl Many {
    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.0);
        let array = Decimal128Array::from(sums).with_precision_and_scale(38, 0).map_err(|_| failed())?;
        Ok(Arc::new(array))
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
        self.0.resize(total_num_groups, 0);
        let sums = &mut self.0;
        each(&values[0], |i, v| match filter {
            Some(filter) if !(filter.is_valid(i) && filter.value(i)) => Ok(()),
            _ => add(&mut sums[group_indices[i]], v),
        })
    }
    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }
    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut sums = vec![0; values[0].len()];
        each(&values[0], |i, v| {
            if filter.is_none_or(|f| f.is_valid(i) && f.value(i)) {
                sums[i] = v;
            }
            Ok(())
        })?;
        let array = Decimal128Array::from(sums).with_precision_and_scale(38, 0).map_err(|_| failed())?;
        Ok(vec![Arc::new(array)])
    }
    fn size(&self) -> usize {
        self.0.capacity() * size_of::<i128>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;

    #[test]
    fn groups_nulls_and_filter() {
        let mut sums = Many(Vec::new());
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), None, Some(-1)]));
        sums.update_batch(&[values], &[0, 0, 1, 1], None, 2).expect("update");
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        let filter = BooleanArray::from(vec![Some(true), None]);
        sums.update_batch(&[values], &[1, 1], Some(&filter), 2).expect("update");
        let out = sums.evaluate(EmitTo::All).expect("evaluate");
        let out = out.as_primitive::<Decimal128Type>();
        assert_eq!(out.values(), &[2 * i128::from(i64::MAX), 6]);
    }
}

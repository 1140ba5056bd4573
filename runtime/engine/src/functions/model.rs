//! Approved models as functions of SQL: a row model is a scalar function, a unit model an aggregate over one unit's rows.

use super::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use yunei_sandbox::Model;

/// The name of a model in SQL: its id with `_` for `-`.
pub(crate) fn sql_name(id: &str) -> String {
    id.replace('-', "_")
}

/// What both kinds share: the loaded model and its name. Two are equal where their bytes and manifests are.
#[derive(Clone)]
struct Loaded {
    name: String,
    model: Model,
    signature: Signature,
}

impl Loaded {
    fn new(model: Model) -> Self {
        let name = sql_name(model.manifest().id());
        // Volatile: never evaluated while planning, never moved or duplicated by the optimiser.
        Self { name, model, signature: Signature::user_defined(Volatility::Volatile) }
    }

    /// Numbers, dates and truth values enter as they are; texts are replaced by their codes before execution.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let features = self.model.manifest().features();
        if types.len() != features.len() {
            let names = features.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
            return plan_err!("{}({names}) takes {} features, {} given", self.name, features.len(), types.len());
        }
        Ok(types.iter().map(|t| if t.is_null() { DataType::Float64 } else { t.clone() }).collect())
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.model.manifest().id(), self.model.manifest().version())
    }
}
impl PartialEq for Loaded {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.model.digest() == other.model.digest()
            && self.model.manifest().version() == other.model.manifest().version()
    }
}
impl Eq for Loaded {}
impl Hash for Loaded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.model.digest().hash(state);
    }
}

/// A row model as a scalar function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RowModel(Loaded);

impl RowModel {
    /// The function of a model.
    pub(crate) fn udf(model: Model) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self(Loaded::new(model)))
    }

    /// The model behind a function, where it is one.
    pub(crate) fn of(udf: &ScalarUDF) -> Option<&Model> {
        let inner: &dyn std::any::Any = udf.inner().as_ref();
        inner.downcast_ref::<Self>().map(|m| &m.0.model)
    }
}

impl ScalarUDFImpl for RowModel {
    fn name(&self) -> &str {
        &self.0.name
    }
    fn signature(&self) -> &Signature {
        &self.0.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce(types)
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns: Vec<ArrayRef> = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<_>>()?;
        let scores = self.0.model.score(&columns, rows).map_err(|_| failed())?;
        Ok(ColumnarValue::Array(Arc::new(scores)))
    }
}

/// A unit model as an aggregate function. A unit's rows are given in ascending order of the features, first feature
/// first, so that neither files nor threads can change what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UnitModel(Loaded);

impl UnitModel {
    /// The function of a model.
    pub(crate) fn udaf(model: Model) -> AggregateUDF {
        AggregateUDF::new_from_impl(Self(Loaded::new(model)))
    }

    /// The model behind a function, where it is one.
    pub(crate) fn of(udaf: &AggregateUDF) -> Option<&Model> {
        let inner: &dyn std::any::Any = udaf.inner().as_ref();
        inner.downcast_ref::<Self>().map(|m| &m.0.model)
    }

    fn rows(&self) -> Rows {
        Self::empty(&self.0.model)
    }

    fn empty(model: &Model) -> Rows {
        let features = model.manifest().features().len();
        Rows { model: model.clone(), units: 0, groups: Vec::new(), features: vec![Vec::new(); features] }
    }

    fn features(&self) -> usize {
        self.0.model.manifest().features().len()
    }
}

impl AggregateUDFImpl for UnitModel {
    fn name(&self) -> &str {
        &self.0.name
    }
    fn signature(&self) -> &Signature {
        &self.0.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce(types)
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneUnit(self.rows())))
    }
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        Ok((0..self.features())
            .map(|i| {
                Arc::new(Field::new(format_state_name(args.name, &format!("feature{i}")), list.clone(), true))
                    as FieldRef
            })
            .collect())
    }
    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }
    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.rows()))
    }
}

/// The rows seen so far, each with its unit's number.
struct Rows {
    model: Model,
    units: usize,
    groups: Vec<usize>,
    features: Vec<Vec<Option<f64>>>,
}

impl Rows {
    fn push(&mut self, values: &[ArrayRef], group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let rows = values.first().map_or(0, |a| a.len());
        let columns = values.iter().map(super::float64).collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            let Some(group) = group_of(row) else { continue };
            self.groups.push(group);
            for (feature, column) in self.features.iter_mut().zip(&columns) {
                feature.push(column.is_valid(row).then(|| column.value(row)));
            }
        }
        Ok(())
    }

    /// Takes the rows of the first `units` units out, ordered by unit and features: columns and each unit's range.
    fn take(&mut self, units: usize) -> (Vec<Vec<Option<f64>>>, Vec<Range<usize>>) {
        let mut order: Vec<usize> = (0..self.groups.len()).filter(|i| self.groups[*i] < units).collect();
        order.sort_unstable_by(|a, b| {
            self.groups[*a].cmp(&self.groups[*b]).then_with(|| {
                let by_feature = self.features.iter().map(|f| compare(f[*a], f[*b]));
                by_feature.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
            })
        });
        let taken = self.features.iter().map(|f| order.iter().map(|i| f[*i]).collect()).collect();
        let mut ranges = Vec::with_capacity(units);
        let mut at = 0;
        for unit in 0..units {
            let from = at;
            while at < order.len() && self.groups[order[at]] == unit {
                at += 1;
            }
            ranges.push(from..at);
        }
        let keep: Vec<usize> = (0..self.groups.len()).filter(|i| self.groups[*i] >= units).collect();
        self.features = self.features.iter().map(|f| keep.iter().map(|i| f[*i]).collect()).collect();
        self.groups = keep.iter().map(|i| self.groups[*i] - units).collect();
        self.units = self.units.saturating_sub(units);
        (taken, ranges)
    }

    fn units(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.units,
            EmitTo::First(n) => n,
        }
    }

    fn scores(&mut self, units: usize) -> Result<Float64Array> {
        let (columns, ranges) = self.take(units);
        let columns: Vec<ArrayRef> = columns.into_iter().map(|c| Arc::new(Float64Array::from(c)) as ArrayRef).collect();
        self.model.fold(&columns, &ranges).map_err(|_| failed())
    }

    fn lists(&mut self, units: usize) -> Vec<ArrayRef> {
        let (columns, ranges) = self.take(units);
        columns
            .iter()
            .map(|column| {
                let mut lists = ListBuilder::new(Float64Builder::new());
                for range in &ranges {
                    lists.values().extend(column[range.clone()].iter().copied());
                    lists.append(true);
                }
                Arc::new(lists.finish()) as ArrayRef
            })
            .collect()
    }

    fn push_lists(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let lists = states.iter().map(|s| s.as_list_opt::<i32>().ok_or_else(failed)).collect::<Result<Vec<_>>>()?;
        let Some(first) = lists.first() else { return Ok(()) };
        for unit in 0..first.len() {
            let Some(group) = group_of(unit).filter(|_| first.is_valid(unit)) else { continue };
            self.groups.extend(std::iter::repeat_n(group, first.value(unit).len()));
            for (feature, list) in self.features.iter_mut().zip(&lists) {
                let values = cast(&list.value(unit), &DataType::Float64).map_err(|_| failed())?;
                feature.extend(values.as_primitive::<Float64Type>().iter());
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<usize>()
            + self.features.iter().map(|f| f.capacity() * size_of::<Option<f64>>()).sum::<usize>()
    }
}

fn compare(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

impl GroupsAccumulator for Rows {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.units = total_num_groups;
        self.push(values, |i| filter.is_none_or(|f| f.is_valid(i) && f.value(i)).then(|| group_indices[i]))
    }
    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let units = self.units(emit_to);
        Ok(Arc::new(self.scores(units)?))
    }
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let units = self.units(emit_to);
        Ok(self.lists(units))
    }
    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.units = total_num_groups;
        self.push_lists(values, |i| Some(group_indices[i]))
    }
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |a| a.len());
        let indices: Vec<usize> = (0..rows).collect();
        let mut each = UnitModel::empty(&self.model);
        each.update_batch(values, &indices, filter, rows)?;
        each.state(EmitTo::All)
    }
    fn size(&self) -> usize {
        self.bytes()
    }
}

/// The accumulator of a plan without groups.
struct OneUnit(Rows);

impl std::fmt::Debug for OneUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneUnit")
    }
}

impl Accumulator for OneUnit {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.push(values, |_| Some(0))
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let scores = self.0.scores(1)?;
        Ok(ScalarValue::Float64(scores.is_valid(0).then(|| scores.value(0))))
    }
    fn size(&self) -> usize {
        self.0.bytes()
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.lists(1).iter().map(|list| ScalarValue::try_from_array(list, 0)).collect()
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.push_lists(states, |_| Some(0))
    }
}

//! A released leaf as a table for the public part.

use crate::functions::failed;
use crate::plan::{ReleasedLeaf, measures_of};
use crate::scan;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::Aggregate;
use std::sync::Arc;
use yunei_policy::clear::LeafClearance;
use yunei_policy::facts::Literal;
use yunei_policy::release::ReleasedCells;
use yunei_policy::statistical::{Mark, StatisticalCells};

/// Columns `k0…` of the keys, then `v0, l0, h0, v1, …`: value, low and high of each aggregate.
pub(super) fn released_leaf(node: Aggregate, cells: &ReleasedCells, clearance: &LeafClearance) -> Result<ReleasedLeaf> {
    let keys = node.group_expr.len();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (i, field) in node.schema.fields().iter().take(keys).enumerate() {
        let literals: Vec<&Literal> = cells.rows().iter().filter_map(|row| row.key().get(i)).map(scan::key).collect();
        columns.push((format!("k{i}"), key_array(&literals, field.data_type())?));
    }
    for i in 0..node.aggr_expr.len() {
        let estimates: Vec<_> = cells.rows().iter().map(|row| row.estimates().get(i).copied().flatten()).collect();
        let whole = node.schema.field(keys + i).data_type().is_integer();
        let value = |v: Option<f64>| v.map(|v| if whole { v.round() } else { v });
        columns.push((
            format!("v{i}"),
            Arc::new(estimates.iter().map(|e| e.and_then(|e| value(e.value()))).collect::<Float64Array>()),
        ));
        columns
            .push((format!("l{i}"), Arc::new(estimates.iter().map(|e| e.map(|e| e.low())).collect::<Float64Array>())));
        columns
            .push((format!("h{i}"), Arc::new(estimates.iter().map(|e| e.map(|e| e.high())).collect::<Float64Array>())));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, a)| a).collect())
        .map_err(|_| failed())?;
    let measures = measures_of(clearance, node.aggr_expr.len());
    Ok(ReleasedLeaf { node, measures, table: Arc::new(MemTable::try_new(schema, vec![vec![batch]])?) })
}

/// The same of a leaf under disclosure control: in the place of `l` and `h` stands the mark, as text.
pub(super) fn protected_leaf(node: Aggregate, cells: &StatisticalCells) -> Result<ReleasedLeaf> {
    let keys = node.group_expr.len();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (i, field) in node.schema.fields().iter().take(keys).enumerate() {
        let literals: Vec<&Literal> = cells.rows().iter().filter_map(|row| row.key().get(i)).map(scan::key).collect();
        columns.push((format!("k{i}"), key_array(&literals, field.data_type())?));
    }
    let marks: ArrayRef =
        Arc::new(cells.rows().iter().map(|row| row.mark().map(Mark::as_str)).collect::<StringArray>());
    for i in 0..node.aggr_expr.len() {
        let values = cells.rows().iter().map(|row| row.values().get(i).copied().flatten());
        columns.push((format!("v{i}"), Arc::new(values.collect::<Float64Array>())));
        columns.push((format!("l{i}"), Arc::clone(&marks)));
        columns.push((format!("h{i}"), Arc::clone(&marks)));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, a)| a).collect())
        .map_err(|_| failed())?;
    Ok(ReleasedLeaf { node, measures: None, table: Arc::new(MemTable::try_new(schema, vec![vec![batch]])?) })
}

fn key_array(literals: &[&Literal], to: &DataType) -> Result<ArrayRef> {
    let wrong = failed;
    let array: ArrayRef = match literals.iter().find(|l| !matches!(l, Literal::Null)) {
        None => datafusion::arrow::array::new_null_array(to, literals.len()),
        Some(Literal::Bool(_)) => Arc::new(
            literals
                .iter()
                .map(|l| match l {
                    Literal::Bool(v) => Ok(Some(*v)),
                    Literal::Null => Ok(None),
                    _ => Err(wrong()),
                })
                .collect::<Result<BooleanArray>>()?,
        ),
        Some(Literal::Int(_)) => Arc::new(
            literals
                .iter()
                .map(|l| match l {
                    Literal::Int(v) => Ok(Some(*v)),
                    Literal::Null => Ok(None),
                    _ => Err(wrong()),
                })
                .collect::<Result<Int64Array>>()?,
        ),
        Some(Literal::Date(_)) => Arc::new(
            literals
                .iter()
                .map(|l| match l {
                    Literal::Date(v) => Ok(Some(*v)),
                    Literal::Null => Ok(None),
                    _ => Err(wrong()),
                })
                .collect::<Result<Date32Array>>()?,
        ),
        Some(Literal::Text(_)) => Arc::new(
            literals
                .iter()
                .map(|l| match l {
                    Literal::Text(v) => Ok(Some(v.as_str())),
                    Literal::Null => Ok(None),
                    _ => Err(wrong()),
                })
                .collect::<Result<StringArray>>()?,
        ),
        Some(Literal::Float(_)) => Arc::new(
            literals
                .iter()
                .map(|l| match l {
                    Literal::Float(v) => Ok(Some(*v)),
                    Literal::Null => Ok(None),
                    _ => Err(wrong()),
                })
                .collect::<Result<Float64Array>>()?,
        ),
        Some(Literal::Null) => return Err(wrong()),
    };
    cast(&array, to).map_err(|_| wrong())
}

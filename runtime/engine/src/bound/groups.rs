//! Group keys as small numbers.

use crate::functions::failed;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use std::sync::Arc;

/// The group keys that one thread has seen, in the order that it saw them. The query engine's own interner does the work.
pub(super) struct Groups {
    keys: usize,
    values: Option<Box<dyn GroupValues>>,
    rows_seen: bool,
}

impl Groups {
    /// Over the first `keys` columns of `schema`.
    pub(super) fn new(schema: &SchemaRef, keys: usize) -> Result<Self> {
        let fields: Vec<_> = schema.fields().iter().take(keys).cloned().collect();
        let values =
            if keys == 0 { None } else { Some(new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?) };
        Ok(Self { keys, values, rows_seen: false })
    }

    /// The number of each row's group.
    pub(super) fn intern(&mut self, batch: &RecordBatch, ids: &mut Vec<usize>) -> Result<()> {
        self.intern_columns(&batch.columns()[..self.keys], batch.num_rows(), ids)
    }

    fn intern_columns(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<usize>) -> Result<()> {
        ids.clear();
        if rows == 0 {
            return Ok(());
        }
        self.rows_seen = true;
        match &mut self.values {
            Some(values) => values.intern(columns, ids),
            None => {
                ids.resize(rows, 0);
                Ok(())
            }
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Some(values) => values.len(),
            None => usize::from(self.rows_seen),
        }
    }

    /// Takes the groups of another thread in; where each of them stands now.
    pub(super) fn merge(&mut self, other: Groups) -> Result<Vec<usize>> {
        let rows = other.len();
        let mut places = Vec::with_capacity(rows);
        self.intern_columns(&other.keys()?, rows, &mut places)?;
        if places.len() == rows { Ok(places) } else { Err(failed()) }
    }

    /// The keys, one array per column.
    pub(super) fn keys(self) -> Result<Vec<ArrayRef>> {
        match self.values {
            Some(mut values) if !values.is_empty() => values.emit(EmitTo::All),
            _ => Ok(Vec::new()),
        }
    }
}

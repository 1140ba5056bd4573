//! The gate: exact sums in, released numbers out. The only maker of [`Released`].

mod canonical;
mod table;
mod write;

pub use write::Format;
pub(crate) use write::read_arrow;

use crate::execute::{Executed, LeafCells};
use crate::functions::failed;
use crate::plan::{Planned, public_plan};
use crate::statistical::Session;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::collect;
use datafusion::prelude::Expr;
use std::fmt;
use std::sync::Arc;
use yunei_audit::Recorded;
use yunei_policy::release::release;
use yunei_policy::words::ReleaseClass;

/// What left: the only values that may leave. Its columns are the product's; where a number carries an interval, two more
/// columns follow at the end, `<name>_low` and `<name>_high` (95 %); under disclosure control one does, `<name>_withheld`: the
/// kind of reason where the number is not there.
///
/// Only the gate makes one:
///
/// ```compile_fail,E0451
/// fn forge() -> yunei_engine::Released { yunei_engine::Released { columns: 0, ..unreachable!() } }
/// ```
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<yunei_engine::Released>();
/// ```
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<yunei_engine::Released>();
/// ```
pub struct Released {
    batch: RecordBatch,
    columns: usize,
    class: ReleaseClass,
    question: String,
}

impl fmt::Debug for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Released").field("class", &self.class).finish_non_exhaustive()
    }
}

impl Released {
    /// The released rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }
    /// How many of the columns are the product's own; the rest are ends of intervals.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// Under which class it was released.
    pub fn class(&self) -> ReleaseClass {
        self.class
    }
    /// The digest of the question that it answers.
    pub fn question(&self) -> &str {
        &self.question
    }
}

/// Adds the noise or protects the tables, completes the grids, runs the public part on what was released. `session` is asked
/// for leaves under disclosure control.
///
/// # Errors
/// `run/failed`: says nothing, since data was open.
pub(crate) async fn gate(
    executed: Recorded<Executed>,
    max_rows: u64,
    session: Option<&mut Session<'_>>,
) -> Result<Released> {
    let mut session = session;
    let (executed, _) = executed.into_parts();
    let (planned, seed, cells) = executed.into_parts();
    let planned = planned.get();
    let mut leaves = Vec::with_capacity(cells.len());
    for (index, (cells, leaf)) in cells.into_iter().zip(planned.leaves()).enumerate() {
        let clearance = planned.clearance().leaves().get(index).ok_or_else(failed)?;
        let number = u32::try_from(index).map_err(|_| failed())?;
        leaves.push(match cells {
            LeafCells::Sums(cells) => {
                let released = release(clearance, cells, &seed, number).map_err(|_| failed())?;
                table::released_leaf(leaf.node.clone(), &released, clearance)?
            }
            LeafCells::Units(cells) => {
                let released = session.as_mut().ok_or_else(failed)?.release(clearance, cells)?;
                table::protected_leaf(leaf.node.clone(), &released)?
            }
        });
    }
    let (batch, columns) = run_public(planned, &leaves, max_rows).await?;
    Ok(Released { batch, columns, class: planned.clearance().class(), question: planned.question().to_owned() })
}

async fn run_public(
    planned: &Planned,
    leaves: &[crate::plan::ReleasedLeaf],
    max_rows: u64,
) -> Result<(RecordBatch, usize)> {
    let (plan, ends) = public_plan(planned.plan(), leaves)?;
    let own = planned.plan().schema();
    let names: Vec<String> = own.fields().iter().map(|f| f.name().clone()).collect();
    let mut outputs: Vec<Expr> =
        own.iter().map(|(q, f)| Expr::Column(datafusion::common::Column::from((q, f)))).collect();
    let mut fields = names.clone();
    for (name, ends) in names.iter().zip(&ends) {
        if let Some((low, high)) = ends {
            // Under disclosure control there is a mark where a number is withheld, and no interval.
            if is_mark(&plan, low) {
                outputs.push(Expr::Column(low.clone()));
                fields.push(format!("{name}_withheld"));
                continue;
            }
            outputs.push(Expr::Column(low.clone()));
            outputs.push(Expr::Column(high.clone()));
            fields.push(format!("{name}_low"));
            fields.push(format!("{name}_high"));
        }
    }
    let most = usize::try_from(max_rows).map_err(|_| failed())?;
    let plan = LogicalPlanBuilder::from(plan).project(outputs)?.limit(0, Some(most.saturating_add(1)))?.build()?;
    let state = planned.state();
    let physical = state.create_physical_plan(&plan).await?;
    let schema = physical.schema();
    let batches = collect(physical, state.task_ctx()).await?;
    let batch = concat_batches(&schema, &batches).map_err(|_| failed())?;
    if batch.num_rows() > most {
        return Err(failed());
    }
    Ok((canonical::canonical(&rename(&batch, &fields)?)?, names.len()))
}

fn is_mark(plan: &LogicalPlan, column: &Column) -> bool {
    let found = plan.schema().index_of_column(column).map(|at| plan.schema().field(at).data_type().clone());
    matches!(found, Ok(DataType::Utf8))
}

/// Gives the columns their final names; a name that stands twice gets a number.
fn rename(batch: &RecordBatch, names: &[String]) -> Result<RecordBatch> {
    let mut fields: Vec<Field> = Vec::with_capacity(names.len());
    for (name, field) in names.iter().zip(batch.schema().fields()) {
        let mut unique = name.clone();
        let mut n = 2;
        while fields.iter().any(|f| f.name() == &unique) {
            unique = format!("{name}_{n}");
            n += 1;
        }
        fields.push(Field::new(unique, field.data_type().clone(), true));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, batch.columns().to_vec()).map_err(|_| failed())
}

impl Released {
    /// A release that was recorded before, read back from the domain's own files.
    pub(crate) fn from_record(batch: RecordBatch, columns: usize, class: ReleaseClass, question: String) -> Self {
        Self { batch, columns, class, question }
    }
}

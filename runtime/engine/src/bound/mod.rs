//! From the rows of a private leaf to the exact sums of its cells, in one pass, with every unit held to its limits.
//!
//! Without bounding, rows are added to their cells as they come. With it:
//!
//! 1. *Scatter* (`rows.rs`): each thread interns the group keys of its rows and puts the rows, a few words each, into
//!    partitions by a hash of their unit, so that all rows of a unit are in one partition. Beyond a limit of memory the partitions
//!    are written to temporary files, encrypted (`spill.rs`).
//! 2. *Gather* (`units.rs`): each partition, cut once more where it is large, is summed per (unit, group) in a table that stays in the
//!    cache of a processor, the groups that a
//!    unit may keep are chosen, its sums are moved into their limits, and added to the cells.
//!
//! All sums are of whole numbers, so that no order of rows, threads or files shows in them.

mod groups;
mod rows;
#[cfg(not(feature = "measure"))]
mod spill;
#[cfg(feature = "measure")]
pub(crate) mod spill;
mod units;

use crate::functions::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use groups::Groups;
use rows::{Scattered, Scatterer};
use std::sync::Arc;
use units::{Gatherer, Limits};

/// What is summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// 1 per row.
    Rows,
    /// The whole numbers in this column.
    Sum(usize),
    /// 1 per unit of the group.
    Units,
    /// 1 per unit of the group that has a row where this column is not 0.
    UnitsWhere(usize),
    /// One count per bar: this column tells which bar a row falls into; a negative number is none.
    Bars {
        /// The column.
        column: usize,
        /// How many bars there are.
        of: usize,
    },
}

impl Slot {
    /// How many numbers it makes.
    pub(crate) fn width(&self) -> usize {
        match self {
            Slot::Bars { of, .. } => *of,
            _ => 1,
        }
    }

    fn column(&self) -> Option<usize> {
        match self {
            Slot::Rows | Slot::Units => None,
            Slot::Sum(column) | Slot::UnitsWhere(column) | Slot::Bars { column, .. } => Some(*column),
        }
    }
}

/// The columns of the rows: first the keys, then the unit where there is bounding, then what is summed (64-bit integers without
/// NULL).
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// How many keys.
    pub(crate) keys: usize,
    /// What is summed; columns are counted among all of them.
    pub(crate) slots: Vec<Slot>,
    /// The limits of one unit.
    pub(crate) bounds: Option<Bounds>,
}

impl Shape {
    fn width(&self) -> usize {
        self.slots.iter().map(Slot::width).sum()
    }

    fn unit(&self) -> usize {
        self.keys
    }
}

/// The limits of one unit.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// At most how many groups it keeps.
    pub(crate) max_groups: Option<u32>,
    /// At most how many of its rows count in a histogram of one group.
    pub(crate) max_rows: u32,
    /// Between what its sum in one group is clamped, per number of the cells.
    pub(crate) per_group: Vec<(i128, i128)>,
}

/// The cells: keys by column, and for each cell its sums, one after the other.
pub(crate) struct Cells {
    /// One array per key.
    pub(crate) keys: Vec<ArrayRef>,
    /// `width` sums per cell.
    pub(crate) sums: Vec<i128>,
    /// How many sums a cell has.
    pub(crate) width: usize,
}

/// How much memory the scattered rows of one leaf may take before they go to files, bytes.
pub(crate) const ROWS_MEMORY: usize = 640 << 20;

/// Runs `plan` and sums its rows up. `seed` is secret: from it come the choice of kept groups and the keys of hashes.
pub(crate) async fn sum_cells(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    shape: &Shape,
    seed: &[u8; 32],
    memory: usize,
) -> Result<Cells> {
    let parts = plan.properties().output_partitioning().partition_count().max(1);
    let shape = Arc::new(shape.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..parts {
        let (plan, context, shape) = (Arc::clone(plan), Arc::clone(context), Arc::clone(&shape));
        let seed = *seed;
        tasks.spawn(async move {
            let mut taker = Taker::new(&plan, &context, &shape, &seed, memory / parts)?;
            let mut stream = plan.execute(part, context)?;
            while let Some(batch) = stream.next().await {
                taker.take(&batch?)?;
            }
            Ok::<_, datafusion::common::DataFusionError>(taker)
        });
    }
    let mut takers = Vec::with_capacity(parts);
    while let Some(taken) = tasks.join_next().await {
        takers.push(taken.map_err(|_| failed())??);
    }
    let seed = *seed;
    tokio::task::spawn_blocking(move || finish(takers, &shape, &seed)).await.map_err(|_| failed())?
}

/// One thread's rows.
enum Taker {
    Sums { groups: Groups, sums: Vec<i128>, shape: Arc<Shape>, ids: Vec<usize> },
    Scattered(Box<Scatterer>),
}

impl Taker {
    fn new(
        plan: &Arc<dyn ExecutionPlan>,
        context: &Arc<TaskContext>,
        shape: &Arc<Shape>,
        seed: &[u8; 32],
        memory: usize,
    ) -> Result<Self> {
        let groups = Groups::new(&plan.schema(), shape.keys)?;
        Ok(match &shape.bounds {
            None => Self::Sums { groups, sums: Vec::new(), shape: Arc::clone(shape), ids: Vec::new() },
            Some(_) => Self::Scattered(Box::new(Scatterer::new(groups, shape, seed, memory, context)?)),
        })
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Scattered(scatterer) => scatterer.take(batch),
            Self::Sums { groups, sums, shape, ids } => {
                groups.intern(batch, ids)?;
                let width = shape.width();
                sums.resize(groups.len() * width, 0);
                let mut at = 0;
                for slot in &shape.slots {
                    add_rows(slot, batch, ids, width, at, sums)?;
                    at += slot.width();
                }
                Ok(())
            }
        }
    }
}

/// Adds the rows of a batch to the numbers of one slot.
fn add_rows(slot: &Slot, batch: &RecordBatch, ids: &[usize], width: usize, at: usize, sums: &mut [i128]) -> Result<()> {
    let Some(column) = slot.column() else {
        for id in ids {
            sums[id * width + at] += 1;
        }
        return Ok(());
    };
    let values = whole_numbers(batch.column(column))?;
    match slot {
        Slot::Bars { of, .. } => {
            for (id, bar) in ids.iter().zip(values) {
                if let Some(bar) = usize::try_from(*bar).ok().filter(|bar| bar < of) {
                    sums[id * width + at + bar] += 1;
                }
            }
        }
        // A 64-bit number per row: 2^64 rows could not overflow 128 bits.
        _ => {
            for (id, value) in ids.iter().zip(values) {
                sums[id * width + at] += i128::from(*value);
            }
        }
    }
    Ok(())
}

/// The values of a column of 64-bit integers without NULL.
fn whole_numbers(array: &ArrayRef) -> Result<&[i64]> {
    let array = array.as_primitive_opt::<Int64Type>().ok_or_else(failed)?;
    if array.null_count() > 0 {
        return Err(failed());
    }
    Ok(array.values())
}

fn finish(takers: Vec<Taker>, shape: &Arc<Shape>, seed: &[u8; 32]) -> Result<Cells> {
    let width = shape.width();
    let mut scattered = Vec::new();
    let mut whole: Option<(Groups, Vec<i128>)> = None;
    for taker in takers {
        match taker {
            Taker::Scattered(scatterer) => scattered.push(scatterer.finish()?),
            Taker::Sums { groups, sums, .. } => {
                whole = Some(match whole {
                    None => (groups, sums),
                    Some((mut all, mut total)) => {
                        let places = all.merge(groups)?;
                        total.resize(all.len() * width, 0);
                        for (from, to) in places.into_iter().enumerate() {
                            for at in 0..width {
                                total[to * width + at] += sums[from * width + at];
                            }
                        }
                        (all, total)
                    }
                });
            }
        }
    }
    if let Some((groups, sums)) = whole {
        return Ok(Cells { keys: groups.keys()?, sums, width });
    }
    gather(scattered, shape, seed)
}

/// The second step: partition after partition, on as many threads as there are.
fn gather(scattered: Vec<Scattered>, shape: &Arc<Shape>, seed: &[u8; 32]) -> Result<Cells> {
    let Some(bounds) = &shape.bounds else { return Err(failed()) };
    let mut all: Option<Groups> = None;
    let mut parts = Vec::with_capacity(scattered.len());
    for Scattered { groups, rows } in scattered {
        let places = match &mut all {
            None => {
                let same = (0..groups.len()).collect();
                all = Some(groups);
                same
            }
            Some(all) => all.merge(groups)?,
        };
        parts.push((places, rows));
    }
    let groups = all.ok_or_else(failed)?;
    let (count, keys) = (groups.len(), groups.keys()?);
    let limits = Limits::new(shape, bounds, &keys, count, seed)?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(rows::PARTITIONS);
    let gathered: Vec<Result<Vec<i128>>> = std::thread::scope(|scope| {
        let work = || {
            let mut gatherer = Gatherer::new(&limits);
            loop {
                let partition = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if partition >= rows::PARTITIONS {
                    return Ok(gatherer.into_sums());
                }
                gatherer.partition(&parts, partition)?;
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|h| h.join().unwrap_or_else(|_| Err(failed()))).collect()
    });
    let mut sums = vec![0i128; count * shape.width()];
    for part in gathered {
        for (total, add) in sums.iter_mut().zip(part?) {
            *total += add;
        }
    }
    Ok(Cells { keys, sums, width: shape.width() })
}

#[cfg(test)]
mod tests;

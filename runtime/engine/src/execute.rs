//! Execution of the private leaves: the only place where a run opens data.

use crate::functions::failed;
use crate::plan::{Planned, measure_plan};
use crate::statistical::{self, UnitCells};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use datafusion::common::Result;
use datafusion::physical_plan::collect;
use std::fmt;
use yunei_audit::Recorded;
use yunei_policy::facts::Literal;
use yunei_policy::release::{RawCell, Seed};

/// A cleared use whose charge is durable and stands in the log: data may be opened. Minted by the pipeline.
///
/// ```compile_fail,E0624
/// fn forge(planned: yunei_audit::Recorded<yunei_engine::Planned>) { yunei_engine::Charged::new(planned, [0; 32]); }
/// ```
pub struct Charged {
    planned: Recorded<Planned>,
    seed: [u8; 32],
}

impl Charged {
    /// Only the ledger's answer makes one (see `pipeline`).
    pub(crate) fn new(planned: Recorded<Planned>, seed: [u8; 32]) -> Self {
        Self { planned, seed }
    }
}

impl fmt::Debug for Charged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charged(..)")
    }
}

/// What a leaf computed.
pub(crate) enum LeafCells {
    /// Sums for the noise of the class `personal`.
    Sums(Vec<RawCell>),
    /// Units for the disclosure control of the class `statistical`.
    Units(UnitCells),
}

/// The exact sums of every leaf. They never leave: only the gate takes them.
///
/// ```compile_fail,E0451
/// fn forge() -> yunei_engine::Executed { yunei_engine::Executed { cells: Vec::new(), ..unreachable!() } }
/// ```
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<yunei_engine::Executed>();
/// ```
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<yunei_engine::Executed>();
/// ```
pub struct Executed {
    planned: Recorded<Planned>,
    seed: Seed,
    cells: Vec<LeafCells>,
    sums: String,
}

impl fmt::Debug for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executed(..)")
    }
}

impl Executed {
    /// What was planned.
    pub fn planned(&self) -> &Planned {
        self.planned.get()
    }

    /// A commitment to the exact sums under the run's seed. Without the seed it says nothing; with it, a replay finds out
    /// whether execution or release came out otherwise.
    pub(crate) fn sums(&self) -> &str {
        &self.sums
    }

    pub(crate) fn into_parts(self) -> (Recorded<Planned>, Seed, Vec<LeafCells>) {
        (self.planned, self.seed, self.cells)
    }
}

/// Runs the private leaves.
///
/// # Errors
/// `run/failed`, whatever it was: what goes wrong over private rows may depend on them.
///
/// `unit_key` keys the digests of units under disclosure control.
pub(crate) async fn execute(charged: Charged, unit_key: [u8; 32]) -> Result<Executed> {
    let Charged { planned, seed } = charged;
    let mut cells = Vec::new();
    for (index, leaf) in planned.get().leaves().iter().enumerate() {
        cells.push(execute_leaf(planned.get(), leaf, index, &seed, unit_key).await?);
    }
    let sums = commit_sums(&cells, &seed);
    Ok(Executed { planned, seed: Seed::from_bytes(seed), cells, sums })
}

/// Cells come in the order in which the threads finished: sorted by their keys they are always the same bytes.
fn commit_sums(leaves: &[LeafCells], seed: &[u8; 32]) -> String {
    let salt = crate::digest::sha256_parts("yunei/sums-salt/1", &[seed]);
    let mut text = Vec::new();
    for leaf in leaves {
        let mut lines: Vec<String> = match leaf {
            LeafCells::Sums(cells) => cells.iter().map(|cell| format!("{:?}{:?}", cell.key, cell.sums)).collect(),
            LeafCells::Units(cells) => cells.cells.iter().map(statistical::UnitCell::line).collect(),
        };
        lines.sort_unstable();
        text.extend_from_slice(&(lines.len() as u64).to_le_bytes());
        for line in lines {
            text.extend_from_slice(&(line.len() as u64).to_le_bytes());
            text.extend_from_slice(line.as_bytes());
        }
    }
    yunei_audit::commitment(&salt, &text)
}

async fn execute_leaf(
    planned: &Planned,
    leaf: &crate::plan::PrivateLeaf,
    index: usize,
    seed: &[u8; 32],
    unit_key: [u8; 32],
) -> Result<LeafCells> {
    let clearance = planned.clearance().leaves().get(index).ok_or_else(failed)?;
    if clearance.statistical().is_some() {
        return Ok(LeafCells::Units(statistical::execute_leaf(planned, leaf, clearance, unit_key).await?));
    }
    let plan = measure_plan(leaf, clearance, pick_seed(seed, index))?;
    let state = planned.state();
    let physical = state.create_physical_plan(&plan).await?;
    let batches = collect(physical, state.task_ctx()).await?;
    let (keys, measures) = (clearance.keys().len(), clearance.measures().len());
    let mut cells = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in &batches {
        cells_of(batch, keys, measures, &mut cells)?;
    }
    Ok(LeafCells::Sums(cells))
}

/// The seed of the choice of groups: apart from that of the noise.
fn pick_seed(seed: &[u8; 32], leaf: usize) -> u64 {
    let digest = crate::digest::sha256_parts("yunei/pick/1", &[seed, &(leaf as u64).to_le_bytes()]);
    u64::from_le_bytes(digest[..8].try_into().expect("eight bytes"))
}

fn cells_of(batch: &RecordBatch, keys: usize, measures: usize, cells: &mut Vec<RawCell>) -> Result<()> {
    let sums = (0..measures)
        .map(|m| {
            let column = batch.column_by_name(&format!("m{m}")).ok_or_else(failed)?;
            sums_of(column)
        })
        .collect::<Result<Vec<_>>>()?;
    let key_columns = (0..keys)
        .map(|k| batch.column_by_name(&format!("k{k}")).ok_or_else(failed).and_then(literals_of))
        .collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        cells.push(RawCell {
            key: key_columns.iter().map(|c| c[row].clone()).collect(),
            sums: sums.iter().map(|s| s[row]).collect(),
        });
    }
    Ok(())
}

pub(crate) fn sums_of(column: &ArrayRef) -> Result<Vec<i128>> {
    if let Some(counts) = column.as_primitive_opt::<Int64Type>() {
        return Ok(counts.iter().map(|v| i128::from(v.unwrap_or(0))).collect());
    }
    let sums = column.as_primitive_opt::<Decimal128Type>().ok_or_else(failed)?;
    Ok(sums.iter().map(|v| v.unwrap_or(0)).collect())
}

pub(crate) fn literals_of(column: &ArrayRef) -> Result<Vec<Literal>> {
    let to = |t: &DataType| cast(column, t).map_err(|_| failed());
    Ok(match column.data_type() {
        DataType::Boolean => column.as_boolean().iter().map(|v| v.map_or(Literal::Null, Literal::Bool)).collect(),
        DataType::Date32 => {
            column.as_primitive::<Date32Type>().iter().map(|v| v.map_or(Literal::Null, Literal::Date)).collect()
        }
        t if t.is_integer() => {
            let array = to(&DataType::Int64)?;
            array.as_primitive::<Int64Type>().iter().map(|v| v.map_or(Literal::Null, Literal::Int)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let array = to(&DataType::Utf8)?;
            let texts = array.as_string::<i32>();
            texts.iter().map(|v| v.map_or(Literal::Null, |v| Literal::Text(v.to_owned()))).collect()
        }
        DataType::Null => vec![Literal::Null; column.len()],
        _ => return Err(failed()),
    })
}

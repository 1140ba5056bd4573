//! Execution of the private leaves: the only place where a run opens data.

use crate::bound::{Cells, ROWS_MEMORY, sum_cells};
use crate::functions::failed;
use crate::plan::{Planned, Prepared, PrivateLeaf};
use crate::statistical::{self, UnitCells};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use std::fmt;
use std::sync::Arc;
use yunei_audit::Recorded;
use yunei_policy::clear::{KeyDomain, LeafClearance};
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
    leaf: &PrivateLeaf,
    index: usize,
    seed: &[u8; 32],
    unit_key: [u8; 32],
) -> Result<LeafCells> {
    let clearance = planned.clearance().leaves().get(index).ok_or_else(failed)?;
    if clearance.statistical().is_some() {
        return Ok(LeafCells::Units(statistical::execute_leaf(planned, leaf, clearance, unit_key).await?));
    }
    let prepared = planned.prepared().get(index).and_then(Option::as_ref).ok_or_else(failed)?;
    let context = planned.state().task_ctx();
    cells_of(prepared, clearance, &context, &leaf_seed(seed, index), ROWS_MEMORY).await.map(LeafCells::Sums)
}

/// The exact sums of one leaf.
pub(crate) async fn cells_of(
    prepared: &Prepared,
    clearance: &LeafClearance,
    context: &Arc<TaskContext>,
    seed: &[u8; 32],
    memory: usize,
) -> Result<Vec<RawCell>> {
    let Cells { keys, sums, width } = sum_cells(&prepared.rows, context, &prepared.shape, seed, memory).await?;
    if width != clearance.measures().len() {
        return Err(failed());
    }
    let keys = keys
        .iter()
        .zip(clearance.keys())
        .map(|(column, domain)| Ok(literals_of(column)?.into_iter().map(|l| in_domain(l, domain)).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>>>()?;
    let cells = sums.chunks_exact(width.max(1)).enumerate();
    Ok(cells
        .map(|(at, sums)| RawCell { key: keys.iter().map(|k| k[at].clone()).collect(), sums: sums.to_vec() })
        .collect())
}

/// The seed of one leaf's bounding: apart from that of the noise.
fn leaf_seed(seed: &[u8; 32], leaf: usize) -> [u8; 32] {
    crate::digest::sha256_parts("yunei/bound/1", &[seed, &(leaf as u64).to_le_bytes()])
}

/// A whole number is one whether the engine computed it as integer or as floating point; its domain says which is meant.
fn in_domain(literal: Literal, domain: &KeyDomain) -> Literal {
    let KeyDomain::Declared(values) = domain else { return literal };
    let meant = values.iter().find(|v| **v != Literal::Null);
    match (literal, meant) {
        (Literal::Float(x), Some(Literal::Int(_))) if x.fract() == 0.0 && x.abs() < 9e15 => Literal::Int(x as i64),
        (Literal::Int(x), Some(Literal::Float(_))) => Literal::Float(x as f64),
        (literal, _) => literal,
    }
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
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let array = to(&DataType::Float64)?;
            let floats = array.as_primitive::<Float64Type>().iter();
            floats.map(|v| v.filter(|v| !v.is_nan()).map_or(Literal::Null, Literal::Float)).collect()
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

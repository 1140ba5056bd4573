//! The exact cells of a leaf under disclosure control, unit by unit. They never leave.

use crate::digest::sha256_parts;
use crate::execute::{literals_of, sums_of};
use crate::functions::failed;
use crate::plan::{Planned, PrivateLeaf, ROWS, UNIT, unit_plan};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use std::collections::HashMap;
use yunei_policy::clear::LeafClearance;
use yunei_policy::facts::Literal;

/// At most how many pairs of cell and unit a leaf may have.
const MAX_PARTS: usize = 20_000_000;

/// The exact cells of one leaf.
pub(crate) struct UnitCells {
    pub(crate) cells: Vec<UnitCell>,
    /// The leaf's datasets, in the order of [`UnitCell::members`].
    pub(crate) datasets: Vec<String>,
}

/// One cell, in columns of one length.
#[derive(Default)]
pub(crate) struct UnitCell {
    pub(crate) key: Vec<Literal>,
    /// Keyed digests of the units.
    pub(crate) units: Vec<u64>,
    pub(crate) rows: Vec<u64>,
    pub(crate) values: Vec<Vec<i128>>,
    /// For each dataset the digest of what stands for the unit; the unit's own where it can have one row only.
    pub(crate) members: Vec<Vec<u64>>,
}

impl UnitCell {
    /// Puts its units into the order of their digests: they came as the threads finished.
    fn settle(&mut self) {
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        order.sort_unstable_by_key(|at| self.units[*at]);
        fn settled<T: Copy>(column: &mut Vec<T>, order: &[usize]) {
            *column = order.iter().map(|at| column[*at]).collect();
        }
        settled(&mut self.units, &order);
        settled(&mut self.rows, &order);
        self.values.iter_mut().for_each(|column| settled(column, &order));
        self.members.iter_mut().for_each(|column| settled(column, &order));
    }

    /// Key and digest of the cell.
    pub(crate) fn line(&self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for at in 0..self.units.len() {
            context.update(&self.units[at].to_le_bytes());
            context.update(&self.rows[at].to_le_bytes());
            self.values.iter().for_each(|values| context.update(&values[at].to_le_bytes()));
            self.members.iter().for_each(|members| context.update(&members[at].to_le_bytes()));
        }
        format!("{:?}{}", self.key, hex::encode(context.finish()))
    }
}

/// An order of keys: of a table's own cells, whose keys have the same types.
fn by_key(a: &[Literal], b: &[Literal]) -> std::cmp::Ordering {
    let one = |(a, b): (&Literal, &Literal)| match (a, b) {
        (Literal::Null, Literal::Null) => std::cmp::Ordering::Equal,
        // As the engine sorts: what is missing comes last.
        (Literal::Null, _) => std::cmp::Ordering::Greater,
        (_, Literal::Null) => std::cmp::Ordering::Less,
        (Literal::Int(a), Literal::Int(b)) => a.cmp(b),
        (Literal::Date(a), Literal::Date(b)) => a.cmp(b),
        (Literal::Bool(a), Literal::Bool(b)) => a.cmp(b),
        (Literal::Float(a), Literal::Float(b)) => a.total_cmp(b),
        (Literal::Text(a), Literal::Text(b)) => a.cmp(b),
        (a, b) => format!("{a:?}").cmp(&format!("{b:?}")),
    };
    a.iter().zip(b).map(one).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}

/// Runs a leaf. `key` keys all digests and lasts as long as the home.
pub(crate) async fn execute_leaf(
    planned: &Planned,
    leaf: &PrivateLeaf,
    clearance: &LeafClearance,
    key: [u8; 32],
) -> Result<UnitCells> {
    let unit_plan = unit_plan(leaf, clearance, key)?;
    let variables = clearance.statistical().map_or(0, |s| s.variables().len());
    let state = planned.state();
    let physical = state.create_physical_plan(&unit_plan.plan).await?;
    let mut stream = execute_stream(physical, state.task_ctx())?;
    let mut reader = Reader::new(clearance.keys().len(), variables, unit_plan.datasets, key);
    while let Some(batch) = stream.next().await {
        reader.read(&batch?)?;
    }
    // What leaves must not depend on threads and batches: neither its order, nor which cell is withheld for another.
    reader.cells.iter_mut().for_each(UnitCell::settle);
    reader.cells.sort_by(|a, b| by_key(&a.key, &b.key));
    Ok(UnitCells { cells: reader.cells, datasets: reader.datasets.into_iter().map(|(d, _)| d).collect() })
}

struct Reader {
    keys: usize,
    variables: usize,
    datasets: Vec<(String, Option<usize>)>,
    key: [u8; 32],
    cells: Vec<UnitCell>,
    at: HashMap<Box<[u8]>, usize>,
    converter: Option<RowConverter>,
    parts: usize,
}

impl Reader {
    fn new(keys: usize, variables: usize, datasets: Vec<(String, Option<usize>)>, key: [u8; 32]) -> Self {
        Self { keys, variables, datasets, key, cells: Vec::new(), at: HashMap::new(), converter: None, parts: 0 }
    }

    fn read(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(failed);
        self.parts += batch.num_rows();
        if self.parts > MAX_PARTS {
            return Err(failed());
        }
        let places = self.places(batch)?;
        let units = cast(column(UNIT)?, &DataType::Utf8).map_err(|_| failed())?;
        let rows = sums_of(column(ROWS)?)?;
        let named = |letter: char, i: usize| column(&format!("{letter}{i}")).and_then(sums_of);
        let values = (0..self.variables).map(|i| named('m', i)).collect::<Result<Vec<_>>>()?;
        let several = self.datasets.iter().filter_map(|(_, at)| *at).count();
        let chosen = (0..several).map(|i| named('r', i)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let unit = self.unit(&units, row);
            let members: Vec<u64> = self
                .datasets
                .iter()
                .map(|(dataset, at)| match at {
                    None => unit,
                    Some(at) => {
                        let chosen = chosen[*at][row].to_le_bytes();
                        self.short("yunei/member/1", &[&unit.to_le_bytes(), dataset.as_bytes(), &chosen])
                    }
                })
                .collect();
            let cell = &mut self.cells[places[row]];
            cell.units.push(unit);
            cell.rows.push(u64::try_from(rows[row]).map_err(|_| failed())?);
            cell.values.iter_mut().zip(&values).for_each(|(out, values)| out.push(values[row]));
            cell.members.iter_mut().zip(members).for_each(|(out, member)| out.push(member));
        }
        Ok(())
    }

    /// The cell of each row.
    fn places(&mut self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let column = |k: usize| batch.column_by_name(&format!("k{k}")).ok_or_else(failed);
        let columns: Vec<ArrayRef> = (0..self.keys).map(|k| column(k).cloned()).collect::<Result<_>>()?;
        let literals = columns.iter().map(literals_of).collect::<Result<Vec<_>>>()?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            None => {
                let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
                self.converter.insert(RowConverter::new(fields).map_err(|_| failed())?)
            }
        };
        let rows = match columns.is_empty() {
            true => None,
            false => Some(converter.convert_columns(&columns).map_err(|_| failed())?),
        };
        let mut places = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let bytes: &[u8] = rows.as_ref().map_or(&[], |rows| rows.row(row).data());
            let at = match self.at.get(bytes) {
                Some(at) => *at,
                None => {
                    self.cells.push(UnitCell {
                        key: literals.iter().map(|c| c[row].clone()).collect(),
                        values: vec![Vec::new(); self.variables],
                        members: vec![Vec::new(); self.datasets.len()],
                        ..UnitCell::default()
                    });
                    self.at.insert(bytes.into(), self.cells.len() - 1);
                    self.cells.len() - 1
                }
            };
            places.push(at);
        }
        Ok(places)
    }

    fn unit(&self, units: &ArrayRef, row: usize) -> u64 {
        let units = units.as_string::<i32>();
        if units.is_null(row) {
            return self.short("yunei/unit/none", &[]);
        }
        self.short("yunei/unit/1", &[units.value(row).as_bytes()])
    }

    fn short(&self, domain: &str, parts: &[&[u8]]) -> u64 {
        let all: Vec<&[u8]> = std::iter::once(self.key.as_slice()).chain(parts.iter().copied()).collect();
        let digest = sha256_parts(domain, &all);
        digest.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

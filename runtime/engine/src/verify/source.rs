//! From Parquet to what an index holds: every row of the columns that a product needs, spelled, judged and digested.

use super::check::{Fixed, Resolution};
use super::index::{Batch, Builder, IndexKey, pack};
use super::spell::Field;
use crate::catalogue::{ColumnSpec, DatasetSpec};
use crate::functions::{Code, failed};
use crate::plan::Sources;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Column, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::{DataFrame, Expr};
use futures::StreamExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use yunei_policy::facts::Literal;
use yunei_sandbox::{Kind, Model};

/// The columns that a product needs, by position in the entry; each once.
struct Needed {
    columns: Vec<usize>,
}

impl Needed {
    fn of(resolution: &Resolution, spec: &DatasetSpec) -> Result<Self> {
        let mut columns: Vec<usize> =
            resolution.identity.iter().chain(&resolution.asked).map(|field| field.column).collect();
        for fixed in &resolution.fixed {
            match fixed {
                Fixed::OneOf { field, .. } | Fixed::Band { field, .. } => columns.push(field.column),
                Fixed::Model { model, .. } => {
                    for feature in model.manifest().features() {
                        columns
                            .push(spec.columns().iter().position(|c| c.name() == feature.name()).ok_or_else(failed)?);
                    }
                }
            }
        }
        columns.sort_unstable();
        columns.dedup();
        Ok(Self { columns })
    }

    fn array<'a>(&self, batch: &'a RecordBatch, column: usize) -> Result<&'a ArrayRef> {
        let at = self.columns.binary_search(&column).map_err(|_| failed())?;
        batch.columns().get(at).ok_or_else(failed)
    }
}

/// A row as an index sees it.
pub(super) struct Subject {
    /// The identity, packed.
    pub(super) identity: Vec<u8>,
    /// The unit's number.
    pub(super) unit: String,
    /// The values that may be asked, packed.
    pub(super) asked: Vec<u8>,
    /// Whether the fixed predicates hold and no asked value is missing.
    pub(super) holds: bool,
}

/// Reads all rows of a dataset version, in parallel; `each` is given every batch's subjects. Rows without a full identity
/// name nobody and are left out. `progress` is told the rows that were read.
pub(super) async fn read_subjects<F>(
    sources: &Sources,
    resolution: &Arc<Resolution>,
    runtime: &Arc<RuntimeEnv>,
    each: F,
) -> Result<()>
where
    F: Fn(Vec<Subject>, usize) -> Result<()> + Send + Sync + 'static,
{
    let spec = Arc::clone(&sources.datasets.first().ok_or_else(failed)?.spec);
    let needed = Arc::new(Needed::of(resolution, &spec)?);
    let state = sources.session(runtime).map_err(|_| failed())?;
    let schema = state.catalog_list().catalog("datafusion").and_then(|c| c.schema("public")).ok_or_else(failed)?;
    let table = schema.table(spec.id()).await?.ok_or_else(failed)?;
    let source = datafusion::datasource::provider_as_source(table);
    let outputs = needed.columns.iter().enumerate().map(|(i, column)| {
        let name = spec.columns()[*column].name();
        Expr::Column(Column::new(Some(spec.id()), name)).alias(format!("f{i}"))
    });
    let plan = LogicalPlanBuilder::scan(spec.id(), source, None)?.project(outputs)?.build()?;
    let frame = DataFrame::new(state.clone(), plan);
    let streams = execute_stream_partitioned(frame.create_physical_plan().await?, state.task_ctx())?;
    let each = Arc::new(each);
    let mut tasks: tokio::task::JoinSet<Result<()>> = tokio::task::JoinSet::new();
    for mut stream in streams {
        let (resolution, needed, spec, each) =
            (Arc::clone(resolution), Arc::clone(&needed), Arc::clone(&spec), Arc::clone(&each));
        tasks.spawn(async move {
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                let subjects = subjects(&batch, &needed, &resolution, &spec)?;
                each(subjects, batch.num_rows())?;
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|_| failed())??;
    }
    Ok(())
}

/// Reads all rows into a builder.
pub(super) async fn fill(
    builder: Builder,
    key: IndexKey,
    sources: &Sources,
    resolution: &Arc<Resolution>,
    runtime: &Arc<RuntimeEnv>,
    progress: impl FnMut(u64) + Send + 'static,
) -> Result<Builder> {
    let shared = Arc::new(Mutex::new(Some(builder)));
    let done = AtomicU64::new(0);
    let told = Mutex::new(progress);
    let into = Arc::clone(&shared);
    read_subjects(sources, resolution, runtime, move |subjects, rows| {
        let mut batch = Batch::default();
        for subject in &subjects {
            batch.push(&key, &subject.identity, &subject.unit, &subject.asked, subject.holds);
        }
        if let Some(builder) = into.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            builder.add(batch).map_err(|_| failed())?;
        }
        let rows = done.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
        (told.lock().unwrap_or_else(PoisonError::into_inner))(rows);
        Ok(())
    })
    .await?;
    let builder = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    builder.ok_or_else(failed)
}

fn subjects(batch: &RecordBatch, needed: &Needed, resolution: &Resolution, spec: &DatasetSpec) -> Result<Vec<Subject>> {
    let prepared = |fields: &[Field]| {
        fields.iter().map(|f| f.prepare(needed.array(batch, f.column)?)).collect::<Result<Vec<ArrayRef>>>()
    };
    let (identity, asked) = (prepared(&resolution.identity)?, prepared(&resolution.asked)?);
    let holds = fixed_hold(batch, needed, resolution, spec)?;
    let mut subjects = Vec::with_capacity(batch.num_rows());
    let mut value = Vec::new();
    'rows: for (row, holds) in holds.into_iter().enumerate() {
        let mut subject = Subject { identity: Vec::with_capacity(48), unit: String::new(), asked: Vec::new(), holds };
        for (at, (field, array)) in resolution.identity.iter().zip(&identity).enumerate() {
            value.clear();
            if !field.spell(array, row, &mut value)? {
                continue 'rows;
            }
            pack(&mut subject.identity, &value);
            if at == resolution.unit {
                subject.unit = String::from_utf8(value.clone()).map_err(|_| failed())?;
            }
        }
        for (field, array) in resolution.asked.iter().zip(&asked) {
            value.clear();
            subject.holds &= field.spell(array, row, &mut value)?;
            pack(&mut subject.asked, &value);
        }
        subjects.push(subject);
    }
    Ok(subjects)
}

/// Whether all that the product fixes is true, row by row.
fn fixed_hold(batch: &RecordBatch, needed: &Needed, resolution: &Resolution, spec: &DatasetSpec) -> Result<Vec<bool>> {
    let mut holds = vec![true; batch.num_rows()];
    for fixed in &resolution.fixed {
        match fixed {
            Fixed::OneOf { field, values, negated } => {
                let array = field.prepare(needed.array(batch, field.column)?)?;
                let mut value = Vec::new();
                for (row, holds) in holds.iter_mut().enumerate() {
                    value.clear();
                    let known = field.spell(&array, row, &mut value)?;
                    *holds &= known && values.contains(&value) != *negated;
                }
            }
            Fixed::Band { field, least, most } => {
                let array = field.prepare(needed.array(batch, field.column)?)?;
                for (row, holds) in holds.iter_mut().enumerate() {
                    *holds &= field.number(&array, row).is_some_and(|n| (*least..=*most).contains(&n));
                }
            }
            Fixed::Model { model, least, most } => {
                let scores = scores(model, batch, needed, spec)?;
                let scores = scores.as_primitive_opt::<Float64Type>().ok_or_else(failed)?;
                for (holds, score) in holds.iter_mut().zip(scores) {
                    *holds &= score.is_some_and(|s| (*least..=*most).contains(&s));
                }
            }
        }
    }
    Ok(holds)
}

/// The model's output for each row; every row is one unit.
fn scores(model: &Model, batch: &RecordBatch, needed: &Needed, spec: &DatasetSpec) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let mut features = Vec::new();
    for feature in model.manifest().features() {
        let column = spec.columns().iter().position(|c| c.name() == feature.name()).ok_or_else(failed)?;
        let array = needed.array(batch, column)?;
        let facts = spec.column(feature.name()).map(ColumnSpec::facts).ok_or_else(failed)?;
        features.push(match (array.data_type(), facts.values) {
            (DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8, Some(values)) => {
                let texts = values.into_iter().filter_map(|v| match v {
                    Literal::Text(text) => Some(text),
                    _ => None,
                });
                Arc::new(Code::codes(&texts.collect::<Vec<_>>(), array)?) as ArrayRef
            }
            (DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8, None) => return Err(failed()),
            _ => Arc::clone(array),
        });
    }
    let scores = match model.manifest().kind() {
        Kind::Row => model.score(&features, rows),
        Kind::Unit => model.fold(&features, &(0..rows).map(|row| row..row + 1).collect::<Vec<_>>()),
    }
    .map_err(|_| failed())?;
    cast(&(Arc::new(scores) as ArrayRef), &DataType::Float64).map_err(|_| failed())
}

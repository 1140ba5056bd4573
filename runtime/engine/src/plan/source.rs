//! What a product's SQL can see: registered datasets as tables, approved models and the allowed functions.

use crate::catalogue::{DatasetSpec, FileEntry};
use crate::functions::{RowModel, UnitModel, author_functions, sql_name};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::Expr;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use std::sync::Arc;
use yunei_policy::facts::Scan;
use yunei_policy::{Refusal, Refused};
use yunei_sandbox::{Kind, Model};

/// A dataset version as a plan reads it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its catalogue entry.
    pub(crate) spec: Arc<DatasetSpec>,
    /// Its files.
    pub(crate) files: Vec<FileEntry>,
    /// The budget epoch that it is in.
    pub(crate) epoch: u32,
}

/// How the query engine divides its work. What leaves is the same for every setting.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How many threads of work a query is cut into.
    pub partitions: usize,
    /// At most how many rows one batch has.
    pub batch_rows: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        let partitions = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { partitions, batch_rows: 8_192 }
    }
}

/// All that a product may read and call.
#[derive(Default)]
pub(crate) struct Sources {
    /// How it is read.
    pub(crate) tuning: Tuning,
    /// Its datasets.
    pub(crate) datasets: Vec<Source>,
    /// Its models.
    pub(crate) models: Vec<Model>,
}

/// A dataset as a table. No statistics, no filter push-down: neither the plan nor its duration may depend on what the
/// files' metadata says of single rows.
#[derive(Debug)]
pub(crate) struct DatasetTable {
    spec: Arc<DatasetSpec>,
    schema: SchemaRef,
    files: ListingTable,
}

impl DatasetTable {
    fn try_new(source: &Source) -> Result<Self> {
        let declared = source.spec.arrow_schema();
        let fields = declared.fields().iter().map(|f| match f.data_type() {
            // Views are what the Parquet reader makes fastest.
            DataType::Utf8 => Arc::new(Field::new(f.name(), DataType::Utf8View, f.is_nullable())),
            // Whatever is computed has the precision that the analysis of ranges reckons with.
            DataType::Float32 => Arc::new(Field::new(f.name(), DataType::Float64, f.is_nullable())),
            _ => Arc::clone(f),
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let urls = source
            .files
            .iter()
            .map(|f| {
                let url = url_of(f.path());
                ListingTableUrl::parse(url)
            })
            .collect::<Result<Vec<_>>>()?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension_opt(None::<String>);
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::clone(&schema));
        Ok(Self { spec: Arc::clone(&source.spec), schema, files: ListingTable::try_new(config)? })
    }

    /// The catalogue entry behind it.
    pub(crate) fn scan_facts(&self) -> Scan {
        self.spec.scan()
    }
}

/// A file URL in which no character of the path can be taken for a pattern.
fn url_of(path: &std::path::Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[async_trait::async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.files.scan(state, projection, &[], None).await
    }
}

/// The configuration of every session.
fn config(tuning: Tuning) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(tuning.partitions.max(1))
        .with_batch_size(tuning.batch_rows.max(1))
        .with_information_schema(false)
        .with_collect_statistics(false)
        .with_create_default_catalog_and_schema(true);
    // No operator tells another what it has seen of the data.
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pruning = false;
    parquet.enable_page_index = false;
    parquet.bloom_filter_on_read = false;
    parquet.pushdown_filters = false;
    config
}

impl Sources {
    /// A session in which exactly these datasets and models exist.
    ///
    /// # Errors
    /// `model/name-taken` where two models, or a model and a function, share a name.
    pub(crate) fn session(&self, runtime: &Arc<RuntimeEnv>) -> std::result::Result<SessionState, Refused> {
        // Conditions stay where they stand: the reader of files is told none of them.
        let physical = PhysicalOptimizer::new().rules.into_iter();
        let physical = physical.filter(|rule| !rule.name().starts_with("FilterPushdown")).collect();
        let mut state = SessionStateBuilder::new_with_default_features()
            .with_config(config(self.tuning))
            .with_runtime_env(Arc::clone(runtime))
            .with_physical_optimizer_rules(physical)
            .build();
        let mut reasons = Vec::new();
        for function in author_functions() {
            state.register_udf(Arc::new(function)).map_err(|_| internal("functions"))?;
        }
        for model in &self.models {
            let id = model.manifest().id();
            let name = sql_name(id);
            let taken = state.scalar_functions().contains_key(&name)
                || state.aggregate_functions().contains_key(&name)
                || state.window_functions().contains_key(&name);
            if taken {
                reasons.push(
                    Refusal::new(
                        "model/name-taken",
                        format!("函数名 {name} 已被占用"),
                        format!("the function name {name} is taken"),
                    )
                    .at(format!("{id}@{}", model.manifest().version()))
                    .hint(
                        "请为模型换一个标识，或只列出一个版本",
                        "give the model another id, or list one version of it only",
                    ),
                );
                continue;
            }
            match model.manifest().kind() {
                Kind::Row => state.register_udf(Arc::new(RowModel::udf(model.clone()))).map(|_| ()),
                Kind::Unit => state.register_udaf(Arc::new(UnitModel::udaf(model.clone()))).map(|_| ()),
            }
            .map_err(|_| internal("models"))?;
        }
        for source in &self.datasets {
            let table = DatasetTable::try_new(source).map_err(|_| internal("dataset"))?;
            let schema = state
                .catalog_list()
                .catalog("datafusion")
                .and_then(|c| c.schema("public"))
                .ok_or_else(|| internal("catalog"))?;
            schema.register_table(source.spec.id().to_owned(), Arc::new(table)).map_err(|_| internal("dataset"))?;
        }
        Refused::unless(reasons, state)
    }
}

fn internal(place: &'static str) -> Refused {
    Refusal::new("engine/internal", "系统内部错误", "an internal error").at(place).into()
}

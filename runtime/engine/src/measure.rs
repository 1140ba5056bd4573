//! For benchmarks alone: how long the private part of a product takes over given files, and how long its check takes. Nothing
//! comes out but numbers about the machine: the cells are counted and dropped, so that nothing is charged and nothing can leave. The
//! module is there with the feature `measure` alone, with which no binary is built.

use crate::bound::ROWS_MEMORY;
use crate::catalogue::{DatasetSpec, FileEntry};
use crate::execute::cells_of;
use crate::plan::{Source, Sources, prepare_unauthorised};
use crate::product::{Body, Product};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use yunei_policy::rules::RuleSet;
use yunei_policy::{Refusal, Refused};

/// A product over files, ready to be measured.
pub struct Measured {
    product: Product,
    sources: Sources,
    runtime: Arc<RuntimeEnv>,
    rules: RuleSet,
    bounded: bool,
}

impl std::fmt::Debug for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Measured(..)")
    }
}

impl Measured {
    /// Plans `product` over datasets given as (entry, files). The files are not compared with anything.
    ///
    /// # Errors
    /// All the reasons why the entries are none or the product may not run.
    pub async fn new(datasets: &[(&str, &[&Path])], product: &str, memory: usize) -> Result<Self, Refused> {
        let mut sources = Sources::default();
        for (entry, files) in datasets {
            let spec = Arc::new(DatasetSpec::parse(entry)?);
            let files = files.iter().map(|path| FileEntry::unchecked(path)).collect();
            sources.datasets.push(Source { spec, files, epoch: 1 });
        }
        let product = Product::parse(product)?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
            .build_arc()
            .map_err(|_| Refusal::new("engine/internal", "系统内部错误", "an internal error"))?;
        let rules = RuleSet::default();
        let Body::Aggregate(aggregate) = product.body() else {
            return Err(Refusal::new("product/kind", "须为聚合产品", "an aggregate product is measured").into());
        };
        let (_, clearance, _) = prepare_unauthorised(aggregate, &sources, &rules, &runtime).await?;
        let bounded = clearance.leaves().iter().any(|l| l.bounding().is_some());
        Ok(Self { product, sources, runtime, rules, bounded })
    }

    /// Runs the private part once; how long that took after it was planned, and how many cells there were.
    ///
    /// # Errors
    /// `run/failed`.
    pub async fn run(&self) -> Result<(Duration, usize), Refused> {
        self.run_within(ROWS_MEMORY).await
    }

    /// The same with so many bytes of memory for rows, and what goes to files beyond that written as it is, without encryption: what
    /// the encryption costs is what this saves. All runs of the process must be over.
    ///
    /// # Errors
    /// `run/failed`.
    #[cfg(feature = "measure")]
    pub async fn run_unsealed(&self, memory: usize) -> Result<(Duration, usize), Refused> {
        use std::sync::atomic::Ordering::Relaxed;
        crate::bound::spill::UNSEALED.store(true, Relaxed);
        let ran = self.run_within(memory).await;
        crate::bound::spill::UNSEALED.store(false, Relaxed);
        ran
    }

    /// Runs the private part once with so many bytes of memory for rows.
    ///
    /// # Errors
    /// `run/failed`.
    pub async fn run_within(&self, memory: usize) -> Result<(Duration, usize), Refused> {
        let failed = |_| Refused::from(Refusal::new("run/failed", "运行失败", "the run failed"));
        let Body::Aggregate(aggregate) = self.product.body() else { return Ok((Duration::ZERO, 0)) };
        // A physical plan runs once: its operators hand out their input and keep no copy.
        let (prepared, clearance, state) =
            prepare_unauthorised(aggregate, &self.sources, &self.rules, &self.runtime).await?;
        let context = state.task_ctx();
        let begun = Instant::now();
        let mut cells = 0;
        for (prepared, clearance) in prepared.iter().zip(clearance.leaves()) {
            let Some(prepared) = prepared else { continue };
            let found = cells_of(prepared, clearance, &context, &[7; 32], memory).await.map_err(failed)?;
            cells += found.len();
        }
        Ok((begun.elapsed(), cells))
    }

    /// Checks the product once, from its text to its clearance; how long it took.
    ///
    /// # Errors
    /// All the reasons why it may not run.
    pub async fn check(&self) -> Result<Duration, Refused> {
        let begun = Instant::now();
        let product = Product::parse(self.product.text())?;
        if let Body::Aggregate(aggregate) = product.body() {
            crate::plan::check(aggregate, &self.sources, &self.rules, &self.runtime).await?;
        }
        Ok(begun.elapsed())
    }

    /// Whether some leaf needs its units bounded.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }
}

const PEOPLE: &str = r#"
[dataset]
id = "people"
title = { zh = "人口", en = "People" }
provider = { name = "统计局", code = "11530000015000011Y" }
files = ["people.parquet"]
update = "monthly"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-3"
unit = { kind = "natural_person", column = "id", most_rows = 4 }
release = "personal"
[[column]]
name = "id"
type = "utf8"
class = "direct_identifier"
usages = ["join"]
[[column]]
name = "city"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
values = ["a", "b", "c"]
[[column]]
name = "age"
type = "int32"
class = "attribute"
usages = ["filter", "group", "aggregate"]
min = 0
max = 120
[[column]]
name = "born"
type = "date32"
class = "attribute"
usages = ["filter", "group"]
min = "1960-01-01"
max = "2009-12-31"
"#;

/// Checks any text as the SQL of a product over one dataset, for fuzzing: no file stands behind it.
pub struct Texts {
    sources: Sources,
    rules: RuleSet,
    runtime: Arc<RuntimeEnv>,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Texts(..)")
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::new()
    }
}

impl Texts {
    /// The dataset and the rules as shipped.
    ///
    /// # Panics
    /// Where the entry above is none, which a test rules out.
    pub fn new() -> Self {
        let spec = DatasetSpec::parse(PEOPLE).expect("the entry is tested");
        let files = vec![FileEntry::unchecked(Path::new("/nonexistent/people.parquet"))];
        let source = Source { spec: Arc::new(spec), files, epoch: 1 };
        let runtime = RuntimeEnvBuilder::new().build_arc().expect("a runtime without limits");
        Self { sources: Sources { datasets: vec![source], ..Sources::default() }, rules: RuleSet::default(), runtime }
    }

    /// Whether the text is cleared.
    ///
    /// # Panics
    /// Where it is refused without a reason.
    pub async fn check(&self, sql: &str) -> bool {
        match self.answer(sql).await {
            Ok(()) => true,
            Err(refused) => {
                assert!(!refused.reasons().is_empty(), "refused without a reason");
                false
            }
        }
    }

    /// Nothing, or all the reasons against the text.
    ///
    /// # Errors
    /// The reasons.
    pub async fn answer(&self, sql: &str) -> Result<(), Refused> {
        let literal = toml::Value::String(sql.to_owned()).to_string();
        let text = format!(
            "[product]\nid = \"text\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"x\"]\n\
             datasets = [\"people\"]\nsql = {literal}\n[product.privacy]\nepsilon = 1.0\n"
        );
        let product = Product::parse(&text)?;
        if let Body::Aggregate(aggregate) = product.body() {
            crate::plan::check(aggregate, &self.sources, &self.rules, &self.runtime).await?;
        }
        Ok(())
    }
}

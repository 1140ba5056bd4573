//! For benchmarks alone: how long the private part of a product takes over given files, and how long its check takes. Nothing
//! comes out but numbers about the machine: the cells are counted and dropped, so that nothing is charged and nothing can leave.

use crate::bound::ROWS_MEMORY;
use crate::catalogue::{DatasetSpec, FileEntry};
use crate::execute::cells_of;
use crate::plan::{Prepared, Source, Sources, prepare_unauthorised};
use crate::product::{Body, Product};
use datafusion::execution::context::TaskContext;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use yunei_policy::clear::Clearance;
use yunei_policy::rules::RuleSet;
use yunei_policy::{Refusal, Refused};

/// A product over files, ready to be measured.
pub struct Measured {
    product: Product,
    sources: Sources,
    runtime: Arc<RuntimeEnv>,
    rules: RuleSet,
    prepared: Vec<Option<Prepared>>,
    clearance: Clearance,
    context: Arc<TaskContext>,
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
        let (prepared, clearance, state) = prepare_unauthorised(aggregate, &sources, &rules, &runtime).await?;
        let context = state.task_ctx();
        Ok(Self { product, sources, runtime, rules, prepared, clearance, context })
    }

    /// Runs the private part once; how long it took, and how many cells there were.
    ///
    /// # Errors
    /// `run/failed`.
    pub async fn run(&self) -> Result<(Duration, usize), Refused> {
        let failed = |_| Refused::from(Refusal::new("run/failed", "运行失败", "the run failed"));
        let begun = Instant::now();
        let mut cells = 0;
        for (prepared, clearance) in self.prepared.iter().zip(self.clearance.leaves()) {
            let Some(prepared) = prepared else { continue };
            let found = cells_of(prepared, clearance, &self.context, &[7; 32], ROWS_MEMORY).await.map_err(failed)?;
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
        self.clearance.leaves().iter().any(|l| l.bounding().is_some())
    }
}

//! A product checked without data (`Checked`), and one use of it that may run (`Planned`).

use super::checked::{Prepared, check_units, prepare_leaf, unsupported};
use super::digest::plan_digest;
use super::expression::{MAX_COPIES, Teller};
use super::leaves::{FoundLeaf, find};
use super::normalise::normalise;
use super::private::{Domains, PrivateLeaf, text_domains, texts_without_code};
use super::public::probe;
use super::room::planned;
use super::source::Sources;
use super::sql::logical_plan;
use crate::digest::sha256_parts;
use crate::product::{AggregateProduct, Arguments, Product, literal_scalar};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use std::fmt;
use std::sync::Arc;
use yunei_audit::Recorded;
use yunei_policy::authorise::Authorised;
use yunei_policy::clear::{Clearance, Preferences, clear_with};
use yunei_policy::facts::PlanFacts;
use yunei_policy::rules::RuleSet;
use yunei_policy::{Refusal, Refused};

/// What can be said of a product before anybody runs it: nothing was opened.
#[derive(Debug)]
pub struct Checked {
    clearance: Clearance,
    columns: Vec<String>,
}

impl Checked {
    /// The charge of a run and the error to expect of each number.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// The columns of the result.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }
}

/// One use of an aggregate product that policy has cleared: parameters bound, charge known. Made by `prepare` only,
/// from an authorisation that stands in the log.
///
/// It can not be forged, copied or read from outside:
///
/// ```compile_fail,E0451
/// fn forge(question: String) -> yunei_engine::Planned { yunei_engine::Planned { question, ..unreachable!() } }
/// ```
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<yunei_engine::Planned>();
/// ```
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<yunei_engine::Planned>();
/// ```
pub struct Planned {
    authorised: Recorded<Authorised>,
    state: SessionState,
    plan: LogicalPlan,
    leaves: Vec<PrivateLeaf>,
    prepared: Vec<Option<Prepared>>,
    clearance: Clearance,
    question: String,
    arguments: String,
    digest: String,
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned").field("question", &self.question).finish_non_exhaustive()
    }
}

impl Planned {
    /// Who was authorised to do it.
    pub fn authorised(&self) -> &Authorised {
        self.authorised.get()
    }
    /// What it costs and how it is bounded.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }
    /// A digest over product, parameters, dataset versions, models and rules: what makes two uses the same question.
    pub fn question(&self) -> &str {
        &self.question
    }
    /// The parameters of this use, in one form per set of values.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }
    /// The digest of what is computed and released; the same on every machine.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }
    pub(crate) fn plan(&self) -> &LogicalPlan {
        &self.plan
    }
    pub(crate) fn leaves(&self) -> &[PrivateLeaf] {
        &self.leaves
    }
    /// What runs, per leaf; nothing where a leaf is under disclosure control, whose plan takes the run's key.
    pub(crate) fn prepared(&self) -> &[Option<Prepared>] {
        &self.prepared
    }
}

/// Checks a product for every value that its parameters may take.
///
/// # Errors
/// All the reasons why it may not run.
pub(crate) async fn check(
    product: &AggregateProduct,
    sources: &Sources,
    rules: &RuleSet,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Checked, Refused> {
    planned(check_here(product, sources, rules, runtime)).await
}

async fn check_here(
    product: &AggregateProduct,
    sources: &Sources,
    rules: &RuleSet,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Checked, Refused> {
    let state = sources.session(runtime)?;
    let plan = logical_plan(&state, product).await?;
    let plan = normalise(plan, &state).map_err(|e| unsupported(&e))?;
    let (found, clearance) = clear_plan(&plan, product, rules, sources)?;
    // A placeholder has no value that the engine could plan with: one of each parameter's stands in for it.
    let values: Vec<_> =
        product.parameters().iter().map(|p| (p.name().to_owned(), literal_scalar(&p.sample()))).collect();
    let (sample, found, of_sample) = if values.is_empty() {
        (plan.clone(), found, None)
    } else {
        let sample = bind(plan.clone(), values)?;
        let (found, cleared) = clear_plan(&sample, product, rules, sources)?;
        (sample, found, Some(cleared))
    };
    let cleared = of_sample.as_ref().unwrap_or(&clearance);
    let leaves = private_leaves(found, sources);
    prepare_all(&leaves, cleared, &state).await?;
    probe(&sample, &leaves, cleared, &state).await.map_err(|e| unsupported(&e))?;
    let columns = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    Ok(Checked { clearance, columns })
}

/// Plans one use of a product.
///
/// # Errors
/// All the reasons why it may not run.
pub(crate) async fn prepare(
    authorised: Recorded<Authorised>,
    product: &Product,
    aggregate: &AggregateProduct,
    arguments: &Arguments,
    sources: &Sources,
    rules: &RuleSet,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Planned, Refused> {
    let planning = async {
        let state = sources.session(runtime)?;
        let plan = logical_plan(&state, aggregate).await?;
        let plan = bind(plan, arguments.scalars())?;
        let plan = normalise(plan, &state).map_err(|e| unsupported(&e))?;
        let (found, clearance) = clear_plan(&plan, aggregate, rules, sources)?;
        let leaves = private_leaves(found, sources);
        let prepared = prepare_all(&leaves, &clearance, &state).await?;
        probe(&plan, &leaves, &clearance, &state).await.map_err(|e| unsupported(&e))?;
        let digest = plan_digest(&plan, &leaves, &clearance)
            .map_err(|_| Refusal::new("plan/internal", "执行计划无法构造", "the plan can not be made"))?;
        Ok::<_, Refused>((state, plan, leaves, prepared, clearance, digest))
    };
    let (state, plan, leaves, prepared, clearance, digest) = planned(planning).await?;
    let question = question(product, arguments, sources, rules);
    let arguments = arguments.canonical();
    Ok(Planned { authorised, state, plan, leaves, prepared, clearance, question, arguments, digest })
}

/// What `prepare` makes of a product without parameters, where nothing is to be charged or released: for measurements and
/// tests.
#[cfg(any(test, feature = "measure"))]
pub(crate) async fn prepare_unauthorised(
    product: &AggregateProduct,
    sources: &Sources,
    rules: &RuleSet,
    runtime: &Arc<RuntimeEnv>,
) -> Result<(Vec<Option<Prepared>>, Clearance, SessionState), Refused> {
    let planning = async {
        let state = sources.session(runtime)?;
        let plan = logical_plan(&state, product).await?;
        let plan = normalise(plan, &state).map_err(|e| unsupported(&e))?;
        let (found, clearance) = clear_plan(&plan, product, rules, sources)?;
        let leaves = private_leaves(found, sources);
        let prepared = prepare_all(&leaves, &clearance, &state).await?;
        probe(&plan, &leaves, &clearance, &state).await.map_err(|e| unsupported(&e))?;
        Ok((prepared, clearance, state))
    };
    planned(planning).await
}

fn private_leaves(found: Vec<FoundLeaf>, sources: &Sources) -> Vec<PrivateLeaf> {
    let domains = domains(sources);
    found.into_iter().map(|l| PrivateLeaf { node: l.node, domains: domains.clone() }).collect()
}

/// Plans every leaf down to its operators and checks them; nothing is opened.
async fn prepare_all(
    leaves: &[PrivateLeaf],
    clearance: &Clearance,
    state: &SessionState,
) -> Result<Vec<Option<Prepared>>, Refused> {
    let mut prepared = Vec::with_capacity(leaves.len());
    for (leaf, clearance) in leaves.iter().zip(clearance.leaves()) {
        prepared.push(match clearance.statistical() {
            Some(_) => {
                check_units(leaf, clearance, state).await?;
                None
            }
            None => Some(prepare_leaf(leaf, clearance, state).await?),
        });
    }
    Ok(prepared)
}

/// Puts the arguments in the place of the parameters.
fn bind(plan: LogicalPlan, values: Vec<(String, ScalarValue)>) -> Result<LogicalPlan, Refused> {
    let failed = || Refused::from(Refusal::new("parameter/bind", "参数无法代入", "the parameters can not be put in"));
    if values.is_empty() {
        return Ok(plan);
    }
    let values = datafusion::common::ParamValues::from(values.into_iter().collect::<std::collections::HashMap<_, _>>());
    let plan = plan.with_param_values(values).map_err(|_| failed())?;
    let mut left = false;
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            left |= expr.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(|_| failed())?;
    if left { Err(failed()) } else { Ok(plan) }
}

fn clear_plan(
    plan: &LogicalPlan,
    product: &AggregateProduct,
    rules: &RuleSet,
    sources: &Sources,
) -> Result<(Vec<FoundLeaf>, Clearance), Refused> {
    let mut teller = Teller { reasons: Vec::new(), parameters: product.parameters(), copies: MAX_COPIES };
    let leaves = find(plan, &mut teller);
    let domains = domains(sources);
    for leaf in &leaves {
        for text in texts_without_code(&leaf.node.input, &leaf.node, &domains).unwrap_or_else(|_| vec![String::new()]) {
            teller.reasons.push(
                Refusal::new(
                    "model/text-feature",
                    "文本不能进入模型，除非是声明了取值范围的列",
                    "text can not enter a model unless it is a column with a declared domain",
                )
                .at(text)
                .hint("请在目录中用 values 声明该列的取值", "declare the column's values in the catalogue entry"),
            );
        }
    }
    let facts =
        PlanFacts { leaves: leaves.iter().map(|l| l.facts.clone()).collect(), demand: product.demand().cloned() };
    let mut reasons = teller.reasons;
    let weights = super::weights::weights(plan, &leaves, product.weights(), &mut reasons);
    let cleared = clear_with(&facts, rules, &Preferences { mechanism: product.mechanism(), weights });
    match (cleared, reasons.is_empty()) {
        (Ok(clearance), true) => Ok((leaves, clearance)),
        (Ok(_), false) => Err(Refused::unless(reasons, ()).expect_err("there are reasons")),
        (Err(refused), _) => {
            reasons.extend(refused.reasons().iter().cloned());
            Err(Refused::unless(reasons, ()).expect_err("there are reasons"))
        }
    }
}

fn domains(sources: &Sources) -> Domains {
    let mut domains = Domains::new();
    for source in &sources.datasets {
        text_domains(&source.spec.scan(), &mut domains);
    }
    domains
}

/// The digest of a question: everything that its answer depends on but the noise.
fn question(product: &Product, arguments: &Arguments, sources: &Sources, rules: &RuleSet) -> String {
    let canonical = arguments.canonical();
    let mut parts: Vec<&[u8]> = vec![product.text().as_bytes(), canonical.as_bytes(), rules.text().as_bytes()];
    let files: Vec<[u8; 32]> =
        sources.datasets.iter().flat_map(|d| d.files.iter().map(|f| *f.sha256().as_bytes())).collect();
    let epochs: Vec<[u8; 4]> = sources.datasets.iter().map(|d| d.epoch.to_le_bytes()).collect();
    for (source, epoch) in sources.datasets.iter().zip(&epochs) {
        parts.push(source.spec.text().as_bytes());
        parts.push(epoch);
    }
    parts.extend(files.iter().map(<[u8; 32]>::as_slice));
    for model in &sources.models {
        parts.push(model.manifest().version().as_bytes());
        parts.push(model.digest().as_bytes());
    }
    hex::encode(sha256_parts("yunei/question/1", &parts))
}

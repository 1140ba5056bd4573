//! The decision over a whole plan.

use super::keys::domains;
use super::limits::too_large;
use super::measures::{Plan, Reach, Share, expected, plan};
use super::relation::{Rows, Walk};
use super::statistical::{self, StatisticalLeaf};
use super::value::Work;
use super::{Clearance, KeyDomain, LeafClearance, Mechanism, Preferences};
use crate::accounting::{Charge, Delta, Rho, limit_of};
use crate::facts::{Leaf, PlanFacts, PrivacyDemand};
use crate::refusal::{Refusal, Refused};
use crate::rules::RuleSet;
use crate::words::ReleaseClass;
use std::rc::Rc;

/// The most rows that a unit may have in a leaf's input; more means that a join multiplies without end.
const MOST_ROWS_PER_UNIT: u64 = 10_000_000;

/// The largest weight of an aggregate.
const MOST_WEIGHT: u32 = 1_000;

/// A private leaf before the charge is split.
struct Draft<'f> {
    leaf: &'f Leaf,
    class: ReleaseClass,
    keys: Vec<KeyDomain>,
    unit: Option<usize>,
    rows_per_unit: u64,
    reach: Reach,
    plan: Plan,
    open: bool,
    /// Given where disclosure control protects it, which costs no budget.
    statistical: Option<StatisticalLeaf>,
}

/// Decides over a plan, with Gaussian noise split evenly over its sums. See [`clear_with`].
///
/// # Errors
/// All the reasons against it, at once.
pub fn clear(facts: &PlanFacts, rules: &RuleSet) -> Result<Clearance, Refused> {
    clear_with(facts, rules, &Preferences::default())
}

/// Decides over a plan. Total: it never panics, and its time and memory are bounded by the plan limits of the rules.
///
/// # Errors
/// All the reasons against it, at once.
pub fn clear_with(facts: &PlanFacts, rules: &RuleSet, preferences: &Preferences) -> Result<Clearance, Refused> {
    if let Some(refusal) = too_large(facts, rules.plan()) {
        return Err(refusal.into());
    }
    let mut reasons = Vec::new();
    check_weights(preferences, &mut reasons);
    let work = Rc::new(Work::of_one_plan());
    let mut drafts: Vec<Option<Draft<'_>>> = Vec::with_capacity(facts.leaves.len());
    for (index, leaf) in facts.leaves.iter().enumerate() {
        let weights = preferences.weights.get(index).map_or(&[][..], Vec::as_slice);
        drafts.push(draft(leaf, facts.demand.as_ref(), rules, weights, &work, &mut reasons));
    }
    let noisy = || drafts.iter().flatten().filter(|d| d.statistical.is_none());
    let private = noisy().count() as u64;
    let open_keys = noisy().filter(|d| d.open).count() as u64;
    let whole = if private == 0 { None } else { whole(facts, rules, preferences.mechanism, &mut reasons) };
    if let Some(refused) = Refused::from_reasons(reasons) {
        return Err(refused);
    }
    let per_run = Delta::from_f64(rules.personal().threshold_delta_per_run()).unwrap_or(Delta::ZERO);
    let threshold = Delta::from_units(per_run.units() / open_keys.max(1));
    let mut leaves = Vec::with_capacity(drafts.len());
    let mut errors = Vec::new();
    let mut charge = Charge { rho: Rho::ZERO, delta: if open_keys > 0 { per_run } else { Delta::ZERO } };
    for (index, draft) in drafts.into_iter().enumerate() {
        let leaf = match (draft, whole) {
            (Some(Draft { leaf, keys, unit, rows_per_unit, statistical: Some(plan), .. }), _) => {
                errors.extend(statistical::expected(index, &leaf.aggregates, &plan, rules.statistical()));
                statistical::clearance(keys, unit, rows_per_unit, plan)
            }
            (Some(draft), Some(whole)) => {
                let aggregates = &draft.leaf.aggregates;
                let leaf = finish(draft, whole.part(1, private), threshold).ok_or_else(too_small)?;
                errors.extend(expected(index, aggregates, &leaf.measures, &leaf.estimators));
                leaf
            }
            _ => open_leaf(&facts.leaves[index]),
        };
        charge.rho = Rho::from_units(charge.rho.units().saturating_add(leaf.charge.rho.units()));
        leaves.push(leaf);
    }
    let class = leaves.iter().map(|l| l.class).min().unwrap_or(ReleaseClass::Open);
    let epsilon = facts.demand.as_ref().filter(|_| private > 0).map_or(0.0, |d| d.epsilon);
    let delta = match preferences.mechanism {
        _ if private == 0 => 0.0,
        Mechanism::Gaussian => rules.personal().delta(),
        Mechanism::Laplace => charge.delta.to_f64(),
    };
    Ok(Clearance { leaves, charge, epsilon, delta, class, expected: errors })
}

fn check_weights(preferences: &Preferences, reasons: &mut Vec<Refusal>) {
    if preferences.weights.iter().flatten().any(|w| *w == 0 || *w > MOST_WEIGHT) {
        reasons.push(
            Refusal::new(
                "privacy/weights",
                format!("权重须在 1 与 {MOST_WEIGHT} 之间"),
                format!("weights must lie between 1 and {MOST_WEIGHT}"),
            )
            .at("product.privacy.weights"),
        );
    }
}

fn finish(draft: Draft<'_>, share: Share, threshold: Delta) -> Option<LeafClearance> {
    let Draft { class, keys, unit, rows_per_unit, reach, plan, open, .. } = draft;
    let measures = plan.measures(&reach, share)?;
    let delta = if open { threshold } else { Delta::ZERO };
    Some(LeafClearance {
        class,
        keys,
        unit,
        bounding: plan.bounding(&reach),
        estimators: plan.estimators(),
        threshold: plan.threshold(&measures, &reach, delta.to_f64()),
        measures,
        rows_per_unit,
        charge: Charge { rho: plan.cost(share)?, delta },
        statistical: None,
    })
}

fn open_leaf(leaf: &Leaf) -> LeafClearance {
    LeafClearance {
        class: ReleaseClass::Open,
        keys: vec![KeyDomain::Open; leaf.keys.len()],
        unit: None,
        bounding: None,
        measures: Vec::new(),
        rows_per_unit: 0,
        estimators: Vec::new(),
        threshold: None,
        charge: Charge::ZERO,
        statistical: None,
    }
}

/// Looks at one leaf; `None` where all its data is open.
fn draft<'f>(
    leaf: &'f Leaf,
    demand: Option<&PrivacyDemand>,
    rules: &RuleSet,
    weights: &[u32],
    work: &Rc<Work>,
    reasons: &mut Vec<Refusal>,
) -> Option<Draft<'f>> {
    let mut walk = Walk::new(Rc::clone(work));
    let rows = walk.rows(&leaf.input);
    if rows.private.is_none() {
        reasons.append(&mut walk.reasons);
        return None;
    }
    if leaf.aggregates.is_empty() {
        walk.reasons.push(
            Refusal::new("aggregate/none", "分组查询须含聚合函数", "groups must be aggregated").at("GROUP BY").hint(
                "加入 COUNT(*)；DISTINCT 请改写为 GROUP BY 与 COUNT(*)",
                "add COUNT(*); write DISTINCT as GROUP BY with COUNT(*)",
            ),
        );
    }
    let keys = domains(&mut walk, &rows, &leaf.keys, rules.personal().max_cells());
    let open = keys.contains(&KeyDomain::Open);
    let plan = plan(&mut walk, &rows, &leaf.aggregates, open, weights);
    let touched = leaf.keys.iter().map(|k| rows.variety(&k.expression)).fold(1, u64::saturating_mul);
    let reach = reach(&rows, &keys, touched, &plan, demand, rules);
    check_numbers(&mut walk, &keys, &plan);
    let unit = rows.unit_column();
    let statistical =
        (rows.class == ReleaseClass::Statistical).then(|| statistical::plan(&mut walk, &rows, leaf, &keys));
    if rows.per_unit > MOST_ROWS_PER_UNIT {
        // A join that is refused anyway has no meaningful number of rows.
        if !walk.reasons.iter().any(|r| r.code().starts_with("join/")) {
            walk.reasons.push(amplified());
        }
    } else if statistical.is_none() && !rows.has_unit && plan.bounding(&reach).is_some() {
        walk.reasons.push(
            Refusal::new("unit/lost", "内层查询须保留数据主体列", "the unit column must stay in the inner query")
                .hint("在子查询的 SELECT 中保留主体列", "keep the unit column in the SELECT of the subquery"),
        );
    }
    reasons.append(&mut walk.reasons);
    Some(Draft { leaf, class: rows.class, keys, unit, rows_per_unit: rows.per_unit, reach, plan, open, statistical })
}

/// At most how many noisy numbers the grid of one leaf may have: each is drawn exactly.
const MOST_NUMBERS: usize = 200_000;

/// A histogram has a number per bar and cell.
fn check_numbers(walk: &mut Walk, keys: &[KeyDomain], plan: &Plan) {
    let cells = keys.iter().try_fold(1usize, |cells, key| match key {
        KeyDomain::Declared(values) => Some(cells.saturating_mul(values.len())),
        KeyDomain::Open => None,
    });
    let Some(cells) = cells else { return };
    if plan.has_bars() && cells.saturating_mul(plan.width()) > MOST_NUMBERS {
        walk.reasons.push(
            Refusal::new(
                "group/too-many-numbers",
                format!("分位数要为每一格计算直方图，合计超过 {MOST_NUMBERS} 个数"),
                format!("quantiles need a histogram for each cell: more than {MOST_NUMBERS} numbers in all"),
            )
            .at("GROUP BY")
            .hint("减少分组列，或合并为较宽的区间", "group by fewer keys, or by wider bands"),
        );
    }
}

fn amplified() -> Refusal {
    Refusal::new(
        "join/amplification",
        format!("连接后一个主体可能超过 {MOST_ROWS_PER_UNIT} 行"),
        format!("after the joins one unit may have more than {MOST_ROWS_PER_UNIT} rows"),
    )
    .hint("先按主体列聚合，再连接", "aggregate by the unit before joining")
}

/// How far one unit reaches. A limit on its groups is only taken where it makes the noise of some measure smaller: it
/// costs rows and a pass.
fn reach(
    rows: &Rows,
    keys: &[KeyDomain],
    touched: u64,
    plan: &Plan,
    demand: Option<&PrivacyDemand>,
    rules: &RuleSet,
) -> Reach {
    let cells = keys.iter().fold(1u64, |cells, key| match key {
        KeyDomain::Declared(values) => cells.saturating_mul(values.len().max(1) as u64),
        KeyDomain::Open => u64::MAX,
    });
    // `touched`: the groups that a unit's own rows can name; 1 where the keys are constant over them.
    let natural = cells.min(rows.per_unit).min(touched).max(1);
    let demanded = demand.and_then(|d| d.max_groups);
    let wanted = match (demanded, rows.most_groups) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(rules.personal().max_groups()),
    }
    .max(1);
    let limit = (u64::from(wanted) < natural).then_some(wanted);
    let all_rows = u32::try_from(rows.per_unit).unwrap_or(u32::MAX).max(1);
    let free = Reach {
        rows: rows.per_unit.max(1),
        rows_per_group: demand.and_then(|d| d.max_rows).map_or(all_rows, |most| most.min(all_rows)).max(1),
        groups: natural,
        limit: None,
    };
    let limited = Reach { groups: limit.map_or(natural, u64::from), limit, ..free };
    if plan.is_sharper(&limited, &free) { limited } else { free }
}

/// What the whole run may spend; nothing where the demand is refused.
fn whole(facts: &PlanFacts, rules: &RuleSet, mechanism: Mechanism, reasons: &mut Vec<Refusal>) -> Option<Share> {
    let most = rules.personal().max_epsilon_per_run();
    let Some(demand) = &facts.demand else {
        reasons.push(
            Refusal::new("privacy/no-epsilon", "产品未声明隐私要求", "the product does not say its privacy demand")
                .at("product.privacy")
                .hint("加入 [product.privacy] epsilon = 0.5", "add [product.privacy] epsilon = 0.5"),
        );
        return None;
    };
    let epsilon = demand.epsilon;
    if epsilon.is_nan() || epsilon <= 0.0 {
        reasons.push(
            Refusal::new("privacy/epsilon-not-positive", "epsilon 须为正数", "epsilon must be positive")
                .at("product.privacy.epsilon"),
        );
        return None;
    }
    if epsilon > most {
        reasons.push(
            Refusal::new(
                "privacy/epsilon-too-large",
                format!("单次使用的 epsilon 不得超过 {most}"),
                format!("epsilon of one run must not exceed {most}"),
            )
            .at("product.privacy.epsilon"),
        );
        return None;
    }
    if demand.max_groups == Some(0) || demand.max_rows == Some(0) {
        reasons.push(
            Refusal::new(
                "privacy/zero-limit",
                "max_groups 与 max_rows 至少为 1",
                "max_groups and max_rows must be at least 1",
            )
            .at("product.privacy"),
        );
    }
    match mechanism {
        Mechanism::Laplace => Some(Share::Epsilon(epsilon)),
        Mechanism::Gaussian => {
            let rho = limit_of(rules, epsilon).rho;
            if rho == Rho::ZERO {
                reasons.extend(too_small().reasons().iter().cloned());
            }
            Some(Share::Rho(rho))
        }
    }
}

fn too_small() -> Refused {
    Refusal::new("privacy/epsilon-too-small", "epsilon 过小，结果将毫无意义", "epsilon is too small to mean anything")
        .at("product.privacy.epsilon")
        .into()
}

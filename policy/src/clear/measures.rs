//! From aggregates to measures: which sums are needed, how they are bounded, and what noise they get.

use super::relation::{Rows, Walk};
use super::value::{Cause, Value};
use super::{Bounding, Estimator, ExpectedError, HalfWidth, Measure, MeasureKind, Noise, Sigma, Threshold};
use crate::accounting::Rho;
use crate::facts::{Aggregate, AggregateFunction, Expression};
use crate::refusal::Refusal;
use crate::words::Usage;

/// z of a two-sided 95 % interval.
pub(crate) const Z95: f64 = 1.959_963_984_540_054;

/// At most how many bars the histogram of a quantile has.
pub(crate) const MOST_BARS: u32 = 64;

/// A measure before its noise is known.
#[derive(Debug, Clone, PartialEq)]
struct Draft {
    kind: MeasureKind,
    argument: Option<(usize, usize)>,
    /// Bounds of a row's value.
    range: (f64, f64),
    offset: f64,
}

/// What a leaf, or one measure of it, may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    /// zCDP's ρ, for Gaussian noise.
    Rho(Rho),
    /// Pure ε, for Laplace noise.
    Epsilon(f64),
}

impl Share {
    /// `part / whole` of it, rounded down.
    #[allow(clippy::cast_possible_truncation, reason = "a part is no larger than the whole")]
    pub(crate) fn part(self, part: u64, whole: u64) -> Self {
        let whole = whole.max(1);
        match self {
            Share::Rho(rho) => {
                Share::Rho(Rho::from_units((u128::from(rho.units()) * u128::from(part) / u128::from(whole)) as u64))
            }
            #[allow(clippy::cast_precision_loss, reason = "weights are small")]
            Share::Epsilon(epsilon) => {
                Share::Epsilon((epsilon * (part as f64 / whole as f64) * (1.0 - 1e-15)).max(0.0))
            }
        }
    }

    /// What it costs in zCDP: a mechanism of pure ε is ε²/2-zCDP (Bun & Steinke 2016, proposition 1.4).
    pub(crate) fn cost(self) -> Option<Rho> {
        match self {
            Share::Rho(rho) => Some(rho),
            Share::Epsilon(epsilon) => Rho::from_f64(epsilon * epsilon / 2.0),
        }
    }
}

/// What a leaf computes, before the charge is split.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    drafts: Vec<Draft>,
    /// The weight of each draft that leads a family (see [`Plan::leader`]).
    weights: Vec<u32>,
    estimators: Vec<Estimator>,
    threshold: Option<usize>,
}

/// By how much one unit can change things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Rows of a unit in the leaf's input.
    pub(crate) rows: u64,
    /// Rows of a unit that count in one group.
    pub(crate) rows_per_group: u32,
    /// Groups that a unit can touch.
    pub(crate) groups: u64,
    /// The limit that the engine must enforce for that; `None` where it holds anyway.
    pub(crate) limit: Option<u32>,
}

impl Reach {
    /// The largest L2 norm of a vector of counts: each at most `c`, at most `groups` of them, `rows` in all. The norm is
    /// convex, so that filling groups one after the other is the worst case.
    #[allow(clippy::cast_precision_loss, reason = "rounded up at the end")]
    pub(crate) fn norm(&self, c: u32) -> f64 {
        let c = u64::from(c);
        let full = self.groups.min(self.rows / c);
        let rest = if full < self.groups { (self.rows - full * c).min(c) } else { 0 };
        let (c, full, rest) = (c as f64, full as f64, rest as f64);
        let norm = (full * c * c + rest * rest).sqrt();
        norm * (1.0 + 1e-12)
    }

    /// The largest L1 norm of such a vector.
    #[allow(clippy::cast_precision_loss, reason = "rounded up at the end")]
    fn norm_1(&self, c: u32) -> f64 {
        self.groups.saturating_mul(u64::from(c)).min(self.rows) as f64 * (1.0 + 1e-12)
    }
}

/// The measures of a leaf's aggregates.
pub(crate) fn plan(walk: &mut Walk, rows: &Rows, aggregates: &[Aggregate], open_keys: bool, weights: &[u32]) -> Plan {
    let mut plan = Plan::default();
    let values: Vec<Option<Value>> = aggregates.iter().map(|a| a.arguments.first().map(|x| rows.evaluate(x))).collect();
    // An argument that needs its rows counted anyway (for a mean) gives its sum from the centred one.
    let centred: Vec<bool> =
        aggregates.iter().map(|a| aggregates.iter().any(|b| is_mean(b) && a.arguments == b.arguments)).collect();
    for (at, aggregate) in aggregates.iter().enumerate() {
        check_argument(walk, rows, aggregate);
        let estimator = match (&aggregate.function, &values[at]) {
            (AggregateFunction::Count, None) => Some(Estimator::Count { rows: plan.rows(None) }),
            (AggregateFunction::Count, Some(value)) => {
                Some(Estimator::Count { rows: plan.rows_of(aggregates, at, value) })
            }
            (AggregateFunction::CountDistinct, Some(_)) if rows.is_unit_column(&aggregate.arguments[0]) => {
                Some(Estimator::Count { rows: plan.units(rows.per_unit, None) })
            }
            (AggregateFunction::CountDistinct, Some(_)) if rows.unit_where(&aggregate.arguments[0]).is_some() => {
                let argument = Some(first_with(aggregates, at));
                Some(Estimator::Count { rows: plan.units(rows.per_unit, argument) })
            }
            (AggregateFunction::CountDistinct, _) => {
                walk.reasons.push(only_units(aggregate));
                None
            }
            (AggregateFunction::Min | AggregateFunction::Max, _) => {
                walk.reasons.push(min_max(aggregate));
                None
            }
            (AggregateFunction::UnitModel { .. }, _) => {
                walk.reasons.push(unit_model(aggregate));
                None
            }
            (AggregateFunction::Quantile { q }, Some(value)) => bounds(value, aggregate, &mut walk.reasons)
                .map(|range| plan.quantile(first_with(aggregates, at), value, range, *q)),
            (_, Some(value)) => bounds(value, aggregate, &mut walk.reasons)
                .map(|range| plan.numeric(aggregates, at, value, range, centred[at])),
            (_, None) => {
                walk.reasons.push(not_a_number(aggregate));
                None
            }
        };
        // Where a reason was found the plan is not used; the slot keeps positions right.
        plan.estimators.push(estimator.unwrap_or(Estimator::Count { rows: 0 }));
    }
    if open_keys {
        plan.threshold = Some(plan.units(rows.per_unit, None));
    }
    plan.weigh(weights);
    plan
}

fn is_mean(aggregate: &Aggregate) -> bool {
    use AggregateFunction as F;
    matches!(aggregate.function, F::Avg | F::Variance | F::VariancePop | F::Stddev | F::StddevPop)
}

fn check_argument(walk: &mut Walk, rows: &Rows, aggregate: &Aggregate) {
    for argument in &aggregate.arguments {
        let distinct_unit = aggregate.function == AggregateFunction::CountDistinct && rows.is_unit_column(argument);
        if distinct_unit {
            continue;
        }
        if let Some(condition) =
            rows.unit_where(argument).filter(|_| aggregate.function == AggregateFunction::CountDistinct)
        {
            walk.check(&rows.origins(condition), Usage::Filter, &aggregate.text);
            continue;
        }
        walk.check(&rows.origins(argument), Usage::Aggregate, &aggregate.text);
    }
}

impl Plan {
    fn add(&mut self, draft: Draft) -> usize {
        self.drafts.iter().position(|d| *d == draft).unwrap_or_else(|| {
            self.drafts.push(draft);
            self.drafts.len() - 1
        })
    }

    fn rows(&mut self, argument: Option<(usize, usize)>) -> usize {
        self.add(Draft { kind: MeasureKind::Rows, argument, range: (1.0, 1.0), offset: 0.0 })
    }

    /// Rows where the argument is not NULL; the first aggregate with that argument stands for all.
    fn rows_of(&mut self, aggregates: &[Aggregate], at: usize, value: &Value) -> usize {
        self.rows(value.nullable.then(|| first_with(aggregates, at)))
    }

    /// Distinct units (with an argument: those of which some row has one); where a unit has one row, rows are units.
    fn units(&mut self, rows_per_unit: u64, argument: Option<(usize, usize)>) -> usize {
        if rows_per_unit <= 1 {
            return self.rows(argument);
        }
        self.add(Draft { kind: MeasureKind::Units, argument, range: (1.0, 1.0), offset: 0.0 })
    }

    /// A histogram over the range of the argument: one bar per value where it has few, else [`MOST_BARS`] of the same width.
    fn quantile(&mut self, argument: (usize, usize), value: &Value, range: (f64, f64), q: f64) -> Estimator {
        let (lo, hi) = match value.whole {
            true => (range.0.ceil() - 0.5, range.1.floor() + 0.5),
            false if range.0 < range.1 => range,
            false => (range.0 - 0.5, range.0 + 0.5),
        };
        let values = hi - lo;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared first")]
        let of = if value.whole && values <= f64::from(MOST_BARS) { values.max(1.0) as u32 } else { MOST_BARS };
        let bar =
            |at| Draft { kind: MeasureKind::Bar { at, of }, argument: Some(argument), range: (lo, hi), offset: 0.0 };
        let first = self.add(bar(0));
        for at in 1..of {
            self.add(bar(at));
        }
        Estimator::Quantile { first, bars: of as usize, q, lo: range.0, hi: range.1 }
    }

    /// The first bar of a histogram's bar, itself for every other measure. One row falls into one bar, so that all bars
    /// together are one vector of counts, charged once.
    fn leader(&self, at: usize) -> usize {
        match self.drafts.get(at).map(|d| d.kind) {
            Some(MeasureKind::Bar { at: bar, .. }) => at.saturating_sub(bar as usize),
            _ => at,
        }
    }

    /// Whether there is a histogram.
    pub(crate) fn has_bars(&self) -> bool {
        self.drafts.iter().any(|d| matches!(d.kind, MeasureKind::Bar { .. }))
    }

    /// How many numbers each cell has.
    pub(crate) fn width(&self) -> usize {
        self.drafts.len()
    }

    fn numeric(
        &mut self,
        aggregates: &[Aggregate],
        at: usize,
        value: &Value,
        range: (f64, f64),
        centred: bool,
    ) -> Estimator {
        use AggregateFunction as F;
        let argument = Some(first_with(aggregates, at));
        let offset = if centred { f64::midpoint(range.0, range.1) } else { 0.0 };
        let sum = self.add(Draft { kind: MeasureKind::Sum, argument, range, offset });
        let function = &aggregates[at].function;
        if *function == F::Sum {
            let rows = (centred && offset != 0.0).then(|| self.rows_of(aggregates, at, value));
            return Estimator::Sum { sum, rows };
        }
        let rows = self.rows_of(aggregates, at, value);
        if *function == F::Avg {
            return Estimator::Avg { sum, rows };
        }
        let squares = self.add(Draft { kind: MeasureKind::SumOfSquares, argument, range, offset });
        let sample = matches!(function, F::Variance | F::Stddev);
        let root = matches!(function, F::Stddev | F::StddevPop);
        Estimator::Variance { sum, squares, rows, sample, root }
    }

    /// Gives each measure the largest weight of the aggregates that use it; 1 where nobody does (a threshold).
    fn weigh(&mut self, weights: &[u32]) {
        self.weights = vec![0; self.drafts.len()];
        for (at, estimator) in self.estimators.iter().enumerate() {
            let weight = weights.get(at).copied().unwrap_or(1);
            for measure in estimator.measures().into_iter().flatten() {
                if let Some(slot) = self.weights.get_mut(measure) {
                    *slot = weight.max(*slot);
                }
            }
        }
        self.weights.iter_mut().for_each(|w| *w = (*w).max(1));
    }

    fn shares(&self, share: Share) -> Vec<Share> {
        let leads = |at: &usize| self.leader(*at) == *at;
        let whole = (0..self.weights.len()).filter(leads).map(|at| u64::from(self.weights[at])).sum();
        (0..self.weights.len()).map(|at| share.part(u64::from(self.weights[self.leader(at)]), whole)).collect()
    }

    /// What spending `share` costs in zCDP, rounded up.
    pub(crate) fn cost(&self, share: Share) -> Option<Rho> {
        if let Share::Rho(rho) = share {
            return Some(rho);
        }
        let shares = self.shares(share).into_iter().enumerate().filter(|(at, _)| self.leader(*at) == *at);
        let costs = shares.map(|(_, share)| share.cost());
        costs.map(|rho| rho.map(Rho::units)).sum::<Option<u64>>().map(Rho::from_units)
    }

    /// Whether units must be told apart.
    fn counts_units(&self) -> bool {
        self.drafts.iter().any(|d| d.kind == MeasureKind::Units)
    }

    /// Whether some measure gets less noise by `a` than by `b`.
    pub(crate) fn is_sharper(&self, a: &Reach, b: &Reach) -> bool {
        let norm = |reach: &Reach, draft: &Draft| reach.norm(draft.rows_per_group(reach));
        self.drafts.iter().any(|draft| norm(a, draft) < norm(b, draft))
    }

    /// How the engine must bound contributions; `None` where it need not.
    pub(crate) fn bounding(&self, reach: &Reach) -> Option<Bounding> {
        let rows_limited = u64::from(reach.rows_per_group) < reach.rows;
        let needed = reach.rows > 1 && (reach.limit.is_some() || rows_limited || self.counts_units());
        needed.then_some(Bounding { max_groups: reach.limit, max_rows_per_group: reach.rows_per_group })
    }

    /// The measures with their noise: `share` is split by weight.
    pub(crate) fn measures(&self, reach: &Reach, share: Share) -> Option<Vec<Measure>> {
        let shares = self.shares(share);
        self.drafts.iter().zip(shares).map(|(draft, share)| draft.measure(reach, share)).collect()
    }

    pub(crate) fn estimators(&self) -> Vec<Estimator> {
        self.estimators.clone()
    }

    /// τ of open keys for `delta`: `1 + σ √(2 ln(k/δ))` for Gaussian, `1 + b ln(k/δ)` for Laplace noise.
    ///
    /// A key that only one unit has shows iff the noise reaches τ − 1. Discrete Gaussian noise is sub-Gaussian (CKS 2020,
    /// lemma 24), and discrete Laplace noise reaches t with probability e^(−t/b) / (1 + e^(−1/b)), so that this has
    /// probability at most δ/k; a unit has at most k such keys.
    pub(crate) fn threshold(&self, measures: &[Measure], reach: &Reach, delta: f64) -> Option<Threshold> {
        let measure = self.threshold?;
        #[allow(clippy::cast_precision_loss, reason = "inside a logarithm, rounded up below")]
        let odds = (reach.groups as f64 / delta).ln();
        let reached = match measures.get(measure)?.noise {
            Noise::Gaussian(sigma) => sigma.to_f64() * (2.0 * odds).sqrt(),
            Noise::Laplace(scale) => scale.to_f64() * odds,
        };
        Some(Threshold { measure, tau: 1.0 + reached * (1.0 + 1e-9) })
    }
}

fn first_with(aggregates: &[Aggregate], at: usize) -> (usize, usize) {
    let arguments = &aggregates[at].arguments;
    (aggregates.iter().position(|a| a.arguments == *arguments).unwrap_or(at), 0)
}

impl Draft {
    /// How often one unit may count in one group.
    fn rows_per_group(&self, reach: &Reach) -> u32 {
        if self.kind == MeasureKind::Units { 1 } else { reach.rows_per_group }
    }

    fn measure(&self, reach: &Reach, share: Share) -> Option<Measure> {
        let (lo, hi) = self.range;
        let (least, most, scale) = match self.kind {
            MeasureKind::Rows | MeasureKind::Units | MeasureKind::Bar { .. } => (0, 1, 0),
            MeasureKind::Sum | MeasureKind::SumOfSquares => {
                let reach = (lo - self.offset).abs().max((hi - self.offset).abs());
                let square = self.kind == MeasureKind::SumOfSquares;
                grid(lo - self.offset, hi - self.offset, if square { reach * reach } else { reach }, square)
            }
        };
        let c = self.rows_per_group(reach);
        let magnitude = i128::max(-least, most);
        #[allow(clippy::cast_precision_loss, reason = "at most 2^32 and exact")]
        let magnitude = magnitude as f64;
        let (sensitivity, noise) = match share {
            Share::Rho(rho) => {
                let sensitivity = reach.norm(c) * magnitude;
                (sensitivity, Noise::Gaussian(Sigma::for_charge(sensitivity, rho)?))
            }
            Share::Epsilon(epsilon) => {
                let sensitivity = reach.norm_1(c) * magnitude;
                (sensitivity, Noise::Laplace(Sigma::rounded_up(sensitivity / epsilon)?))
            }
        };
        Some(Measure {
            kind: self.kind,
            argument: self.argument,
            lo,
            hi,
            offset: self.offset,
            scale,
            per_group: (i128::from(c) * least, i128::from(c) * most),
            sensitivity,
            noise,
        })
    }
}

/// The grid of a value in `[lo, hi]` (or of its square): the scale that puts the largest magnitude between 2^30 and 2^31,
/// and the least and greatest that one row contributes, one more than it can for the rounding.
#[allow(clippy::cast_possible_truncation, reason = "at most 2^31 + 1")]
fn grid(lo: f64, hi: f64, magnitude: f64, square: bool) -> (i128, i128, i32) {
    let magnitude = magnitude.max(1e-100);
    let scale = 30 - magnitude.log2().floor() as i32;
    let step = 2f64.powi(scale);
    if square {
        return (0, (magnitude * step).ceil() as i128 + 1, scale);
    }
    let least = ((lo * step).floor() as i128 - 1).min(0);
    let most = ((hi * step).ceil() as i128 + 1).max(0);
    (least, most, scale)
}

impl Sigma {
    /// σ with Δ²/(2σ²) ≤ ρ (CKS 2020, theorem 4), rounded up; nothing where ρ is 0 or σ is beyond all measure.
    pub(crate) fn for_charge(sensitivity: f64, rho: Rho) -> Option<Self> {
        if rho == Rho::ZERO {
            return None;
        }
        Self::rounded_up(sensitivity / (2.0 * rho.to_f64()).sqrt())
    }

    /// The number as a fraction that is no smaller; nothing where it is not positive or beyond all measure.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before the cast")]
    pub(crate) fn rounded_up(number: f64) -> Option<Self> {
        let number = number * (1.0 + 1e-12);
        if !(number > 0.0 && number < 1e33) {
            return None;
        }
        // Twenty binary digits after the point where they matter; every f64 above 2^40 is near enough to a whole number.
        let denominator: u128 = if number < 1_099_511_627_776.0 { 1 << 20 } else { 1 };
        let numerator = (number * denominator as f64).ceil() as u128 + 1;
        Some(Self { numerator, denominator })
    }

    /// As a number, for what is not noise.
    #[allow(clippy::cast_precision_loss, reason = "the exact fraction goes to the sampler")]
    pub(crate) fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl Estimator {
    /// The measures that it is made of.
    pub(crate) fn measures(&self) -> [Option<usize>; 3] {
        match *self {
            Estimator::Count { rows } => [Some(rows), None, None],
            Estimator::Sum { sum, rows } => [Some(sum), rows, None],
            Estimator::Avg { sum, rows } => [Some(sum), Some(rows), None],
            Estimator::Variance { sum, squares, rows, .. } => [Some(sum), Some(squares), Some(rows)],
            // The first bar stands for all.
            Estimator::Quantile { first, .. } => [Some(first), None, None],
        }
    }
}

/// How exact the estimates of a leaf will be.
pub(crate) fn expected(
    leaf: usize,
    aggregates: &[Aggregate],
    measures: &[Measure],
    estimators: &[Estimator],
) -> Vec<ExpectedError> {
    // Half of the 95 % interval over z: for Laplace noise P(|X| > b ln 20) is at most 5 %.
    let sigma = |at: usize| {
        let grid = match measures[at].noise {
            Noise::Gaussian(sigma) => sigma.to_f64(),
            Noise::Laplace(scale) => scale.to_f64() * 20f64.ln() / Z95,
        };
        grid / 2f64.powi(measures[at].scale())
    };
    let reach = |at: usize| (measures[at].hi() - measures[at].lo()) / 2.0;
    let all = aggregates.iter().zip(estimators).enumerate();
    all.map(|(aggregate, (facts, estimator))| {
        let half_width = match *estimator {
            Estimator::Count { rows } => HalfWidth::Absolute(Z95 * sigma(rows)),
            Estimator::Sum { sum, rows: None } => HalfWidth::Absolute(Z95 * sigma(sum)),
            Estimator::Sum { sum, rows: Some(rows) } => {
                HalfWidth::Absolute(Z95 * sigma(sum).hypot(measures[sum].offset() * sigma(rows)))
            }
            Estimator::Avg { sum, rows } => HalfWidth::OverRows(Z95 * sigma(sum).hypot(reach(sum) * sigma(rows))),
            Estimator::Variance { sum, squares, rows, root, .. } => {
                let h = reach(sum);
                let variance = sigma(squares).hypot(2.0 * h * sigma(sum)).hypot(h * h * sigma(rows));
                HalfWidth::OverRows(Z95 * if root { variance / h.max(f64::MIN_POSITIVE) } else { variance })
            }
            // The rank errs by the noise of half the bars; were the values spread evenly, that much of the range.
            Estimator::Quantile { first, bars, lo, hi, .. } => {
                #[allow(clippy::cast_precision_loss, reason = "few bars")]
                let rank = sigma(first) * (bars as f64).sqrt() / 2.0;
                HalfWidth::OverRows(Z95 * rank * (hi - lo))
            }
        };
        ExpectedError { leaf, aggregate, text: facts.text.clone(), half_width }
    })
    .collect()
}

fn bounds(value: &Value, aggregate: &Aggregate, reasons: &mut Vec<Refusal>) -> Option<(f64, f64)> {
    if !value.is_number() && value.kind != crate::facts::Kind::Bool {
        reasons.push(not_a_number(aggregate));
        return None;
    }
    match &value.range {
        Ok(range) => Some((range.lo(), range.hi())),
        Err(_) if value.null => Some((0.0, 0.0)),
        Err(cause) => {
            reasons.push(unbounded(aggregate, cause));
            None
        }
    }
}

fn unbounded(aggregate: &Aggregate, cause: &Cause) -> Refusal {
    let text = &aggregate.text;
    let inner = inner_text(aggregate);
    let refusal =
        Refusal::new("aggregate/unbounded-sum", format!("{text} 的取值须有上下界"), format!("{text} needs bounds"))
            .at(text);
    let clamp_zh = format!("或使用 clamp({inner}, 下限, 上限)");
    let clamp_en = format!("or use clamp({inner}, lo, hi)");
    match cause {
        Cause::Column(name) => refusal.hint(
            format!("请在目录中为 {name} 声明 min 与 max，{clamp_zh}"),
            format!("declare min and max of {name} in the catalogue {clamp_en}"),
        ),
        Cause::Parameter(name) => refusal.hint(
            format!("请为参数 {name} 声明 min 与 max，{clamp_zh}"),
            format!("declare min and max of the parameter {name} {clamp_en}"),
        ),
        Cause::Division => refusal.hint(
            format!("除数可能为 0：请用 greatest(除数, 1) 使其为正，{clamp_zh}"),
            format!("the divisor may be 0: keep it positive with greatest(divisor, 1) {clamp_en}"),
        ),
        Cause::Function(name) => refusal.hint(
            format!("{name} 的结果无界，{clamp_zh}"),
            format!("the result of {name} has no bounds; narrow its arguments {clamp_en}"),
        ),
        Cause::Text | Cause::Overflow => {
            refusal.hint(format!("请使用 clamp({inner}, 下限, 上限)"), format!("use clamp({inner}, lo, hi)"))
        }
    }
}

/// The argument as its author wrote it, from the text of the aggregate: what stands between the outer brackets.
fn inner_text(aggregate: &Aggregate) -> &str {
    let text = aggregate.text.as_str();
    match (text.find('('), text.rfind(')')) {
        (Some(open), Some(close)) if open < close => &text[open + 1..close],
        _ => "x",
    }
}

fn not_a_number(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "aggregate/kind",
        format!("{} 须以数值为参数", aggregate.text),
        format!("{} needs a number", aggregate.text),
    )
    .at(&aggregate.text)
}

fn only_units(aggregate: &Aggregate) -> Refusal {
    let distinct_of = matches!(aggregate.arguments.first(), Some(Expression::Column(_)));
    let refusal = Refusal::new(
        "aggregate/count-distinct",
        "COUNT(DISTINCT …) 只能用于数据主体列",
        "COUNT(DISTINCT …) is for the unit column only",
    )
    .at(&aggregate.text);
    if distinct_of {
        refusal.hint("改用 GROUP BY 该列后在外层计数", "group by that column and count above the aggregate")
    } else {
        refusal.hint("改用 COUNT(*)", "use COUNT(*)")
    }
}

fn min_max(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "aggregate/min-max",
        format!("{} 会泄露单个主体的取值", aggregate.text),
        format!("{} would tell the value of a single unit", aggregate.text),
    )
    .at(&aggregate.text)
    .hint(
        "改用 AVG、MEDIAN 或 APPROX_PERCENTILE_CONT(x, 0.95)，或按区间分组计数",
        "use AVG, MEDIAN or APPROX_PERCENTILE_CONT(x, 0.95), or count by bands",
    )
}

fn unit_model(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "aggregate/unit-model",
        "主体模型须在内层按主体列分组使用",
        "a unit model belongs into an inner aggregate grouped by the unit column",
    )
    .at(&aggregate.text)
}

//! What is known of a value before any data is read: its kind, its range, its domain, whether it may be NULL.
//!
//! Ranges are closed intervals, rounded outward (Moore 1966). They hold for every value that is neither NULL nor NaN. The
//! clamp of a measure is set from them and enforced at run time, so that a range that were wrong would cost exactness, not
//! privacy; a *derived key domain* is only taken from ranges marked `sure`, which no overflow can have left.

use crate::facts::{ColumnFacts, Interval, Kind, Literal};
use crate::keys::Ordered;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whole numbers up to here are exact in `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Whole numbers up to here are exact in `f32` too, which [`Kind::Float`] may be.
const EXACT_SINGLE: f64 = 16_777_216.0;
/// Bounds beyond this are as good as none: squares of them must stay finite.
pub(crate) const HUGE: f64 = 1e100;

/// Why a value has no range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The catalogue gives this column no bounds.
    Column(String),
    /// The parameter has no range.
    Parameter(String),
    /// A divisor may be 0.
    Division,
    /// A function whose result is not bounded by that of its arguments.
    Function(&'static str),
    /// A cast from text, or text itself.
    Text,
    /// The range is too large to be one.
    Overflow,
}

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) range: Result<Interval, Cause>,
    /// Whether the range cannot be left by integer overflow.
    pub(crate) sure: bool,
    /// Whether the value is a whole number.
    pub(crate) whole: bool,
    /// Which whole numbers, where it is one.
    pub(crate) lattice: Lattice,
    pub(crate) nullable: bool,
    /// Whether it is the literal NULL.
    pub(crate) null: bool,
    /// All that it may be, NULL aside.
    pub(crate) domain: Option<Arc<Vec<Literal>>>,
}

impl Value {
    pub(crate) fn new(kind: Kind, range: Result<Interval, Cause>) -> Self {
        let range = match range {
            Ok(r) if r.lo() < -HUGE || r.hi() > HUGE => Err(Cause::Overflow),
            other => other,
        };
        let lattice = Lattice::ALL;
        Self {
            kind,
            range,
            sure: false,
            whole: kind != Kind::Float,
            lattice,
            nullable: false,
            null: false,
            domain: None,
        }
    }

    pub(crate) fn bool() -> Self {
        Self::new(Kind::Bool, interval(0.0, 1.0)).sure(true)
    }

    pub(crate) fn sure(mut self, sure: bool) -> Self {
        self.sure = sure && self.range.is_ok();
        self
    }

    pub(crate) fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    pub(crate) fn whole(mut self, whole: bool) -> Self {
        self.whole = self.kind != Kind::Float || (whole && within(&self.range, EXACT_SINGLE));
        self
    }

    pub(crate) fn lattice(mut self, lattice: Lattice) -> Self {
        self.lattice = lattice;
        self
    }

    /// Its lattice as far as it holds of a whole number made from it by rounding.
    pub(crate) fn whole_lattice(&self) -> Lattice {
        if self.whole { self.lattice } else { Lattice::ALL }
    }

    /// The value where a condition has found it to be no less than `lo` and no more than `hi`, and so not NULL.
    pub(crate) fn between(mut self, lo: Option<f64>, hi: Option<f64>) -> Self {
        self.nullable = false;
        let (lo, hi) = match &self.range {
            Ok(r) => (lo.map_or(r.lo(), |lo| lo.max(r.lo())), hi.map_or(r.hi(), |hi| hi.min(r.hi()))),
            Err(_) => match (lo, hi) {
                (Some(lo), Some(hi)) => (lo, hi),
                _ => return self,
            },
        };
        // A condition that nothing meets: the range stays, whatever it is.
        if let Ok(range) = interval(lo, hi) {
            if let Some(domain) = &self.domain {
                let inside = |l: &Literal| number_of(l).is_none_or(|x| lo <= x && x <= hi);
                self.domain = Some(Arc::new(domain.iter().filter(|l| inside(l)).cloned().collect()));
            }
            self.range = Ok(range);
        }
        self
    }

    /// The value where a condition has found it to be one of `values`.
    pub(crate) fn among(mut self, values: &[Literal]) -> Self {
        self.nullable = false;
        if values.iter().any(|l| kind_of(l) != self.kind) {
            return self;
        }
        let known = self.domain.as_ref().map(|d| d.iter().map(Ordered::of).collect::<BTreeSet<_>>());
        let kept =
            without_null(values).into_iter().filter(|l| known.as_ref().is_none_or(|k| k.contains(&Ordered::of(l))));
        let kept: Vec<Literal> = kept.collect();
        if let Some(range) = range_of(&kept) {
            self = self.between(Some(range.lo()), Some(range.hi()));
        }
        self.domain = Some(Arc::new(kept));
        self
    }

    pub(crate) fn text(nullable: bool) -> Self {
        Self::new(Kind::Text, Err(Cause::Text)).nullable(nullable)
    }

    /// A column; of one with a domain that is too much work the domain counts as unknown.
    pub(crate) fn of_column(column: &ColumnFacts, work: &Work) -> Self {
        let range = match (column.kind, column.bounds, &column.values) {
            (Kind::Bool, ..) => interval(0.0, 1.0),
            (_, Some(bounds), _) => Ok(bounds),
            (_, None, Some(values)) => range_of(values).ok_or_else(|| Cause::Column(column.name.clone())),
            (Kind::Text, ..) => Err(Cause::Text),
            _ => Err(Cause::Column(column.name.clone())),
        };
        let mut value = Self::new(column.kind, range).sure(true).nullable(column.nullable);
        let values = column.values.as_ref().filter(|values| work.take(values.len()));
        value.domain = values.map(|values| Arc::new(without_null(values)));
        value
    }

    pub(crate) fn of_parameter(
        name: &str,
        kind: Kind,
        bounds: Option<Interval>,
        values: Option<&Vec<Literal>>,
        work: &Work,
    ) -> Self {
        let range = match (kind, bounds, values.and_then(|v| range_of(v))) {
            (Kind::Bool, ..) => interval(0.0, 1.0),
            (_, Some(bounds), _) | (_, None, Some(bounds)) => Ok(bounds),
            _ => Err(Cause::Parameter(name.to_owned())),
        };
        let mut value = Self::new(kind, range).sure(true);
        let values = values.filter(|values| work.take(values.len()));
        value.domain = values.map(|values| Arc::new(without_null(values)));
        value
    }

    pub(crate) fn of_literal(literal: &Literal) -> Self {
        let kind = kind_of(literal);
        let range = number_of(literal).ok_or(Cause::Text).and_then(|x| interval(x, x));
        let mut value = Self::new(kind, range).sure(true);
        value.null = *literal == Literal::Null;
        value.nullable = value.null;
        value.whole = number_of(literal).is_some_and(|x| x.fract() == 0.0 && x.abs() <= EXACT_SINGLE) || value.whole;
        value.domain = Some(Arc::new(without_null(std::slice::from_ref(literal))));
        if let Some(x) = number_of(literal).filter(|x| x.fract() == 0.0 && x.abs() <= EXACT) {
            #[allow(clippy::cast_possible_truncation, reason = "within 2^53")]
            let at = x as i64;
            value.lattice = Lattice { step: 0, at };
        }
        value
    }

    /// The one number that it is, where it is a literal number.
    pub(crate) fn point(&self) -> Option<f64> {
        match &self.range {
            Ok(r) if r.lo() == r.hi() && !self.nullable => Some(r.lo()),
            _ => None,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        self.null || matches!(self.kind, Kind::Int | Kind::Float)
    }
}

/// The whole numbers `at + k * step` for any whole `k`; of step 0 only `at`. Bands such as `floor(age / 10) * 10` are told
/// by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lattice {
    pub(crate) step: i64,
    pub(crate) at: i64,
}

impl Lattice {
    /// All whole numbers.
    pub(crate) const ALL: Self = Self { step: 1, at: 0 };

    /// The multiples of `step`, which is at least 1.
    pub(crate) fn multiples(step: i64) -> Self {
        Self { step: step.max(1), at: 0 }
    }

    fn of(step: Option<i64>, at: Option<i64>) -> Self {
        match (step, at) {
            (Some(0), Some(at)) => Self { step: 0, at },
            (Some(step), Some(at)) => Self { step, at: at.rem_euclid(step) },
            _ => Self::ALL,
        }
    }

    pub(crate) fn negated(self) -> Self {
        Self::of(Some(self.step), self.at.checked_neg())
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self::of(gcd(Some(self.step), Some(other.step)), self.at.checked_add(other.at))
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let cross = gcd(self.step.checked_mul(other.at), other.step.checked_mul(self.at));
        Self::of(gcd(cross, self.step.checked_mul(other.step)), self.at.checked_mul(other.at))
    }

    fn union(self, other: Self) -> Self {
        let apart = self.at.checked_sub(other.at);
        Self::of(gcd(gcd(Some(self.step), Some(other.step)), apart), Some(self.at))
    }
}

fn gcd(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    let (mut a, mut b) = (a?.checked_abs()?, b?.checked_abs()?);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some(a)
}

/// How many domain values an analysis may still copy. A plan can name the same large domain thousands of times; when this
/// is used up, further domains count as unknown, which is always safe: their keys are open.
#[derive(Debug)]
pub(crate) struct Work(Cell<usize>);

impl Work {
    /// What one plan may copy.
    pub(crate) fn of_one_plan() -> Self {
        Self(Cell::new(200_000))
    }

    pub(crate) fn take(&self, values: usize) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(values));
        left >= values
    }
}

/// Either of several values (CASE, coalesce and the like). NULL literals only make it nullable.
pub(crate) fn union<'a>(values: impl Iterator<Item = &'a Value> + Clone, work: &Work) -> Value {
    let nullable = values.clone().any(|v| v.nullable);
    let real = values.filter(|v| !v.null);
    let Some(first) = real.clone().next() else {
        return Value::of_literal(&Literal::Null);
    };
    let mut all = first.clone();
    let mut one_kind = true;
    for v in real.clone().skip(1) {
        if all.kind != v.kind {
            all.kind = if all.is_number() && v.is_number() { Kind::Float } else { Kind::Text };
            one_kind = false;
        }
        all.range = match (all.range, &v.range) {
            (Ok(a), Ok(b)) => interval(a.lo().min(b.lo()), a.hi().max(b.hi())),
            (Err(cause), _) => Err(cause),
            (_, Err(cause)) => Err(cause.clone()),
        };
        all.sure &= v.sure;
        all.whole &= v.whole;
        all.lattice = all.lattice.union(v.lattice);
    }
    // A domain across kinds is what the engine's coercion makes of it, which is not known here.
    all.domain = if one_kind { merged(real.map(|v| v.domain.as_ref()), work) } else { None };
    all.nullable = nullable;
    all.sure &= all.range.is_ok();
    all
}

/// The values of several domains, each once; nothing where one is unknown.
fn merged<'a>(domains: impl Iterator<Item = Option<&'a Arc<Vec<Literal>>>>, work: &Work) -> Option<Arc<Vec<Literal>>> {
    let mut different: Vec<&Arc<Vec<Literal>>> = Vec::new();
    let mut pointers = BTreeSet::new();
    for domain in domains {
        let domain = domain?;
        if pointers.insert(Arc::as_ptr(domain)) {
            different.push(domain);
        }
    }
    if let [one] = different[..] {
        return Some(Arc::clone(one));
    }
    if !work.take(different.iter().map(|d| d.len()).sum()) {
        return None;
    }
    let mut seen = BTreeSet::new();
    let all = different.into_iter().flat_map(|d| d.iter()).filter(|l| seen.insert(Ordered::of(l)));
    Some(Arc::new(all.cloned().collect()))
}

pub(crate) fn without_null(values: &[Literal]) -> Vec<Literal> {
    let mut seen = BTreeSet::new();
    values.iter().filter(|v| **v != Literal::Null && seen.insert(Ordered::of(v))).cloned().collect()
}

pub(crate) fn kind_of(literal: &Literal) -> Kind {
    match literal {
        Literal::Null | Literal::Text(_) => Kind::Text,
        Literal::Bool(_) => Kind::Bool,
        Literal::Int(_) => Kind::Int,
        Literal::Float(_) => Kind::Float,
        Literal::Date(_) => Kind::Date,
    }
}

#[allow(clippy::cast_precision_loss, reason = "callers round outward or compare with EXACT")]
pub(crate) fn number_of(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Null | Literal::Text(_) => None,
        Literal::Bool(b) => Some(f64::from(u8::from(*b))),
        Literal::Int(i) => Some(*i as f64),
        Literal::Float(x) => Some(*x),
        Literal::Date(d) => Some(f64::from(*d)),
    }
}

fn range_of(values: &[Literal]) -> Option<Interval> {
    let mut numbers = values.iter().filter(|v| **v != Literal::Null).map(number_of);
    let first = numbers.next()??;
    let (mut lo, mut hi) = (first, first);
    for x in numbers {
        let x = x?;
        lo = lo.min(x);
        hi = hi.max(x);
    }
    Interval::new(lo, hi)
}

pub(crate) fn interval(lo: f64, hi: f64) -> Result<Interval, Cause> {
    Interval::new(lo, hi).ok_or(Cause::Overflow)
}

pub(crate) fn within(range: &Result<Interval, Cause>, most: f64) -> bool {
    range.as_ref().is_ok_and(|r| r.lo() >= -most && r.hi() <= most)
}

/// `[lo, hi]` rounded outward, unless it is made of whole numbers that are exact.
pub(crate) fn outward(lo: f64, hi: f64, whole: bool) -> Result<Interval, Cause> {
    if whole && lo.abs() <= EXACT && hi.abs() <= EXACT {
        interval(lo, hi)
    } else {
        interval(lo.next_down(), hi.next_up())
    }
}

/// The least and the greatest of some numbers; NaN gives no range.
pub(crate) fn hull(corners: &[f64]) -> (f64, f64) {
    corners.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &x| {
        if x.is_nan() { (f64::NAN, f64::NAN) } else { (lo.min(x), hi.max(x)) }
    })
}

//! What a formula's values can be: between two numbers, and perhaps a NaN. Where that lies within the declared range a result
//! need not be brought into it.
//!
//! Every operation here is monotone in each operand and rounded as the machine rounds it, so that the results for the ends
//! bound all others.

/// All that a value can be. Ends may be infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) nan: bool,
}

impl Range {
    /// Anything.
    pub(super) const ALL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY, nan: true };

    pub(super) fn constant(x: f64) -> Self {
        if x.is_nan() { Self::ALL } else { Self { low: x, high: x, nan: false } }
    }

    /// Either of two.
    pub(super) fn or(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high), nan: self.nan || other.nan }
    }

    /// Whether it lies between two numbers and is one itself.
    pub(super) fn within(self, low: f64, high: f64) -> bool {
        !self.nan && low <= self.low && self.high <= high
    }

    /// What comes of ends that were computed; a NaN among them says that there is no telling.
    fn of(ends: &[f64], nan: bool) -> Self {
        if nan || ends.iter().any(|x| x.is_nan()) {
            return Self::ALL;
        }
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = ends.iter().fold((low, high), |(low, high), x| (low.min(*x), high.max(*x)));
        Self { low, high, nan: false }
    }

    /// Infinities of both signs may meet in a sum although the sums of the ends are numbers.
    fn infinite(self) -> bool {
        self.low == f64::NEG_INFINITY || self.high == f64::INFINITY
    }

    pub(super) fn add(self, other: Self) -> Self {
        let nan = self.nan || other.nan || (self.infinite() && other.infinite());
        Self::of(&[self.low + other.low, self.high + other.high], nan)
    }

    pub(super) fn neg(self) -> Self {
        Self { low: -self.high, high: -self.low, ..self }
    }

    pub(super) fn sub(self, other: Self) -> Self {
        self.add(other.neg())
    }

    pub(super) fn mul(self, other: Self) -> Self {
        // Zero times infinity, wherever they lie.
        let nan = self.nan || other.nan || self.infinite() || other.infinite();
        let ends = [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        Self::of(&ends, nan)
    }

    /// The greater, or the smaller, of two; a NaN if one is.
    pub(super) fn extremum(self, other: Self, of: fn(f64, f64) -> f64) -> Self {
        let (low, high) = (of(self.low, other.low), of(self.high, other.high));
        Self { low, high, nan: self.nan || other.nan }
    }

    /// What a monotone function gives that is a number wherever its argument is.
    pub(super) fn map(self, f: fn(f64) -> f64) -> Self {
        Self { low: f(self.low), high: f(self.high), ..self }
    }

    pub(super) fn abs(self) -> Self {
        let (a, b) = (self.low.abs(), self.high.abs());
        let low = if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { a.min(b) };
        Self { low, high: a.max(b), ..self }
    }

    pub(super) fn sqrt(self) -> Self {
        if self.low < 0.0 { Self::ALL } else { self.map(f64::sqrt) }
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    const ENDS: [f64; 11] = [f64::NEG_INFINITY, -1e300, -2.5, -1.0, -0.0, 0.0, 5e-324, 0.5, 3.0, 1e300, f64::INFINITY];

    fn ranges() -> impl Iterator<Item = Range> {
        (0..ENDS.len()).flat_map(|i| {
            (i..ENDS.len()).flat_map(move |j| [false, true].map(|nan| Range { low: ENDS[i], high: ENDS[j], nan }))
        })
    }

    fn members(range: Range) -> impl Iterator<Item = f64> {
        let middle = range.low / 2.0 + range.high / 2.0;
        let within = move |x: &f64| range.low <= *x && *x <= range.high;
        ENDS.into_iter().chain([middle, 1.75]).filter(within).chain(range.nan.then_some(f64::NAN))
    }

    fn holds(range: Range, x: f64) -> bool {
        if x.is_nan() { range.nan } else { range.low <= x && x <= range.high }
    }

    #[test]
    fn whatever_comes_of_two_members_lies_in_what_comes_of_two_ranges() {
        let min = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
        let max = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        for a in ranges() {
            for b in ranges() {
                for x in members(a) {
                    for y in members(b) {
                        assert!(holds(a.add(b), x + y), "{a:?} + {b:?}: {x} + {y}");
                        assert!(holds(a.sub(b), x - y), "{a:?} - {b:?}: {x} - {y}");
                        assert!(holds(a.mul(b), x * y), "{a:?} * {b:?}: {x} * {y}");
                        assert!(holds(a.extremum(b, f64::min), min(x, y)), "min {a:?} {b:?}: {x} {y}");
                        assert!(holds(a.extremum(b, f64::max), max(x, y)), "max {a:?} {b:?}: {x} {y}");
                        assert!(holds(a.or(b), x) && holds(a.or(b), y), "{a:?} or {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_comes_of_a_member_lies_in_what_comes_of_its_range() {
        for a in ranges() {
            for x in members(a) {
                assert!(holds(a.neg(), -x) && holds(a.abs(), x.abs()) && holds(a.sqrt(), x.sqrt()), "{a:?}: {x}");
                for f in [f64::ceil, f64::floor, f64::trunc, f64::round_ties_even] {
                    assert!(holds(a.map(f), f(x)), "{a:?}: {x}");
                }
                assert!(!a.within(-1.0, 3.0) || (-1.0..=3.0).contains(&x), "{a:?}: {x}");
            }
        }
        assert!(holds(Range::constant(f64::NAN), f64::NAN) && Range::constant(2.0).within(2.0, 2.0));
    }
}

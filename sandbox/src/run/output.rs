//! From whatever a model says to a number within its declared range.

use crate::manifest::Output;

/// Adding and taking away 1.5 · 2^52 rounds a double of magnitude below 2^51 to the nearest integer,
/// ties to even, in the default rounding mode of IEEE 754 — the only one that Rust has. It is exact
/// and, unlike `round_ties_even`, needs no call on machines without SSE 4.1.
pub(crate) const ROUND: f64 = 6_755_399_441_055_744.0;

/// Brings every result into the declared range and onto the grid: a NaN, which stands for any unit
/// without a result, becomes `default`; then the value is clamped to `[min, max]`, rounded to the
/// nearest multiple of `step` counted from `min` (the distance times `1 / step`, ties to the even multiple),
/// clamped again, and a negative zero becomes zero.
///
/// The driver does the same to pairs of rows (`rewrite/lanes.rs`); what is changed here is changed there.
pub(crate) fn finish(output: &Output, results: &mut [f64]) {
    let (min, max, default) = (output.min(), output.max(), output.default());
    match Grid::of(output) {
        Some(Grid { inverse, step }) => {
            for x in results {
                let bounded = bound(*x, min, max, default);
                // At most 2^50 steps lie between min and max, so the product is in ROUND's reach.
                let multiple = ((bounded - min) * inverse + ROUND) - ROUND;
                *x = (min + multiple * step).min(max) + 0.0;
            }
        }
        None => {
            for x in results {
                *x = bound(*x, min, max, default) + 0.0;
            }
        }
    }
}

/// The grid of an output that has one.
pub(crate) struct Grid {
    /// What a distance is multiplied by to give steps.
    pub(crate) inverse: f64,
    pub(crate) step: f64,
}

impl Grid {
    pub(crate) fn of(output: &Output) -> Option<Self> {
        let step = output.step();
        // A step so small that its inverse is infinite leaves no room for two values between min and max.
        let inverse = if 1.0 / step < f64::INFINITY { 1.0 / step } else { 0.0 };
        (step > 0.0).then_some(Self { inverse, step })
    }
}

fn bound(x: f64, min: f64, max: f64, default: f64) -> f64 {
    let x = if x.is_nan() { default } else { x };
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}

#[cfg(test)]
mod tests {
    use super::finish;
    use crate::Manifest;

    fn output(min: f64, max: f64, step: f64, default: f64) -> crate::Output {
        let text = format!(
            "[model]\nid='m'\nversion='1.0.0'\nkind='row'\nfile='m.wat'\n[[feature]]\nname='a'\ntype='f64'\n\
             [output]\nmin={min:?}\nmax={max:?}\nstep={step:?}\ndefault={default:?}\n"
        );
        Manifest::parse(&text).expect("a valid manifest").output()
    }

    #[test]
    fn clamps_rounds_and_defaults() {
        let out = output(0.0, 1.0, 0.25, 0.5);
        let mut x = [f64::NAN, -1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY, 0.125, 0.375, 0.3, -0.0];
        finish(&out, &mut x);
        assert_eq!(x, [0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.25, 0.0]);
        assert!(x.iter().all(|x| x.is_sign_positive()));
    }

    #[test]
    fn without_a_step_values_stay() {
        let out = output(-1.0, 1.0, 0.0, 0.0);
        let mut x = [0.123, -0.0, f64::NAN, 5e-324];
        finish(&out, &mut x);
        assert_eq!(x.map(f64::to_bits), [0.123_f64.to_bits(), 0, 0, 5e-324_f64.to_bits()]);
    }

    #[test]
    fn the_end_of_the_range_is_never_passed() {
        // 1.0 is no multiple of 0.3: the nearest, 0.9, is taken, and 1.2 never.
        let out = output(0.0, 1.0, 0.3, 0.0);
        let mut x = [1.0, 0.95, 0.8];
        finish(&out, &mut x);
        assert!(x.iter().all(|x| *x <= 1.0));
        assert_eq!(x[0], 0.3 * 3.0);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_library_rounding(bits: u64, min in -1e6..1e6_f64, width in 0.0..1e6_f64, steps in 1_u32..1_000_000) {
            let (max, step) = (min + width, width / f64::from(steps));
            let out = output(min, max, step, min);
            let x = f64::from_bits(bits);
            let mut got = [x];
            finish(&out, &mut got);
            let bounded = if x.is_nan() { min } else { x.clamp(min, max) };
            let want = if step > 0.0 {
                (min + ((bounded - min) * (1.0 / step)).round_ties_even() * step).min(max)
            } else {
                bounded
            };
            proptest::prop_assert_eq!(got[0], want);
            proptest::prop_assert!((min..=max).contains(&got[0]));
        }
    }
}

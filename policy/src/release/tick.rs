//! When results leave: at ticks whose phase is random, so that the time of a computation shows little.
//!
//! A quantum is cut off at a phase that is drawn anew for each computation, uniformly over the quantum; what is computed
//! leaves at the first tick after it is done. Somebody who knows everything but one unit's rows sees another tick than
//! without them only if a tick lies between the two ends: with probability at most t / quantum, where t is the most time
//! that the unit can add (Askarov, Zhang & Myers 2010 on predictive mitigation; Haeberlen et al. 2011 on time as a channel).

/// How long to wait, in nanoseconds, until the first tick at or after `elapsed`, where ticks are at `phase`,
/// `phase + quantum`, and so on. A quantum of 0 never makes anything wait.
pub fn until_tick(elapsed: u64, phase: u64, quantum: u64) -> u64 {
    if quantum == 0 {
        return 0;
    }
    let phase = phase % quantum;
    if elapsed <= phase {
        return phase - elapsed;
    }
    match (elapsed - phase) % quantum {
        0 => 0,
        over => quantum - over,
    }
}

/// At most how probably one unit that adds at most `unit` nanoseconds moves the tick; at most 1.
#[allow(clippy::cast_precision_loss, reason = "a probability for people")]
pub fn shift_bound(unit: u64, quantum: u64) -> f64 {
    if quantum == 0 { 1.0 } else { (unit as f64 / quantum as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_at_the_phase_and_every_quantum_after() {
        assert_eq!(until_tick(0, 3, 10), 3);
        assert_eq!(until_tick(3, 3, 10), 0);
        assert_eq!(until_tick(4, 3, 10), 9);
        assert_eq!(until_tick(13, 3, 10), 0);
        assert_eq!(until_tick(14, 3, 10), 9);
        assert_eq!(until_tick(14, 13, 10), 9);
        assert_eq!(until_tick(7, 3, 0), 0);
        assert_eq!(until_tick(u64::MAX, 0, 10), 10 - u64::MAX % 10);
    }

    proptest! {
        /// Over all phases, one unit moves the tick in exactly its share of the quantum, wherever the computation ends.
        #[test]
        fn a_unit_moves_the_tick_within_the_bound(elapsed in 0u64..5_000, unit in 0u64..400, quantum in 1u64..300) {
            let tick = |elapsed: u64, phase: u64| elapsed + until_tick(elapsed, phase, quantum);
            let moved = (0..quantum).filter(|phase| tick(elapsed, *phase) != tick(elapsed + unit, *phase)).count();
            prop_assert!(moved as f64 / quantum as f64 <= shift_bound(unit, quantum) + 1e-12);
        }
    }
}

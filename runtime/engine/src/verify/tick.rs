//! Ticks: an answer leaves at the first tick after it is ready, not when it is ready.
//!
//! The ticks of a request are a quantum apart and begin at a random point of the first quantum. Where the time that an answer
//! takes differs by `t` between two subjects, the tick differs with a probability of at most `t` over the quantum.

use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The ticks of one request.
pub(super) struct Tick {
    first: Instant,
    quantum: Duration,
}

impl Tick {
    /// Begins to count.
    pub(super) fn start(quantum_millis: u32) -> Self {
        let quantum = Duration::from_millis(quantum_millis.max(1).into());
        let mut random = [0; 8];
        // Without randomness the phase is that of the machine's clock.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
        let phase = u64::from_le_bytes(random) % u64::try_from(quantum.as_nanos()).unwrap_or(u64::MAX);
        Self { first: Instant::now() + Duration::from_nanos(phase), quantum }
    }

    /// Waits for the next tick, and `hold_millis` before it.
    pub(super) async fn wait(self, hold_millis: u32) {
        let ready = Instant::now() + Duration::from_millis(hold_millis.into());
        sleep_until(self.next(ready)).await;
    }

    fn next(&self, ready: Instant) -> Instant {
        let late = ready.saturating_duration_since(self.first).as_nanos();
        let ticks = late.div_ceil(self.quantum.as_nanos());
        self.first + self.quantum * u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_at_ticks_alone() {
        let tick = Tick::start(5);
        for micros in [0u64, 1, 4_999, 5_000, 5_001, 12_345] {
            let ready = tick.first + Duration::from_micros(micros);
            let leaves = tick.next(ready);
            assert!(leaves >= ready && leaves - ready < tick.quantum);
            assert_eq!((leaves - tick.first).as_nanos() % tick.quantum.as_nanos(), 0);
        }
        // Before the first tick everybody waits for it.
        assert_eq!(tick.next(tick.first - Duration::from_micros(1)), tick.first);
    }

    #[test]
    fn phases_differ() {
        let phases: std::collections::BTreeSet<Duration> =
            (0..50).map(|_| Tick::start(1_000)).map(|t| t.first.saturating_duration_since(Instant::now())).collect();
        assert!(phases.len() > 40);
    }
}

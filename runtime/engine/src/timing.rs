//! Results leave at ticks: the shell around [`yunei_policy::release::until_tick`], with a clock and random phases.

use crate::error::DomainError;
use crate::home::random_seed;
use std::time::{Duration, Instant};
use yunei_policy::clear::Clearance;
use yunei_policy::release::{shift_bound, until_tick};
use yunei_sandbox::Model;

/// What one row can cost in the operators of a plan, at most: a row group's share is far less, and a spilled row is read
/// back once.
const ROW: Duration = Duration::from_micros(20);

/// The random phases of one run's two computations: over the data, and at the gate. Drawn before any data is opened.
pub(crate) struct Phases {
    quantum: u64,
    phases: [u64; 2],
}

impl Phases {
    /// Draws them.
    pub(crate) fn draw(quantum: Duration) -> Result<Self, DomainError> {
        let seed = random_seed()?;
        let quantum = nanoseconds(quantum);
        let number = |at: usize| seed[at..].first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        // 64 bits over a quantum of at most 2^36: the bias is below 2^-28.
        let phases = [number(0), number(8)].map(|n| n.checked_rem(quantum).unwrap_or(0));
        Ok(Self { quantum, phases })
    }

    /// A computation begins.
    pub(crate) fn begin(&self, which: usize) -> Computation {
        Computation { start: Instant::now(), phase: self.phases[which % 2], quantum: self.quantum }
    }
}

/// A computation whose end is not to be seen.
pub(crate) struct Computation {
    start: Instant,
    phase: u64,
    quantum: u64,
}

impl Computation {
    /// Waits for the first tick from now on.
    pub(crate) async fn tick(self) {
        let wait = until_tick(nanoseconds(self.start.elapsed()), self.phase, self.quantum);
        tokio::time::sleep(Duration::from_nanos(wait)).await;
    }
}

/// What the time of a run can tell about one unit, for those who approve it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TimingView {
    /// The quantum at whose ticks results leave, milliseconds.
    pub quantum_millis: u64,
    /// The most time that one unit can add on this machine, microseconds: its rows, and its models' fuel at the pace of the
    /// slowest code known.
    pub unit_micros: u64,
    /// With at most this probability one unit moves the tick at which a result leaves.
    pub shift: f64,
}

impl TimingView {
    /// For a cleared product and its models.
    pub(crate) fn of(quantum: Duration, clearance: &Clearance, models: &[Model]) -> Self {
        let rows: u64 = clearance.leaves().iter().fold(0, |all, leaf| all.saturating_add(leaf.rows_per_unit()));
        let per_row = models.iter().fold(ROW, |all, model| all.saturating_add(model.max_unit_time()));
        let unit = nanoseconds(per_row).saturating_mul(rows);
        Self {
            quantum_millis: u64::try_from(quantum.as_millis()).unwrap_or(u64::MAX),
            unit_micros: unit / 1_000,
            shift: shift_bound(unit, nanoseconds(quantum)),
        }
    }
}

fn nanoseconds(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

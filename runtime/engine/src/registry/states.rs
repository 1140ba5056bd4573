//! Which changes of state there are.

use serde::{Deserialize, Serialize};
use std::fmt;
use yunei_policy::words::State;

/// Whether something in the state `from` may be put into the state `to`:
/// submitted → approved ↔ suspended, either of the two → retired, and nothing else.
pub fn next_state(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (State::Submitted | State::Suspended, State::Approved)
            | (State::Approved, State::Suspended)
            // What is suspended need not be made usable for a moment in order to be retired.
            | (State::Approved | State::Suspended, State::Retired)
    )
}

/// The word in the store.
pub(super) fn state_from(word: &str) -> Option<State> {
    [State::Submitted, State::Approved, State::Suspended, State::Retired].into_iter().find(|s| s.to_string() == word)
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Policy allows it.
    Authorised,
    /// Its budget is spent.
    Charged,
    /// The data was read.
    Executed,
    /// Its result may leave. Final.
    Released,
    /// It broke off after it was authorised. Final; what was charged stays charged.
    Failed,
    /// Policy refuses it. Final.
    Refused,
    /// The question was answered before; the recorded release was given again, free. Final.
    Repeated,
}

impl RunState {
    const ALL: [Self; 7] =
        [Self::Authorised, Self::Charged, Self::Executed, Self::Released, Self::Failed, Self::Refused, Self::Repeated];

    /// The word in the store and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::Charged => "charged",
            Self::Executed => "executed",
            Self::Released => "released",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether a run may go from this state to `to`. After a charge nothing is refused any more: it fails.
    pub fn may_become(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Authorised, Self::Charged | Self::Refused | Self::Repeated)
                | (Self::Charged, Self::Executed)
                | (Self::Executed, Self::Released)
                | (Self::Authorised | Self::Charged | Self::Executed, Self::Failed)
        )
    }

    /// Whether the run is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Released | Self::Failed | Self::Refused | Self::Repeated)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunState::{Authorised, Charged, Executed, Failed, Refused, Released};
    use State::{Approved, Retired, Submitted, Suspended};

    #[test]
    fn states_change_in_five_ways() {
        let allowed = [
            (Submitted, Approved),
            (Approved, Suspended),
            (Suspended, Approved),
            (Approved, Retired),
            (Suspended, Retired),
        ];
        let all = [Submitted, Approved, Suspended, Retired];
        for from in all {
            assert_eq!(state_from(&from.to_string()), Some(from));
            for to in all {
                assert_eq!(next_state(from, to), allowed.contains(&(from, to)), "{from} -> {to}");
            }
        }
        assert_eq!(state_from("Approved"), None);
    }

    #[test]
    fn runs_go_forward_alone() {
        let allowed = [
            (Authorised, Charged),
            (Authorised, Refused),
            (Authorised, RunState::Repeated),
            (Authorised, Failed),
            (Charged, Executed),
            (Charged, Failed),
            (Executed, Released),
            (Executed, Failed),
        ];
        for from in RunState::ALL {
            assert_eq!(RunState::from_word(from.as_str()), Some(from));
            assert_eq!(from.is_final(), !allowed.iter().any(|(f, _)| *f == from));
            for to in RunState::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }
}

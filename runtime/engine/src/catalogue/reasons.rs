//! The reasons found on the way, bounded in number.

use yunei_policy::{Refusal, Refused};

/// At most how many reasons are told at once; the rest are counted.
pub(super) const MAX_REASONS: usize = 100;

/// Reasons gathered while something is checked.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    list: Vec<Refusal>,
    more: usize,
}

impl Reasons {
    /// Adds a reason.
    pub(super) fn push(&mut self, refusal: Refusal) {
        if self.list.len() < MAX_REASONS {
            self.list.push(refusal);
        } else {
            self.more += 1;
        }
    }

    /// Whether further reasons will only be counted.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MAX_REASONS
    }

    /// `Ok(value)` where nothing was found, all the reasons otherwise.
    pub(super) fn unless<T>(mut self, value: T) -> Result<T, Refused> {
        if self.more > 0 {
            let more = self.more;
            self.list.push(Refusal::new(
                "catalogue/more-reasons",
                format!("另有 {more} 处问题未列出"),
                format!("{more} more reasons are not listed"),
            ));
        }
        Refused::unless(self.list, value)
    }
}

/// A name from outside as it may stand in a message: at most 64 characters, no control characters.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = name.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

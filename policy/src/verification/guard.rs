//! The guard: how much may be asked, and what looks like enumeration (枚举试探).
//!
//! A verification tells one bit about a subject of the caller's choice. Quotas bound how many of them there are; the share of
//! answers other than `match`, questions along neighbouring numbers, questions about canaries and many claims about one
//! subject tell those who ask about people whom they do not know. The counts come in, the decision goes out; the caller makes
//! it durable before anything is looked up.

use super::rules::VerificationRules;
use crate::refusal::{Refusal, Refused};

/// What one business has asked of one product in the window, since the authority last lifted a stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that were charged.
    pub asks: u64,
    /// Of those, answers `match`. An answer that was lost with the power counts as none.
    pub matches: u64,
    /// Questions about canaries.
    pub canaries: u64,
    /// Questions about a neighbour of a number that somebody asked about shortly before.
    pub neighbours: u64,
}

impl Counts {
    fn no_match(&self) -> u64 {
        self.asks.saturating_sub(self.matches)
    }
}

/// All that is known when a question arrives. The question itself is not counted in it yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The business and the product, in the window.
    pub pair: Counts,
    /// Whether the business is stopped for this product.
    pub stopped: bool,
    /// How many other businesses are stopped for this product.
    pub stopped_others: u64,
    /// Questions of the business today, over all products.
    pub business_today: u64,
    /// Questions to the product today, over all businesses.
    pub product_today: u64,
    /// The product's own limit a day, where its manifest has one.
    pub product_limit: Option<u64>,
    /// Questions about the subject today, over all businesses and products.
    pub subject_today: u64,
    /// Answers other than `match` about the subject in the window, over all businesses and products.
    pub subject_no_match: u64,
    /// Whether the subject consents: then somebody other than the caller has chosen it.
    pub consented: bool,
    /// The share of honest questions that are near a recent one by chance.
    pub chance: f64,
}

/// What looks like enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Too many answers other than `match`.
    NoMatchShare,
    /// Questions about subjects that exist in no register.
    Canaries,
    /// Questions along neighbouring numbers.
    Neighbours,
    /// Many claims about one subject.
    ManyClaims,
}

impl Alarm {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Alarm::NoMatchShare => "no-match-share",
            Alarm::Canaries => "canaries",
            Alarm::Neighbours => "neighbours",
            Alarm::ManyClaims => "many-claims",
        }
    }

    /// From the word in the log.
    pub fn from_word(word: &str) -> Option<Self> {
        [Alarm::NoMatchShare, Alarm::Canaries, Alarm::Neighbours, Alarm::ManyClaims]
            .into_iter()
            .find(|a| a.as_str() == word)
    }
}

/// What becomes of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is answered, held back by so many milliseconds (mostly none).
    Answer {
        /// How long the answer is held back.
        hold_millis: u32,
        /// What should be looked at.
        alarms: Vec<Alarm>,
    },
    /// It is not.
    Limit {
        /// The reasons, as the caller is told them.
        refused: Refused,
        /// What should be looked at.
        alarms: Vec<Alarm>,
        /// Whether the business is stopped for this product from now on, until the authority lifts it.
        stop: bool,
    },
}

/// Decides over one question.
///
/// A lost count never helps the caller: `asks` grows before the look-up, `matches` only after the answer.
pub fn guard(rules: &VerificationRules, seen: &Seen) -> Verdict {
    let mut reasons = Vec::new();
    if seen.stopped {
        return Verdict::Limit { refused: stopped().into(), alarms: Vec::new(), stop: false };
    }
    if seen.business_today >= rules.business_per_day() {
        reasons.push(
            Refusal::new(
                "verify/limit-business",
                "本机构今日核验次数已达上限",
                "the institution has used up its verifications of today",
            )
            .hint("请明日再试，或向数据主管部门申请提高上限", "try again tomorrow, or ask the authority for more"),
        );
    }
    let product_limit = seen.product_limit.map_or(rules.product_per_day(), |own| own.min(rules.product_per_day()));
    let mut alarms = Vec::new();
    let many_claims = seen.subject_no_match >= rules.subject_no_match();
    if many_claims {
        alarms.push(Alarm::ManyClaims);
    }
    // One text for both: whoever asks learns nothing of what others asked.
    if seen.product_today >= product_limit || seen.subject_today >= rules.subject_per_day() || many_claims {
        reasons.push(
            Refusal::new("verify/limit-reached", "核验次数已达上限", "the limit of verifications is reached")
                .hint("请稍后再试，或联系数据主管部门", "try again later, or contact the data authority"),
        );
    }
    if let Some(refused) = Refused::from_reasons(reasons) {
        return Verdict::Limit { refused, alarms, stop: false };
    }
    let (slow, stop) = enumeration(rules, seen, &mut alarms);
    if stop {
        return Verdict::Limit { refused: stopped().into(), alarms, stop: true };
    }
    Verdict::Answer { hold_millis: if slow { rules.slow_millis() } else { 0 }, alarms }
}

/// Whether it is to be slowed down, and stopped.
#[allow(clippy::cast_precision_loss, reason = "shares")]
fn enumeration(rules: &VerificationRules, seen: &Seen, alarms: &mut Vec<Alarm>) -> (bool, bool) {
    let pair = &seen.pair;
    // Where others were stopped for the same product already, half as much is enough.
    let strict = if seen.stopped_others >= 2 { 2 } else { 1 };
    let share = |part: u64| part as f64 / pair.asks.max(1) as f64;
    let percent = share(pair.no_match()) * 100.0;
    let enough = pair.asks >= rules.least_asks() / strict;
    let canaries = pair.canaries >= rules.canaries().div_ceil(strict);
    let walk = share(pair.neighbours) > (4.0 * seen.chance).max(0.2);
    let neighbours = walk && pair.neighbours >= rules.neighbours().div_ceil(strict);
    if enough && percent >= f64::from(rules.slow_percent().min(rules.stop_percent())) {
        alarms.push(Alarm::NoMatchShare);
    }
    if pair.canaries > 0 {
        alarms.push(Alarm::Canaries);
    }
    if walk && pair.neighbours * 2 >= rules.neighbours() {
        alarms.push(Alarm::Neighbours);
    }
    // A subject that consents was not guessed: its answers slow the caller down, and only canaries stop it.
    let stop = canaries || (!seen.consented && ((enough && percent >= f64::from(rules.stop_percent())) || neighbours));
    (alarms.iter().any(|a| *a != Alarm::ManyClaims), stop)
}

fn stopped() -> Refusal {
    Refusal::new(
        "verify/stopped",
        "因疑似枚举试探，本机构对该产品的核验已停止",
        "the institution is stopped for this product: its questions looked like enumeration",
    )
    .hint("请联系数据主管部门说明情况", "explain yourself to the data authority, who can lift this")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> VerificationRules {
        VerificationRules::default()
    }

    fn codes(seen: &Seen) -> Vec<&'static str> {
        match guard(&rules(), seen) {
            Verdict::Answer { .. } => Vec::new(),
            Verdict::Limit { refused, .. } => refused.codes(),
        }
    }

    #[test]
    fn quotas_hold_at_the_limit_and_one_past_it() {
        let r = rules();
        assert!(codes(&Seen { business_today: r.business_per_day() - 1, ..Seen::default() }).is_empty());
        assert_eq!(codes(&Seen { business_today: r.business_per_day(), ..Seen::default() }), ["verify/limit-business"]);
        assert_eq!(codes(&Seen { product_today: r.product_per_day(), ..Seen::default() }), ["verify/limit-reached"]);
        assert!(codes(&Seen { product_today: 9, product_limit: Some(10), ..Seen::default() }).is_empty());
        assert_eq!(
            codes(&Seen { product_today: 10, product_limit: Some(10), ..Seen::default() }),
            ["verify/limit-reached"]
        );
        assert!(codes(&Seen { subject_today: r.subject_per_day() - 1, ..Seen::default() }).is_empty());
        assert_eq!(codes(&Seen { subject_today: r.subject_per_day(), ..Seen::default() }), ["verify/limit-reached"]);
        assert!(codes(&Seen { subject_no_match: r.subject_no_match() - 1, ..Seen::default() }).is_empty());
        assert_eq!(
            codes(&Seen { subject_no_match: r.subject_no_match(), ..Seen::default() }),
            ["verify/limit-reached"]
        );
        let all =
            Seen { business_today: u64::MAX, product_today: u64::MAX, subject_today: u64::MAX, ..Seen::default() };
        assert_eq!(codes(&all), ["verify/limit-business", "verify/limit-reached"]);
    }

    fn pair(asks: u64, matches: u64, canaries: u64, neighbours: u64) -> Seen {
        Seen { pair: Counts { asks, matches, canaries, neighbours }, ..Seen::default() }
    }

    #[test]
    fn enumeration_alarms_slows_and_stops() {
        let hold = |seen: &Seen| match guard(&rules(), seen) {
            Verdict::Answer { hold_millis, alarms } => (hold_millis, alarms),
            Verdict::Limit { stop, alarms, .. } => (if stop { u32::MAX } else { u32::MAX - 1 }, alarms),
        };
        assert_eq!(hold(&pair(15, 0, 0, 0)), (0, vec![]));
        assert_eq!(hold(&pair(16, 0, 0, 0)), (u32::MAX, vec![Alarm::NoMatchShare]));
        assert_eq!(hold(&pair(100, 60, 0, 0)), (1_000, vec![Alarm::NoMatchShare]));
        assert_eq!(hold(&pair(100, 66, 0, 0)), (0, vec![]));
        assert_eq!(hold(&pair(10, 10, 1, 0)), (1_000, vec![Alarm::Canaries]));
        assert_eq!(hold(&pair(1_000, 990, 3, 0)), (u32::MAX, vec![Alarm::Canaries]));
        assert_eq!(hold(&pair(20, 20, 0, 5)), (u32::MAX, vec![Alarm::Neighbours]));
        assert_eq!(hold(&pair(25, 25, 0, 5)), (0, vec![]));
        // What chance explains is no walk.
        assert_eq!(hold(&Seen { chance: 0.2, ..pair(20, 20, 0, 15) }), (0, vec![]));
        // With consent the caller did not choose whom to ask about; canaries stop it all the same.
        assert_eq!(hold(&Seen { consented: true, ..pair(16, 0, 0, 16) }).0, 1_000);
        assert_eq!(hold(&Seen { consented: true, ..pair(16, 0, 3, 0) }).0, u32::MAX);
        // Where two others were stopped, half is enough.
        assert_eq!(hold(&Seen { stopped_others: 2, ..pair(8, 4, 0, 0) }).0, u32::MAX);
        assert_eq!(codes(&Seen { stopped: true, ..Seen::default() }), ["verify/stopped"]);
    }
}

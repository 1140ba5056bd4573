//! What the guard is told: counts of businesses and products, kept in memory as they stand in the store, and the numbers that
//! were asked about last, kept in memory alone.

use super::writer::{Ask, DAY_MILLIS};
use crate::error::DomainError;
use crate::registry::{AlarmRow, Store};
use std::collections::{BTreeMap, HashMap, VecDeque};
use yunei_policy::verification::guard::{Counts, Seen};
use yunei_policy::verification::{Locus, VerificationRules};

/// How many numbers per product a new one is compared with.
const RECENT: usize = 64;
/// How many questions of a business to a product are under way at least, and at most.
const UNDER_WAY: (u64, u64) = (4, 256);

/// Where a charge was counted.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) institution: String,
    pub(super) product: String,
    pub(super) epoch: u64,
    pub(super) day: i64,
    pub(super) subject: String,
}

/// A business and a product.
#[derive(Default)]
struct Pair {
    epoch: u64,
    stopped: bool,
    days: BTreeMap<i64, Counts>,
    /// Questions that are under way: neither `match` nor anything else yet.
    pending: u64,
    /// Questions that are over, in this epoch.
    over: u64,
}

/// All the counts.
pub(super) struct Pairs {
    window: i64,
    pairs: HashMap<String, HashMap<String, Pair>>,
    businesses: HashMap<String, (i64, u64)>,
    products: HashMap<String, (i64, u64)>,
    subjects: HashMap<String, u64>,
    recent: HashMap<String, VecDeque<Locus>>,
}

fn add(to: &mut HashMap<String, (i64, u64)>, key: &str, day: i64, count: u64) {
    match to.get_mut(key) {
        Some(today) if today.0 == day => today.1 += count,
        // A clock that is set back does not give a day anew: the later day goes on.
        Some(today) if today.0 > day => today.1 += count,
        Some(today) => *today = (day, count),
        None => {
            to.insert(key.to_owned(), (day, count));
        }
    }
}

impl Pairs {
    pub(super) async fn load(store: &Store, rules: &VerificationRules, now: i64) -> Result<Self, DomainError> {
        let today = now.div_euclid(DAY_MILLIS);
        let window = i64::from(rules.window_days());
        let mut all = Self {
            window,
            pairs: HashMap::new(),
            businesses: HashMap::new(),
            products: HashMap::new(),
            subjects: HashMap::new(),
            recent: HashMap::new(),
        };
        for (institution, product, epoch, stopped) in store.verification_stops().await? {
            let pair = all.pair(&institution, &product);
            (pair.epoch, pair.stopped) = (epoch, stopped);
        }
        for count in store.verification_counts(today - window + 1).await? {
            if count.day >= today {
                add(&mut all.businesses, &count.institution, count.day, count.asks);
                add(&mut all.products, &count.product, count.day, count.asks);
            }
            let pair = all.pair(&count.institution, &count.product);
            if pair.epoch == count.epoch {
                let (asks, matches) = (count.asks, count.matches);
                pair.days.insert(
                    count.day,
                    Counts { asks, matches, canaries: count.canaries, neighbours: count.neighbours },
                );
                pair.over += asks;
            }
        }
        Ok(all)
    }

    fn pair(&mut self, institution: &str, product: &str) -> &mut Pair {
        self.pairs.entry(institution.to_owned()).or_default().entry(product.to_owned()).or_default()
    }

    fn found(&self, institution: &str, product: &str) -> Option<&Pair> {
        self.pairs.get(institution)?.get(product)
    }

    /// How many more questions of a business to a product may be under way.
    pub(super) fn free(&self, institution: &str, product: &str) -> u64 {
        let (pending, over) = self.found(institution, product).map_or((0, 0), |pair| (pair.pending, pair.over));
        (over / 4).clamp(UNDER_WAY.0, UNDER_WAY.1).saturating_sub(pending)
    }

    /// Whether a number is next to one that was asked about shortly before, by whomever.
    pub(super) fn is_near(&self, product: &str, locus: Option<&Locus>) -> bool {
        let recent = self.recent.get(product);
        locus.zip(recent).is_some_and(|(locus, recent)| recent.iter().any(|other| other.is_near(locus)))
    }

    /// What the guard is told of a question, but for its subject.
    pub(super) fn seen(&self, institution: &str, product: &str, day: i64, locus: Option<&Locus>, rows: u64) -> Seen {
        let today = |of: &HashMap<String, (i64, u64)>, key: &str| {
            of.get(key).filter(|(at, _)| *at >= day).map_or(0, |(_, count)| *count)
        };
        let pair = self.found(institution, product);
        let mut counts = Counts::default();
        let days = pair.map(|p| p.days.range(day - self.window + 1..));
        for (_, count) in days.into_iter().flatten() {
            counts.asks += count.asks;
            counts.matches += count.matches;
            counts.canaries += count.canaries;
            counts.neighbours += count.neighbours;
        }
        // What is under way is not held against a business; if its answer is lost, it is.
        counts.asks = counts.asks.saturating_sub(pair.map_or(0, |p| p.pending));
        let others = self.pairs.iter().filter(|(other, _)| other.as_str() != institution);
        let stopped_others = others.filter(|(_, of)| of.get(product).is_some_and(|p| p.stopped)).count() as u64;
        let held = self.recent.get(product).map_or(0, VecDeque::len);
        Seen {
            pair: counts,
            stopped: pair.is_some_and(|p| p.stopped),
            stopped_others,
            business_today: today(&self.businesses, institution),
            product_today: today(&self.products, product),
            chance: locus.map_or(0.0, |l| l.chance(held, rows)),
            ..Seen::default()
        }
    }

    /// Questions about a subject that are under way.
    pub(super) fn pending_of(&self, subject: &str) -> u64 {
        self.subjects.get(subject).copied().unwrap_or(0)
    }

    /// Counts a question that is charged.
    pub(super) fn charged(&mut self, ask: &Ask, day: i64, near: bool) -> Counted {
        add(&mut self.businesses, &ask.institution, day, 1);
        add(&mut self.products, &ask.product, day, 1);
        if let Some(locus) = &ask.locus {
            let recent = self.recent.entry(ask.product.clone()).or_default();
            if recent.len() >= RECENT {
                recent.pop_front();
            }
            recent.push_back(locus.clone());
        }
        let pair = self.pair(&ask.institution, &ask.product);
        let today = pair.days.entry(day).or_default();
        today.asks += 1;
        today.neighbours += u64::from(near);
        self.resumed(ask, day)
    }

    /// A question that is under way again; it was counted before.
    pub(super) fn resumed(&mut self, ask: &Ask, day: i64) -> Counted {
        *self.subjects.entry(ask.subject.clone()).or_default() += 1;
        let pair = self.pair(&ask.institution, &ask.product);
        pair.pending += 1;
        Counted {
            institution: ask.institution.clone(),
            product: ask.product.clone(),
            epoch: pair.epoch,
            day,
            subject: ask.subject.clone(),
        }
    }

    /// A question that is over.
    pub(super) fn finished(&mut self, place: &Counted, matched: bool, canary: bool) {
        if let Some(pending) = self.subjects.get_mut(&place.subject) {
            *pending -= 1;
            if *pending == 0 {
                self.subjects.remove(&place.subject);
            }
        }
        let pair = self.pair(&place.institution, &place.product);
        pair.pending = pair.pending.saturating_sub(1);
        if pair.epoch == place.epoch {
            pair.over += 1;
            let day = pair.days.entry(place.day).or_default();
            day.matches += u64::from(matched);
            day.canaries += u64::from(canary);
        }
    }

    /// An alarm about a question.
    pub(super) fn alarm(&mut self, ask: &Ask, alarm: &'static str, stops: bool) -> AlarmRow {
        let epoch = self.pair(&ask.institution, &ask.product).epoch;
        AlarmRow(ask.institution.clone(), ask.product.clone(), epoch, alarm, u8::from(stops), ask.at)
    }

    /// Stops a business for a product.
    pub(super) fn stop(&mut self, institution: &str, product: &str) {
        self.pair(institution, product).stopped = true;
    }

    /// The authority has lifted the stop: what was counted is not held against the business any more.
    pub(super) fn lifted(&mut self, institution: &str, product: &str) {
        let pair = self.pair(institution, product);
        pair.epoch += 1;
        pair.stopped = false;
        pair.days.clear();
        pair.over = 0;
    }
}

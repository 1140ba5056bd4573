//! One transaction's view of its questions: what the store knows of them, and what they cost.

use super::pairs::Counted;
use super::writer::{Ask, DAY_MILLIS};
use crate::error::DomainError;
use crate::registry::{AlarmRow, ChargeRow, CountRow, Earlier, VerificationTx, Writes};
use std::collections::HashMap;
use yunei_policy::verification::VerificationRules;

/// What the store knows about the questions of a batch; brought forward from question to question.
pub(super) struct Known {
    pub(super) generation: i64,
    pub(super) consents: HashMap<String, u32>,
    pub(super) subjects: HashMap<String, (u64, u64)>,
    /// `None` where the serial number is of this very batch.
    pub(super) serials: HashMap<(String, String), Option<Earlier>>,
    pub(super) grants: HashMap<String, Option<u64>>,
}

impl Known {
    pub(super) async fn read(
        tx: &mut VerificationTx,
        asks: &[Box<Ask>],
        rules: &VerificationRules,
    ) -> Result<Self, DomainError> {
        let tokens: Vec<&str> = asks.iter().filter_map(|a| a.consent.as_ref()).map(|c| c.token.as_str()).collect();
        let subjects: Vec<&str> = asks.iter().map(|a| a.subject.as_str()).collect();
        let serials: Vec<(&str, &str)> =
            asks.iter().filter_map(|a| Some((a.institution.as_str(), a.serial.as_deref()?))).collect();
        let grants: Vec<&str> = asks.iter().map(|a| a.grant.as_str()).collect();
        let today = asks.iter().map(|a| a.at).max().unwrap_or(0).div_euclid(DAY_MILLIS);
        let from = today - i64::from(rules.window_days()) + 1;
        Ok(Self {
            generation: tx.generation().await?,
            consents: tx.consents(&tokens).await?,
            subjects: tx.subjects(&subjects, today, from).await?,
            serials: tx.serials(&serials).await?.into_iter().map(|(key, earlier)| (key, Some(earlier))).collect(),
            grants: tx.grants(&grants).await?,
        })
    }
}

/// The state of one transaction.
pub(super) struct Turn<'a> {
    pub(super) known: Known,
    pub(super) writes: &'a mut Writes,
    pub(super) alarms: Vec<AlarmRow>,
    pub(super) log_from: u64,
}

impl Turn<'_> {
    pub(super) fn charge(&mut self, ask: &Ask, place: &Counted, near: bool, uses: Option<u32>) {
        let known = &mut self.known;
        if let Some(serial) = &ask.serial {
            known.serials.insert((ask.institution.clone(), serial.clone()), None);
        }
        if let Some(Some(left)) = known.grants.get_mut(&ask.grant) {
            *left -= 1;
        }
        let subject = known.subjects.entry(ask.subject.clone()).or_default();
        *subject = (subject.0 + 1, subject.1 + 1);
        if let (Some(consent), Some(uses)) = (&ask.consent, uses) {
            known.consents.insert(consent.token.clone(), uses + 1);
            self.writes.consent(&consent.token, consent.most, consent.expires);
        }
        match self.writes.grants.iter_mut().find(|(id, _)| *id == ask.grant) {
            Some((_, uses)) => *uses += 1,
            None => self.writes.grants.push((ask.grant.clone(), 1)),
        }
        self.writes.subject(&ask.subject, place.day, 1, 0);
        let (institution, product) = (ask.institution.clone(), ask.product.clone());
        self.writes.count(CountRow(institution, product, place.epoch, place.day, 1, 0, 0, u64::from(near)));
        self.writes.charges.push(ChargeRow(
            ask.id.clone(),
            ask.institution.clone(),
            ask.product.clone(),
            ask.purpose.clone(),
            ask.scene.clone(),
            ask.grant.clone(),
            ask.subject.clone(),
            ask.consent.as_ref().map(|c| c.token.clone()),
            ask.serial.clone(),
            ask.request.clone(),
            ask.at,
            self.log_from,
            ask.sources.clone(),
        ));
    }
}

//! Verifications in the store. Many of them are charged in one transaction: each statement takes a whole batch as one JSON
//! array, so that its cost is shared.

use super::error::StoreError;
use super::outbox::{self, AuditEntry};
use super::shelf::unsigned;
use super::standing::Rested;
use super::store::{Store, Tx};
use super::subject::Subject;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// At most how many verifications `asked_about` and the lists give.
const MAX_LISTED: i64 = 1_000;

/// A verification that is charged.
#[derive(Serialize)]
pub(crate) struct ChargeRow(
    /// Its id.
    pub(crate) String,
    /// The business.
    pub(crate) String,
    /// The product.
    pub(crate) String,
    /// The purpose.
    pub(crate) String,
    /// The scene, as the caller names it.
    pub(crate) Option<String>,
    /// The grant.
    pub(crate) String,
    /// The subject.
    pub(crate) String,
    /// The consent that it uses.
    pub(crate) Option<String>,
    /// The caller's serial number.
    pub(crate) Option<String>,
    /// The digest of the request.
    pub(crate) String,
    /// When.
    pub(crate) i64,
    /// The size of the log before it.
    pub(crate) u64,
    /// What it rests on, as JSON.
    pub(crate) String,
);

/// A verification that is over: id, state, receipt's body, index in the log.
#[derive(Serialize)]
pub(crate) struct FinishRow(
    pub(crate) String,
    pub(crate) &'static str,
    pub(crate) Option<String>,
    pub(crate) Option<u64>,
);

/// Counts to be added: institution, product, epoch, day, asks, matches, canaries, neighbours.
#[derive(Serialize)]
pub(crate) struct CountRow(
    pub(crate) String,
    pub(crate) String,
    pub(crate) u64,
    pub(crate) i64,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) u64,
);

/// An alarm: institution, product, epoch, alarm, whether it stops (1 or 0), when.
#[derive(Serialize, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AlarmRow(
    pub(crate) String,
    pub(crate) String,
    pub(crate) u64,
    pub(crate) &'static str,
    pub(crate) u8,
    pub(crate) i64,
);

/// All that one transaction writes.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) charges: Vec<ChargeRow>,
    consents: BTreeMap<String, (u32, u32, i64)>,
    subjects: BTreeMap<(String, i64), (u64, u64)>,
    pub(crate) counts: Vec<CountRow>,
    /// Grant and uses to be added.
    pub(crate) grants: Vec<(String, u64)>,
    pub(crate) finishes: Vec<FinishRow>,
    pub(crate) alarms: Vec<AlarmRow>,
}

impl Writes {
    /// Uses a consent once more: the most of its uses, and when it expires.
    pub(crate) fn consent(&mut self, token: &str, most: u32, expires: i64) {
        let row = self.consents.entry(token.to_owned()).or_insert((0, most, expires));
        *row = (row.0 + 1, row.1.min(most), row.2.min(expires));
    }

    /// Adds to the asks and matches of a subject on a day.
    pub(crate) fn subject(&mut self, subject: &str, day: i64, asks: u64, matches: u64) {
        let row = self.subjects.entry((subject.to_owned(), day)).or_default();
        *row = (row.0 + asks, row.1 + matches);
    }

    /// Adds to the counts of a business and a product on a day; one row for all of a batch.
    pub(crate) fn count(&mut self, row: CountRow) {
        let same = |r: &&mut CountRow| (&r.0, &r.1, r.2, r.3) == (&row.0, &row.1, row.2, row.3);
        match self.counts.iter_mut().find(same) {
            Some(there) => {
                there.4 += row.4;
                there.5 += row.5;
                there.6 += row.6;
                there.7 += row.7;
            }
            None => self.counts.push(row),
        }
    }
}

/// An earlier verification under the same serial number.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    pub(crate) id: String,
    pub(crate) request: String,
    pub(crate) state: String,
    pub(crate) body: Option<String>,
    pub(crate) log_index: Option<u64>,
}

/// A verification as its subject and the authority see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationRecord {
    /// Its id.
    pub id: String,
    /// Which business asked.
    pub institution: String,
    /// Which product.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// In which scene, as the business named it.
    pub scene: Option<String>,
    /// Whether it was covered by a consent.
    pub consented: bool,
    /// `charged`, `answered`, `failed` or `interrupted`.
    pub state: String,
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// The index of its entry in the log.
    pub log_index: Option<u64>,
}

/// Something that looked like enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// The business.
    pub institution: String,
    /// The product.
    pub product: String,
    /// What it was: `no-match-share`, `canaries`, `neighbours`, `many-claims`.
    pub alarm: String,
    /// Whether it stopped the business for this product.
    pub stops: bool,
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// When the authority lifted it.
    pub lifted_at: Option<i64>,
}

/// The counts of a business and a product on one day.
#[derive(Debug, Clone)]
pub(crate) struct DayCount {
    pub(crate) institution: String,
    pub(crate) product: String,
    pub(crate) epoch: u64,
    pub(crate) day: i64,
    pub(crate) asks: u64,
    pub(crate) matches: u64,
    pub(crate) canaries: u64,
    pub(crate) neighbours: u64,
}

/// A transaction over a batch of verifications.
pub(crate) struct VerificationTx {
    tx: Tx,
}

fn array<T: Serialize>(values: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(values).map_err(|_| StoreError::Limit("verification batch"))
}

/// Each value once, as a row of its own: rows of one shape read alike in both databases (`value ->> 0`).
fn singles(values: &[&str]) -> Result<String, StoreError> {
    let values: BTreeSet<&str> = values.iter().copied().collect();
    array(&values.iter().map(|value| [value]).collect::<Vec<_>>())
}

impl VerificationTx {
    pub(crate) async fn generation(&mut self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT number FROM generation").fetch_one(&mut *self.tx).await?)
    }

    /// How often the tokens were used; those that never were are left out.
    pub(crate) async fn consents(&mut self, tokens: &[&str]) -> Result<HashMap<String, u32>, StoreError> {
        if tokens.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query_as::<_, (String, i64)>(
            "SELECT c.token, c.uses FROM json_each($1) AS j JOIN consent_uses AS c ON c.token = j.value ->> 0",
        )
        .bind(singles(tokens)?)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|(t, n)| Ok((t, u32::try_from(n).map_err(|_| StoreError::Damaged("a count of uses is wrong"))?)))
            .collect()
    }

    /// Per subject: questions today, and answers other than `match` from `from_day` on.
    pub(crate) async fn subjects(
        &mut self,
        subjects: &[&str],
        today: i64,
        from_day: i64,
    ) -> Result<HashMap<String, (u64, u64)>, StoreError> {
        // Added up here: the database would make a table of its own for it.
        let rows = sqlx::query_as::<_, (String, i64, i64, i64)>(
            "SELECT s.subject, s.day, s.asks, s.matches FROM json_each($1) AS j
             JOIN subject_counts AS s ON s.subject = j.value ->> 0 AND s.day >= $2",
        )
        .bind(singles(subjects)?)
        .bind(from_day)
        .fetch_all(&mut *self.tx)
        .await?;
        let mut known: HashMap<String, (u64, u64)> = HashMap::with_capacity(rows.len());
        for (subject, day, asks, matches) in rows {
            let (asks, matches) = (unsigned(asks)?, unsigned(matches)?);
            let counts = known.entry(subject).or_default();
            counts.0 += if day == today { asks } else { 0 };
            counts.1 += asks.saturating_sub(matches);
        }
        Ok(known)
    }

    /// Earlier verifications under the same serial numbers, by institution and serial number.
    pub(crate) async fn serials(
        &mut self,
        pairs: &[(&str, &str)],
    ) -> Result<HashMap<(String, String), Earlier>, StoreError> {
        if pairs.is_empty() {
            return Ok(HashMap::new());
        }
        type Row = (String, String, String, String, String, Option<String>, Option<i64>);
        let rows = sqlx::query_as::<_, Row>(
            "SELECT v.institution, v.serial, v.id, v.request, v.state, v.body, v.log_index
             FROM json_each($1) AS j
             JOIN verifications AS v ON v.institution = j.value ->> 0 AND v.serial = j.value ->> 1",
        )
        .bind(array(pairs)?)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|(institution, serial, id, request, state, body, index)| {
                let log_index = index.map(unsigned).transpose()?;
                Ok(((institution, serial), Earlier { id, request, state, body, log_index }))
            })
            .collect()
    }

    /// Uses left of the grants; `None` where a grant does not count them.
    pub(crate) async fn grants(&mut self, ids: &[&str]) -> Result<HashMap<String, Option<u64>>, StoreError> {
        let rows = sqlx::query_as::<_, (String, Option<i64>)>(
            "SELECT g.id, g.max_runs - g.used_runs FROM json_each($1) AS j JOIN grants AS g ON g.id = j.value ->> 0",
        )
        .bind(singles(ids)?)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|(id, left)| Ok((id, left.map(unsigned).transpose()?))).collect()
    }

    /// Writes a batch. What is not there is not written.
    pub(crate) async fn write(&mut self, writes: &Writes) -> Result<(), StoreError> {
        let mut run = Statements { tx: &mut self.tx };
        run.each(
            "INSERT INTO verifications
                (id, institution, product, purpose, scene, grant_id, subject, consent, serial, request, state, at, log_from,
                 sources)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9, 'charged', CAST(value ->> 10 AS BIGINT), CAST(value ->> 11 AS BIGINT), value ->> 12
             FROM json_each($1)",
            &writes.charges,
        )
        .await?;
        run.each(
            "INSERT INTO consent_uses (token, uses, most, expires)
             SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT)
             FROM json_each($1) WHERE true
             ON CONFLICT (token) DO UPDATE SET uses = consent_uses.uses + excluded.uses",
            &writes.consents.iter().map(|(t, (uses, most, expires))| (t, uses, most, expires)).collect::<Vec<_>>(),
        )
        .await?;
        run.each(
            "INSERT INTO subject_counts (subject, day, asks, matches)
             SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT)
             FROM json_each($1) WHERE true
             ON CONFLICT (subject, day) DO UPDATE SET asks = subject_counts.asks + excluded.asks,
                matches = subject_counts.matches + excluded.matches",
            &writes.subjects.iter().map(|((s, day), (asks, matches))| (s, day, asks, matches)).collect::<Vec<_>>(),
        )
        .await?;
        run.each(
            "INSERT INTO verification_counts (institution, product, epoch, day, asks, matches, canaries, neighbours)
             SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT),
                CAST(value ->> 4 AS BIGINT), CAST(value ->> 5 AS BIGINT), CAST(value ->> 6 AS BIGINT),
                CAST(value ->> 7 AS BIGINT)
             FROM json_each($1) WHERE true
             ON CONFLICT (institution, product, epoch, day) DO UPDATE SET asks = verification_counts.asks + excluded.asks,
                matches = verification_counts.matches + excluded.matches,
                canaries = verification_counts.canaries + excluded.canaries,
                neighbours = verification_counts.neighbours + excluded.neighbours",
            &writes.counts,
        )
        .await?;
        run.each(
            "UPDATE grants SET used_runs = used_runs + CAST(j.value ->> 1 AS BIGINT) FROM json_each($1) AS j
             WHERE grants.id = j.value ->> 0",
            &writes.grants,
        )
        .await?;
        run.each(
            "UPDATE verifications SET state = j.value ->> 1, body = j.value ->> 2, log_index = CAST(j.value ->> 3 AS BIGINT)
             FROM json_each($1) AS j WHERE verifications.id = j.value ->> 0 AND state IN ('charged', 'interrupted', 'failed')",
            &writes.finishes,
        )
        .await?;
        run.each(
            "INSERT INTO verification_alarms (institution, product, epoch, alarm, stops, at)
             SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT), value ->> 3, CAST(value ->> 4 AS BIGINT),
                CAST(value ->> 5 AS BIGINT) FROM json_each($1) WHERE true
             ON CONFLICT DO NOTHING",
            &writes.alarms,
        )
        .await?;
        Ok(())
    }

    /// Puts an audit entry into the outbox, in the same transaction.
    pub(crate) async fn note(&mut self, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        outbox::insert(&mut self.tx, audit).await
    }

    /// Lifts the stops of a business for a product; gives how many there were.
    pub(crate) async fn lift(
        &mut self,
        institution: &str,
        product: &str,
        by: &str,
        at: i64,
    ) -> Result<u64, StoreError> {
        let lifted = sqlx::query(
            "UPDATE verification_alarms SET lifted_at = $1, lifted_by = $2
             WHERE institution = $3 AND product = $4 AND stops = 1 AND lifted_at IS NULL",
        )
        .bind(at)
        .bind(by)
        .bind(institution)
        .bind(product)
        .execute(&mut *self.tx)
        .await?;
        Ok(lifted.rows_affected())
    }

    /// Makes all of it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

struct Statements<'a> {
    tx: &'a mut Tx,
}

impl Statements<'_> {
    async fn each<T: Serialize>(&mut self, sql: &'static str, rows: &[T]) -> Result<(), StoreError> {
        if !rows.is_empty() {
            sqlx::query(sql).bind(array(rows)?).execute(&mut **self.tx).await?;
        }
        Ok(())
    }
}

type RecordRow = (String, String, String, String, Option<String>, Option<String>, String, i64, Option<i64>);

fn record(row: RecordRow) -> Result<VerificationRecord, StoreError> {
    let (id, institution, product, purpose, scene, consent, state, at, index) = row;
    let (consented, log_index) = (consent.is_some(), index.map(unsigned).transpose()?);
    Ok(VerificationRecord { id, institution, product, purpose, scene, consented, state, at, log_index })
}

impl Store {
    /// The number that every change of what a use may rest on makes greater.
    pub(crate) async fn generation(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT number FROM generation").fetch_one(&self.read).await?)
    }

    /// Begins a transaction over a batch of verifications.
    pub(crate) async fn begin_verifications(&self) -> Result<VerificationTx, StoreError> {
        Ok(VerificationTx { tx: self.begin().await? })
    }

    /// All counts from a day on.
    pub(crate) async fn verification_counts(&self, from_day: i64) -> Result<Vec<DayCount>, StoreError> {
        type Row = (String, String, i64, i64, i64, i64, i64, i64);
        let rows = sqlx::query_as::<_, Row>(
            "SELECT institution, product, epoch, day, asks, matches, canaries, neighbours FROM verification_counts
             WHERE day >= $1",
        )
        .bind(from_day)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter()
            .map(|(institution, product, epoch, day, asks, matches, canaries, neighbours)| {
                Ok(DayCount {
                    institution,
                    product,
                    epoch: unsigned(epoch)?,
                    day,
                    asks: unsigned(asks)?,
                    matches: unsigned(matches)?,
                    canaries: unsigned(canaries)?,
                    neighbours: unsigned(neighbours)?,
                })
            })
            .collect()
    }

    /// Per business and product: its epoch (the stops that were lifted), and whether it is stopped.
    pub(crate) async fn verification_stops(&self) -> Result<Vec<(String, String, u64, bool)>, StoreError> {
        let rows = sqlx::query_as::<_, (String, String, i64, i64)>(
            "SELECT institution, product, max(epoch) + CASE WHEN count(*) = count(lifted_at) THEN 1 ELSE 0 END,
                count(*) - count(lifted_at)
             FROM verification_alarms WHERE stops = 1 GROUP BY institution, product",
        )
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(|(i, p, epoch, open)| Ok((i, p, unsigned(epoch)?, open > 0))).collect()
    }

    /// The newest alarms, newest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn verification_alarms(&self) -> Result<Vec<AlarmRecord>, StoreError> {
        type Row = (String, String, String, i64, i64, Option<i64>);
        let rows = sqlx::query_as::<_, Row>(
            "SELECT institution, product, alarm, stops, at, lifted_at FROM verification_alarms ORDER BY seq DESC LIMIT $1",
        )
        .bind(MAX_LISTED)
        .fetch_all(&self.read)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(institution, product, alarm, stops, at, lifted_at)| AlarmRecord {
                institution,
                product,
                alarm,
                stops: stops == 1,
                at,
                lifted_at,
            })
            .collect())
    }

    /// The verifications about a subject, newest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub(crate) async fn verifications_about(&self, subject: &str) -> Result<Vec<VerificationRecord>, StoreError> {
        sqlx::query_as::<_, RecordRow>(
            "SELECT id, institution, product, purpose, scene, consent, state, at, log_index FROM verifications
             WHERE subject = $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(subject)
        .bind(MAX_LISTED)
        .fetch_all(&self.read)
        .await?
        .into_iter()
        .map(record)
        .collect()
    }

    /// The answered verifications that rested on a subject, newest first.
    pub(crate) async fn verifications_on(&self, subject: &Subject, limit: u32) -> Result<Vec<Rested>, StoreError> {
        let source =
            |kind: &str, id: &str, version: &str| (format!("source {kind}"), id.to_owned(), version.to_owned());
        let plain = |what: &str, id: &str| (what.to_owned(), id.to_owned(), String::new());
        let (what, id, version) = match subject {
            Subject::Institution(id) => plain("institution", id),
            Subject::Product(id) => plain("product", id),
            Subject::Grant(id) => plain("grant", id),
            Subject::Dataset(id) => source("dataset", id, ""),
            Subject::Version { dataset, number } => source("dataset", dataset, &number.to_string()),
            Subject::Model { id, version } => source("model", id, version),
        };
        let rows = sqlx::query_as::<_, (String, String, String, String, i64)>(
            "SELECT v.id, v.institution, v.product, v.purpose, v.at FROM verifications v
             WHERE v.state = 'answered' AND CASE $1
                WHEN 'institution' THEN v.institution = $2 WHEN 'product' THEN v.product = $2
                WHEN 'grant' THEN v.grant_id = $2
                ELSE EXISTS (SELECT 1 FROM json_each(v.sources) AS s
                    WHERE 'source ' || (s.value ->> 0) = $1 AND s.value ->> 1 = $2 AND ($3 = '' OR s.value ->> 2 = $3))
                END
             ORDER BY v.seq DESC LIMIT $4",
        )
        .bind(what)
        .bind(id)
        .bind(version)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(run, institution, product, purpose, at)| Rested {
                run,
                institution,
                product,
                purpose,
                at,
                file_digest: None,
            })
            .collect())
    }

    /// Which business asked a verification; `None` where there is no such one.
    pub(crate) async fn verification_owner(&self, id: &str) -> Result<Option<String>, StoreError> {
        let owner = sqlx::query_scalar("SELECT institution FROM verifications WHERE id = $1").bind(id);
        Ok(owner.fetch_optional(&self.read).await?)
    }

    /// The receipt's body of a verification and the index of its entry, where it was answered.
    pub(crate) async fn verification_body(&self, id: &str) -> Result<Option<(String, u64)>, StoreError> {
        let row = sqlx::query_as::<_, (Option<String>, Option<i64>)>(
            "SELECT body, log_index FROM verifications WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.read)
        .await?;
        match row {
            Some((Some(body), Some(index))) => Ok(Some((body, unsigned(index)?))),
            _ => Ok(None),
        }
    }

    /// The keyed digest of what a verification asked.
    pub(crate) async fn verification_request(&self, id: &str) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar::<_, String>("SELECT request FROM verifications WHERE id = $1").bind(id);
        Ok(found.fetch_optional(&self.read).await?)
    }

    /// The oldest verifications that are not over, at most 1,000: id, and where in the log their entry cannot be before.
    pub(crate) async fn open_verifications(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query_as::<_, (String, i64)>(
            "SELECT id, log_from FROM verifications WHERE state = 'charged' ORDER BY seq LIMIT $1",
        )
        .bind(MAX_LISTED)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(|(id, from)| Ok((id, unsigned(from)?))).collect()
    }

    /// Consents that expired before `until` (seconds since 1970) can be refused by their time alone.
    pub(crate) async fn forget_consents(&self, until: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM consent_uses WHERE expires < $1").bind(until).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

-- Verification: consent issuers, what was asked, what was counted. Subjects are keyed digests, 32 hexadecimal digits.

-- Counts every change of what a use may rest on. Whoever keeps a picture of it compares the number, inside the transaction
-- that charges a use: a suspension holds from its commit on.
CREATE TABLE generation (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO generation VALUES (1, 1);

CREATE TABLE consent_issuers (
    kid        TEXT PRIMARY KEY CHECK (length(kid) BETWEEN 1 AND 128),
    title_zh   TEXT NOT NULL,
    title_en   TEXT NOT NULL,
    algorithm  TEXT NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE verifications (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 128),
    institution TEXT NOT NULL,
    product     TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    scene       TEXT,
    grant_id    TEXT NOT NULL,
    subject     TEXT NOT NULL CHECK (length(subject) = 32),
    consent     TEXT CHECK (length(consent) = 32),
    serial      TEXT CHECK (length(serial) BETWEEN 1 AND 64),
    request     TEXT NOT NULL CHECK (length(request) = 32),
    -- What it rests on: an array of [kind, id, version].
    sources     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('charged', 'answered', 'failed', 'interrupted')),
    at          INTEGER NOT NULL,
    -- Its entry stands at this index of the log or after it.
    log_from    INTEGER NOT NULL CHECK (log_from >= 0),
    log_index   INTEGER CHECK (log_index >= 0),
    -- What the receipt says, answer included; kept for a repeat of the same serial number.
    body        TEXT
) STRICT;

CREATE UNIQUE INDEX verifications_serial ON verifications (institution, serial) WHERE serial IS NOT NULL;
CREATE INDEX verifications_subject ON verifications (subject, seq);
CREATE INDEX verifications_open ON verifications (seq) WHERE state = 'charged';

CREATE TABLE consent_uses (
    token   TEXT PRIMARY KEY CHECK (length(token) = 32),
    uses    INTEGER NOT NULL CHECK (uses BETWEEN 1 AND most),
    most    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subject_counts (
    subject TEXT NOT NULL CHECK (length(subject) = 32),
    day     INTEGER NOT NULL,
    asks    INTEGER NOT NULL CHECK (asks >= 0),
    matches INTEGER NOT NULL CHECK (matches >= 0),
    PRIMARY KEY (subject, day)
) STRICT, WITHOUT ROWID;

-- `epoch` grows when the authority lifts a stop: the counts of earlier epochs are not held against a business any more.
CREATE TABLE verification_counts (
    institution TEXT NOT NULL,
    product     TEXT NOT NULL,
    epoch       INTEGER NOT NULL CHECK (epoch >= 0),
    day         INTEGER NOT NULL,
    asks        INTEGER NOT NULL CHECK (asks >= 0),
    matches     INTEGER NOT NULL CHECK (matches >= 0),
    canaries    INTEGER NOT NULL CHECK (canaries >= 0),
    neighbours  INTEGER NOT NULL CHECK (neighbours >= 0),
    PRIMARY KEY (institution, product, epoch, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE verification_alarms (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    institution TEXT NOT NULL,
    product     TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    alarm       TEXT NOT NULL,
    -- Whether it stopped the business for this product.
    stops       INTEGER NOT NULL CHECK (stops IN (0, 1)),
    at          INTEGER NOT NULL,
    lifted_at   INTEGER,
    lifted_by   TEXT
) STRICT;

CREATE UNIQUE INDEX verification_alarms_once ON verification_alarms (institution, product, epoch, alarm, stops);

CREATE TRIGGER uses_never_fall BEFORE UPDATE ON consent_uses
WHEN new.uses < old.uses OR new.most <> old.most OR new.token <> old.token
BEGIN SELECT RAISE(ABORT, 'what is used stays used'); END;
CREATE TRIGGER subject_counts_never_fall BEFORE UPDATE ON subject_counts
WHEN new.asks < old.asks OR new.matches < old.matches
BEGIN SELECT RAISE(ABORT, 'counts never fall'); END;
CREATE TRIGGER verification_counts_never_fall BEFORE UPDATE ON verification_counts
WHEN new.asks < old.asks OR new.matches < old.matches OR new.canaries < old.canaries OR new.neighbours < old.neighbours
BEGIN SELECT RAISE(ABORT, 'counts never fall'); END;
CREATE TRIGGER verifications_are_never_deleted BEFORE DELETE ON verifications
BEGIN SELECT RAISE(ABORT, 'verifications are kept'); END;

CREATE TRIGGER generation_institutions_i AFTER INSERT ON institutions BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_institutions_u AFTER UPDATE ON institutions BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_datasets_i AFTER INSERT ON datasets BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_datasets_u AFTER UPDATE ON datasets BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_versions_i AFTER INSERT ON dataset_versions BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_standing_i AFTER INSERT ON version_states BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_standing_u AFTER UPDATE ON version_states BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_models_i AFTER INSERT ON models BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_models_u AFTER UPDATE ON models BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_products_i AFTER INSERT ON products BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_products_u AFTER UPDATE ON products BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_grants_i AFTER INSERT ON grants BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_grants_u AFTER UPDATE OF institution, product, purposes, from_millis, until_millis, max_runs, state ON grants
BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_issuers_i AFTER INSERT ON consent_issuers BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_issuers_u AFTER UPDATE ON consent_issuers BEGIN UPDATE generation SET number = number + 1; END;

-- The lifecycle with separated duties: declines with their reasons, consents of holders, registrations and their terms,
-- agreements of grants, the parts of the authority's staff, and requests of data subjects.

ALTER TABLE institutions ADD COLUMN office TEXT CHECK (office IN ('system', 'security', 'audit'));
ALTER TABLE institutions ADD COLUMN added_by TEXT;

-- A decline is of what was handed in, by its digest: the same handed in again stays declined.
CREATE TABLE declines (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT NOT NULL CHECK (kind IN ('institution', 'dataset', 'model', 'product')),
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 300),
    digest  TEXT NOT NULL,
    reasons TEXT NOT NULL,
    by_whom TEXT NOT NULL REFERENCES institutions (id),
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX declines_of ON declines (kind, subject);

-- The last word of a holder on a product over one of its datasets is the one that counts.
CREATE TABLE consents (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    product TEXT NOT NULL REFERENCES products (id),
    digest  TEXT NOT NULL CHECK (length(digest) = 64),
    dataset TEXT NOT NULL REFERENCES datasets (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('given', 'refused', 'withdrawn')),
    reason  TEXT NOT NULL,
    by_whom TEXT NOT NULL REFERENCES institutions (id),
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX consents_of ON consents (product, dataset);

-- The last row of a subject is its registration; a renewal keeps the number.
CREATE TABLE registrations (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL CHECK (kind IN ('dataset', 'product')),
    subject      TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 128),
    number       TEXT NOT NULL CHECK (length(number) BETWEEN 1 AND 64),
    from_millis  INTEGER NOT NULL,
    until_millis INTEGER NOT NULL CHECK (until_millis > from_millis),
    by_whom      TEXT NOT NULL REFERENCES institutions (id),
    at           INTEGER NOT NULL
) STRICT;

CREATE INDEX registrations_of ON registrations (kind, subject);

-- The last row of a grant is its agreement.
CREATE TABLE agreements (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    grant_id     TEXT NOT NULL REFERENCES grants (id),
    digest       TEXT NOT NULL CHECK (length(digest) = 64),
    from_millis  INTEGER NOT NULL,
    until_millis INTEGER NOT NULL CHECK (until_millis > from_millis),
    by_whom      TEXT NOT NULL REFERENCES institutions (id),
    at           INTEGER NOT NULL
) STRICT;

CREATE INDEX agreements_of ON agreements (grant_id);

-- Requests of data subjects. Whom it is about is a salted commitment; the details stay in the domain.
CREATE TABLE requests (
    id         TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    kind       TEXT NOT NULL CHECK (kind IN ('objection', 'correction')),
    dataset    TEXT NOT NULL REFERENCES datasets (id),
    -- The newest version when it was recorded.
    version    INTEGER NOT NULL CHECK (version >= 1),
    holder     TEXT NOT NULL REFERENCES institutions (id),
    subject    TEXT NOT NULL CHECK (length(subject) = 64),
    details    TEXT NOT NULL,
    filed_by   TEXT NOT NULL REFERENCES institutions (id),
    filed_at   INTEGER NOT NULL,
    extended   TEXT,
    outcome    TEXT CHECK (outcome IN ('corrected', 'upheld', 'rejected')),
    answer     TEXT,
    corrected  INTEGER CHECK (corrected > version),
    closed_at  INTEGER
) STRICT;

CREATE INDEX requests_open ON requests (filed_at) WHERE closed_at IS NULL;

CREATE TRIGGER declines_are_never_changed BEFORE UPDATE ON declines
BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER consents_are_never_changed BEFORE UPDATE ON consents
BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER registrations_are_never_changed BEFORE UPDATE ON registrations
BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER agreements_are_never_changed BEFORE UPDATE ON agreements
BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER requests_are_answered_once BEFORE UPDATE ON requests WHEN old.closed_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a request is answered once'); END;

-- Verifications are decided over a picture of the registry, of one generation (0150): what is decided here makes a new one.
CREATE TRIGGER generation_consents_i AFTER INSERT ON consents BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_registrations_i AFTER INSERT ON registrations BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER generation_agreements_i AFTER INSERT ON agreements BEGIN UPDATE generation SET number = number + 1; END;

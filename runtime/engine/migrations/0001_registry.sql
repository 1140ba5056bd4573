-- The registry of a domain. Times are milliseconds since 1970; digests are 64 hexadecimal digits.

CREATE TABLE institutions (
    id         TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    role       TEXT NOT NULL CHECK (role IN ('holder', 'operator', 'business', 'authority')),
    title_zh   TEXT NOT NULL,
    title_en   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE datasets (
    id           TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    spec_digest  TEXT NOT NULL CHECK (length(spec_digest) = 64),
    spec_toml    TEXT NOT NULL,
    submitted_by TEXT NOT NULL REFERENCES institutions (id),
    state        TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    -- Budgets are kept per epoch of a dataset.
    epoch        INTEGER NOT NULL CHECK (epoch >= 1),
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE dataset_versions (
    dataset       TEXT NOT NULL REFERENCES datasets (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    -- The entry that the files were checked against.
    spec_digest   TEXT NOT NULL CHECK (length(spec_digest) = 64),
    spec_toml     TEXT NOT NULL,
    files         TEXT NOT NULL,
    rows          INTEGER NOT NULL CHECK (rows >= 0),
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (dataset, number)
) STRICT;

CREATE TABLE models (
    id              TEXT NOT NULL CHECK (length(id) BETWEEN 1 AND 128),
    version         TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 128),
    manifest_digest TEXT NOT NULL CHECK (length(manifest_digest) = 64),
    wasm_digest     TEXT NOT NULL CHECK (length(wasm_digest) = 64),
    report          TEXT NOT NULL,
    submitted_by    TEXT NOT NULL REFERENCES institutions (id),
    state           TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    PRIMARY KEY (id, version)
) STRICT;

CREATE TABLE products (
    id           TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    toml_digest  TEXT NOT NULL CHECK (length(toml_digest) = 64),
    header       TEXT NOT NULL,
    submitted_by TEXT NOT NULL REFERENCES institutions (id),
    state        TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
    id               TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
    institution      TEXT NOT NULL REFERENCES institutions (id),
    product          TEXT NOT NULL REFERENCES products (id),
    purposes         TEXT NOT NULL,
    from_millis      INTEGER NOT NULL,
    until_millis     INTEGER NOT NULL CHECK (until_millis > from_millis),
    max_runs         INTEGER CHECK (max_runs >= 0),
    used_runs        INTEGER NOT NULL DEFAULT 0 CHECK (used_runs >= 0 AND (max_runs IS NULL OR used_runs <= max_runs)),
    agreement_digest TEXT CHECK (length(agreement_digest) = 64),
    state            TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'suspended', 'retired')),
    created_at       INTEGER NOT NULL,
    changed_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX grants_of ON grants (institution, product);

CREATE TABLE runs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 128),
    institution TEXT NOT NULL REFERENCES institutions (id),
    -- A refused run may name a product or a grant that there is not.
    product     TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    grant_id    TEXT REFERENCES grants (id),
    question    TEXT CHECK (length(question) = 64),
    state       TEXT NOT NULL CHECK (
        state IN ('authorised', 'charged', 'executed', 'released', 'failed', 'refused', 'repeated')
    ),
    at          INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_unfinished ON runs (state) WHERE state IN ('authorised', 'charged', 'executed');

CREATE TABLE seeds (
    run_id TEXT PRIMARY KEY REFERENCES runs (id),
    seed   BLOB NOT NULL CHECK (length(seed) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    question    TEXT PRIMARY KEY CHECK (length(question) = 64),
    run_id      TEXT NOT NULL UNIQUE REFERENCES runs (id),
    file_digest TEXT NOT NULL CHECK (length(file_digest) = 64),
    release     TEXT NOT NULL,
    receipt     TEXT,
    at          INTEGER NOT NULL
) STRICT;

-- What was spent, line by line; never changed.
CREATE TABLE ledger (
    run_id    TEXT NOT NULL REFERENCES runs (id),
    scope_key TEXT NOT NULL CHECK (length(scope_key) BETWEEN 1 AND 512),
    rho       INTEGER NOT NULL CHECK (rho >= 0),
    delta     INTEGER NOT NULL CHECK (delta >= 0),
    at        INTEGER NOT NULL,
    PRIMARY KEY (run_id, scope_key)
) STRICT, WITHOUT ROWID;

-- The sums of the ledger per scope; they never fall.
CREATE TABLE spent (
    scope_key TEXT PRIMARY KEY,
    rho       INTEGER NOT NULL CHECK (rho >= 0),
    delta     INTEGER NOT NULL CHECK (delta >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is never changed'); END;
CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is never changed'); END;
CREATE TRIGGER spent_never_falls BEFORE UPDATE ON spent
WHEN new.rho < old.rho OR new.delta < old.delta OR new.scope_key <> old.scope_key
BEGIN SELECT RAISE(ABORT, 'what is spent stays spent'); END;
CREATE TRIGGER spent_is_never_deleted BEFORE DELETE ON spent
BEGIN SELECT RAISE(ABORT, 'what is spent stays spent'); END;
CREATE TRIGGER versions_are_immutable BEFORE UPDATE ON dataset_versions
BEGIN SELECT RAISE(ABORT, 'a dataset version is immutable'); END;
CREATE TRIGGER seeds_are_immutable BEFORE UPDATE ON seeds
BEGIN SELECT RAISE(ABORT, 'a seed is immutable'); END;

-- Audit entries that were written with the change that they tell of, until they stand in the log.
CREATE TABLE outbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 128),
    entry     TEXT NOT NULL,
    log_index INTEGER CHECK (log_index >= 0)
) STRICT;

CREATE INDEX outbox_pending ON outbox (seq) WHERE log_index IS NULL;

-- What stands and what does not: states of versions, the history of states with its reasons, and what each run rests on.

-- A version without a row here is in use.
CREATE TABLE version_states (
    dataset    TEXT NOT NULL,
    number     INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('approved', 'suspended', 'retired')),
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (dataset, number),
    FOREIGN KEY (dataset, number) REFERENCES dataset_versions (dataset, number)
) STRICT;

-- Every suspension, resumption, end and withdrawal; never changed.
CREATE TABLE state_changes (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL CHECK (kind IN ('institution', 'dataset', 'version', 'model', 'product', 'grant')),
    subject    TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 300),
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    changed_by TEXT NOT NULL REFERENCES institutions (id),
    at         INTEGER NOT NULL
) STRICT;

CREATE INDEX state_changes_of ON state_changes (kind, subject);

-- The dataset versions and models that a run rests on, known before it is charged.
CREATE TABLE run_sources (
    run_id  TEXT NOT NULL REFERENCES runs (id),
    kind    TEXT NOT NULL CHECK (kind IN ('dataset', 'model')),
    id      TEXT NOT NULL,
    -- A dataset version's number, or a model's version.
    version TEXT NOT NULL,
    PRIMARY KEY (run_id, kind, id, version)
) STRICT;

CREATE INDEX run_sources_of ON run_sources (kind, id, version);

CREATE TRIGGER state_changes_are_never_changed BEFORE UPDATE ON state_changes
BEGIN SELECT RAISE(ABORT, 'the history of states is never changed'); END;
CREATE TRIGGER state_changes_are_never_deleted BEFORE DELETE ON state_changes
BEGIN SELECT RAISE(ABORT, 'the history of states is never changed'); END;
CREATE TRIGGER run_sources_are_immutable BEFORE UPDATE ON run_sources
BEGIN SELECT RAISE(ABORT, 'what a run rests on is immutable'); END;

-- The newest checkpoint of the log that this registry knows, so that neither of the two can be put back to an older state
-- without the other noticing. One line per log (a log a year).
CREATE TABLE log_seen (
    origin TEXT PRIMARY KEY CHECK (length(origin) BETWEEN 1 AND 128),
    size   INTEGER NOT NULL CHECK (size >= 0),
    note   TEXT NOT NULL CHECK (length(note) <= 16384),
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER log_seen_never_falls BEFORE UPDATE ON log_seen
WHEN new.size < old.size OR new.origin <> old.origin
BEGIN SELECT RAISE(ABORT, 'the log never shrinks'); END;
CREATE TRIGGER log_seen_is_never_deleted BEFORE DELETE ON log_seen
BEGIN SELECT RAISE(ABORT, 'the log never shrinks'); END;

-- Whose store this is, and who may change it: a store knows its home, and where several servers can open it, which of them
-- took it over last.

CREATE TABLE store_home (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    -- Derived from the home's secret: no name can be taken for another's.
    home TEXT NOT NULL CHECK (length(home) = 64)
) STRICT;

CREATE TRIGGER store_home_is_never_changed BEFORE UPDATE ON store_home
BEGIN SELECT RAISE(ABORT, 'a store stays with its home'); END;
CREATE TRIGGER store_home_is_never_deleted BEFORE DELETE ON store_home
BEGIN SELECT RAISE(ABORT, 'a store stays with its home'); END;

-- Counts who took the store over. A change by one who did so earlier is refused.
CREATE TABLE store_term (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    term INTEGER NOT NULL CHECK (term >= 0)
) STRICT;
INSERT INTO store_term (one, term) VALUES (1, 0);

CREATE TRIGGER store_term_never_falls BEFORE UPDATE ON store_term WHEN new.term < old.term
BEGIN SELECT RAISE(ABORT, 'a term never comes back'); END;
CREATE TRIGGER store_term_is_never_deleted BEFORE DELETE ON store_term
BEGIN SELECT RAISE(ABORT, 'a term never comes back'); END;

-- The last swap of each log's lock, where the log can be opened from several machines; see `Agree` of yunei-audit.
CREATE TABLE log_lock (
    origin   TEXT PRIMARY KEY CHECK (length(origin) BETWEEN 1 AND 128),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    note     TEXT NOT NULL CHECK (length(note) <= 16384)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER log_lock_goes_on BEFORE UPDATE ON log_lock
WHEN new.sequence <> old.sequence + 1 OR new.origin <> old.origin
BEGIN SELECT RAISE(ABORT, 'a lock goes on by one'); END;
CREATE TRIGGER log_lock_is_never_deleted BEFORE DELETE ON log_lock
BEGIN SELECT RAISE(ABORT, 'a lock goes on by one'); END;

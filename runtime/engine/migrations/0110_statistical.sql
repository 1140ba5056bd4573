-- What was released under disclosure control: the members of each cell whose numbers left, so that no later release tells
-- of a few of them by its difference. Bitmaps of numbers that the home's units.idx gives out; no identifier stands here.

CREATE TABLE statistical_cells (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id  TEXT NOT NULL REFERENCES runs (id),
    dataset TEXT NOT NULL CHECK (length(dataset) BETWEEN 1 AND 128),
    -- The digest of the files that the cell is about: the same data under another version is the same data.
    data    TEXT NOT NULL CHECK (length(data) = 64),
    -- SHA-256 of the bitmap: the same cell is kept once.
    digest  TEXT NOT NULL CHECK (length(digest) = 64),
    members BLOB NOT NULL,
    UNIQUE (dataset, data, digest)
) STRICT;

CREATE TRIGGER statistical_cells_are_immutable BEFORE UPDATE ON statistical_cells
BEGIN SELECT RAISE(ABORT, 'what was released stays known'); END;
CREATE TRIGGER statistical_cells_are_never_deleted BEFORE DELETE ON statistical_cells
BEGIN SELECT RAISE(ABORT, 'what was released stays known'); END;

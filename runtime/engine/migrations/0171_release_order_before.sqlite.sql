-- Releases of before 0170 are numbered in the order in which SQLite kept them. A store in PostgreSQL has none.

UPDATE releases SET seq = rowid WHERE seq IS NULL;

-- The order in which releases were recorded, as a number of their own: it is the same in every database, and stays when a
-- database is copied out and in again.

ALTER TABLE releases ADD COLUMN seq INTEGER CHECK (seq >= 1);
CREATE UNIQUE INDEX releases_seq ON releases (seq);

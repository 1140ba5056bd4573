-- How changes wait for one another, and how those of a server that was taken over from are refused. The two locks have the
-- numbers 1 (changes of the registry) and 2 (swaps of the log's lock); taking over waits for both. A function that waits first
-- reads what was committed while it waited: each of its statements sees the newest commits (READ COMMITTED).

CREATE FUNCTION begin_change(mine bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1501916773, 1);
    IF NOT EXISTS (SELECT 1 FROM store_term WHERE term = mine) THEN
        RAISE EXCEPTION USING ERRCODE = 'YU001', MESSAGE = 'another server took the store over';
    END IF;
    RETURN mine;
END $$;

CREATE FUNCTION take_over() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1501916773, 1);
    PERFORM pg_advisory_xact_lock(1501916773, 2);
    UPDATE store_term SET term = term + 1 RETURNING term INTO taken;
    RETURN taken;
END $$;

-- Gives how many rows were put in place: 1, or 0 where it does not hold what it was said to.
CREATE FUNCTION swap_log(
    of_log text, mine bigint, old_number bigint, old_note text, new_number bigint, new_note text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    done bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1501916773, 2);
    IF NOT EXISTS (SELECT 1 FROM store_term WHERE term = mine) THEN
        RAISE EXCEPTION USING ERRCODE = 'YU001', MESSAGE = 'another server took the store over';
    END IF;
    IF old_number IS NULL THEN
        INSERT INTO log_lock (origin, sequence, note) VALUES (of_log, new_number, new_note) ON CONFLICT (origin) DO NOTHING;
    ELSE
        UPDATE log_lock SET sequence = new_number, note = new_note
        WHERE origin = of_log AND sequence = old_number AND note = old_note;
    END IF;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- The two functions of SQLite's JSON that our statements use, for PostgreSQL. An array's elements are read by `value ->> n`
-- in both; elements are arrays themselves.

CREATE FUNCTION json_each(document text) RETURNS TABLE (value jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT element FROM jsonb_array_elements(document::jsonb) AS e (element) $$;

-- One value; true and false are 1 and 0.
CREATE FUNCTION json_extract(document text, path text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE found WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE found END
    FROM (SELECT jsonb_path_query_first(document::jsonb, path::jsonpath) #>> '{}') AS f (found)
$$;

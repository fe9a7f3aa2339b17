-- Reading the log and keeping it short: protocols.md rules 3, 4, 8.

-- Commits after a position, one row a change (one row with NULLs for a commit without changes; the
-- call comes with its first). The very first row is the head; without any row: reset.
-- In its own transaction, committed synchronously, everything that it returns is durable.
CREATE FUNCTION syncline.tail(after_ts bigint, after_nonce bigint, bytes_max bigint)
RETURNS TABLE (
    ts bigint, nonce bigint, previous_ts bigint, session text, request bigint, call json,
    document_id text, table_number bigint, before_ts bigint, before json, after json,
    keys_before bytea[], keys_after bytea[], is_published boolean
) LANGUAGE plpgsql ROWS 1000 AS $$
#variable_conflict use_column
DECLARE
    head syncline.head;
    published_ts bigint;
    up_to bigint := after_ts;
    total bigint := 0;
    candidate record;
BEGIN
    SELECT * INTO head FROM syncline.head;
    SELECT p.ts INTO published_ts FROM syncline.published p;
    IF head.ts > published_ts THEN
        PERFORM syncline.flush_with_commit();
    END IF;
    IF NOT (head.ts = after_ts AND head.nonce = after_nonce)
       AND NOT syncline.is_in_log(after_ts, after_nonce) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT head.ts, head.nonce, NULL::bigint, NULL::text, NULL::bigint, NULL::json,
        NULL::text, NULL::bigint, NULL::bigint, NULL::json, NULL::json, NULL::bytea[],
        NULL::bytea[], head.ts <= published_ts;
    FOR candidate IN
        SELECT m.ts, m.size FROM syncline.commits m
        WHERE m.ts > after_ts AND m.ts <= head.ts ORDER BY m.ts
    LOOP
        up_to := candidate.ts;
        total := total + candidate.size;
        EXIT WHEN total >= bytes_max;
    END LOOP;
    RETURN QUERY
        SELECT c.ts, c.nonce, c.previous_ts, c.session, c.request,
               CASE WHEN coalesce(d.ordinal, 1) = 1 THEN c.call END,
               d.document_id, d.table_number, d.before_ts, d.before, d.after,
               d.keys_before, d.keys_after, NULL::boolean
        FROM syncline.commits c LEFT JOIN syncline.changes d ON d.ts = c.ts
        WHERE c.ts > after_ts AND c.ts <= up_to
        ORDER BY c.ts, d.ordinal;
END $$;

-- Says that everything up to a_ts is on disk; called only after a flush that covered it.
CREATE FUNCTION syncline.publish(a_ts bigint) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    UPDATE syncline.published SET ts = a_ts WHERE ts < a_ts;
END;

-- A view has applied everything up to a_ts.
CREATE FUNCTION syncline.report_applied(view_name text, a_ts bigint) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO syncline.views AS v (name, applied_ts) VALUES (view_name, a_ts)
    ON CONFLICT (name) DO UPDATE SET applied_ts = excluded.applied_ts
    WHERE v.applied_ts < excluded.applied_ts;
END;

-- Moves the newest versions of the next commits into `documents`. Never inside append: it takes
-- no lock that append wants.
CREATE FUNCTION syncline.fold(
    up_to bigint, commits_max integer, OUT folded_ts bigint, OUT folded_nonce bigint
) LANGUAGE plpgsql AS $$
DECLARE
    target_ts bigint;
    target_nonce bigint;
BEGIN
    SELECT f.ts, f.nonce INTO folded_ts, folded_nonce FROM syncline.folded f FOR UPDATE;
    SELECT c.ts, c.nonce INTO target_ts, target_nonce
    FROM (
        SELECT m.ts, m.nonce FROM syncline.commits m
        WHERE m.ts > folded_ts AND m.ts <= up_to ORDER BY m.ts LIMIT commits_max
    ) c ORDER BY c.ts DESC LIMIT 1;
    IF target_ts IS NULL THEN
        RETURN;
    END IF;
    WITH newest AS MATERIALIZED (
        SELECT DISTINCT ON (d.document_id) d.* FROM syncline.changes d
        WHERE d.ts > folded_ts AND d.ts <= target_ts ORDER BY d.document_id, d.ts DESC
    ), gone AS (
        DELETE FROM syncline.documents o USING newest n
        WHERE n.after IS NULL AND o.document_id = n.document_id
    )
    INSERT INTO syncline.documents (document_id, table_number, ts, document, keys)
    SELECT n.document_id, n.table_number, n.ts, n.after, n.keys_after
    FROM newest n WHERE n.after IS NOT NULL
    ON CONFLICT (document_id) DO UPDATE
    SET table_number = excluded.table_number, ts = excluded.ts, document = excluded.document,
        keys = excluded.keys;
    UPDATE syncline.folded SET ts = target_ts, nonce = target_nonce;
    folded_ts := target_ts;
    folded_nonce := target_nonce;
END $$;

-- One small step of forgetting; returns how many rows went. The commit at `folded` stays, because
-- whoever loads the snapshot stands on it, and so does what a view has not applied.
CREATE FUNCTION syncline.prune(keep_after bigint, records_before bigint, rows_max integer)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    up_to bigint;
    gone_commits bigint;
    gone_requests bigint;
    gone_parts bigint;
BEGIN
    SELECT least(keep_after, f.ts - 1, (SELECT min(v.applied_ts) - 1 FROM syncline.views v))
    INTO up_to FROM syncline.folded f;
    SELECT max(c.ts) INTO up_to FROM (
        SELECT m.ts FROM syncline.commits m WHERE m.ts <= up_to ORDER BY m.ts LIMIT rows_max) c;
    UPDATE syncline.pruned p SET ts = up_to WHERE p.ts < up_to;
    DELETE FROM syncline.changes d WHERE d.ts <= up_to;
    DELETE FROM syncline.commits c WHERE c.ts <= up_to;
    GET DIAGNOSTICS gone_commits = ROW_COUNT;
    WITH gone AS (
        DELETE FROM syncline.requests r USING (
            SELECT o.session, o.request FROM syncline.requests o
            WHERE o.recorded_ns < records_before ORDER BY o.recorded_ns LIMIT rows_max) old
        WHERE r.session = old.session AND r.request = old.request
        RETURNING r.session, r.request
    ), floors AS (
        INSERT INTO syncline.session_floors AS f (session, request)
        SELECT g.session, max(g.request) FROM gone g GROUP BY g.session
        ON CONFLICT (session) DO UPDATE SET request = greatest(f.request, excluded.request)
    )
    SELECT count(*) INTO gone_requests FROM gone;
    DELETE FROM syncline.staged s WHERE s.staged_ns < syncline.now_ns() - 3600000000000;
    GET DIAGNOSTICS gone_parts = ROW_COUNT;
    RETURN gone_commits + gone_requests + gone_parts;
END $$;

-- Adds entry keys to the versions that they name, in history and snapshot; doing it twice changes
-- nothing. The lock keeps `fold` from copying a version between the two.
CREATE FUNCTION syncline.add_index_keys(document_ids text[], stamps bigint[], new_keys bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM syncline.folded FOR UPDATE;
    UPDATE syncline.changes d SET keys_after = d.keys_after || a.keys
    FROM (
        SELECT e.document_id, e.ts, array_agg(DISTINCT n.key) AS keys
        FROM unnest(document_ids, stamps, new_keys) AS n (document_id, ts, key)
        JOIN syncline.changes e ON e.ts = n.ts AND e.document_id = n.document_id
        WHERE e.after IS NOT NULL AND n.key <> ALL (e.keys_after)
        GROUP BY e.document_id, e.ts
    ) a WHERE d.ts = a.ts AND d.document_id = a.document_id;
    UPDATE syncline.documents d SET keys = d.keys || a.keys
    FROM (
        SELECT e.document_id, array_agg(DISTINCT n.key) AS keys
        FROM unnest(document_ids, stamps, new_keys) AS n (document_id, ts, key)
        JOIN syncline.documents e ON e.ts = n.ts AND e.document_id = n.document_id
        WHERE n.key <> ALL (e.keys)
        GROUP BY e.document_id
    ) a WHERE d.document_id = a.document_id;
END $$;

-- Appending: protocols.md rules 1, 2, 4, 5, 6, 8. Everything is VOLATILE plpgsql at READ COMMITTED,
-- so that each statement after the head lock sees all commits before it.

CREATE FUNCTION syncline.now_ns() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000;

-- Makes the surrounding transaction flush when it commits, and with it all that came before.
CREATE FUNCTION syncline.flush_with_commit() RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT pg_logical_emit_message(true, 'syncline', '');
END;

CREATE FUNCTION syncline.is_in_log(a_ts bigint, a_nonce bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF a_ts = 0 THEN
        RETURN a_nonce = 0 AND NOT EXISTS (SELECT FROM syncline.pruned p WHERE p.ts > 0);
    END IF;
    RETURN EXISTS (SELECT FROM syncline.commits c WHERE c.ts = a_ts AND c.nonce = a_nonce);
END $$;

-- The first write in (after_ts, up_to] inside one of the ranges; NULL if there is none.
CREATE FUNCTION syncline.first_conflict(
    after_ts bigint, up_to bigint, los bytea[], his bytea[], OUT ts bigint, OUT key bytea
) LANGUAGE plpgsql AS $$
BEGIN
    IF after_ts >= up_to OR cardinality(los) = 0 THEN
        RETURN;
    END IF;
    -- unnest in the select list: a third of the cost of a lateral join per row.
    SELECT k.ts, k.key INTO first_conflict.ts, first_conflict.key
    FROM (
        SELECT c.ts, unnest(c.keys_before || c.keys_after) AS key
        FROM syncline.changes c WHERE c.ts > after_ts AND c.ts <= up_to
    ) k
    JOIN unnest(los, his) AS r (lo, hi) ON k.key >= r.lo AND k.key < r.hi
    ORDER BY k.ts, k.key
    LIMIT 1;
END $$;

-- Changes that were staged in parts under the commit's nonce.
CREATE FUNCTION syncline.staged_changes(a_nonce bigint, parts integer)
RETURNS syncline.change[] LANGUAGE plpgsql AS $$
DECLARE
    content bytea;
    found integer;
    result syncline.change[];
BEGIN
    SELECT string_agg(s.content, ''::bytea ORDER BY s.part), count(*) INTO content, found
    FROM syncline.staged s WHERE s.nonce = a_nonce;
    IF found <> parts THEN
        RAISE EXCEPTION 'syncline: commit % has % of % staged parts', a_nonce, found, parts;
    END IF;
    SELECT array_agg(ROW(
        c.document_id, c.table_number, c.before_ts,
        convert_from(decode(c.before, 'base64'), 'UTF8')::json,
        convert_from(decode(c.after, 'base64'), 'UTF8')::json,
        c.keys_before, c.keys_after)::syncline.change)
    INTO result
    FROM json_to_recordset(convert_from(content, 'UTF8')::json) AS c (
        document_id text, table_number bigint, before_ts bigint, before text, after text,
        keys_before bytea[], keys_after bytea[]);
    RETURN result;
END $$;

-- Items with their staged changes put in. Runs before the head lock is taken.
CREATE FUNCTION syncline.unstage(items syncline.item[]) RETURNS syncline.item[]
LANGUAGE plpgsql AS $$
DECLARE
    item syncline.item;
    result syncline.item[] := '{}';
BEGIN
    FOREACH item IN ARRAY items LOOP
        IF item.staged_parts > 0 THEN
            item.changes := syncline.staged_changes(item.nonce, item.staged_parts);
        END IF;
        result := result || item;
    END LOOP;
    RETURN result;
END $$;

-- What was recorded under (session, request) as a verdict; NULL: it has never been settled.
CREATE FUNCTION syncline.settled(a_session text, a_request bigint, a_identity text) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
    known syncline.requests;
BEGIN
    SELECT * INTO known FROM syncline.requests r
    WHERE r.session = a_session AND r.request = a_request;
    IF FOUND THEN
        IF known.identity <> a_identity THEN
            RETURN json_build_object('kind', 'refused', 'reason', 'identity');
        END IF;
        RETURN json_build_object('kind', 'duplicate', 'ts', known.ts, 'identity', known.identity,
                                 'outcome', known.outcome, 'failed', known.failed);
    END IF;
    IF EXISTS (SELECT FROM syncline.session_floors f
               WHERE f.session = a_session AND f.request >= a_request) THEN
        RETURN json_build_object('kind', 'refused', 'reason', 'pruned');
    END IF;
    RETURN NULL;
END $$;

-- Inserts items whose ts, previous_ts and turn are settled, and moves the head, which is locked.
-- Returns the new head; NULLs if no item was a commit.
CREATE FUNCTION syncline.store(
    items syncline.item[], now_ns bigint, OUT head_ts bigint, OUT head_nonce bigint
) LANGUAGE plpgsql AS $$
BEGIN
    WITH accepted AS MATERIALIZED (
        SELECT * FROM unnest(items)
    ), new_commits AS (
        INSERT INTO syncline.commits (ts, nonce, previous_ts, session, request, size, call)
        SELECT i.ts, i.nonce, i.previous_ts, i.session, i.request, i.size, i.call
        FROM accepted i WHERE NOT i.failed
        RETURNING commits.ts, commits.nonce
    ), new_changes AS (
        INSERT INTO syncline.changes
        SELECT i.ts, c.ordinality, c.document_id, c.table_number, c.before_ts, c.before, c.after,
               c.keys_before, c.keys_after
        FROM accepted i CROSS JOIN LATERAL unnest(i.changes) WITH ORDINALITY AS c
        WHERE NOT i.failed
    ), new_requests AS (
        INSERT INTO syncline.requests (session, request, ts, recorded_ns, failed, identity, outcome)
        SELECT i.session, i.request, i.ts, now_ns, i.failed, i.identity, i.outcome FROM accepted i
    )
    UPDATE syncline.head h SET ts = newest.ts, nonce = newest.nonce
    FROM (SELECT n.ts, n.nonce FROM new_commits n ORDER BY n.ts DESC LIMIT 1) AS newest
    RETURNING h.ts, h.nonce INTO store.head_ts, store.head_nonce;
END $$;

-- The batch as its caller numbered it, up to the first item that was settled before. NULL `kept`:
-- a proposed ts can't be kept, and nothing was stored.
CREATE FUNCTION syncline.append_as_proposed(
    items syncline.item[], now_ns bigint,
    OUT kept integer, OUT head_ts bigint, OUT head_nonce bigint, OUT results json
) LANGUAGE plpgsql AS $$
DECLARE
    stop integer;
    is_ordered boolean;
    newest bigint;
BEGIN
    SELECT min(i.ordinality) FILTER (WHERE r.session IS NOT NULL OR i.request <= f.request),
           bool_and(i.failed OR i.ts > i.previous_ts), max(i.ts) FILTER (WHERE NOT i.failed)
    INTO stop, is_ordered, newest
    FROM unnest(items) WITH ORDINALITY AS i
    LEFT JOIN syncline.requests r ON r.session = i.session AND r.request = i.request
    LEFT JOIN syncline.session_floors f ON f.session = i.session;
    IF NOT is_ordered OR newest > now_ns + 1000000000 THEN
        RETURN;
    END IF;
    kept := cardinality(items);
    IF stop IS NOT NULL THEN
        kept := stop - 1;
        results := json_build_array(syncline.settled(
            items[stop].session, items[stop].request, items[stop].identity));
        items := items[1:kept];
    END IF;
    SELECT s.head_ts, s.head_nonce INTO append_as_proposed.head_ts, append_as_proposed.head_nonce
    FROM syncline.store(items, now_ns) s;
END $$;

-- NULL if the item's reads hold up to the locked head, else why they do not. (after, h1] has been
-- looked through before the lock was taken; the floor is read last, because pruning takes no lock.
CREATE FUNCTION syncline.judged(
    item syncline.item, early_ts bigint, early_key bytea, h1 bigint, base_ts bigint,
    head_ts bigint, horizon_ns bigint
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    hit_ts bigint := early_ts;
    hit_key bytea := early_key;
    floor bigint;
BEGIN
    IF hit_ts IS NULL THEN
        SELECT f.ts, f.key INTO hit_ts, hit_key FROM syncline.first_conflict(
            greatest(item.begin_ts, h1), head_ts, item.read_los, item.read_his) f;
    END IF;
    SELECT greatest(p.ts, base_ts - horizon_ns) INTO floor FROM syncline.pruned p;
    IF item.begin_ts < floor THEN
        RETURN json_build_object('kind', 'too_old', 'floor_ts', floor);
    END IF;
    IF hit_ts IS NOT NULL THEN
        RETURN json_build_object('kind', 'conflict', 'ts', hit_ts, 'key', hit_key);
    END IF;
    RETURN NULL;
END $$;

-- The batch item by item, each validated against everything before it, earlier items included.
CREATE FUNCTION syncline.append_validated(
    items syncline.item[], early_ts bigint[], early_keys bytea[], h1 bigint, horizon_ns bigint,
    now_ns bigint, INOUT head_ts bigint, INOUT head_nonce bigint, OUT results json
) LANGUAGE plpgsql AS $$
DECLARE
    base_ts CONSTANT bigint := head_ts;
    item syncline.item;
    verdict json;
    verdicts json[] := '{}';
    n integer := 0;
BEGIN
    FOREACH item IN ARRAY items LOOP
        n := n + 1;
        verdict := syncline.settled(item.session, item.request, item.identity);
        IF verdict IS NULL THEN
            verdict := syncline.judged(
                item, early_ts[n], early_keys[n], h1, base_ts, head_ts, horizon_ns);
        END IF;
        IF verdict IS NULL THEN
            item.previous_ts := head_ts;
            IF item.failed THEN
                item.ts := head_ts;
            ELSIF item.ts <= head_ts OR item.ts > now_ns + 1000000000 THEN
                item.ts := greatest(head_ts + 1, now_ns);
            END IF;
            PERFORM syncline.store(ARRAY[item], now_ns);
            IF item.failed THEN
                verdict := json_build_object('kind', 'recorded', 'ts', item.ts);
            ELSE
                verdict := json_build_object('kind', 'committed', 'ts', item.ts);
                head_ts := item.ts;
                head_nonce := item.nonce;
            END IF;
        END IF;
        verdicts := verdicts || verdict;
    END LOOP;
    results := array_to_json(verdicts);
END $$;

-- Commits in (after_ts, up_to] with their changes, as far as they fit into bytes_max; may be NULL.
CREATE FUNCTION syncline.missing(after_ts bigint, up_to bigint, bytes_max bigint) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
    result json;
BEGIN
    SELECT json_agg(json_build_object(
        'ts', c.ts, 'nonce', c.nonce, 'previous_ts', c.previous_ts,
        'session', c.session, 'request', c.request, 'call', c.call,
        'changes', (
            SELECT coalesce(json_agg(row_to_json(d) ORDER BY d.ordinal), '[]'::json)
            FROM syncline.changes d WHERE d.ts = c.ts)
        ) ORDER BY c.ts)
    INTO result
    FROM (
        SELECT m.*, sum(m.size) OVER (ORDER BY m.ts) AS total FROM syncline.commits m
        WHERE m.ts > after_ts AND m.ts <= up_to ORDER BY m.ts LIMIT 1000
    ) c
    WHERE c.total <= bytes_max;
    RETURN result;
END $$;

-- Whether a view lacks a commit that is older than the head by more than the bound.
CREATE FUNCTION syncline.is_lagging(head_ts bigint, lag_ns_max bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM syncline.views v
        WHERE head_ts - lag_ns_max > (
            SELECT c.ts FROM syncline.commits c WHERE c.ts > v.applied_ts ORDER BY c.ts LIMIT 1));
END $$;

-- lag_ns_max NULL: no bound. status: 0 appended, 1 head moved, 2 reset, 3 slow down. The first `kept` items are stored as
-- proposed, `results` has the verdicts of those after them. It must be the only statement of its
-- transaction; what it says is durable once that transaction has committed synchronously.
CREATE FUNCTION syncline.append(
    items syncline.item[], has_staged boolean, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
    OUT status integer, OUT kept integer, OUT head_ts bigint, OUT head_nonce bigint,
    OUT base_ts bigint, OUT base_nonce bigint, OUT results json, OUT missing json
) LANGUAGE plpgsql AS $$
DECLARE
    h1 bigint;
    early_ts bigint[];
    early_keys bytea[];
    now_ns bigint;
BEGIN
    IF has_staged THEN
        items := syncline.unstage(items);
    END IF;
    IF NOT exclusive THEN
        SELECT h.ts INTO h1 FROM syncline.head h;
        SELECT array_agg(f.ts ORDER BY i.ordinality), array_agg(f.key ORDER BY i.ordinality)
        INTO early_ts, early_keys
        FROM unnest(items) WITH ORDINALITY AS i
        CROSS JOIN LATERAL syncline.first_conflict(i.begin_ts, h1, i.read_los, i.read_his) f;
    END IF;
    SELECT h.ts, h.nonce INTO base_ts, base_nonce FROM syncline.head h FOR UPDATE;
    now_ns := syncline.now_ns();
    status := 0;
    kept := 0;
    IF base_ts <> standing_ts OR base_nonce <> standing_nonce THEN
        IF NOT syncline.is_in_log(standing_ts, standing_nonce) THEN
            status := 2;
        ELSE
            missing := syncline.missing(standing_ts, base_ts, missing_bytes_max);
            status := exclusive::integer;
        END IF;
    END IF;
    IF status = 0 AND lag_ns_max IS NOT NULL AND syncline.is_lagging(base_ts, lag_ns_max) THEN
        status := 3;
    ELSIF status = 0 AND exclusive THEN
        SELECT a.kept, a.head_ts, a.head_nonce, a.results
        INTO append.kept, append.head_ts, append.head_nonce, append.results
        FROM syncline.append_as_proposed(items, now_ns) a;
        IF kept IS NULL THEN
            status := 1;
        END IF;
    ELSIF status = 0 THEN
        SELECT a.head_ts, a.head_nonce, a.results
        INTO append.head_ts, append.head_nonce, append.results
        FROM syncline.append_validated(
            items, early_ts, early_keys, h1, horizon_ns, now_ns, base_ts, base_nonce) a;
    END IF;
    IF has_staged AND status = 0 THEN
        DELETE FROM syncline.staged s USING unnest(items) i
        WHERE i.staged_parts > 0 AND s.nonce = i.nonce;
    END IF;
    head_ts := coalesce(head_ts, base_ts);
    head_nonce := coalesce(head_nonce, base_nonce);
    -- Duplicates and conflicts may tell of commits whose own caller has not flushed yet.
    IF head_ts = base_ts THEN
        PERFORM syncline.flush_with_commit();
    END IF;
END $$;

-- The same in two transactions, so that the head is not locked while the disk is waited for: the
-- first orders, the second flushes. For callers that append on many connections at once.
CREATE PROCEDURE syncline.append_then_flush(
    items syncline.item[], has_staged boolean, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
    INOUT status integer, INOUT kept integer, INOUT head_ts bigint, INOUT head_nonce bigint,
    INOUT base_ts bigint, INOUT base_nonce bigint, INOUT results json, INOUT missing json
) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL synchronous_commit = off;
    SELECT a.* INTO status, kept, head_ts, head_nonce, base_ts, base_nonce, results, missing
    FROM syncline.append(items, has_staged, standing_ts, standing_nonce, exclusive, horizon_ns,
                         lag_ns_max, missing_bytes_max) a;
    COMMIT;
    PERFORM syncline.flush_with_commit();
    COMMIT;
END $$;

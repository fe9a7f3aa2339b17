-- Marks: protocols.md rule 16. Appends carry the mark under which their caller announced itself;
-- once `closed` has reached it they are refused, under the same lock that orders them.

ALTER TABLE syncline.head ADD COLUMN closed bigint NOT NULL DEFAULT 0;

-- The head when nothing with a mark up to this one can follow any more. Durable before it answers.
CREATE FUNCTION syncline.close_mark(mark bigint, OUT head_ts bigint, OUT head_nonce bigint)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE syncline.head h SET closed = greatest(h.closed, mark)
    RETURNING h.ts, h.nonce INTO head_ts, head_nonce;
END $$;

DROP PROCEDURE syncline.append_then_flush(
    syncline.item[], boolean, bigint, bigint, boolean, bigint, bigint, bigint,
    integer, integer, bigint, bigint, bigint, bigint, json, json);
DROP FUNCTION syncline.append(
    syncline.item[], boolean, bigint, bigint, boolean, bigint, bigint, bigint);

-- As it was, and status 4: `mark` is closed, `head_ts` has up to which. NULL: nobody marks.
CREATE FUNCTION syncline.append(
    items syncline.item[], has_staged boolean, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
    mark bigint, OUT status integer, OUT kept integer, OUT head_ts bigint, OUT head_nonce bigint,
    OUT base_ts bigint, OUT base_nonce bigint, OUT results json, OUT missing json
) LANGUAGE plpgsql AS $$
DECLARE
    h1 bigint;
    early_ts bigint[];
    early_keys bytea[];
    now_ns bigint;
    closed bigint;
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
    SELECT h.ts, h.nonce, h.closed INTO base_ts, base_nonce, closed
    FROM syncline.head h FOR UPDATE;
    IF mark <= closed THEN
        status := 4;
        kept := 0;
        head_ts := closed;
        head_nonce := 0;
        PERFORM syncline.flush_with_commit();
        RETURN;
    END IF;
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

CREATE PROCEDURE syncline.append_then_flush(
    items syncline.item[], has_staged boolean, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
    mark bigint, INOUT status integer, INOUT kept integer, INOUT head_ts bigint, INOUT head_nonce bigint,
    INOUT base_ts bigint, INOUT base_nonce bigint, INOUT results json, INOUT missing json
) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL synchronous_commit = off;
    SELECT a.* INTO status, kept, head_ts, head_nonce, base_ts, base_nonce, results, missing
    FROM syncline.append(items, has_staged, standing_ts, standing_nonce, exclusive, horizon_ns,
                         lag_ns_max, missing_bytes_max, mark) a;
    COMMIT;
    PERFORM syncline.flush_with_commit();
    COMMIT;
END $$;

-- The same for the Data API (see 0004).
DROP PROCEDURE syncline.data_append_then_flush(
    bytea, bigint, integer, bigint, bigint, boolean, bigint, bigint, bigint, bytea, integer);
DROP FUNCTION syncline.data_append(
    bytea, bigint, integer, bigint, bigint, boolean, bigint, bigint, bigint);

CREATE FUNCTION syncline.data_append(
    batch bytea, call_key bigint, staged_parts integer, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint, mark bigint,
    OUT reply bytea, OUT reply_parts integer
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET bytea_output = hex AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF batch IS NULL THEN
        batch := syncline.data_staged(call_key, staged_parts);
        DELETE FROM syncline.staged s WHERE s.nonce = call_key;
    END IF;
    SELECT convert_to(row_to_json(a)::text, 'UTF8') INTO reply
    FROM syncline.append(
        syncline.data_items(batch), false, standing_ts, standing_nonce, exclusive, horizon_ns,
        lag_ns_max, missing_bytes_max, mark) a;
    reply_parts := 0;
    IF length(reply) > 40960 THEN
        INSERT INTO syncline.staged (nonce, part, staged_ns, content)
        SELECT call_key, n / 40960 + 1, syncline.now_ns(), substring(reply FROM n + 1 FOR 40960)
        FROM generate_series(0, length(reply) - 1, 40960) AS n;
        GET DIAGNOSTICS reply_parts = ROW_COUNT;
        reply := NULL;
    END IF;
END $$;

CREATE PROCEDURE syncline.data_append_then_flush(
    batch bytea, call_key bigint, staged_parts integer, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint, mark bigint,
    INOUT reply bytea, INOUT reply_parts integer
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.reply, a.reply_parts INTO reply, reply_parts
    FROM syncline.data_append(
        batch, call_key, staged_parts, standing_ts, standing_nonce, exclusive, horizon_ns,
        lag_ns_max, missing_bytes_max, mark) a;
    SET LOCAL synchronous_commit = off;
    COMMIT;
    SET LOCAL synchronous_commit = on;
    PERFORM syncline.flush_with_commit();
    COMMIT;
END $$;

-- The log for callers that have no connection of their own but the RDS Data API: one statement a
-- call, no arrays or composites as parameters, 4 MiB a request, 64 KB a row, 1 MiB an answer.
-- Batches come as JSON, answers go as JSON in slices of 40 KB of bytea (base64 makes 54 KB of them).
-- What a connection of ours sets for itself, these set for each call, durability included. None
-- answers with a type that the Data API can't carry, void among them.

-- A text in slices; `skip` bytes of it were sent by earlier calls. The digest tells two texts apart.
CREATE FUNCTION syncline.data_slices(content bytea, skip integer)
RETURNS TABLE (total integer, digest text, slice bytea) LANGUAGE plpgsql AS $$
DECLARE
    whole CONSTANT integer := length(content);
    its_digest CONSTANT text := md5(content);
BEGIN
    FOR at IN skip + 1 .. least(whole, skip + 655360) BY 40960 LOOP
        RETURN QUERY SELECT whole, its_digest, substring(content FROM at FOR 40960);
    END LOOP;
END $$;

-- Changes as JSON: documents in Base64, because Postgres takes no JSON apart that has an escaped
-- zero in it; keys as text of bytea.
CREATE FUNCTION syncline.data_changes(changes json) RETURNS syncline.change[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(ROW(
            c.document_id, c.table_number, c.before_ts,
            convert_from(decode(c.before, 'base64'), 'UTF8')::json,
            convert_from(decode(c.after, 'base64'), 'UTF8')::json,
            c.keys_before, c.keys_after)::syncline.change ORDER BY c.ordinality)
        FROM ROWS FROM (json_to_recordset(changes) AS (
            document_id text, table_number bigint, before_ts bigint, before text, after text,
            keys_before bytea[], keys_after bytea[])) WITH ORDINALITY AS c);
END $$;

-- A batch as JSON: an array of objects with the fields of syncline.item, call and outcome in Base64.
CREATE FUNCTION syncline.data_items(batch bytea) RETURNS syncline.item[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(ROW(
            i.begin_ts, i.ts, i.previous_ts, i.nonce, i.request, i.size, 0, i.failed, i.session,
            i.identity, convert_from(decode(i.call, 'base64'), 'UTF8')::json,
            convert_from(decode(i.outcome, 'base64'), 'UTF8')::json, i.read_los, i.read_his,
            syncline.data_changes(i.changes))::syncline.item ORDER BY i.ordinality), '{}')
        FROM ROWS FROM (json_to_recordset(convert_from(batch, 'UTF8')::json) AS (
            begin_ts bigint, ts bigint, previous_ts bigint, nonce bigint, request bigint,
            size integer, failed boolean, session text, identity text, call text, outcome text,
            read_los bytea[], read_his bytea[], changes json)) WITH ORDINALITY AS i);
END $$;

-- What was staged in parts under a key.
CREATE FUNCTION syncline.data_staged(a_key bigint, parts integer) RETURNS bytea LANGUAGE plpgsql
AS $$
DECLARE
    content bytea;
    found integer;
BEGIN
    SELECT string_agg(s.content, ''::bytea ORDER BY s.part), count(*) INTO content, found
    FROM syncline.staged s WHERE s.nonce = a_key;
    IF found <> parts THEN
        RAISE EXCEPTION 'syncline: batch % has % of % staged parts', a_key, found, parts;
    END IF;
    RETURN content;
END $$;

-- syncline.append in one transaction. `batch` NULL: it waits in `staged` under `call_key`, which is
-- negative (nonces of commits are not). `reply` NULL: it is too large for a row, because recorded
-- outcomes are in it, and waits there in its turn, in `reply_parts` parts.
CREATE FUNCTION syncline.data_append(
    batch bytea, call_key bigint, staged_parts integer, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
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
        lag_ns_max, missing_bytes_max) a;
    reply_parts := 0;
    IF length(reply) > 40960 THEN
        INSERT INTO syncline.staged (nonce, part, staged_ns, content)
        SELECT call_key, n / 40960 + 1, syncline.now_ns(), substring(reply FROM n + 1 FOR 40960)
        FROM generate_series(0, length(reply) - 1, 40960) AS n;
        GET DIAGNOSTICS reply_parts = ROW_COUNT;
        reply := NULL;
    END IF;
END $$;

-- The same, ordered in one transaction and flushed in a second (see append_then_flush).
CREATE PROCEDURE syncline.data_append_then_flush(
    batch bytea, call_key bigint, staged_parts integer, standing_ts bigint, standing_nonce bigint,
    exclusive boolean, horizon_ns bigint, lag_ns_max bigint, missing_bytes_max bigint,
    INOUT reply bytea, INOUT reply_parts integer
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.reply, a.reply_parts INTO reply, reply_parts
    FROM syncline.data_append(
        batch, call_key, staged_parts, standing_ts, standing_nonce, exclusive, horizon_ns,
        lag_ns_max, missing_bytes_max) a;
    SET LOCAL synchronous_commit = off;
    COMMIT;
    SET LOCAL synchronous_commit = on;
    PERFORM syncline.flush_with_commit();
    COMMIT;
END $$;

-- Parts of a staged reply after a part.
CREATE FUNCTION syncline.data_reply(call_key bigint, after_part integer) RETURNS SETOF bytea
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT s.content FROM syncline.staged s
        WHERE s.nonce = call_key AND s.part > after_part ORDER BY s.part LIMIT 16;
END $$;

-- A page of the tail (see syncline.tail): no row, reset. The head comes with each row, and `up_to`,
-- the head of the first call, keeps the page the same while its slices are fetched.
CREATE FUNCTION syncline.data_tail(
    after_ts bigint, after_nonce bigint, bytes_max bigint, up_to bigint, skip integer
) RETURNS TABLE (total integer, digest text, slice bytea, head_ts bigint, head_nonce bigint)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET bytea_output = hex AS $$
DECLARE
    head syncline.head;
    first_size bigint;
    page json;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT * INTO head FROM syncline.head;
    IF head.ts > (SELECT p.ts FROM syncline.published p) THEN
        PERFORM syncline.flush_with_commit();
    END IF;
    IF NOT (head.ts = after_ts AND head.nonce = after_nonce)
       AND NOT syncline.is_in_log(after_ts, after_nonce) THEN
        RETURN;
    END IF;
    SELECT c.size INTO first_size FROM syncline.commits c
    WHERE c.ts > after_ts ORDER BY c.ts LIMIT 1;
    page := syncline.missing(
        after_ts, least(head.ts, up_to), greatest(bytes_max, first_size));
    RETURN QUERY SELECT s.total, s.digest, s.slice, head.ts, head.nonce
        FROM syncline.data_slices(convert_to(coalesce(page, '[]')::text, 'UTF8'), skip) s;
END $$;

-- What was recorded under (session, request); no row: nothing.
CREATE FUNCTION syncline.data_outcome(a_session text, a_request bigint, skip integer)
RETURNS TABLE (
    total integer, digest text, slice bytea, ts bigint, identity text, failed boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM syncline.flush_with_commit();
    RETURN QUERY SELECT s.total, s.digest, s.slice, r.ts, r.identity, r.failed
        FROM syncline.requests r
        CROSS JOIN LATERAL syncline.data_slices(convert_to(r.outcome::text, 'UTF8'), skip) s
        WHERE r.session = a_session AND r.request = a_request;
END $$;

-- A page of the snapshot in order of ids: as many documents as fit into about 400 KB, at least one.
CREATE FUNCTION syncline.data_documents(after_id text, skip integer)
RETURNS TABLE (total integer, digest text, slice bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET bytea_output = hex AS $$
DECLARE
    candidate record;
    up_to text;
    size bigint := 0;
    page json;
BEGIN
    FOR candidate IN
        SELECT d.document_id, octet_length(d.document::text) + 400 AS size
        FROM syncline.documents d WHERE d.document_id > after_id ORDER BY d.document_id
    LOOP
        up_to := candidate.document_id;
        size := size + candidate.size;
        EXIT WHEN size >= 400000;
    END LOOP;
    SELECT json_agg(row_to_json(d) ORDER BY d.document_id) INTO page FROM syncline.documents d
    WHERE d.document_id > after_id AND d.document_id <= up_to;
    RETURN QUERY SELECT * FROM syncline.data_slices(
        convert_to(coalesce(page, '[]')::text, 'UTF8'), skip);
END $$;

-- syncline.add_index_keys of a JSON array of objects.
CREATE FUNCTION syncline.data_add_index_keys(additions bytea) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM syncline.add_index_keys(
        coalesce(array_agg(a.document_id), '{}'), coalesce(array_agg(a.ts), '{}'),
        coalesce(array_agg(a.key), '{}'))
    FROM json_to_recordset(convert_from(additions, 'UTF8')::json) AS a (
        document_id text, ts bigint, key bytea);
    RETURN 1;
END $$;

-- syncline.report_applied, which publishes too: a view applies only what is durable, and its own
-- call, on no path that anybody waits for, spares everyone's tail a flush.
CREATE FUNCTION syncline.data_report_applied(view_name text, a_ts bigint) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM syncline.report_applied(view_name, a_ts);
    IF EXISTS (SELECT FROM syncline.commits c WHERE c.ts = a_ts) THEN
        PERFORM syncline.publish(a_ts);
    END IF;
    RETURN 1;
END $$;

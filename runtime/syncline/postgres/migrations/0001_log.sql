-- The log's tables. docs/log.md says why each is as it is.

-- The newest commit. Locked first by every append: all commits are ordered by this row.
CREATE TABLE syncline.head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ts bigint NOT NULL,
    nonce bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO syncline.head (ts, nonce) VALUES (0, 0);

-- A ts known to be on disk, at or below the truth; written only after a flush (protocols 3).
CREATE TABLE syncline.published (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ts bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO syncline.published (ts) VALUES (0);

-- The commit up to which `documents` holds everything.
CREATE TABLE syncline.folded (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ts bigint NOT NULL,
    nonce bigint NOT NULL
);
INSERT INTO syncline.folded (ts, nonce) VALUES (0, 0);

-- Commits with ts <= this may be gone.
CREATE TABLE syncline.pruned (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ts bigint NOT NULL
);
INSERT INTO syncline.pruned (ts) VALUES (0);

-- How far each view of the log has come; no row, no bound.
CREATE TABLE syncline.views (
    name text COLLATE "C" PRIMARY KEY,
    applied_ts bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE syncline.commits (
    ts bigint PRIMARY KEY,
    nonce bigint NOT NULL,
    previous_ts bigint NOT NULL,
    session text COLLATE "C" NOT NULL,
    request bigint NOT NULL,
    size integer NOT NULL,
    call json NOT NULL
);

-- One row a document that a commit changed. json keeps the text as it came (and \u0000, which
-- jsonb refuses), so replies are the bytes that were committed and history stays open to SQL.
CREATE TABLE syncline.changes (
    ts bigint NOT NULL,
    ordinal integer NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    table_number bigint NOT NULL,
    before_ts bigint NOT NULL,
    before json,
    after json,
    keys_before bytea[] NOT NULL,
    keys_after bytea[] NOT NULL,
    PRIMARY KEY (ts, ordinal)
);

-- Every outcome ever answered, validated failures too (protocols 5).
CREATE TABLE syncline.requests (
    session text COLLATE "C" NOT NULL,
    request bigint NOT NULL,
    ts bigint NOT NULL,
    recorded_ns bigint NOT NULL,
    failed boolean NOT NULL,
    identity text NOT NULL,
    outcome json NOT NULL,
    PRIMARY KEY (session, request)
);
CREATE INDEX requests_by_age ON syncline.requests (recorded_ns);

-- Requests of a session at or below this without a record are refused, never run again.
CREATE TABLE syncline.session_floors (
    session text COLLATE "C" PRIMARY KEY,
    request bigint NOT NULL
);

-- The newest version of every document at `folded`: a view is this plus the tail.
CREATE TABLE syncline.documents (
    document_id text COLLATE "C" PRIMARY KEY,
    table_number bigint NOT NULL,
    ts bigint NOT NULL,
    document json NOT NULL,
    keys bytea[] NOT NULL
);

-- Payload of commits that are too large for one call, waiting for it (protocols 7).
CREATE TABLE syncline.staged (
    nonce bigint NOT NULL,
    part integer NOT NULL,
    staged_ns bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (nonce, part)
);

CREATE TYPE syncline.change AS (
    document_id text,
    table_number bigint,
    before_ts bigint,
    before json,
    after json,
    keys_before bytea[],
    keys_after bytea[]
);

-- One CommitRequest. `previous_ts` and, of a failed item, `ts` are the caller's proposal in an
-- exclusive batch and set by the routine otherwise. staged_parts > 0: changes wait in `staged`.
CREATE TYPE syncline.item AS (
    begin_ts bigint,
    ts bigint,
    previous_ts bigint,
    nonce bigint,
    request bigint,
    size integer,
    staged_parts integer,
    failed boolean,
    session text,
    identity text,
    call json,
    outcome json,
    read_los bytea[],
    read_his bytea[],
    changes syncline.change[]
);

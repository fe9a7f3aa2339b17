"""Every bound in one place: value, unit, source.

Sources: [C] convex-protocol 2.2 and 6.8, the figures that official clients' users know;
[A] an AWS quota; [S] our own choice, with its reason.
"""

# Values and names
VALUE_NESTING_MAX = 64
"""Levels of arrays and objects in any value. [C] 2.2"""
ARRAY_ELEMENTS_MAX = 8192
"""Elements of an array. [C] 2.2"""
OBJECT_FIELDS_MAX = 1024
"""Fields of an object. [C] 2.2"""
FIELD_NAME_CHARACTERS_MAX = 1024
"""Characters of a nested field's name. [C] 2.2"""
IDENTIFIER_CHARACTERS_MAX = 64
"""Characters of a table, index, function or top-level field name. [C] 2.2"""
RENDERED_VALUE_CHARACTERS_MAX = 16_384
"""Characters of a value that a validation message shows. [S] errors must not be as large as data"""
FUNCTION_PATH_CHARACTERS_MAX = 1024
"""Characters of a function path. [S] sixteen folders of the longest names"""
DOCUMENT_BYTES_MAX = 2**20
"""Bytes of one stored document. [C] 2.2"""
DOCUMENT_NESTING_MAX = 16
"""Levels of nesting in a stored document. [C] 2.2"""

# Functions
ARGUMENTS_BYTES_MAX = 16 * 2**20
"""Bytes of a call's arguments. [C] 6.8"""
RESULT_BYTES_MAX = 16 * 2**20
"""Bytes of a call's result. [C] 6.8"""
FUNCTION_SECONDS_MAX = 1.0
"""Seconds of a query's or mutation's own time, without waiting for reads. [C] 6.8"""
FUNCTION_GRACE_SECONDS = 1.0
"""Seconds after the limit until the executor process is replaced. [S] architecture.md, Sans-IO"""
NESTED_CALLS_MAX = 8
"""Depth of ctx.run_query and ctx.run_mutation, or of ctx.run_action, in each other. [C] 6.1"""
ACTION_SECONDS_MAX = 600.0
"""Seconds that an action may take on the embedded server. [C] 6.8"""
ACTION_GRACE_SECONDS = 3.0
"""Seconds that a cancelled action has for its `finally` blocks. [S] a few requests' worth"""
ACTIONS_MAX = 1000
"""Actions that run at the same time on one embedded server. [S] as many as one connection may"""
SCHEDULED_PER_CALL_MAX = 1000
"""Functions that one mutation may schedule. [C] 6.8"""
SCHEDULED_ARGUMENTS_BYTES_MAX = 2**20 - 2**14
"""Bytes of a scheduled function's arguments, as JSON. [S] what a document's 1 MiB leaves"""
SCHEDULED_DAYS_MAX = 5 * 365
"""Days from now, back or ahead, that a function may be scheduled for. [C] 6.6"""
SCHEDULED_HISTORY_DAYS = 7
"""Days that a scheduled function's row stays once it has ended. [C] 6.6"""
SCHEDULED_MUTATIONS_MAX = 16
"""Scheduled mutations that run at the same time. [C] 6.8: the reference's smallest class"""
SCHEDULED_ACTIONS_MAX = 64
"""Scheduled actions that run at the same time. [C] 6.8: the reference's smallest class"""
SCHEDULED_CLAIM_SECONDS = 960.0
"""Seconds after which a scheduled action that has not ended has failed. [S] protocols.md rule 22"""
LOGS_KEPT_MAX = 10_000
"""Newest function calls that `syncline logs` can look back on. [S] some minutes of load"""
LOGS_KEPT_BYTES_MAX = 16 * 2**20
"""Bytes of their log lines and errors. [S] what they may take of the memory"""
LOG_POLL_SECONDS_MAX = 60.0
"""Seconds that a request for logs waits for the next call. [S] on AWS 20"""
LOG_LINES_MAX = 256
"""Log lines of one call. [C] 6.8"""
LOG_LINE_BYTES_MAX = 32_768
"""Bytes of one log line. [C] 6.1"""

# Transactions
DOCUMENTS_READ_MAX = 32_000
"""Documents scanned by one transaction. [C] 6.8"""
BYTES_READ_MAX = 16 * 2**20
"""Bytes read by one transaction. [C] 6.8"""
READ_RANGES_MAX = 4096
"""Index ranges read by one transaction (`get` and `query` calls). [C] 6.8"""
DOCUMENTS_WRITTEN_MAX = 16_000
"""Documents written by one transaction. [C] 6.8"""
BYTES_WRITTEN_MAX = 16 * 2**20
"""Bytes written by one transaction. [C] 6.8"""
PAGE_ITEMS_MAX = 32_000
"""`numItems` of one page. [C] 6.4"""
PAGE_ROWS_SPLIT_RECOMMENDED = 6144
"""Rows of a page above which clients are told to split it. [C] 6.4"""

# Schema
TABLES_MAX = 10_000
"""Tables of a deployment. [C] 6.8"""
INDEXES_PER_TABLE_MAX = 32
"""Indexes of a table. [C] 6.8"""
INDEX_FIELDS_MAX = 16
"""Fields of an index. [C] 6.8"""
SEARCH_INDEXES_PER_TABLE_MAX = 4
"""Search indexes of a table. [C] 6.8"""
VECTOR_INDEXES_PER_TABLE_MAX = 4
"""Vector indexes of a table. [C] 6.8"""
FILTER_FIELDS_MAX = 16
"""Filter fields of a search or vector index. [C] 6.8"""
VECTOR_DIMENSIONS_MIN = 2
"""Dimensions of a vector index. [C] 6.8"""
VECTOR_DIMENSIONS_MAX = 4096
"""Dimensions of a vector index. [C] 6.8"""

# Search
SEARCH_TERMS_MAX = 16
"""Different terms of a search's text. [C] 6.8"""
SEARCH_TERM_BYTES_MAX = 32
"""Bytes of a term; what is longer is cut. [C] 6.8"""
SEARCH_FILTERS_MAX = 8
"""`eq` of one search. [C] 6.8"""
SEARCH_RESULTS_MAX = 1024
"""Results that one search looks at, filtered out or not. [C] 6.8"""
VECTOR_FILTERS_MAX = 64
"""`eq` of one vector search. [C] 6.8"""
VECTOR_RESULTS_DEFAULT = 10
"""Results of a vector search without `limit`. [C] 6.8"""
VECTOR_RESULTS_MAX = 256
"""`limit` of a vector search. [C] 6.8"""
VECTOR_EXACT_NUMBERS_MAX = 2**24
"""Numbers of an index's vectors up to which a search compares all of them; above, it is
approximate. [S] 3 ms; 43,000 vectors of 384 dimensions, 10,900 of 1,536"""

# Sessions
SESSION_MUTATIONS_MAX = 1000
"""Mutations waiting on one connection. [C] 1.5"""
SESSION_ACTIONS_MAX = 1000
"""Actions running for one connection. [C] 1.5"""
OUTBOX_BYTES_MAX = 64 * 2**20
"""Unsent bytes of one connection before it is closed as too slow. [S] four of the greatest results
"""

# Files
UPLOAD_URL_SECONDS = 3600
"""Seconds that an upload URL is good for, and that one upload may take. [C] 4"""
FILE_BYTES_MAX = 5 * 2**30
"""Bytes of one file. [A] S3 takes no more by one PUT"""
FILE_URL_SECONDS_DEFAULT = 3600
"""Seconds that the URL of a private file is good for unless `expires_in` says it. [S] as uploads"""
FILE_URL_SECONDS_MAX = 7 * 86_400
"""`expires_in` of a private file's URL. [S] what S3 allows its own signed URLs"""
CONTENT_TYPE_BYTES_MAX = 255
"""Bytes of a file's content type. [S] real ones have under a hundred"""

# Environment variables
VARIABLES_MAX = 512
"""Environment variables of a deployment. [C] 6.8: the newer of its two figures"""
VARIABLE_NAME_CHARACTERS_MAX = 256
"""Characters of a variable's name. [C] 6.8"""
VARIABLE_VALUE_BYTES_MAX = 8 * 2**10
"""Bytes of a variable's value. [C] 6.8"""
VARIABLES_BYTES_MAX = 512 * 2**10
"""Bytes of all variables' values. [C] 6.8"""
VARIABLE_KEPT_SECONDS = 600
"""Seconds that a replaced value is kept at least. [S] twice what snapshots stay readable for"""

# Commits
CONFLICT_RETRIES_MAX = 32
"""Runs that were overtaken before a mutation fails. [S] the reference has 4 with long pauses; here
a retry queues for the contended key and costs no pause."""
COMMIT_BATCH_MAX = 256
"""Commits in one append. [S] aws-local-lab 4: the batch size measured there"""
COMMIT_BATCH_BYTES_MAX = 2 * 2**20
"""Bytes of documents in one append. [S] protocols.md rule 7"""
TAIL_REPLY_BYTES_MAX = 8 * 2**20
"""Bytes of commits in one reply of the log. [S] a tenth of a second's work to decode"""
TAIL_SECONDS = 300
"""Seconds that snapshots stay readable in memory. [C] 6.8: the reference keeps 4 minutes"""
TAIL_BYTES_MAX = 96 * 2**20
"""Bytes of recent changes held in memory; older snapshots go first. [S] a small machine's share"""
FOLD_INTERVAL_SECONDS = 5.0
"""Seconds between two folds of the log into its snapshot. [S] bounds what a restart replays"""
HISTORY_DAYS = 30
"""Days that old versions stay in the log, for time travel and audit. [S] architecture.md"""
REQUEST_RECORD_DAYS = 14
"""Days that outcomes stay recorded under their request ids. [C] 1.7: the reference's retention"""
FOLD_COMMITS_MAX = 2000
"""Commits folded in one step. [S] a few tens of milliseconds in Postgres"""
BATCH_AGE_SECONDS_MAX = 600
"""Seconds within which what was read of the log may still be written to a view. [S] protocols.md
rule 13"""
TOMBSTONE_SECONDS = 1800
"""Seconds that a deleted entry leaves a mark in a view. [S] protocols.md rule 13"""

# Queries
OBSERVED_TIME_SHARED_SECONDS = 5
"""Age up to which a result that read the clock is given to new subscribers. [S] architecture.md"""
QUERY_CACHE_ENTRIES_MAX = 10_000
"""Unwatched query results kept. [S] 6 KiB each at the bound on bytes"""
QUERY_CACHE_BYTES_MAX = 64 * 2**20
"""Bytes of unwatched query results kept. [S] four of the greatest results"""
USAGE_FUNCTIONS_MAX = 2000
"""Functions that are counted apart (`syncline usage`). [S] half a megabyte"""

CLIENT_MESSAGE_BYTES_MAX = 20 * 2**20
"""Bytes of one WebSocket message from a client. [S] 16 MiB of arguments and their envelope"""

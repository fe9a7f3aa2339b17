"""What roles are allowed though the end-to-end run does not use it, one by one, and why.

An entry whose permission is used, or is gone, fails the test as an unused permission does.
"""

from syncline.local_cloud.policy import Acknowledgement

_FUNCTIONS = (
    *("connection", "session", "follower", "http", "action"),
    *("scheduler", "sweeper", "ticker", "push"),
)

_AGENT = "Lambda's own agent sends logs and traces; on one machine functions print them"
_POLLER = "Lambda's poller looks at the queue's settings; the local one reads the template"
_IDLE = "the first commit after a quiet minute sets the mark; here the deploy's is still open"
_BIG = "a commit above the Data API's row of 64 KB travels in pieces (tests/contract/test_log.py)"
_PARTS = "documents above DynamoDB's 400 KB lie in parts (tests/contract/test_documents.py)"
_TOMBSTONES = "tombstones go after half an hour (tests/contract/test_documents.py)"
_WIDE = "a commit that touches many partitions looks at all (tests/contract/test_interest_store.py)"
_RESTLESS = (
    "a session looks again later whose data changes faster than it is read, or whose first request "
    "came so early that it may have overtaken a token"
)
_UNHANDLED = "what can't be handled is given back at once (tests/integration/test_kill_points.py)"
_UNFINISHED = "an export that did not get to its end is taken away (tests/contract)"
_TAKEN_BACK = "a migration that fails is taken back (tests/contract/test_log.py)"
_MISSING = "who may list is told that an object is missing, and others are told 403"
_SEGMENTS = "a process that searches loads them; nothing is searched in this run"
_MORE = "what one invocation can't end goes on in the next (tests/unit/drivers/test_scheduler.py)"
_COLD = "a process that starts reads what serves; the one of this run pushed it itself"
_REPLACED = "a replaced variable goes after ten minutes (tests/integration/test_lambda_push.py)"

ACKNOWLEDGED = (
    *(
        Acknowledgement(function, "Logging", f"logs:{action}", _AGENT)
        for function in _FUNCTIONS
        for action in ("CreateLogStream", "PutLogEvents")
    ),
    *(
        Acknowledgement(function, "Tracing", f"xray:{action}", _AGENT)
        for function in _FUNCTIONS
        for action in ("PutTelemetryRecords", "PutTraceSegments")
    ),
    *(
        Acknowledgement(function, "Messages", "sqs:GetQueueAttributes", _POLLER)
        for function in ("follower", "scheduler", "session", "ticker")
    ),
    *(
        Acknowledgement(function, "Marker", "dynamodb:UpdateItem", _IDLE)
        for function in ("http", "scheduler", "session")
    ),
    *(
        Acknowledgement(function, "Log", "rds-data:BatchExecuteStatement", _BIG)
        for function in ("follower", "http", "push", "scheduler", "session")
    ),
    *(
        Acknowledgement(function, "Documents", "dynamodb:GetItem", _PARTS)
        for function in ("follower", "http", "push", "scheduler", "session")
    ),
    *(
        Acknowledgement(function, "Documents", "dynamodb:UpdateItem", _PARTS)
        for function in ("follower", "push")
    ),
    *(
        Acknowledgement(function, "Interest", "dynamodb:Scan", _WIDE)
        for function in ("follower", "push")
    ),
    Acknowledgement("http", "Files", "s3:DeleteObject", _UNFINISHED, "*/exports/*"),
    *(
        Acknowledgement(function, "MissingObjects", "s3:ListBucket", _MISSING)
        for function in ("action", "follower", "http", "push", "scheduler", "session")
    ),
    *(
        Acknowledgement(function, "Segments", "s3:GetObject", _SEGMENTS)
        for function in ("http", "scheduler", "session")
    ),
    *(
        Acknowledgement(function, "NewVariables", "ssm:DeleteParameters", _REPLACED)
        for function in ("http", "push")
    ),
    Acknowledgement("push", "Bundles", "s3:GetObject", _COLD, by_chance=True),
    Acknowledgement("scheduler", "More", "sqs:SendMessage", _MORE, by_chance=True),
    Acknowledgement("push", "Log", "rds-data:RollbackTransaction", _TAKEN_BACK),
    Acknowledgement("session", "Lane", "sqs:SendMessage", _RESTLESS, by_chance=True),
    Acknowledgement("session", "Messages", "sqs:ChangeMessageVisibility", _UNHANDLED),
    *(
        Acknowledgement(function, "Documents", "dynamodb:DeleteItem", _TOMBSTONES)
        for function in ("follower", "push")
    ),
)

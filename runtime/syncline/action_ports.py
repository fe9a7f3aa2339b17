"""What an action is given, what it may ask of its deployment, and what comes out of it.

An action is ordinary Python with the network at hand, so it runs apart from everything that holds
data: in a process of its own beside `syncline dev`, in a Lambda of its own on AWS. All that it can
do to its deployment are the requests of this page. A new kind is one struct here, one method of
`ActionCtx` (execution/action_context.py) and one branch where backends answer (drivers/actions.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from syncline.ports import FunctionError


class ActionCall(msgspec.Struct, frozen=True, gc=False):
    """One run of an action."""

    path: str
    """ "dir/mod:fn"."""
    arguments: bytes
    """JSON: an object, or an array of one object."""
    identity: bytes | None
    """JSON UserIdentityAttributes, camelCase; None: not signed in."""
    is_admin: bool
    """May call internal and `_system/` functions."""
    is_inner: bool
    """Called by a function: internal ones may be called too."""
    bundle: str
    """Content hash of the deployed functions."""
    tables: Mapping[int, str]
    """Names of user tables by number, for arguments that are document ids."""
    request_id: str
    """16 hex digits, shown to clients in error messages."""
    seconds_max: float
    """Then it is cancelled, and has failed."""
    depth: int = 0
    """How many actions are waiting for this one."""
    site: "SiteRequest | None" = None
    """An HTTP request for the router to answer, instead of `path` and `arguments`."""


class SiteRequest(msgspec.Struct, frozen=True, gc=False):
    """An HTTP request to the site of a deployment (convex-protocol.md 5)."""

    method: str
    path: str
    """Percent-decoded, from the first "/", without a prefix under which the site may lie."""
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, repeated ones one by one."""
    body: bytes
    scheme: str = "http"
    client: str | None = None
    """The address that the request came from."""


class ActionOutcome(msgspec.Struct, frozen=True, gc=False):
    """What an action came to; `value` (JSON) is None exactly if `error` is not."""

    value: bytes | None
    error: FunctionError | None
    log_lines: tuple[str, ...] = ()
    """Each with its level first: "[LOG] ..."."""


class RunFunction(msgspec.Struct, frozen=True, gc=False, tag="run"):
    """Run a function as whoever called the action; internal ones too. The reply is its result."""

    kind: Literal["query", "mutation", "action"]
    path: str
    arguments: bytes
    """JSON of an object."""


class ReadEnvironment(msgspec.Struct, frozen=True, gc=False, tag="environment"):
    """All environment variables. The reply is a JSON object of texts."""


class SearchVectors(msgspec.Struct, frozen=True, gc=False, tag="vectors"):
    """Find the documents with the nearest vectors. The reply is a list of `_id` and `_score`."""

    arguments: bytes
    """JSON: an object, the arguments of `_system/vectors:nearest`."""


class Respond(msgspec.Struct, frozen=True, gc=False, tag="respond"):
    """A piece of the answer to a SiteRequest. The reply is whether the client is still there."""

    status: int
    """Of the first piece; 0 in later ones."""
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_last: bool


class UseFiles(msgspec.Struct, frozen=True, gc=False, tag="files"):
    """Something of `ctx.storage` (execution/action_storage.py); the reply is its result."""

    operation: str
    """A function of `_system/storage`, or "read", "store", "offer", "confirm"."""
    arguments: bytes
    """JSON of an object."""
    data: bytes = b""
    """What to store."""


class UseScheduler(msgspec.Struct, frozen=True, gc=False, tag="scheduler"):
    """Something of `ctx.scheduler`; the reply is its result."""

    operation: Literal["schedule", "cancel", "end"]
    """A function of `_system/scheduler`; "end" is asked by whoever runs a scheduled action."""
    arguments: bytes
    """JSON of an object."""


ActionRequest: TypeAlias = (
    RunFunction | ReadEnvironment | SearchVectors | Respond | UseFiles | UseScheduler
)


class ActionReply(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request; `value` (JSON) is None exactly if `error` is not."""

    value: bytes | None
    error: FunctionError | None = None


class ActionBackend(Protocol):
    """The deployment as one action sees it: it knows on whose behalf the action runs."""

    async def ask(self, request: ActionRequest) -> ActionReply:
        """Do what the action wants.

        Raises:
            UnavailableError: the deployment can't be reached, or is going down.
        """
        ...


class ActionRunner(Protocol):
    """Runs actions, many beside each other."""

    async def load(self, bundle: str, folder: Path) -> None:
        """Make a bundle ready to run; one that is ready already costs nothing."""
        ...

    async def run(self, call: ActionCall, backend: ActionBackend) -> ActionOutcome:
        """Run one action of a loaded bundle to its end, once; canceling this cancels the action."""
        ...

    async def close(self) -> None:
        """Cancel what still runs, and stop."""
        ...

"""What the server and an action process say to each other, in frames as executors' (framing.py).

Calls have numbers; what a call asks its deployment has numbers of its own, and answers come in any
order. A call ends by Ended, or by Failed if it never began.
"""

import msgspec

from syncline.action_ports import ActionCall, ActionOutcome, ActionReply, ActionRequest


class LoadBundle(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Import a folder as the version `bundle`."""

    bundle: str
    folder: str


class RunAction(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Start an action."""

    number: int
    call: ActionCall


class CancelAction(msgspec.Struct, array_like=True, tag=3, gc=False):
    """End an action; its outcome still comes."""

    number: int


class Answered(msgspec.Struct, array_like=True, tag=4, gc=False):
    """The answer to what an action asked."""

    number: int
    ask: int
    reply: ActionReply


class Unanswered(msgspec.Struct, array_like=True, tag=5, gc=False):
    """What an action asked can't be answered: an UnavailableError's code and message."""

    number: int
    ask: int
    code: str
    message: str


class Ready(msgspec.Struct, array_like=True, tag=1, gc=False):
    """The process has started."""


class Loaded(msgspec.Struct, array_like=True, tag=2, gc=False):
    """The bundle is loaded."""

    bundle: str


class LoadFailed(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The bundle is not loaded: a DeveloperError's code and message."""

    bundle: str
    code: str
    message: str


class Ask(msgspec.Struct, array_like=True, tag=4, gc=False):
    """An action wants something of its deployment."""

    number: int
    ask: int
    request: ActionRequest


class Ended(msgspec.Struct, array_like=True, tag=5, gc=False):
    """An action has ended, by itself or cancelled."""

    number: int
    outcome: ActionOutcome


class Failed(msgspec.Struct, array_like=True, tag=6, gc=False):
    """An action was not run: an UnavailableError's code and message."""

    number: int
    code: str
    message: str


ToActions = LoadBundle | RunAction | CancelAction | Answered | Unanswered
FromActions = Ready | Loaded | LoadFailed | Ask | Ended | Failed

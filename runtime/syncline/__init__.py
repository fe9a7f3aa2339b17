"""Syncline: Python functions on AWS primitives, live in the official Convex clients.

This module is what user functions import; everything else in the package is the machinery.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from syncline import relationships
from syncline.errors import ApplicationError, CallFailedError
from syncline.execution.action_context import ActionCtx
from syncline.execution.context import MutationCtx, QueryCtx
from syncline.execution.identity import UserIdentity
from syncline.index.key_encoding import MISSING as UNSET
from syncline.registration.auth_providers import CustomJwt, Oidc
from syncline.registration.crons import Crons
from syncline.registration.decorators import (
    action,
    internal_action,
    internal_mutation,
    internal_query,
    mutation,
    query,
)
from syncline.registration.http_router import Cors, HttpRouter, http_action
from syncline.registration.row_rules import rules
from syncline.registration.types import Id, PaginationOptions, PaginationResult
from syncline.schema.definition import define_schema, define_table
from syncline.schema.validators import v
from syncline.values.value import Int64

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import (
        FileResponse,
        HTMLResponse,
        JSONResponse,
        PlainTextResponse,
        RedirectResponse,
        Response,
        StreamingResponse,
    )

_OF_STARLETTE: Final = {
    "Request": "starlette.requests",
    **dict.fromkeys(
        "Response JSONResponse PlainTextResponse HTMLResponse RedirectResponse StreamingResponse "
        "FileResponse".split(),
        "starlette.responses",
    ),
}


def __getattr__(name: str) -> object:
    """What HTTP actions are made of, loaded when it is first asked for: few modules do."""
    module = _OF_STARLETTE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


__all__ = [
    "UNSET",
    "ActionCtx",
    "ApplicationError",
    "CallFailedError",
    "Cors",
    "Crons",
    "CustomJwt",
    "FileResponse",
    "HTMLResponse",
    "HttpRouter",
    "Id",
    "Int64",
    "JSONResponse",
    "MutationCtx",
    "Oidc",
    "PaginationOptions",
    "PaginationResult",
    "PlainTextResponse",
    "QueryCtx",
    "RedirectResponse",
    "Request",
    "Response",
    "StreamingResponse",
    "UserIdentity",
    "action",
    "define_schema",
    "define_table",
    "http_action",
    "internal_action",
    "internal_mutation",
    "internal_query",
    "mutation",
    "query",
    "relationships",
    "rules",
    "v",
]

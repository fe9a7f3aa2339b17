"""Syncline: Python functions on AWS primitives, live in the official Convex clients.

This module is what user functions import; everything else in the package is the machinery.
"""

from syncline import relationships
from syncline.errors import ApplicationError, CallFailedError
from syncline.execution.action_context import ActionCtx
from syncline.execution.context import MutationCtx, QueryCtx
from syncline.execution.identity import UserIdentity
from syncline.index.key_encoding import MISSING as UNSET
from syncline.registration.auth_providers import CustomJwt, Oidc
from syncline.registration.decorators import (
    action,
    internal_action,
    internal_mutation,
    internal_query,
    mutation,
    query,
)
from syncline.registration.row_rules import rules
from syncline.registration.types import Id, PaginationOptions, PaginationResult
from syncline.schema.definition import define_schema, define_table
from syncline.schema.validators import v
from syncline.values.value import Int64

__all__ = [
    "UNSET",
    "ActionCtx",
    "ApplicationError",
    "CallFailedError",
    "CustomJwt",
    "Id",
    "Int64",
    "MutationCtx",
    "Oidc",
    "PaginationOptions",
    "PaginationResult",
    "QueryCtx",
    "UserIdentity",
    "action",
    "define_schema",
    "define_table",
    "internal_action",
    "internal_mutation",
    "internal_query",
    "mutation",
    "query",
    "relationships",
    "rules",
    "v",
]

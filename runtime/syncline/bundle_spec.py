"""What a folder of functions declares, as plain data: what is pushed, deployed and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

JsonValue: TypeAlias = "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | float | None"
"""Plain JSON data as the standard parser gives it."""


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One registered function as data; `args` and `returns` are validators' JSON."""

    path: str
    kind: Literal["query", "mutation", "action"]
    visibility: Literal["public", "internal"]
    args: JsonValue
    returns: JsonValue


class ProviderSpec(msgspec.Struct, frozen=True, gc=False):
    """Who signs users in, as data (convex-protocol.md 6.9)."""

    issuer: str
    """`iss` of its tokens, with a scheme and without a slash behind; both are forgiven there."""
    application_id: str | None
    """What `aud` has to contain; None: anything, and nothing too."""
    algorithms: tuple[str, ...]
    """What its tokens may be signed with, and nothing else."""
    jwks: str | None
    """Address of the key set, or the set itself as a "data:" URI; None: by OpenID discovery."""


class CronSpec(msgspec.Struct, frozen=True, gc=False):
    """A function that runs again and again, as data; one of `seconds` and `expression`."""

    name: str
    seconds: float | None
    """Between two runs."""
    expression: str | None
    """Five fields of cron, in UTC."""
    path: str
    kind: Literal["mutation", "action"]
    arguments: str
    """JSON of an object."""


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """What a bundle of functions declares; pure data."""

    functions: tuple[FunctionSpec, ...]
    modules: Mapping[str, str]
    """Module path to a hash that includes its imports."""
    schema: JsonValue
    auth: tuple[ProviderSpec, ...] = ()
    """From `auth_config.py`."""
    http: tuple[Mapping[str, str], ...] = ()
    """`method` and `path` of every route of `http.py`."""
    crons: tuple[CronSpec, ...] = ()
    """From `crons.py`."""

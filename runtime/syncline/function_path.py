"""Function paths (convex-protocol 3.4): "dir/mod:fn", also written "dir/mod.js:fn" or "dir/mod"."""

import re
from dataclasses import dataclass
from functools import lru_cache

from syncline.errors import CallerError
from syncline.limits import FUNCTION_PATH_CHARACTERS_MAX, IDENTIFIER_CHARACTERS_MAX

# Only modules that Python can import, so no dots but that of ".js"; at least one alphanumeric.
_COMPONENT = re.compile(rf"(?=_*[A-Za-z0-9])[A-Za-z0-9_]{{1,{IDENTIFIER_CHARACTERS_MAX}}}\Z")
SYSTEM_PREFIX = "_system/"
"""Of modules that are ours: only an admin may call their functions."""

_FUNCTION = re.compile(
    rf"(?=_*[A-Za-z0-9])[A-Za-z_][A-Za-z0-9_]{{0,{IDENTIFIER_CHARACTERS_MAX - 1}}}\Z"
)


@dataclass(frozen=True, slots=True)
class FunctionPath:
    """A module ("dir/mod") and a function in it."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"

    @property
    def canonical(self) -> str:
        """The form with the extension: "dir/mod.js:fn"."""
        return f"{self.module}.js:{self.function}"

    @property
    def display(self) -> str:
        """As error messages show it: ":default" is left out."""
        return self.module if self.function == "default" else str(self)


def parse(text: str) -> FunctionPath:
    """Read a path as clients send it. CallerError("BadConvexFunctionIdentifier") if malformed."""
    if len(text) > FUNCTION_PATH_CHARACTERS_MAX:
        raise _malformed(text)
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> FunctionPath:
    module, colon, function = text.rpartition(":")
    if not colon:
        module, function = function, "default"
    module = module.removesuffix(".js")
    if not all(map(_COMPONENT.match, module.split("/"))) or not _FUNCTION.match(function):
        raise _malformed(text)
    return FunctionPath(module, function)


def _malformed(text: str) -> CallerError:
    return CallerError(
        "BadConvexFunctionIdentifier",
        f"{text[:200]!r} is not a function path. Write it as 'dir/module:function'.",
    )

"""Function paths (convex-protocol 3.4): "dir/mod:fn", also written "dir/mod.js:fn" or "dir/mod"."""

import re
from dataclasses import dataclass
from functools import lru_cache

from syncline.errors import CallerError
from syncline.limits import IDENTIFIER_CHARACTERS_MAX

_COMPONENT = re.compile(rf"[A-Za-z0-9_.]{{1,{IDENTIFIER_CHARACTERS_MAX}}}\Z")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]")
_FUNCTION = re.compile(
    rf"(?=.*[A-Za-z0-9])[A-Za-z_][A-Za-z0-9_]{{0,{IDENTIFIER_CHARACTERS_MAX - 1}}}\Z"
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


@lru_cache(maxsize=4096)
def parse(text: str) -> FunctionPath:
    """Read a path as clients send it. CallerError("BadConvexFunctionIdentifier") if malformed."""
    module, colon, function = text.rpartition(":")
    if not colon:
        module, function = function, "default"
    module = module.removesuffix(".js")
    components = module.split("/")
    if not all(map(_is_component, components)) or not _FUNCTION.match(function):
        raise CallerError(
            "BadConvexFunctionIdentifier",
            f"{text[:200]!r} is not a function path. Write it as 'dir/module:function'.",
        )
    return FunctionPath(module, function)


def _is_component(text: str) -> bool:
    return bool(_COMPONENT.match(text)) and bool(_ALPHANUMERIC.search(text)) and "." not in text

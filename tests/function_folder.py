"""A functions folder written for one test, and single functions of it stepped without any data."""

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from syncline.execution.determinism.call_state import CallState
from syncline.registration.loader import load_bundle, unload_bundle
from syncline.registration.registry import LoadedBundle

IMPORTS = """\
from syncline.registration.decorators import internal_mutation, internal_query, mutation, query
from syncline.registration.types import Id, PaginationOptions, PaginationResult
from syncline.schema.validators import v
"""
NOW_NS = 1_700_000_000_123_456_789


@dataclass
class FunctionFolder:
    """Files to load; `bundle` loads them once more each time that it is called."""

    folder: Path
    loaded: list[LoadedBundle] = field(default_factory=list)

    def write(self, **modules: str) -> "FunctionFolder":
        """Write modules by path: `write(messages="...", admin__users="...")` ("__" for "/")."""
        for name, source in modules.items():
            file = self.folder / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(IMPORTS + dedent(source))
        return self

    def write_raw(self, file: str, source: str | bytes) -> "FunctionFolder":
        """Write a file as it is."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return self

    def bundle(self, name: str = "0123abcd") -> LoadedBundle:
        """Load the folder."""
        bundle = load_bundle(self.folder, name)
        self.loaded.append(bundle)
        return bundle

    def close(self) -> None:
        """Forget what was loaded."""
        for bundle in self.loaded:
            unload_bundle(bundle)


def line_of(text: str, source: str) -> int:
    """The line of the first occurrence of `text` in a module written with `write`."""
    whole = IMPORTS + dedent(source)
    return whole[: whole.index(text)].count("\n") + 1


def step(bundle: LoadedBundle, path: str, state: CallState, /, **arguments: object) -> object:
    """Run a function that reads nothing to its end in one step; returns or raises what it does."""
    definition = bundle.definitions[path]
    coroutine = definition.handler(None, **definition.bind(arguments))
    try:
        with state:
            coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        coroutine.close()
    raise AssertionError("the function waits for something")


def a_state(seed: int = 1, now_ns: int = NOW_NS) -> CallState:
    """The state of a fresh call."""
    return CallState(now_ns=now_ns, seed=seed)

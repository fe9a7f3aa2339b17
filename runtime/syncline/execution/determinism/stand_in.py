"""Stand-ins for modules: real in actions and while loading, refused in queries and mutations.

A stand-in hands its module's names on. Constants, exceptions and names listed as pure come through
as they are; functions are wrapped and classes get a twin, both of which ask on each call whether a
query or mutation is being stepped. What a call returns is not wrapped: proxies all the way down
cost more than they catch (style anchors 8.2). The real module is imported when it is first needed,
so that a query executor never loads, say, boto3 for an action's sake.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import cast

from syncline.execution.determinism.call_state import current
from syncline.execution.determinism.refusals import Refusal


def check(refusal: Refusal, name: str) -> None:
    """Raise if the code that is running belongs to a query or mutation.

    Raises:
        NondeterminismError: recorded with the call too.
    """
    state = current()
    if state is not None and (refusal.also_while_loading or not state.is_loading):
        state.refuse(refusal.tag, name, refusal.remedy)


def guarded(function: Callable[..., object], refusal: Refusal, name: str) -> object:
    """The function, refusing to be called by queries and mutations."""

    def call(*args: object, **kwargs: object) -> object:
        check(refusal, name)
        return function(*args, **kwargs)

    # Without __dict__: that of a class or instance is not for a function.
    return update_wrapper(call, function, WRAPPER_ASSIGNMENTS, ())


def twin(
    real: type,
    make: Callable[..., object],
    namespace: Mapping[str, object] | None = None,
    *,
    before: Callable[[], None] | None = None,
) -> type:
    """A subclass of `real` that can be called, subclassed and used with isinstance in its place.

    Calling it calls `make`; instances of `real` count as its instances. `before` is called before
    an instance of it or of a subclass is made. A class that can't be subclassed, or not by such a
    metaclass, comes back as it is.
    """

    class Twin(type(real)):
        def __call__(cls, *args: object, **kwargs: object) -> object:
            if before is not None:
                before()
            if cls is made:
                return make(*args, **kwargs)
            return super().__call__(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            if cls is made:
                return isinstance(instance, real)
            return super().__instancecheck__(instance)

        def __subclasscheck__(cls, subclass: type) -> bool:
            if cls is made:
                return issubclass(subclass, real)
            return super().__subclasscheck__(subclass)

    body = {"__module__": real.__module__, "__doc__": real.__doc__, **(namespace or {})}
    try:
        with warnings.catch_warnings():
            # A class's word against subclasses (aiohttp's ClientSession) is for user code's own.
            warnings.simplefilter("ignore")
            made: type = Twin(real.__name__, (real,), body)
    except TypeError:
        return real
    return made


def guarded_class(real: type, refusal: Refusal, name: str) -> type:
    """The class, refusing to make instances in queries and mutations."""
    return twin(real, real, before=lambda: check(refusal, name))


class StandIn(ModuleType):
    """A module as user code sees it; see the head of this file."""

    def __init__(
        self,
        name: str,
        refusal: Refusal | None,
        *,
        submodule: Callable[[str], ModuleType],
        overrides: Mapping[str, object] | None = None,
        refusals: Mapping[str, Refusal] | None = None,
        pure: frozenset[str] = frozenset(),
    ) -> None:
        """`refusal` None: names come through as they are, except `overrides` and `refusals`.

        `submodule` gives user code's view of a module by its full name.
        """
        super().__init__(name)
        own = self.__dict__
        # What the import system would set is looked up on the real module.
        for attribute in ("__doc__", "__loader__", "__spec__", "__package__"):
            own.pop(attribute, None)
        own["_stand_in"] = _Policy(refusal, submodule, dict(refusals or {}), pure)
        own.update(overrides or {})

    def __getattr__(self, name: str) -> object:
        policy: _Policy = self.__dict__["_stand_in"]
        full_name = f"{self.__name__}.{name}"
        if policy.refusal is not None and self.__name__ not in sys.modules:
            # Not to be loaded inside a call just to be refused.
            check(policy.refusal, full_name)
        value = policy.seen(self.__name__, name, full_name)
        if not name.startswith("__"):
            self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return dir(import_module(self.__name__))


class _Policy:
    """How the names of one module come through."""

    def __init__(
        self,
        refusal: Refusal | None,
        submodule: Callable[[str], ModuleType],
        refusals: dict[str, Refusal],
        pure: frozenset[str],
    ) -> None:
        self.refusal = refusal
        self._submodule = submodule
        self._refusals = refusals
        self._pure = pure

    def seen(self, module: str, name: str, full_name: str) -> object:
        value = _attribute(import_module(module), name, full_name)
        refusal = self._refusals.get(name, self.refusal)
        if isinstance(value, ModuleType):
            return self._submodule(value.__name__)
        if refusal is None or name in self._pure or name.startswith("__") or not callable(value):
            return value
        if not isinstance(value, type):
            return guarded(value, refusal, full_name)
        real = cast("type[object]", value)
        return real if issubclass(real, BaseException) else guarded_class(real, refusal, full_name)


def _attribute(module: ModuleType, name: str, full_name: str) -> object:
    try:
        return getattr(module, name)
    except AttributeError:
        # `from package import submodule`, and `import package.submodule` before anyone else did it.
        is_package = hasattr(module, "__path__")
        if name.startswith("__") or not is_package or find_spec(full_name) is None:
            raise
        return import_module(full_name)

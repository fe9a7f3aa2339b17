"""`rules(table, read=..., insert=..., modify=...)`: who sees and changes which documents (api.md).

The call notes its predicates in the module that makes it, as the decorators leave their marks on
functions: nothing registers globally, so versions of a folder live side by side.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import currentframe
from types import ModuleType
from typing import Any, Final, TypeAlias, cast

from syncline.errors import DeveloperError
from syncline.execution.determinism.call_state import MODULE_MARK, current
from syncline.index.index_definition import is_identifier

RowPredicate: TypeAlias = Callable[[Any, dict[str, Any]], Awaitable[bool] | bool]
"""`async def (ctx: QueryCtx, document) -> bool`, or a lambda that returns what it awaits."""

_MARK: Final = "__syncline_rules__"
"""The name in a module's globals under which its rules are noted."""


@dataclass(frozen=True, slots=True)
class TableRules:
    """The rules of one table; a predicate that is None allows everything."""

    table: str
    read: RowPredicate | None
    insert: RowPredicate | None
    modify: RowPredicate | None
    place: str
    """File and line, for messages."""


def rules(
    table: str,
    /,
    *,
    read: RowPredicate | None = None,
    insert: RowPredicate | None = None,
    modify: RowPredicate | None = None,
) -> None:
    """Say who may see and change which documents of a table, below `ctx.db`.

    Each rule is `async def rule(ctx, document) -> bool`. `read`: a document that it denies is
    absent. `insert` is asked of a document before it has `_id` and `_creationTime`; `modify` of the
    document as it is and as it becomes. What they deny is an ApplicationError. Without a rule
    everybody may; changing a document takes being allowed to read it.

    Raises:
        DeveloperError: called inside a function, for no table, or without any rule.
    """
    frame = currentframe()
    while frame is not None and MODULE_MARK not in frame.f_globals:
        frame = frame.f_back
    state = current()
    if frame is None or state is None or not state.is_loading:
        raise DeveloperError(
            "RulesInsideFunction",
            "rules(...) stands at the top of a module of the functions folder, not in a function.",
        )
    place = f"{frame.f_globals[MODULE_MARK]}:{frame.f_lineno}"
    if not isinstance(table, str) or not is_identifier(table) or table.startswith("_"):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        raise DeveloperError(
            "BadRules", f"rules takes the name of a table of yours, not {table!r}."
        )
    given = (read, insert, modify)
    wrong = [each for each in given if each is not None and not callable(each)]
    if wrong or given == (None, None, None):
        got = f"not {wrong[0]!r}" if wrong else "at least one of them"
        raise DeveloperError(
            "BadRules",
            f"rules({table!r}, read=..., insert=..., modify=...) takes functions of ctx and "
            f"document, {got}.",
        )
    noted = cast("list[TableRules]", frame.f_globals.setdefault(_MARK, []))
    noted.append(TableRules(table, read, insert, modify, place))


def rules_in(namespaces: Mapping[str, ModuleType]) -> Iterator[tuple[str, TableRules]]:
    """Module paths and the rules that the modules note, in order."""
    for path, namespace in namespaces.items():
        for each in cast("list[TableRules]", vars(namespace).get(_MARK, [])):
            yield path, each

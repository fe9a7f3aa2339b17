"""Row rules at work: between `ctx.db` and the transaction, in whatever way documents are reached.

Rules hold for calls on behalf of clients, signed in or not, and for admins who act as a user. An
admin of his own right, jobs and system functions are above them. A rule's own reads are not ruled,
or it could never look anything up; they are in the read set like any other.
"""

from collections.abc import Awaitable, Generator, Mapping
from functools import partial
from types import coroutine
from typing import Any, Literal, cast

from syncline.errors import ApplicationError, DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.ports import Page, Read
from syncline.registration.row_rules import RowPredicate, TableRules
from syncline.transaction.read_request import ReadRequest
from syncline.values.value import Value

Document = dict[str, Value]


class RowRules:
    """The rules of a bundle as they hold in one run. `context` is what rules are handed as ctx."""

    def __init__(
        self, rules: Mapping[str, TableRules], calls: ContextCalls, *, are_applied: bool
    ) -> None:
        self._rules = rules
        self._calls = calls
        self._are_applied = are_applied
        self._looked_up: dict[Read, Page] = {}
        self.context: object = None

    def of(self, table: str) -> "RowGuard | None":
        """What guards a table in this run; None: nothing does."""
        rules = self._rules.get(table)
        if rules is None:
            return None
        if not self._are_applied:
            # Who calls has decided what is seen: never share it with somebody else.
            self._calls.read_identity = True
            return None
        return RowGuard(rules, self.context, self._looked_up)


class RowGuard:
    """The rules of one table in one run."""

    __slots__ = ("_context", "_looked_up", "_rules")

    def __init__(self, rules: TableRules, context: object, looked_up: dict[Read, Page]) -> None:
        """`looked_up`: what rules have read in this run, which stands at one snapshot."""
        self._rules = rules
        self._context = context
        self._looked_up = looked_up

    async def shows(self, document: Document) -> bool:
        """Whether the caller may know that this document exists."""
        read = self._rules.read
        return read is None or await self._ask(read, "read", document)

    async def require_insert(self, document: Document) -> None:
        """ApplicationError: the caller may not add this document."""
        insert = self._rules.insert
        if insert is not None and not await self._ask(insert, "insert", document):
            raise self._denied("insert")

    async def require_modify(self, before: Document, after: Document | None) -> None:
        """ApplicationError: the caller may not turn the one into the other; None: delete it."""
        modify = self._rules.modify
        if modify is None:
            return
        for document in (before, after):
            if document is not None and not await self._ask(modify, "modify", document):
                raise self._denied("modify")

    async def _ask(
        self, rule: RowPredicate, name: Literal["read", "insert", "modify"], document: Document
    ) -> bool:
        answer: Any = rule(self._context, document)
        if isinstance(answer, Awaitable):
            inner = cast("Awaitable[object]", answer).__await__()
            answer = await _reading_once(inner, self._looked_up)
        if not isinstance(answer, bool):
            # A truthy mistake, such as a coroutine that was not awaited, must not open the table.
            raise DeveloperError(
                "RuleNotBool",
                f"The {name} rule of {self._rules.table!r} ({self._rules.place}) must answer True "
                f"or False, not {type(answer).__name__}.",
            )
        return answer

    def _denied(self, operation: str) -> ApplicationError:
        table = self._rules.table
        return ApplicationError(
            {
                "code": "RowRuleDenied",
                "message": f"The rules of {table!r} don't allow this {operation}.",
                "table": table,
                "operation": operation,
            }
        )


@coroutine
def _reading_once(
    inner: Generator[object, object, object], looked_up: dict[Read, Page]
) -> Generator[object, Any, object]:
    """Run a rule to its answer; what an earlier one has read of the snapshot is not read again.

    Rules ask the same for many documents: who is a member of their team, say.
    """
    step = partial(inner.send, None)
    while True:
        try:
            request = step()
        except StopIteration as finished:
            return finished.value
        reads = request.reads if isinstance(request, ReadRequest) else ()
        if reads and all(read in looked_up for read in reads):
            step = partial(inner.send, [looked_up[read] for read in reads])
            continue
        try:
            pages = yield request
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:
            step = partial(inner.throw, error)
            continue
        looked_up.update(zip(reads, pages or (), strict=True))
        step = partial(inner.send, pages)

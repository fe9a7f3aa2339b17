"""Row rules at work: between `ctx.db` and the transaction, in whatever way documents are reached.

Rules hold for calls on behalf of clients, signed in or not, and for admins who act as a user. An
admin of his own right, jobs and system functions are above them. A rule's own reads are not ruled,
or it could never look anything up; they are in the read set like any other.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, cast

from syncline.errors import ApplicationError, DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.registration.row_rules import RowPredicate, TableRules
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
        return RowGuard(rules, self.context)


class RowGuard:
    """The rules of one table in one run."""

    __slots__ = ("_context", "_rules")

    def __init__(self, rules: TableRules, context: object) -> None:
        self._rules = rules
        self._context = context

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
            answer = await cast("Awaitable[object]", answer)
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

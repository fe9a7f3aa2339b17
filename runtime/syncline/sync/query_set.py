"""The queries that a client is subscribed to, by the version that it gave each change.

A query is stale when it needs a result for the next update; its fingerprint is that of the result
which the client holds, None before the first one.
"""

from collections.abc import Iterable

import msgspec

from syncline.function_path import SYSTEM_PREFIX
from syncline.sync.effects import QuerySpec
from syncline.sync.messages import Add, ModifyQuerySet


class Query(msgspec.Struct):
    """One subscription. `added_at` is the version of the query set that brought it."""

    path: str
    arguments: bytes
    journal: str | None
    added_at: int
    component: str | None = None
    fingerprint: bytes | None = None


class QuerySet(msgspec.Struct):
    """All subscriptions, as far as the client's changes have been received in order."""

    version: int = 0
    queries: dict[int, Query] = {}
    stale: dict[int, None] = {}
    """Queries to run for the next update, in the order in which they became stale."""
    removed: list[int] = []
    """Removed since the last plan: each is answered by QueryRemoved."""
    leaving: dict[int, Query] = {}
    """What `removed` names: held by the client until it is told, and by the plan under way."""

    def apply(self, message: ModifyQuerySet) -> str | None:
        """Apply a change whose base version is ours; returns what is wrong with it, or None."""
        assert message.base_version == self.version
        for modification in message.modifications:
            query_id = modification.query_id
            if isinstance(modification, Add):
                if query_id in self.queries:
                    return f"Query {query_id} is already in the query set"
                self.queries[query_id] = Query(
                    modification.udf_path,
                    bytes(modification.args),
                    modification.journal,
                    message.new_version,
                    modification.component_path or None,
                )
                self.stale[query_id] = None
            else:
                query = self.queries.pop(query_id, None)
                if query is None:
                    return f"Query {query_id} is not in the query set"
                self.leaving[query_id] = query
                self.stale.pop(query_id, None)
                self.removed.append(query_id)
        self.version = message.new_version
        return None

    def invalidate(self, query_ids: Iterable[int] | None) -> bool:
        """Mark queries, or all, as stale; unknown ids are skipped. True if one was known."""
        known = self.queries
        stale = known if query_ids is None else [each for each in query_ids if each in known]
        self.stale.update(dict.fromkeys(stale))
        return bool(stale)

    def take_stale(
        self, *, awaits_admin: bool = False
    ) -> tuple[tuple[QuerySpec, ...], tuple[int, ...]]:
        """The stale queries, which count as being run from now on.

        Returns them as (to run, ids of those that name a component and so can't be run). If
        `awaits_admin`, those that only an admin may ask stay stale.
        """
        kept: dict[int, None] = {}
        to_run: list[QuerySpec] = []
        refused: list[int] = []
        for query_id in self.stale:
            query = self.queries[query_id]
            if awaits_admin and query.path.startswith(SYSTEM_PREFIX):
                kept[query_id] = None
            elif query.component:
                refused.append(query_id)
            else:
                to_run.append(QuerySpec(query_id, query.path, query.arguments, query.journal))
        self.stale = kept
        return tuple(to_run), tuple(refused)

    def take_removed(self) -> tuple[int, ...]:
        """The removed queries, which count as answered from now on."""
        taken = tuple(self.removed)
        self.removed = []
        self.leaving = {}
        return taken

    def at(self, version: int, query_id: int) -> Query | None:
        """A query as it was at a version, the newest that was planned; None: not in the set."""
        query = self.queries.get(query_id)
        if query is None or query.added_at > version:
            query = self.leaving.get(query_id)
        return query if query is not None and query.added_at <= version else None

"""A user function that does what a list of operations says, and the same done naively on a list.

Operations are lists: ["insert", n, fields], ["patch", n, fields], ["replace", n, fields],
["delete", n], ["read", index, calls, order, take], ["nested", operations, fails]. Documents are
named by their serial `n`. UNSET fields are written as {"unset": true}.
"""

from copy import deepcopy
from functools import cmp_to_key
from typing import Any

from hypothesis import strategies as st

from syncline.index.key_encoding import MISSING
from syncline.values.value import Int64
from tests.property.value_strategies import compare

SOURCE = """
def shown(value):
    return UNSET if value == {"unset": True} else value

async def named(ctx, n):
    return await ctx.db.query("t").with_index("by_n", lambda q: q.eq("n", n)).unique()

async def read(ctx, index, calls, order, take):
    def build(q):
        for method, field, value in calls:
            q = getattr(q, method)(field, shown(value))
        return q
    found = ctx.db.query("t").with_index(index, build).order(order)
    documents = await found.collect() if take is None else await found.take(take)
    return [document["n"] for document in documents]

async def write(ctx, name, n, fields):
    document = await named(ctx, n)
    if name == "insert":
        if document is None:
            await ctx.db.insert("t", {"n": n, **fields})
    elif document is not None and name == "patch":
        await ctx.db.patch(document["_id"], {key: shown(fields[key]) for key in fields})
    elif document is not None and name == "replace":
        await ctx.db.replace(document["_id"], {"n": n, **fields})
    elif document is not None:
        await ctx.db.delete(document["_id"])

@mutation
async def script(ctx: MutationCtx, operations: list[Any], fails: bool = False) -> list[Any]:
    results = []
    for name, *rest in operations:
        if name == "read":
            results.append(await read(ctx, *rest))
        elif name == "nested":
            try:
                results.append(await ctx.run_mutation(script, operations=rest[0], fails=rest[1]))
            except ApplicationError as error:
                results.append(error.data)
        else:
            await write(ctx, name, rest[0], rest[1] if len(rest) > 1 else {})
    if fails:
        raise ApplicationError(results)
    return results

async def tolerant(ctx, operations, fails):
    try:
        return await ctx.run_mutation(script, operations=operations, fails=fails)
    except ApplicationError as error:
        return error.data

@mutation
async def at_once(ctx: MutationCtx, scripts: list[Any]) -> list[Any]:
    return await ctx.gather(*[tolerant(ctx, each[0], each[1]) for each in scripts])

@query
async def reading(ctx: QueryCtx, operation: list[Any]) -> Any:
    return await read(ctx, *operation[1:])

@query
async def page(
    ctx: QueryCtx, calls: list[Any], order: Any, paginationOpts: PaginationOptions
) -> Any:
    def build(q):
        for method, field, value in calls:
            q = getattr(q, method)(field, shown(value))
        return q
    found = ctx.db.query("t").with_index("by_a_b", build).order(order)
    result = await found.paginate(paginationOpts)
    return {**result, "page": [document["n"] for document in result["page"]]}

@query
async def by_id(ctx: QueryCtx, id: str) -> Any:
    return await ctx.db.get(id)
"""
INDEXES = {"by_n": ["n"], "by_a": ["a"], "by_a_b": ["a", "b"]}
_FIELDS = {**INDEXES, "by_creation_time": []}

UNSET = {"unset": True}
VALUES = st.sampled_from([None, False, True, 0, 1, 2, "", "x", "x\x00", Int64(1), [1]])
SHOWN = st.one_of(VALUES, st.just(UNSET))
FIELDS = st.dictionaries(st.sampled_from(["a", "b"]), VALUES, max_size=2)
PATCHES = st.dictionaries(st.sampled_from(["a", "b"]), SHOWN, max_size=2)
SERIALS = st.integers(0, 7)


@st.composite
def calls_on(draw: Any, fields: list[str]) -> list[list[Any]]:
    """Calls on `q` that an index over these fields allows."""
    equal = draw(st.integers(0, len(fields)))
    calls = [["eq", field, draw(SHOWN)] for field in fields[:equal]]
    if equal < len(fields):
        bounds = [names for names in (["gt", "gte"], ["lt", "lte"]) if draw(st.booleans())]
        calls += [[draw(st.sampled_from(names)), fields[equal], draw(SHOWN)] for names in bounds]
    return calls


@st.composite
def reads(draw: Any) -> list[Any]:
    """A read through any index."""
    index = draw(st.sampled_from(sorted(_FIELDS)))
    fields = [field for field in _FIELDS[index] if field != "n"]
    order = draw(st.sampled_from(["asc", "desc"]))
    take = draw(st.one_of(st.none(), st.integers(0, 4)))
    return ["read", index, draw(calls_on(fields)), order, take]


WRITES = st.one_of(
    st.tuples(st.just("insert"), SERIALS, FIELDS).map(list),
    st.tuples(st.just("patch"), SERIALS, PATCHES).map(list),
    st.tuples(st.just("replace"), SERIALS, FIELDS).map(list),
    st.tuples(st.just("delete"), SERIALS).map(list),
)
SCRIPTS = st.recursive(
    st.lists(st.one_of(WRITES, WRITES, reads()), max_size=8),
    lambda inner: st.lists(
        st.one_of(WRITES, reads(), st.tuples(st.just("nested"), inner, st.booleans()).map(list)),
        max_size=6,
    ),
    max_leaves=4,
)


class Model:
    """The documents as a list in order of creation."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    def script(self, operations: list[Any], *, fails: bool = False) -> list[Any]:
        """What the user function returns, or its ApplicationError's data; changes the model."""
        before = deepcopy(self.documents)
        results = [result for each in operations if (result := self._operation(each)) is not None]
        if fails:
            self.documents = before
        return results

    def _operation(self, operation: list[Any]) -> list[Any] | None:
        name, *rest = operation
        if name == "read":
            return self.read(*rest)
        if name == "nested":
            return self.script(rest[0], fails=rest[1])
        self._write(name, rest[0], rest[1] if len(rest) > 1 else {})
        return None

    def _write(self, name: str, n: int, fields: dict[str, Any]) -> None:
        found = next((each for each in self.documents if each["n"] == n), None)
        if name == "insert" and found is None:
            self.documents.append({"n": n, **fields})
        elif found is None or name == "insert":
            return
        elif name == "delete":
            self.documents.remove(found)
        else:
            if name == "replace":
                found.clear()
            found.update({"n": n, **fields})
            for field in [field for field, value in found.items() if value == UNSET]:
                del found[field]

    def read(self, index: str, calls: list[Any], order: str, take: int | None) -> list[int]:
        """Filter and sort."""
        found = [each for each in self.documents if all(_holds(each, call) for call in calls)]
        found.sort(key=lambda each: [_by_order(each.get(name, MISSING)) for name in _FIELDS[index]])
        if order == "desc":
            found.sort(key=self.documents.index, reverse=True)
            found.sort(
                key=lambda each: [_by_order(each.get(name, MISSING)) for name in _FIELDS[index]],
                reverse=True,
            )
        return [each["n"] for each in found][:take]


_by_order = cmp_to_key(compare)


def _holds(document: dict[str, Any], call: list[Any]) -> bool:
    method, field, value = call
    order = compare(document.get(field, MISSING), MISSING if value == UNSET else value)
    return {
        "eq": order == 0,
        "gt": order > 0,
        "gte": order >= 0,
        "lt": order < 0,
        "lte": order <= 0,
    }[method]

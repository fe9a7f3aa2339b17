"""ctx.db: the rules and texts of convex-protocol 6.3."""

import pytest

from syncline.schema.catalog import TABLES, name_range
from syncline.schema.validators import v
from syncline.values.document_id import encode_id
from syncline.values.value import Int64
from tests.execution_world import CallFailed

SOURCE = """
@query
async def get(ctx: QueryCtx, id: Any) -> Any:
    return await ctx.db.get(id)

@query
async def normalize(ctx: QueryCtx, table: str, text: Any) -> Any:
    return ctx.db.normalize_id(table, text)

@mutation
async def insert(ctx: MutationCtx, table: str, document: Any) -> str:
    return await ctx.db.insert(table, document)

@mutation
async def insert_odd(ctx: MutationCtx, how: str) -> Any:
    odd = {"set": {"tags": {1}}, "big": {"n": 2**60}, "none": None, "unset": {"n": UNSET}}
    return await ctx.db.insert("t", odd[how])

@mutation
async def patch(ctx: MutationCtx, id: Any, fields: Any, remove: list[str]) -> None:
    await ctx.db.patch(id, {**fields, **dict.fromkeys(remove, UNSET)})

@mutation
async def patch_none(ctx: MutationCtx, id: str) -> None:
    await ctx.db.patch(id, None)

@mutation
async def replace(ctx: MutationCtx, id: Any, document: Any) -> None:
    await ctx.db.replace(id, document)

@mutation
async def delete(ctx: MutationCtx, id: Any) -> None:
    await ctx.db.delete(id)

@mutation
async def vanish(ctx: MutationCtx, id: str, then: str) -> None:
    await ctx.db.delete(id)
    if then == "patch":
        await ctx.db.patch(id, {})
    if then == "replace":
        await ctx.db.replace(id, {})
    if then == "delete":
        await ctx.db.delete(id)

@mutation
async def two(ctx: MutationCtx) -> bool:
    first = await ctx.db.get(await ctx.db.insert("t", {}))
    second = await ctx.db.get(await ctx.db.insert("t", {}))
    return first["_creationTime"] < second["_creationTime"]

@query
async def types(ctx: QueryCtx, id: str) -> list[str]:
    document = await ctx.db.get(id)
    return [type(document[name]).__name__ for name in ("_creationTime", "whole", "half", "big")]

@query
async def misuse(ctx: QueryCtx, how: str) -> Any:
    q = ctx.db.query("t")
    match how:
        case "twice":
            await q.collect()
            await q.collect()
        case "order twice":
            await q.order("asc").order("desc").collect()
        case "bad order":
            await q.order("up").collect()
        case "two indexes":
            await q.with_index("by_id").with_index("by_id").collect()
        case "unknown index":
            await q.with_index("by_nothing").collect()
        case "pending index":
            await q.with_index("by_later").collect()
        case "no return":
            await q.with_index("by_n", lambda q: None).collect()
        case "negative":
            await q.take(-1)
        case "unique":
            await q.unique()
        case "table":
            await ctx.db.query(3).collect()

@query
async def walk(ctx: QueryCtx, until: int) -> list[int]:
    seen = []
    async for document in ctx.db.query("t").with_index("by_n").filter(lambda d: d["n"] % 2 == 0):
        seen.append(document["n"])
        if document["n"] >= until:
            break
    return seen

@query
async def odd_first(ctx: QueryCtx) -> Any:
    found = await ctx.db.query("t").with_index("by_n").filter(lambda d: d["n"] % 2).first()
    return found and found["n"]

@mutation
async def while_reading(ctx: MutationCtx) -> list[float]:
    seen = []
    async for document in ctx.db.query("t").with_index("by_n"):
        seen.append(document["n"])
        if document["n"] == 1:
            await ctx.db.insert("t", {"n": 1.5})
            await ctx.db.insert("t", {"n": 0.5})
            third = ctx.db.query("t").with_index("by_n", lambda q: q.eq("n", 3))
            await ctx.db.delete((await third.unique())["_id"])
    return seen

@mutation
async def built_before(ctx: MutationCtx) -> int:
    found = ctx.db.query("fresh").order("desc")
    await ctx.db.insert("fresh", {})
    return len(await found.collect())

@query
async def system(ctx: QueryCtx, how: str, id: str = "") -> Any:
    if how == "plain query":
        return await ctx.db.query("_tables").collect()
    if how == "plain get":
        return await ctx.db.get(id)
    if how == "storage":
        return await ctx.db.system.query("_storage").collect()
    if how == "tables":
        return await ctx.db.system.query("_tables").collect()
    if how == "no id":
        return await ctx.db.system.get(3)
    if how.startswith("normalize "):
        return ctx.db.system.normalize_id(how.removeprefix("normalize "), id)
    return await ctx.db.system.get(id)
"""


@pytest.fixture
def world(make_world):
    world = make_world(m=SOURCE)
    world.add_table("t", by_n=["n"], by_later=["x"], states={"by_later": "pending"})
    return world


def failure(run, *arguments, **keywords):
    with pytest.raises(CallFailed) as failed:
        run(*arguments, **keywords)
    return failed.value.outcome.error.message


def test_a_document_comes_back_with_its_system_fields(world):
    document_id = world.mutate("m:insert", table="t", document={"n": 1, "s": "x"})
    found = world.query("m:get", id=document_id)
    assert found["_id"] == document_id
    assert {"n": 1, "s": "x"}.items() <= found.items()


def test_numbers_have_the_types_that_functions_know(world):
    document = {"whole": 2, "half": 0.5, "big": Int64(3)}
    document_id = world.mutate("m:insert", table="t", document=document)
    assert world.query("m:types", id=document_id) == ["float", "int", "float", "Int64"]


def test_creation_times_of_one_run_increase(world):
    assert world.mutate("m:two") is True


def test_get_of_a_missing_document_is_none_and_its_key_is_read(world):
    document_id = world.mutate("m:insert", table="t", document={})
    world.mutate("m:delete", id=document_id)
    outcome = world.run("m:get", {"id": document_id})
    assert outcome.value == b"null"
    key = world.catalog.table("t").keys({"_creationTime": 0.0}, document_id)[0]
    assert any(key in each for each in outcome.read_ranges)


def test_get_of_an_id_of_an_unknown_table_is_none_until_there_is_one(world):
    later = encode_id(10_002, bytes(16))
    outcome = world.run("m:get", {"id": later})
    assert outcome.value == b"null"
    row = {"_creationTime": 1.0, "name": "u", "number": 10_002}
    assert any(key in each for key in TABLES.keys(row, later) for each in outcome.read_ranges)


@pytest.mark.parametrize("bad", ["", "x", "J57000820C20A1G7104GM2RC1M70YNR8", 3, None])
def test_what_is_no_id_is_refused(world, bad):
    for function, extra in [
        ("m:get", {}),
        ("m:patch", {"fields": {}, "remove": []}),
        ("m:delete", {}),
    ]:
        run = world.query if function == "m:get" else world.mutate
        message = failure(run, function, id=bad, **extra)
        assert f"Invalid argument `id` for `ctx.db.{function[2:]}`: {bad!r}" in message


def test_normalize_id_gives_ids_of_the_table_only(world):
    document_id = world.mutate("m:insert", table="t", document={})
    assert world.query("m:normalize", table="t", text=document_id) == document_id
    for table, text in [("u", document_id), ("t", "x"), ("t", 3), ("_tables", document_id)]:
        assert world.query("m:normalize", table=table, text=text) is None


def test_patch_merges_and_unset_removes(world):
    document_id = world.mutate("m:insert", table="t", document={"a": 1, "b": {"x": 1}, "c": 3})
    fields = {"a": 2, "b": {"y": 2}}
    world.mutate("m:patch", id=document_id, fields=fields, remove=["c", "nothing"])
    found = world.query("m:get", id=document_id)
    assert {name: found[name] for name in found if name[0] != "_"} == fields


def test_replace_keeps_the_system_fields_only(world):
    document_id = world.mutate("m:insert", table="t", document={"a": 1})
    before = world.query("m:get", id=document_id)
    world.mutate("m:replace", id=document_id, document={"b": 2})
    kept = {"_id": document_id, "_creationTime": before["_creationTime"]}
    assert world.query("m:get", id=document_id) == {**kept, "b": 2}
    world.mutate("m:replace", id=document_id, document={**kept, "c": 3})
    assert world.query("m:get", id=document_id) == {**kept, "c": 3}


@pytest.mark.parametrize("field", ["_id", "_creationTime"])
def test_system_fields_are_not_for_functions_to_set(world, field):
    message = failure(world.mutate, "m:insert", table="t", document={field: 1})
    assert "made by the database" in message
    document_id = world.mutate("m:insert", table="t", document={})
    for function, arguments in [
        ("m:patch", {"fields": {field: 1}, "remove": []}),
        ("m:patch", {"fields": {}, "remove": [field]}),
        ("m:replace", {"document": {field: 1}}),
    ]:
        message = failure(world.mutate, function, id=document_id, **arguments)
        assert f"'{field}' of a document never changes" in message


@pytest.mark.parametrize(
    ("then", "verb"), [("patch", "Update"), ("replace", "Replace"), ("delete", "Delete")]
)
def test_writes_to_documents_that_are_gone_are_refused(world, then, verb):
    document_id = world.mutate("m:insert", table="t", document={})
    text = f"{verb} on nonexistent document ID {document_id}"
    assert text in failure(world.mutate, "m:vanish", id=document_id, then=then)
    world.mutate("m:delete", id=document_id)
    arguments = {"patch": {"fields": {}, "remove": []}, "replace": {"document": {}}}.get(then, {})
    assert text in failure(world.mutate, f"m:{then}", id=document_id, **arguments)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("set", "Invalid value at .tags: a set is not a value"),
        ("big", "Invalid value at .n: the int"),
        ("none", "ctx.db.insert needs a dict, not NoneType."),
        ("unset", "Invalid value at .n"),
    ],
)
def test_what_is_no_document_is_refused(world, how, text):
    assert text in failure(world.mutate, "m:insert_odd", how=how)


def test_patch_needs_a_dict(world):
    document_id = world.mutate("m:insert", table="t", document={})
    assert "ctx.db.patch needs a dict" in failure(world.mutate, "m:patch_none", id=document_id)


@pytest.mark.parametrize("field", ["_own", "no-dash", "___", "1st", ""])
def test_field_names_of_documents_are_identifiers(world, field):
    assert f"Field `{field}`" in failure(world.mutate, "m:insert", table="t", document={field: 1})


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("twice", "has been read already"),
        ("order twice", "can be ordered once only"),
        ("bad order", 'order takes "asc" or "desc"'),
        ("two indexes", "already uses 'by_id'"),
        ("unknown index", "Index t.by_nothing does not exist. Indexes of 't': "),
        ("pending index", "Index t.by_later is still being built."),
        ("no return", "must return its own q after the last call"),
        ("negative", "take needs a whole number >= 0"),
        ("table", "ctx.db.query takes a table's name"),
    ],
)
def test_misuse_of_a_query_is_named(world, how, text):
    assert text in failure(world.query, "m:misuse", how=how)


def test_unique_names_the_documents_that_are_too_many(world):
    ids = [world.mutate("m:insert", table="t", document={}) for _ in range(3)]
    assert (
        f"unique() query returned more than one result from table t:\n [{ids[0]}, {ids[1]}, ...]"
    ) in failure(world.query, "m:misuse", how="unique")


def test_iteration_reads_as_far_as_it_goes(world):
    for n in range(6):
        world.mutate("m:insert", table="t", document={"n": n})
    outcome = world.run("m:walk", {"until": 2})
    assert outcome.value == b"[0.0,2.0]"
    assert outcome.documents_read == 3
    document = {each["n"]: each for each in world.documents("t")}[3]
    keys = world.catalog.table("t").keys(document, document["_id"])
    assert not any(key in each for key in keys for each in outcome.read_ranges)


def test_filtered_rows_count_as_read(world):
    for n in (0, 2, 4, 5):
        world.mutate("m:insert", table="t", document={"n": n})
    outcome = world.run("m:odd_first", {})
    assert (outcome.value, outcome.documents_read) == (b"5.0", 4)
    assert outcome.bytes_read > 0


def test_iteration_sees_the_writes_that_are_made_meanwhile_ahead_of_it(world):
    for n in (0, 1, 2, 3, 4):
        world.mutate("m:insert", table="t", document={"n": n})
    assert world.mutate("m:while_reading") == [0, 1, 1.5, 2, 4]


def test_a_query_made_before_its_table_reads_it_all_the_same(world):
    assert world.mutate("m:built_before") == 1


# Tables and their rows


def test_the_first_insert_makes_the_table(world):
    world.mutate("m:insert", table="fresh", document={"a": 1})
    table = world.catalog.table("fresh")
    assert (table.number, table.validator) == (10_002, None)
    assert [each["name"] for each in world.documents("_tables")] == ["t", "fresh"]
    world.mutate("m:insert", table="fresh", document={"a": 2})
    assert len(world.documents("_tables")) == 2
    assert [each["a"] for each in world.documents("fresh")] == [1, 2]


@pytest.mark.parametrize("name", ["", "no-dash", "1st", "a" * 65, "ä"])
def test_bad_table_names_are_refused(world, name):
    assert "can't name a table" in failure(world.mutate, "m:insert", table=name, document={})


def test_every_table_touched_is_in_the_read_set_also_if_there_is_none(world):
    document_id = world.mutate("m:insert", table="t", document={})
    for outcome in (
        world.run("m:get", {"id": document_id}),
        world.run("m:normalize", {"table": "t", "text": document_id}),
        world.run("m:misuse", {"how": "negative"}),
        world.run("m:insert", {"table": "t", "document": {}}, kind="mutation"),
        world.run("m:delete", {"id": document_id}, kind="mutation"),
    ):
        assert name_range("t") in outcome.read_ranges
    absent = world.run("m:normalize", {"table": "absent", "text": document_id})
    assert name_range("absent") in absent.read_ranges


def test_ids_in_arguments_put_their_table_into_the_read_set(make_world):
    world = make_world(
        m="""
@query
async def given(ctx: QueryCtx, id: Annotated[Id, v.id("t")]) -> int:
    return 1
"""
    )
    unknown = world.run("m:given", {"id": encode_id(10_001, bytes(16))})
    assert unknown.error is not None
    world.add_table("t")
    row = {each["name"]: each for each in world.documents("_tables")}["t"]
    keys = TABLES.keys(row, row["_id"])
    assert any(key in each for key in keys for each in unknown.read_ranges)
    known = world.run("m:given", {"id": encode_id(10_001, bytes(16))})
    assert known.value == b"1.0"
    assert name_range("t") in known.read_ranges


def test_changes_have_keys_for_pending_indexes_too(world):
    outcome = world.run("m:insert", {"table": "t", "document": {"x": 1}}, kind="mutation")
    (change,) = outcome.changes
    later = next(each for each in world.catalog.table("t").all_indexes if each.name == "by_later")
    assert [key for key in change.keys_after if key.startswith(later.index_id)]
    assert len(change.keys_after) == 4


def test_writes_are_held_against_the_schema_but_not_against_a_pending_one(make_world):
    world = make_world(m=SOURCE)
    strict = v.object({"n": v.number()})
    world.add_table("t", validator=strict, pending=v.object({"n": v.string()}))
    document_id = world.mutate("m:insert", table="t", document={"n": 1})
    for function, arguments in [
        ("m:insert", {"table": "t", "document": {"n": "x"}}),
        ("m:patch", {"id": document_id, "fields": {"n": "x"}, "remove": []}),
        ("m:patch", {"id": document_id, "fields": {}, "remove": ["n"]}),
        ("m:replace", {"id": document_id, "document": {}}),
    ]:
        message = failure(world.mutate, function, **arguments)
        assert 'in table "t" because it does not match the schema: ' in message


# System tables


def test_system_tables_are_read_only(world):
    row = world.documents("_tables")[0]["_id"]
    for function, arguments in [
        ("m:insert", {"table": "_tables", "document": {}}),
        ("m:patch", {"id": row, "fields": {}, "remove": []}),
        ("m:replace", {"id": row, "document": {}}),
        ("m:delete", {"id": row}),
    ]:
        message = failure(world.mutate, function, **arguments)
        assert "System tables (prefixed with `_`) are read-only." in message


def test_public_system_tables_are_read_through_db_system(world):
    assert world.query("m:system", how="storage") == []
    for how in ("plain query", "tables"):
        assert "_tables" in failure(world.query, "m:system", how=how)
    row = world.documents("_tables")[0]["_id"]
    for how in ("plain get", "system get"):
        assert "_tables" in failure(world.query, "m:system", how=how, id=row)


def test_ids_of_public_system_tables_are_normalized_through_db_system(world):
    file = encode_id(516, bytes(16))
    assert world.query("m:system", how="normalize _storage", id=file) == file
    assert world.query("m:system", how="normalize _scheduled_functions", id=file) is None
    for table in ("_tables", "t"):
        assert f"'{table}' can't be read" in failure(
            world.query, "m:system", how=f"normalize {table}", id=file
        )
    assert "3 is not a document id" in failure(world.query, "m:system", how="no id")

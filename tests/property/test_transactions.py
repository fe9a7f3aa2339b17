"""Random runs against a list: own writes show, sub-transactions roll back, read sets are whole."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syncline.commit.record import DocumentChange
from syncline.registration.registry import LoadedBundle
from syncline.values import wire_json
from tests.execution_world import World, bundle_of, change_of
from tests.property.script_functions import (
    FIELDS,
    INDEXES,
    SCRIPTS,
    SERIALS,
    SOURCE,
    WRITES,
    Model,
    reads,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    return bundle_of(tmp_path_factory.mktemp("scripts"), scripts=SOURCE)


def a_world(bundle: LoadedBundle) -> World:
    world = World(bundle)
    world.add_table("t", **INDEXES)
    return world


STORED = st.lists(WRITES, max_size=12)


@given(st.lists(SCRIPTS, min_size=1, max_size=3))
def test_what_runs_see_and_leave_is_what_a_list_would(bundle: LoadedBundle, scripts):
    world, model = a_world(bundle), Model()
    for script in scripts:
        assert world.mutate("scripts:script", operations=script) == model.script(script)
    stored = [
        {name: value for name, value in each.items() if name[0] != "_"}
        for each in world.documents("t")
    ]
    assert stored == model.documents


@settings(max_examples=250)
@given(STORED, SCRIPTS, SCRIPTS, SCRIPTS)
def test_a_failed_nested_mutation_leaves_no_trace(bundle, stored, before, inner, after):
    world = a_world(bundle)
    world.mutate("scripts:script", operations=stored)

    def run(*script: Any) -> tuple[list[Any], dict[str, Any]]:
        outcome = world.run("scripts:script", {"operations": [*script]}, kind="mutation", seed=7)
        assert outcome.error is None
        changes = {_serial(change): _contents(change) for change in outcome.changes}
        return wire_json.decode(outcome.value), changes

    results, changes = run(*before, ["nested", inner, True], *after)
    del results[sum(each[0] in {"read", "nested"} for each in before)]
    assert (results, changes) == run(*before, *after)


@given(STORED, st.lists(st.tuples(SCRIPTS, st.booleans()).map(list), max_size=4))
def test_gathered_nested_mutations_do_what_they_do_one_after_the_other(bundle, stored, scripts):
    world, model = a_world(bundle), Model()
    world.mutate("scripts:script", operations=stored)
    model.script(stored)
    expected = [model.script(operations, fails=fails) for operations, fails in scripts]
    assert world.mutate("scripts:at_once", scripts=scripts) == expected
    assert [each["n"] for each in world.documents("t")] == [each["n"] for each in model.documents]


@given(STORED, SCRIPTS)
def test_changes_are_one_a_document_and_name_the_stored_version(bundle, stored, script):
    world = a_world(bundle)
    world.mutate("scripts:script", operations=stored)
    outcome = world.run("scripts:script", {"operations": script}, kind="mutation")
    table = world.catalog.table("t")
    assert table is not None
    assert len({change.document_id for change in outcome.changes}) == len(outcome.changes)
    for change in outcome.changes:
        assert change.before is not None or change.after is not None
        by_id = table.all_indexes[0].index_id + b"\x10" + change.document_id.encode() + b"\x00"
        assert world.entries.get(by_id, (0, None)) == (change.before_ts, change.before)
        for text, keys in ((change.before, change.keys_before), (change.after, change.keys_after)):
            expected = () if text is None else table.keys(_document(text), change.document_id)
            assert keys == expected


READS = st.one_of(
    reads().map(lambda operation: ("scripts:reading", {"operation": operation})),
    st.tuples(st.sampled_from(["asc", "desc"]), st.integers(1, 3)).map(
        lambda drawn: (
            "scripts:page",
            {
                "calls": [],
                "order": drawn[0],
                "paginationOpts": {"numItems": drawn[1], "cursor": None},
            },
        )
    ),
)


@given(STORED, READS, SERIALS, FIELDS, st.sampled_from(["insert", "change", "delete"]))
def test_what_lies_outside_the_read_set_can_not_change_a_result(
    bundle: LoadedBundle, stored, read, n, fields, how
):
    world = a_world(bundle)
    world.mutate("scripts:script", operations=stored)
    before = world.run(read[0], read[1])
    assert before.error is None

    documents = {each["n"]: each for each in world.documents("t")}
    table = world.catalog.table("t")
    assert table is not None
    assume((n in documents) == (how != "insert"))
    if how == "insert":
        world.ts += 1
        world.put(table, {"n": n, **fields})
        (new,) = [each for each in world.documents("t") if each["n"] == n]
        written = table.keys(new, new["_id"])
    else:
        old = documents[n]
        kept = {name: old[name] for name in ("_id", "_creationTime", "n")}
        after = None if how == "delete" else {**kept, **fields}
        by_id = table.keys(old, old["_id"])[0]
        change = change_of(table, old, after, world.entries[by_id][0])
        world.apply([change])
        written = change.write_keys
    touched = any(key in each for key in written for each in before.read_ranges)
    if not touched:
        again = world.run(read[0], read[1])
        assert (again.value, again.journal) == (before.value, before.journal)
        assert again.read_ranges == before.read_ranges


@given(STORED, SCRIPTS)
def test_equal_inputs_give_equal_outcomes(bundle: LoadedBundle, stored, script):
    world = a_world(bundle)
    world.mutate("scripts:script", operations=stored)
    arguments = {"operations": script}
    first = world.run("scripts:script", arguments, kind="mutation", seed=3)
    assert world.run("scripts:script", arguments, kind="mutation", seed=3) == first
    other = world.run("scripts:script", arguments, kind="mutation", seed=4)
    new = {change.document_id for change in first.changes if change.before is None}
    assert new.isdisjoint(change.document_id for change in other.changes if not change.before)


def _serial(change: DocumentChange) -> object:
    return _document(change.after or change.before or b"")["n"]


def _contents(change: DocumentChange) -> tuple[Any, ...]:
    """The change without what is counted up by undone inserts too: new ids and times."""
    after = None if change.after is None else _document(change.after)
    made = {} if after is None else {name: after[name] for name in after if name[0] != "_"}
    return change.before, change.before_ts, change.keys_before, after is None, made


def _document(text: bytes) -> dict[str, Any]:
    document = wire_json.decode(text)
    assert isinstance(document, dict)
    return document

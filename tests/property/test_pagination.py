"""A client that loads pages while documents come and go: no gap, no overlap (6.4)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.registration.registry import LoadedBundle
from syncline.values import wire_json
from tests.execution_world import World, bundle_of
from tests.property.script_functions import INDEXES, SOURCE, WRITES, calls_on


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    return bundle_of(tmp_path_factory.mktemp("scripts"), scripts=SOURCE)


class Client:
    """What usePaginatedQuery does: one subscription a page, each with its own journal."""

    def __init__(self, world: World, calls: list[Any], order: str) -> None:
        self.world = world
        self.query = {"calls": calls, "order": order}
        self.pages: list[tuple[dict[str, Any], str | None]] = []
        """Each page's options and journal."""

    def run(self, options: dict[str, Any], journal: str | None = None) -> tuple[Any, str | None]:
        outcome = self.world.run(
            "scripts:page", {**self.query, "paginationOpts": options}, journal=journal
        )
        assert outcome.error is None, outcome.error
        assert outcome.value is not None
        return wire_json.decode(outcome.value), outcome.journal

    def load_more(self, items: int) -> None:
        results = self.results()
        if results and results[-1]["isDone"]:
            return
        cursor = results[-1]["continueCursor"] if results else None
        options = {"numItems": items, "cursor": cursor}
        _, journal = self.run(options)
        self.pages.append((options, journal))

    def results(self) -> list[Any]:
        return [self.run(options, journal)[0] for options, journal in self.pages]

    def everything(self) -> list[int]:
        calls, order = self.query["calls"], self.query["order"]
        read = ["read", "by_a_b", calls, order, None]
        return self.world.query("scripts:reading", operation=read)


STEPS = st.lists(st.one_of(st.integers(1, 3), WRITES, WRITES), min_size=1, max_size=14)
CALLS = calls_on(["a", "b"])
ORDERS = st.sampled_from(["asc", "desc"])


def started(bundle: LoadedBundle, calls: list[Any], order: str) -> Client:
    world = World(bundle)
    world.add_table("t", **INDEXES)
    return Client(world, calls, order)


@given(st.lists(WRITES, max_size=8), CALLS, ORDERS, STEPS)
def test_pages_stay_gapless_while_documents_come_and_go(bundle, stored, calls, order, steps):
    client = started(bundle, calls, order)
    client.world.mutate("scripts:script", operations=stored)
    for step in steps:
        if isinstance(step, int):
            client.load_more(step)
        else:
            client.world.mutate("scripts:script", operations=[step])
        results = client.results()
        for page, (options, _) in zip(results, client.pages[1:], strict=False):
            assert page["continueCursor"] == options["cursor"]
        shown = [n for page in results for n in page["page"]]
        everything = client.everything()
        assert shown == everything[: len(shown)]
        if results and results[-1]["isDone"]:
            assert shown == everything
    client.load_more(100)
    assert [n for page in client.results() for n in page["page"]] == client.everything()


@given(st.lists(WRITES, max_size=12), CALLS, ORDERS, st.integers(1, 8))
def test_a_page_splits_into_two_that_hold_the_same(bundle, stored, calls, order, items):
    client = started(bundle, calls, order)
    client.world.mutate("scripts:script", operations=stored)
    whole, _ = client.run({"numItems": items, "cursor": None})
    split = whole["splitCursor"]
    if split is None:
        assert len(whole["page"]) <= 2
        return
    first, _ = client.run({"numItems": 1, "cursor": None, "endCursor": split})
    end = whole["continueCursor"]
    second, _ = client.run({"numItems": 1, "cursor": split, "endCursor": end})
    assert first["page"] + second["page"] == whole["page"]
    assert first["continueCursor"] == split
    assert (second["continueCursor"], second["isDone"]) == (end, whole["isDone"])
    assert first["page"]
    assert second["page"]


@given(st.lists(WRITES, max_size=12), CALLS, ORDERS, st.integers(1, 4))
def test_equal_positions_are_equal_strings(bundle, stored, calls, order, items):
    client = started(bundle, calls, order)
    client.world.mutate("scripts:script", operations=stored)
    page, journal = client.run({"numItems": items, "cursor": None})
    assert journal == page["continueCursor"]
    again, _ = client.run({"numItems": items, "cursor": None}, journal)
    assert again == page

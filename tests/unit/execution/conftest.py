"""Fixtures of the execution tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.registration.loader import unload_bundle
from tests.execution_world import World, bundle_of


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world whose functions folder holds the given modules."""
    made: list[World] = []

    def make(**sources: str) -> World:
        made.append(World(bundle_of(tmp_path / "functions", **sources), is_checked=True))
        return made[-1]

    yield make
    for world in made:
        unload_bundle(world.bundle)

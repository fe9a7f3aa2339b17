"""Settings for every suite: Hypothesis profiles, so that runs of one commit are all the same.

And, with `--dist loadscope --no-loadscope-reorder`, what runs together in one worker and what
first, so that no worker is left with a long file while the others have nothing to do.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# "ci" is the default: derandomised, so a green run stays green. "explore" looks for new failures:
# HYPOTHESIS_PROFILE=explore .venv/bin/pytest tests/property
_UNHURRIED = (HealthCheck.too_slow,)
settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_UNHURRIED,
)
settings.register_profile(
    "explore", max_examples=3_000, deadline=None, print_blob=True, suppress_health_check=_UNHURRIED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


_TESTS = Path(__file__).parent
_ROOT = _TESTS.parent
_FIRST = (
    _TESTS / "local_cloud",
    _TESTS / "integration",
    _TESTS / "clients",
    _TESTS / "simulation",
    _ROOT / "infra_tests",
)
"""Folders of long files, those first that mostly wait for other processes."""

_TOGETHER = ("tests/local_cloud", "infra_tests")
"""Folders whose files share what takes long to make: a cloud takes 25 s, the stacks 15 s."""

_APART = frozenset({"test_deployments.py", "test_examples.py", "test_sign_in.py"})
"""Files of those that have a cloud of their own."""


@cache
def _parsed(file_path: str) -> Any:
    return _load_file(JSONFileLoader(), file_path)


# A session of the SDK parses the models of its services anew, a sixth of a second for each of the
# thousands of processes that tests pretend to start. It only reads what it has parsed.
_load_file = JSONFileLoader.load_file
setattr(JSONFileLoader, "load_file", lambda _, file_path: _parsed(file_path))  # noqa: B010 - a method


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first."""
    items.sort(key=lambda item: _rank(item.path.parent))


def _rank(folder: Path) -> int:
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)


class _ByFile(LoadScopeScheduling):
    """A file stays together in one worker, and so do files that share what is slow to make."""

    def _split_scope(self, nodeid: str) -> str:
        folder, _, file = nodeid.split("::", 1)[0].rpartition("/")
        return folder if folder in _TOGETHER and file not in _APART else f"{folder}/{file}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """For `--dist loadscope`; pytest-xdist's own ones otherwise."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadscope" else None

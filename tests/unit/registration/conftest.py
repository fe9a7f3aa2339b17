"""Fixtures of the registration tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.function_folder import FunctionFolder


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[FunctionFolder]:
    folder = FunctionFolder(tmp_path / "functions")
    folder.folder.mkdir()
    yield folder
    folder.close()

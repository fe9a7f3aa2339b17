"""The Python in README and docs: all of it compiles, and complete files are pushed and run.

A block whose first line is `# functions/name.py` (or `# tests/test_name.py`) is a file of the
page's own project; `, continued` after the name adds to it.
"""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

from syncline.testing import Deployment
from tests.architecture.source_tree import PROJECT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ((?:functions|tests)/[\w/]+\.py)(?:, continued)?\n")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

PAGES = {
    page.relative_to(PROJECT).as_posix(): page.read_text(encoding="utf-8")
    for page in (PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md")))
}
EXAMPLES = sorted(
    page.relative_to(PROJECT).as_posix() for page in PROJECT.glob("examples/*/README.md")
)
PAGES_WITH_PROJECTS = [name for name, text in PAGES.items() if "```python\n# functions/" in text]


def files_of(page: str) -> dict[str, str]:
    """The page's project: path to text."""
    files: dict[str, str] = {}
    for block in BLOCK.findall(PAGES[page]):
        if head := FILE.match(block):
            files[head[1]] = files.get(head[1], "") + block
    return files


def write_project(page: str, folder: Path) -> None:
    for name, text in files_of(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text])
def test_every_documented_python_block_compiles(page: str):
    for block in BLOCK.findall(PAGES[page]):
        compile(block, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("page", PAGES_WITH_PROJECTS)
def test_a_documented_project_can_be_pushed(page: str, tmp_path: Path):
    write_project(page, tmp_path)

    async def push() -> int:
        async with Deployment(tmp_path / "functions") as app:
            return len(app.engine.spec().functions)

    assert asyncio.run(push()) > 0


@pytest.mark.parametrize(
    "page", [name for name in PAGES_WITH_PROJECTS if "# tests/" in PAGES[name]]
)
def test_documented_tests_pass(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_project(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    an_empty_folder = tmp_path / "other"
    an_empty_folder.mkdir()
    ran = 0
    for name, text in files_of(page).items():
        if name.startswith("tests/"):
            namespace: dict[str, object] = {}
            exec(compile(text, f"{page}: {name}", "exec", dont_inherit=True), namespace)
            for item in [each for each in namespace.values() if inspect.iscoroutinefunction(each)]:
                wanted = inspect.signature(item).parameters
                asyncio.run(item(**{"tmp_path": an_empty_folder} if wanted else {}))
                ran += 1
    assert ran


def test_the_pages_that_show_whole_projects_are_among_the_tested_ones():
    assert {"README.md", "docs/api.md", "docs/schema.md", "docs/testing.md"} <= {
        *PAGES_WITH_PROJECTS
    }


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page",
    [*PAGES, "CONTRIBUTING.md", *EXAMPLES],
)
def test_links_between_pages_lead_somewhere(page: str):
    here = PROJECT / page
    for link in LINK.findall(re.sub(r"```.*?```", "", here.read_text("utf-8"), flags=re.DOTALL)):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = here.parent / name if name else here
        assert target.exists(), f"{page}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link} names no heading"

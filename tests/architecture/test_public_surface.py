"""The package root: what a user's functions import, which must need no server library."""

import ast
import re
import subprocess
import sys
import textwrap

from tests.architecture.source_tree import PACKAGE, PROJECT

SERVER_LIBRARIES = (
    "aiohttp",
    "boto3",
    "botocore",
    "psycopg",
    "pynamodb",
    "typer",
    "rich",
    "uvloop",
)

IMPORT_WITHOUT_SERVER_LIBRARIES = """
    import sys

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {blocked!r}:
                raise ImportError(name + " is imported by the public surface")
            return None

    sys.meta_path.insert(0, Blocked())
    import syncline
    for name in getattr(syncline, "__all__", ()):
        getattr(syncline, name)
"""


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_public_surface_imports_without_any_server_library():
    answer = _run(IMPORT_WITHOUT_SERVER_LIBRARIES.format(blocked=SERVER_LIBRARIES))
    assert answer.returncode == 0, answer.stderr


def test_the_blocking_itself_works():
    script = IMPORT_WITHOUT_SERVER_LIBRARIES.format(blocked=SERVER_LIBRARIES)
    answer = _run(textwrap.dedent(script) + "\nimport boto3\n")
    assert answer.returncode != 0
    assert "boto3 is imported by the public surface" in answer.stderr


def exported_names() -> list[str]:
    """The package root's `__all__`, read without importing it; empty when there is none."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets) and node.value:
                return list(ast.literal_eval(node.value))
    return []


def test_exported_names_are_documented_and_documented_names_exported():
    """docs/api.md (or docs/api/*.md) has a heading `name` in code style for every exported name."""
    pages = [*PROJECT.glob("docs/api.md"), *PROJECT.glob("docs/api/*.md")]
    names = exported_names()
    assert len(names) == len(set(names))
    if not pages and not names:
        return
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    headings = "\n".join(re.findall(r"^#{2,4} .*$", text, re.MULTILINE))
    documented = set(re.findall(r"`@?([A-Za-z_]\w*)[^`]*`", headings))
    missing = sorted(set(names) - documented - {"__version__"})
    assert not missing, f"exported without a heading in docs/api: {missing}"
    unknown = sorted(documented - set(names))
    assert not unknown, f"documented as public but not exported: {unknown}"


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()

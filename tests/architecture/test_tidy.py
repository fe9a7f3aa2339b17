"""The house rules that can be counted; CONTRIBUTING.md says why they are there."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import (
    PROJECT,
    SourceFile,
    package_sources,
    project_files,
    python_sources,
)

MODULE_LINES_MAX = 500
TEST_MODULE_LINES_MAX = 800
FUNCTION_LINES_MAX = 60
BANNED_NAMES = frozenset(
    "utils util helpers helper common shared misc manager managers base core".split()
)

# Spelt in pieces, so that this file does not offend against itself.
LEFTOVERS = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
)
DEBUGGERS = re.compile(
    r"^\s*(breakpoint\(\)|import (pdb|ipdb)|(pdb|ipdb)\.set_trace\(\))", re.MULTILINE
)
SUPPRESSION = re.compile(r"#\s*(type:\s*ignore|pyright:\s*ignore|noqa|pragma: no cover)(.*)")
HAS_CODE_AND_REASON = re.compile(
    r"^(\[[\w\-, ]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)\s+(#|-|–|:)?\s*\w.{3,}"
)
HAS_REASON = re.compile(r"^\s*[:\-#–]?\s*\w.{3,}")

TEXT_SUFFIXES = frozenset(
    ".py .md .toml .json .yml .js .mjs .ts .tsx .html .css .sql .txt .cfg .lock .jsonl".split()
)


def _is_test(file: SourceFile) -> bool:
    return file.name.startswith(("tests/", "infra_tests/"))


def test_modules_fit_their_length():
    long = []
    for file in python_sources():
        limit = TEST_MODULE_LINES_MAX if _is_test(file) else MODULE_LINES_MAX
        if (lines := file.text.count("\n")) > limit:
            long.append(f"{file.name}: {lines} lines, at most {limit}")
    assert not long, "\n".join(long)


def _function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        total -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


def test_functions_fit_a_screen():
    long = [
        f"{file.name}:{node.lineno} {node.name}: {lines} lines, at most {FUNCTION_LINES_MAX}"
        for file in python_sources()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _function_lines(node)) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_no_file_or_folder_has_a_name_that_says_nothing():
    bad = [
        str(path.relative_to(PROJECT))
        for path in project_files()
        if any(Path(part).stem.lower() in BANNED_NAMES for part in path.relative_to(PROJECT).parts)
    ]
    assert not bad, f"name these after what they hold: {bad}"


def test_every_module_says_what_it_is_for():
    silent = [
        file.name
        for file in python_sources()
        if file.text.strip()
        and not ast.get_docstring(file.tree)
        and not file.name.startswith(("functions/", "examples/"))
    ]
    assert not silent, f"modules without a docstring: {silent}"


def _public_definitions(body: list[ast.stmt]) -> list[ast.stmt]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_public_classes_and_functions_have_docstrings():
    silent = []
    for file in package_sources():
        for node in _public_definitions(file.tree.body):
            assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if not ast.get_docstring(node):
                silent.append(f"{file.name}:{node.lineno} {node.name}")
    assert not silent, "\n".join(silent)


def test_nothing_is_left_for_later_and_no_debugger_stays():
    left = [
        f"{file.name}:{number} {line.strip()}"
        for file in python_sources()
        for number, line in enumerate(file.text.splitlines(), 1)
        if LEFTOVERS.search(line) or DEBUGGERS.search(line)
    ]
    assert not left, "\n".join(left)


def suppression_is_explained(comment: str) -> bool:
    """True when a suppressing comment names its rule and gives a reason on the line."""
    match = SUPPRESSION.search(comment)
    if match is None:
        return True
    kind, rest = match.groups()
    pattern = HAS_REASON if kind.startswith("pragma") else HAS_CODE_AND_REASON
    return pattern.match(rest) is not None


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("x = 1  # no" + "qa: E501 - the URL can't be split", True),
        ("x = 1  # no" + "qa: E501", False),
        ("x = 1  # no" + "qa", False),
        ("x = 1  # type: " + "ignore[attr-defined]  # the stub lacks it", True),
        ("x = 1  # type: " + "ignore[attr-defined]", False),
        ("x = 1  # pyright: " + "ignore[reportPrivateUsage]  # our own class", True),
        ("x = 1  # type: " + "ignore", False),
        ("x = 1  # an ordinary comment", True),
    ],
)
def test_the_suppression_rule_accepts_reasons_only(comment: str, explained: bool):
    assert suppression_is_explained(comment) is explained


def test_every_suppression_names_its_rule_and_reason():
    bare = [
        f"{file.name}:{number} {line.strip()}"
        for file in python_sources()
        if file.path != Path(__file__)
        for number, line in enumerate(file.text.splitlines(), 1)
        if not suppression_is_explained(line)
    ]
    assert not bare, "\n".join(bare)


def _text_files() -> list[Path]:
    named = {"Makefile", "run", ".npmrc", ".gitignore"}
    return [p for p in project_files() if p.suffix in TEXT_SUFFIXES or p.name in named]


# Spelt in pieces, for the same reason as above. A path counts when it is absolute, not when
# it is part of a URL or of a relative path.
MACHINE_PATHS = re.compile(
    r"(?<![\w./:~<>}])/(" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me")) + r")/\w"
)
REGISTRIES = re.compile(
    r"https?://([\w.\-]+)(?=[:/][^\s\"']*(?:simple|pypi|npm|artifactory|nexus))"
)
PUBLIC_HOSTS = frozenset(
    ("py" + "pi.org", "files.python" + "hosted.org", "www.npm" + "js.com", "git" + "hub.com")
)


def test_no_file_names_a_path_of_somebody_s_machine():
    found = [
        f"{path.relative_to(PROJECT)}:{number} {line.strip()[:120]}"
        for path in _text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_file_names_another_package_registry_than_the_public_one():
    found = {
        f"{path.relative_to(PROJECT)}: {host}"
        for path in _text_files()
        for host in REGISTRIES.findall(path.read_text(encoding="utf-8"))
        if host not in PUBLIC_HOSTS
    }
    assert not found, "\n".join(sorted(found))


def test_the_lock_file_names_the_public_index_only():
    hosts = set(re.findall(r"https?://([^/\"]+)", (PROJECT / "uv.lock").read_text()))
    assert hosts <= PUBLIC_HOSTS


def test_npm_lock_files_record_no_download_address():
    for path in project_files():
        if path.name == "package-lock.json":
            assert '"resolved"' not in path.read_text(), f"{path} was written without .npmrc"

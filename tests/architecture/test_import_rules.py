"""What the layers of pyproject.toml can't say: purity, and edges forbidden inside a layer."""

import pytest

from tests.architecture.source_tree import PACKAGE, imported_modules, package_sources

PURE_PACKAGES = (
    "values",
    "timestamps",
    "function_path",
    "errors",
    "limits",
    "index",
    "schema",
    "search",
    "query",
    "transaction",
    "commit",
    "subscription",
    "sync",
    "registration",
    "execution",
    "exchange",
    "codegen",
)

IMPURE_MODULES = frozenset(
    (
        "aiohttp asyncio boto3 botocore logging os psycopg random secrets select selectors shutil "
        "signal socket ssl subprocess tempfile threading time uuid"
    ).split()
)

# The single modules that may import what their packages may not, each with its reason.
EXCEPTIONS = {
    # It wraps what it keeps user code from, and interrupts a call past its limit by a signal.
    "syncline.execution.determinism": {
        *("os", "random", "secrets", "signal", "threading", "time", "uuid"),
    },
    # ctx.log is a standard Logger whose lines stay with the call, ctx.random a standard Random.
    "syncline.execution.context": {"logging", "random"},
    "syncline.execution.call_logger": {"logging"},
    # Actions run on an event loop, and ctx.gather puts tasks on it.
    "syncline.execution.action_context": {"asyncio", "logging", "random"},
}

FORBIDDEN_EDGES = (
    ("syncline.sync", "syncline.registration", "sessions are handed results, they run nothing"),
    ("syncline.local", "syncline.simulated", "the dev server runs on the real adapters"),
    ("syncline.execution.determinism", "syncline.registration", "it is below registration"),
)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_pure_packages_import_nothing_that_does_io_or_reads_clock_or_entropy():
    offences = []
    for file in package_sources():
        if not any(_within(file.module, f"syncline.{name}") for name in PURE_PACKAGES):
            continue
        allowed = set().union(
            *(names for place, names in EXCEPTIONS.items() if _within(file.module, place))
        )
        for name, line in imported_modules(file):
            if name.split(".")[0] in IMPURE_MODULES - allowed:
                offences.append(f"{file.name}:{line} imports {name}")
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize(("source", "target", "reason"), FORBIDDEN_EDGES)
def test_forbidden_edges_are_absent(source: str, target: str, reason: str):
    offences = [
        f"{file.name}:{line} imports {name}: {reason}"
        for file in package_sources()
        if _within(file.module, source)
        for name, line in imported_modules(file)
        if _within(name, target)
    ]
    assert not offences, "\n".join(offences)


def test_exceptions_name_modules_that_exist_once_their_package_does():
    for module in EXCEPTIONS:
        parent, _, name = module.removeprefix("syncline.").replace(".", "/").rpartition("/")
        if (PACKAGE / parent).is_dir():
            place = PACKAGE / parent / name
            assert place.is_dir() or place.with_suffix(".py").is_file(), f"{module} is gone"


def test_the_determinism_rules_import_nothing_else_of_execution():
    offences = [
        f"{file.name}:{line} imports {name}"
        for file in package_sources()
        if _within(file.module, "syncline.execution.determinism")
        for name, line in imported_modules(file)
        if _within(name, "syncline.execution")
        and not _within(name, "syncline.execution.determinism")
    ]
    assert not offences, "\n".join(offences)


def test_only_tests_import_tests_and_nothing_imports_scripts_or_benchmarks():
    offences = [
        f"{file.name}:{line} imports {name}"
        for file in package_sources()
        for name, line in imported_modules(file)
        if name.split(".")[0] in {"tests", "scripts", "benchmarks", "cdk", "functions", "pytest"}
    ]
    assert not offences, "\n".join(offences)

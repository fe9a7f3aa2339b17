"""A folder becomes a bundle: names, versions, hashes, and errors that say where."""

import re
import sys

import pytest

from syncline.errors import DeveloperError
from syncline.registration.loader import load_bundle, unload_bundle
from syncline.schema.validators import v
from tests.function_folder import FunctionFolder, a_state, line_of, step

ONE = """
@query
async def one(ctx) -> int:
    return 1
"""


def failure(functions: FunctionFolder) -> str:
    before = set(sys.modules)
    with pytest.raises(DeveloperError) as caught:
        functions.bundle()
    leftovers = {name for name in set(sys.modules) - before if name.startswith("functions_")}
    assert not leftovers, "a failed load leaves nothing behind"
    return caught.value.message


def user_paths(bundle) -> list[str]:
    return [path for path in bundle.definitions if not path.startswith("_system/")]


def test_functions_are_named_by_folder_module_and_name(functions):
    bundle = functions.write(messages=ONE, admin__users=ONE).bundle()
    assert user_paths(bundle) == ["admin/users:one", "messages:one"]
    assert [spec.path for spec in bundle.spec.functions] == ["admin/users:one", "messages:one"]
    definition = bundle.definitions["admin/users:one"]
    assert definition.module == "admin/users"
    assert definition.file == "admin/users.py"
    assert definition.line == line_of("@query", ONE)


def test_the_spec_is_plain_data(functions):
    source = """
    @internal_mutation
    async def add(ctx, n: float, name: str = "") -> None: ...
    """
    (spec,) = functions.write(numbers=source).bundle().spec.functions
    assert (spec.kind, spec.visibility) == ("mutation", "internal")
    assert spec.args == v.object({"n": v.number(), "name": v.optional(v.string())}).to_json()
    assert spec.returns == v.null().to_json()


def test_references_know_their_path_after_loading(functions):
    source = """
    @query
    async def one(ctx) -> int:
        return 1

    @query
    async def path(ctx) -> str:
        return one.path
    """
    bundle = functions.write(a=source).bundle()
    assert step(bundle, "a:path", a_state()) == "a:one"


def test_imported_functions_belong_to_the_module_that_defines_them(functions):
    bundle = functions.write(a=ONE, b="from .a import one\n").bundle()
    assert user_paths(bundle) == ["a:one"]


def test_functions_made_by_a_private_module_belong_to_who_asked_for_them(functions):
    private = """
    def counting(n):
        @query
        async def count(ctx) -> int:
            return n
        return count
    """
    bundle = functions.write(_make=private, a="from ._make import counting\none = counting(1)\n")
    assert step(bundle.bundle(), "a:one", a_state()) == 1


def test_private_modules_are_importable_but_not_exposed(functions):
    functions.write(_tools="def double(n):\n    return 2 * n\n")
    functions.write(
        dir__a="""
        from .._tools import double
        from . import _near

        @query
        async def four(ctx) -> int:
            return double(_near.TWO)
        """,
        dir___near="TWO = 2\n",
    )
    bundle = functions.bundle()
    assert user_paths(bundle) == ["dir/a:four"]
    assert set(bundle.modules) == {"dir/a"}
    assert step(bundle, "dir/a:four", a_state()) == 4


def test_a_registered_function_in_a_private_module_is_refused(functions):
    message = failure(functions.write(_a=ONE))
    assert f"_a.py:{line_of('@query', ONE)}: one: nothing can call" in message


def test_modules_that_import_each_other_load(functions):
    functions.write(a="from . import b\n" + ONE, b="from . import a\n")
    assert user_paths(functions.bundle()) == ["a:one"]


def test_a_module_shadows_nothing_outside_of_the_folder(functions):
    functions.write(http="x = 1\n", json="import json\ntext = json.dumps([1])\n" + ONE)
    functions.bundle()
    assert "json" not in [name for name in sys.path if "functions" in name]
    import json

    assert json.dumps([2]) == "[2]"


def test_the_code_of_packages_runs(functions):
    functions.write_raw("dir/__init__.py", "SEVEN = 7\n")
    functions.write(
        dir__a="""
        from . import SEVEN

        @query
        async def seven(ctx) -> int:
            return SEVEN
        """
    )
    assert step(functions.bundle(), "dir/a:seven", a_state()) == 7


def test_versions_live_side_by_side(functions):
    source = """
    @query
    async def version(ctx) -> int:
        return {}
    """
    first = functions.write(a=source.format(1)).bundle("11111111")
    second = functions.write(a=source.format(2)).bundle("22222222")
    assert step(first, "a:version", a_state()) == 1
    assert step(second, "a:version", a_state()) == 2
    assert first.modules["a"] != second.modules["a"]


def test_the_same_version_can_be_loaded_twice(functions):
    functions.write(a=ONE)
    first, second = functions.bundle("same"), functions.bundle("same")
    assert first.package != second.package
    assert first.modules == second.modules


def test_a_version_that_was_let_go_still_runs(functions):
    source = """
    @query
    async def late(ctx) -> str:
        return one.path

    @query
    async def one(ctx): ...
    """
    bundle = functions.write(a=source).bundle()
    unload_bundle(bundle)
    assert bundle.package not in sys.modules
    assert step(bundle, "a:late", a_state()) == "a:one"


def test_nothing_is_written_next_to_the_sources(functions):
    functions.write(dir__a=ONE).bundle()
    assert {file.name for file in functions.folder.rglob("*")} == {"dir", "a.py"}


def test_hidden_folders_are_left_out(functions):
    functions.write(a=ONE).write_raw(".git/x.py", "(").write_raw("__pycache__/y.py", "(")
    assert set(functions.bundle().modules) == {"a"}


def test_the_schema_comes_from_its_module(functions):
    functions.write(
        schema="""
        from syncline.schema.definition import define_schema, define_table
        schema = define_schema({"messages": define_table({"body": v.string()})})
        """
    )
    bundle = functions.bundle()
    assert bundle.schema is not None
    assert bundle.spec.schema == bundle.schema.to_json()


def test_without_a_schema_module_there_is_no_schema(functions):
    bundle = functions.write(a=ONE).bundle()
    assert bundle.schema is None
    assert bundle.spec.schema is None


def test_a_schema_module_without_a_schema_is_an_error(functions):
    assert "schema.py:1: it has no `schema`" in failure(functions.write(schema="x = 1\n"))


class TestHashes:
    def hashes(self, functions: FunctionFolder) -> dict[str, str]:
        return dict(functions.bundle().modules)

    def changed(self, functions: FunctionFolder, **modules: str) -> set[str]:
        before = self.hashes(functions)
        after = self.hashes(functions.write(**modules))
        return {path for path in after if after[path] != before.get(path)}

    def test_a_module_changes_with_what_it_imports_however_far(self, functions):
        functions.write(a="from . import _b\n", _b="from .dir import _c\n", dir___c="", other="")
        assert self.changed(functions, dir___c="x = 1\n") == {"a"}

    def test_imports_inside_of_functions_count(self, functions):
        functions.write(a="def f():\n    from .b import x\n", b="x = 1\n")
        assert self.changed(functions, b="x = 2\n") == {"a", "b"}

    def test_the_code_of_the_package_counts(self, functions):
        functions.write(dir__a="", top="").write_raw("dir/__init__.py", "")
        before = self.hashes(functions)
        after = self.hashes(functions.write_raw("dir/__init__.py", "x = 1\n"))
        assert after["dir/a"] != before["dir/a"]
        assert after["top"] == before["top"]

    def test_a_new_module_changes_no_other(self, functions):
        functions.write(a="")
        assert self.changed(functions, b="") == {"b"}

    def test_cycles_end(self, functions):
        functions.write(a="from . import b\n", b="from . import a\n")
        assert self.changed(functions, a="from . import b\nx = 1\n") == {"a", "b"}


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DeveloperError, match=r"There is no folder .*nowhere"):
        load_bundle(tmp_path / "nowhere", "00")


def test_a_syntax_error_has_file_and_line(functions):
    message = failure(functions.write_raw("dir/a.py", "x = 1\ndef f(:\n"))
    assert re.match(r"dir/a\.py:2: .*; mend the syntax\.", message)


@pytest.mark.parametrize("source", [b"x = '\xff'\n", b"x = 1\0\n"])
def test_what_is_no_text_is_told(functions, source):
    assert "a.py:" in failure(functions.write_raw("a.py", source))


def test_all_broken_files_are_told_at_once(functions):
    message = failure(functions.write_raw("a.py", "(").write_raw("b.py", ")"))
    assert [line.partition(":")[0] for line in message.splitlines()] == ["a.py", "b.py"]


def test_an_error_while_importing_has_the_line_of_the_project(functions):
    source = """
    import json
    x = json.loads("{")
    """
    message = failure(functions.write(a=source))
    assert message.startswith(f"a.py:{line_of('x = json', source)}: JSONDecodeError: ")


def test_an_error_in_an_imported_module_has_that_modules_line(functions):
    message = failure(functions.write(a="from . import b\n").write_raw("b.py", "\n1 / 0\n"))
    assert message.startswith("b.py:2: ZeroDivisionError: division by zero")


def test_ending_the_process_while_importing_is_an_error_too(functions):
    message = failure(functions.write_raw("a.py", "import sys\nsys.exit(3)\n"))
    assert message.startswith("a.py:2: SystemExit: 3")


def test_a_package_that_is_not_installed_is_named_with_the_remedy(functions):
    message = failure(functions.write_raw("a.py", "import no_such_package\n"))
    assert message.startswith("a.py:1: ModuleNotFoundError")
    assert "Add the package to the project's dependencies" in message


def test_a_module_that_is_missing_from_the_folder_is_named(functions):
    message = failure(functions.write_raw("a.py", "from .dir.gone import x\n"))
    assert "There is no module dir.py in the functions folder" in message


def test_an_absolute_import_of_a_neighbour_is_explained(functions):
    message = failure(functions.write(messages=ONE).write_raw("a.py", "from messages import one\n"))
    assert "`from .messages import x`" in message


@pytest.mark.parametrize(
    "file", ["my-module.py", "1a.py", "dir name/a.py", "ünïcode.py", "a.test.py", f"{'a' * 65}.py"]
)
def test_files_that_no_import_could_name_are_refused(functions, file):
    message = failure(functions.write_raw(file, ""))
    assert message.startswith(f"{file}: `")
    assert "rename it" in message


def test_a_module_and_a_folder_of_one_name_are_refused(functions):
    message = failure(functions.write(a=ONE, a__b=ONE))
    assert "a.py: there is a folder of the same name" in message


def test_functions_of_one_name_in_a_module_are_refused(functions):
    message = failure(functions.write(a=ONE + ONE))
    assert "[duplicate-function]" in message
    assert "`one` is already defined in line" in message


def test_one_function_under_two_names_is_refused(functions):
    assert "already registered as a:one" in failure(functions.write(a=ONE + "two = one\n"))


def test_a_plain_def_has_file_and_line(functions):
    source = """
    @query
    def one(ctx):
        return 1
    """
    message = failure(functions.write(a=source))
    assert message.startswith(f"a.py:{line_of('@query', source)}: one ")
    assert "async def one(ctx" in message


def test_every_bad_signature_is_told_at_once(functions):
    source = """
    @query
    async def one(ctx, x: set): ...

    @query
    async def two(): ...
    """
    first, second = failure(functions.write(a=source)).splitlines()
    assert first.startswith(f"a.py:{line_of('@query', source)}: one: argument `x`: `set`")
    assert "two: its first parameter has to be the context" in second

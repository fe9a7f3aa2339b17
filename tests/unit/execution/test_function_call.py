"""Finding a function, its arguments and its result, and what clients are told when it fails."""

import pytest

from syncline.limits import ARGUMENTS_BYTES_MAX
from syncline.schema.catalog import module_range
from syncline.values import wire_json
from tests.execution_world import CallFailed, user_line

SOURCE = """
@query
async def add(ctx: QueryCtx, a: float, b: float = 1) -> float:
    return a + b

@query
async def anything(ctx: QueryCtx, value: Any) -> str:
    return value

@mutation
async def store(ctx: MutationCtx, fail: str = "") -> None:
    await ctx.db.insert("t", {"n": 1})
    if fail == "plain":
        raise ValueError("boom")
    if fail == "data":
        raise ApplicationError({"code": 3, "n": Int64(7)})
    if fail == "text":
        raise ApplicationError("not like this")
    if fail == "bad data":
        raise ApplicationError({"code": object()})
    if fail == "exit":
        raise SystemExit(1)
    if fail == "unprintable":
        raise Unprintable

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

@internal_query
async def secret(ctx: QueryCtx) -> int:
    return 1

@query
async def large(ctx: QueryCtx) -> str:
    return "x" * (16 * 2**20)

def inner():
    raise KeyError("deep")

@query
async def outer(ctx: QueryCtx):
    await middle()

async def middle():
    inner()
"""


@pytest.fixture
def world(make_world):
    return make_world(m=SOURCE)


def error_of(world, path, arguments=None, **options):
    outcome = world.run(path, {} if arguments is None else arguments, **options)
    assert outcome.value is None
    assert outcome.error is not None
    return outcome.error


def test_arguments_may_be_an_object_or_an_array_of_one(world):
    assert world.run("m:add", b'{"a":2.0}').value == b"3.0"
    assert world.run("m:add", b'[{"a":2.0,"b":3.0}]').value == b"5.0"


@pytest.mark.parametrize(
    "path", ["m:nothing", "other:add", "m:secret", "_system/cli/tables:default"]
)
def test_what_is_not_public_is_not_found(world, path):
    error = error_of(world, path)
    assert error.message == f"Could not find public function for '{path.removesuffix(':default')}'."
    assert error.is_server_made


def test_an_admin_calls_internal_functions_and_is_told_what_is_missing(world):
    assert world.run("m:secret", {}, is_admin=True).value == b"1.0"
    error = error_of(world, "m:nothing", is_admin=True)
    assert error.message == "Could not find function for 'm:nothing'."


def test_an_admin_calls_system_functions(world):
    assert world.run("_system/cli/tables:default", {}, is_admin=True).error is None


def test_the_wrong_kind_is_named(world):
    error = error_of(world, "m:add", kind="mutation")
    assert error.message == "Trying to execute m.js:add as Mutation, but it is defined as Query."
    assert error.is_server_made


@pytest.mark.parametrize("path", ["m:add", "m:nothing", "other:add"])
def test_the_row_of_the_module_is_in_the_read_set_of_every_answer(world, path):
    module = module_range(path.partition(":")[0])
    assert module in world.run(path, {"a": 1}).read_ranges


def test_argument_failures_have_the_documented_texts(world):
    missing = error_of(world, "m:add")
    assert missing.is_server_made
    assert missing.message.startswith(
        "ArgumentValidationError: Object is missing the required field `a`."
    )
    wrong = error_of(world, "m:add", {"a": "x"})
    assert wrong.message.startswith(
        "ArgumentValidationError: Value does not match validator.\nPath: .a\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (b"[]", "the arguments must be one object."),
        (b"[{},{}]", "the arguments must be one object."),
        (b"3.0", "the arguments must be one object."),
        (b"{", "Not valid JSON"),
        (b'{"a":{"$integer":"x"}}', "Invalid value: $integer"),
    ],
)
def test_undecodable_arguments_are_refused(world, arguments, text):
    error = error_of(world, "m:add", arguments)
    assert error.message.startswith("Invalid arguments for m.js:add: ")
    assert text in error.message
    assert error.is_server_made


def test_arguments_and_results_that_are_too_large_are_refused(world):
    error = error_of(world, "m:anything", b'{"value":"%s"}' % (b"x" * ARGUMENTS_BYTES_MAX))
    assert error.message == (
        "Arguments for m.js:anything are too large (actual: 16 MiB, limit: 16 MiB)"
    )
    error = error_of(world, "m:large")
    assert error.message == (
        "Return value of m.js:large is too large (actual: 16 MiB, limit: 16 MiB)"
    )


def test_a_result_of_the_wrong_type_is_refused(world):
    error = error_of(world, "m:anything", {"value": 3})
    assert error.message.startswith("ReturnsValidationError: Value does not match validator.")
    assert error.is_server_made


def test_an_exception_is_told_with_the_users_own_lines(world):
    outcome = world.run("m:store", {"fail": "plain"}, kind="mutation")
    assert outcome.error is not None
    line = user_line('raise ValueError("boom")', SOURCE)
    assert (
        outcome.error.message == f"Uncaught ValueError: boom\n    at store (functions/m.py:{line})"
    )
    assert not outcome.error.is_server_made
    assert outcome.changes == ()


def test_the_innermost_line_comes_first(world):
    lines = error_of(world, "m:outer").message.splitlines()
    assert lines[0] == "Uncaught KeyError: 'deep'"
    places = {"inner": 'raise KeyError("deep")', "middle": "    inner()", "outer": "await middle()"}
    assert lines[1:] == [
        f"    at {name} (functions/m.py:{user_line(text, SOURCE)})" for name, text in places.items()
    ]


def test_an_application_error_carries_its_data(world):
    error = error_of(world, "m:store", {"fail": "data"}, kind="mutation")
    assert error.message.startswith("Uncaught ConvexError: ")
    assert error.data == b'{"code":3.0,"n":{"$integer":"BwAAAAAAAAA="}}'
    error = error_of(world, "m:store", {"fail": "text"}, kind="mutation")
    assert error.message.startswith("Uncaught ConvexError: not like this\n")
    assert error.data == b'"not like this"'


def test_data_that_is_no_value_becomes_an_error_that_says_so(world):
    error = error_of(world, "m:store", {"fail": "bad data"}, kind="mutation")
    assert error.data is None
    assert "Invalid value at .code" in error.message


@pytest.mark.parametrize(
    ("fail", "name"), [("exit", "SystemExit: 1"), ("unprintable", "Unprintable")]
)
def test_no_exception_of_a_function_reaches_who_runs_it(world, fail, name):
    error = error_of(world, "m:store", {"fail": fail}, kind="mutation")
    assert error.message.startswith(f"Uncaught {name}")


def test_a_failed_mutation_changes_nothing_and_a_good_one_does(world):
    with pytest.raises(CallFailed):
        world.mutate("m:store", fail="plain")
    assert world.documents("t") == []
    world.mutate("m:store")
    assert [each["n"] for each in world.documents("t")] == [1]


def test_a_timed_out_run_has_a_message_of_ours(world):
    from syncline.execution.function_call import Execution
    from syncline.ports import FunctionCall

    call = FunctionCall(
        "query", "m:add", b'{"a":1.0}', None, False, 1, 1, 1, None, "b", world.catalog, "0" * 16
    )
    execution = Execution(call, world.bundle)
    outcome = execution.time_out(1.0)
    execution.close()
    assert outcome.error is not None
    assert outcome.error.message == "Function execution timed out (maximum duration: 1s)"
    assert outcome.error.is_server_made


def test_results_are_canonical_json(world):
    assert world.run("m:anything", {"value": "ä"}).value == wire_json.encode("ä")

"""Signatures become validators; validated arguments become Python ones."""

from typing import Annotated, Any, Literal, NotRequired, Optional, Required, TypedDict

import pytest

from syncline.errors import DeveloperError
from syncline.registration.decorators import query
from syncline.registration.registry import FunctionDefinition
from syncline.registration.signature import read_signature
from syncline.registration.types import Id, PaginationOptions, PaginationResult
from syncline.schema.validator_types import NumberValidator
from syncline.schema.validators import v
from syncline.values.value import Int64

whole = NumberValidator(whole=True)


class Point(TypedDict):
    x: float
    label: NotRequired[str]


class Partial(TypedDict, total=False):
    a: Required[str]
    b: list[float]


class Tree(TypedDict):
    children: "list[Tree]"


def read(handler, **options) -> FunctionDefinition:
    return read_signature(query(**options)(handler), "tests:f", "tests.py")


def annotated(annotation: object) -> FunctionDefinition:
    async def handler(ctx, x):
        return None

    handler.__annotations__["x"] = annotation
    return read(handler)


@pytest.mark.parametrize(
    ("annotation", "validator"),
    [
        (str, v.string()),
        (bool, v.boolean()),
        (float, v.number()),
        (int, whole),
        (Int64, v.int64()),
        (bytes, v.bytes()),
        (None, v.null()),
        (Any, v.any()),
        (object, v.any()),
        (Id, v.string()),
        (list, v.array(v.any())),
        (list[str], v.array(v.string())),
        (dict, v.record(v.string(), v.any())),
        (dict[str, Int64], v.record(v.string(), v.int64())),
        (Literal["a"], v.literal("a")),
        (Literal["a", 2, True], v.union(v.literal("a"), v.literal(2), v.literal(True))),
        (Literal["a", None], v.union(v.literal("a"), v.null())),
        (str | None, v.union(v.string(), v.null())),
        (Optional[str], v.union(v.string(), v.null())),  # noqa: UP045 - the old spelling works too
        (list[str | bytes], v.array(v.union(v.string(), v.bytes()))),
        (Point, v.object({"x": v.number(), "label": v.optional(v.string())})),
        (Partial, v.object({"a": v.string(), "b": v.optional(v.array(v.number()))})),
        (Annotated[Id, v.id("channels")], v.id("channels")),
        (Annotated[str, "a note"], v.string()),
        (list[Annotated[Id, v.id("channels")]], v.array(v.id("channels"))),
    ],
)
def test_an_annotation_is_a_validator(annotation, validator):
    assert annotated(annotation).args == v.object({"x": validator})


def test_no_annotation_takes_anything():
    async def handler(ctx, x):
        return None

    definition = read(handler)
    assert definition.args == v.object({"x": v.any()})
    assert definition.returns == v.any()


def test_a_default_makes_an_argument_optional():
    async def handler(ctx, n: int = 50, *, name: str | None = None):
        return None

    assert read(handler).args == v.object(
        {"n": v.optional(whole), "name": v.optional(v.union(v.string(), v.null()))}
    )


def test_a_function_without_arguments_takes_none():
    async def handler(ctx):
        return None

    assert read(handler).args == v.object({})


def test_the_return_annotation_validates_the_result():
    async def handler(ctx) -> list[str]:
        return []

    assert read(handler).returns == v.array(v.string())


def test_a_return_annotation_of_any_validates_nothing():
    async def handler(ctx) -> Any:
        return None

    assert read(handler).returns == v.any()


def test_pagination_types_are_those_of_the_clients():
    async def handler(ctx, paginationOpts: PaginationOptions) -> PaginationResult:  # noqa: N803 - the wire's name
        raise NotImplementedError

    definition = read(handler)
    cursor = v.union(v.string(), v.null())
    assert definition.args == v.object(
        {
            "paginationOpts": v.object(
                {
                    "numItems": whole,
                    "cursor": cursor,
                    "endCursor": v.optional(cursor),
                    "id": v.optional(v.number()),
                    "maximumRowsRead": v.optional(v.number()),
                    "maximumBytesRead": v.optional(v.number()),
                }
            )
        }
    )
    assert definition.returns.to_json()["value"].keys() == {
        "page",
        "isDone",
        "continueCursor",
        "splitCursor",
        "pageStatus",
    }


def test_explicit_validators_win_over_the_signature():
    async def handler(ctx, n: str = "") -> str:
        return ""

    definition = read(handler, args={"n": v.optional(v.number())}, returns=v.any())
    assert definition.args == v.object({"n": v.optional(v.number())})
    assert definition.returns == v.any()


def test_names_that_python_cannot_spell_go_through_args():
    async def handler(ctx, **args):
        return None

    definition = read(handler, args={"if": v.number(), "content-type": v.string()})
    arguments = {"if": 1, "content-type": "text"}
    assert definition.bind(arguments) == arguments


def test_bare_keyword_arguments_take_anything():
    async def handler(ctx, **args):
        return None

    assert read(handler).args == v.any()


def test_postponed_annotations_are_read_one_by_one():
    async def handler(ctx: "OnlyForTypeCheckers", n: "int") -> "list[str]":  # noqa: F821 - the name is missing on purpose
        return []

    definition = read(handler)
    assert definition.args == v.object({"n": whole})
    assert definition.returns == v.array(v.string())


@pytest.mark.parametrize(
    ("annotation", "given", "bound"),
    [
        (float, 3, 3.0),
        (float, 2.5, 2.5),
        (int, 3, 3),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (float | None, 1, 1.0),
        (float | None, None, None),
        (int | float, 1, 1),
        (float | str, "1", "1"),
        (float | bool, True, True),
        (Point, {"x": 1, "label": "a"}, {"x": 1.0, "label": "a"}),
        (Partial, {"a": "a"}, {"a": "a"}),
        (Point | list[float], [1], [1.0]),
        (Point | Partial, {"x": 1}, {"x": 1.0}),
        (Point | Partial, {"a": "", "b": [1]}, {"a": "", "b": [1.0]}),
        (Annotated[float, v.number()], 1, 1.0),
        (Any, 1, 1),
    ],
)
def test_numbers_arrive_as_annotated(annotation, given, bound):
    definition = annotated(annotation)
    assert definition.args.check({"x": given}, lambda number: None) is None
    result = definition.bind({"x": given})["x"]
    assert result == bound
    assert repr(result) == repr(bound)


def test_binding_leaves_the_arguments_that_it_was_given_alone():
    given = {"x": {"x": 1}}
    annotated(Point).bind(given)
    assert repr(given) == "{'x': {'x': 1}}"


def test_an_argument_that_was_not_given_is_left_to_its_default():
    async def handler(ctx, x: float = 2):
        return None

    assert read(handler).bind({}) == {}


def test_an_int_must_be_whole():
    failure = annotated(int).args.check({"x": 1.5}, lambda number: None)
    assert failure is not None
    assert "Path: .x" in str(failure)


@pytest.mark.parametrize("annotation", [set, tuple[int, ...], complex, Literal[b"x"], query])
def test_an_annotation_without_meaning_is_refused_with_what_to_use(annotation):
    with pytest.raises(DeveloperError, match=r"argument `x`: .* is not a type of values\. Use str"):
        annotated(annotation)


def test_an_annotation_that_names_nothing_is_refused():
    with pytest.raises(DeveloperError, match="'Missing', can't be resolved"):
        annotated("Missing")


def test_a_typed_dict_that_contains_itself_is_refused():
    with pytest.raises(DeveloperError, match="Tree contains itself"):
        annotated(Tree)


async def no_context():
    return None


async def only_keywords(*, x):
    return None


async def positional(ctx, x, /):
    return None


async def starred(ctx, *rest):
    return None


async def half_open(ctx, n: int, **rest):
    return None


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (no_context, "NoContextParameter"),
        (only_keywords, "NoContextParameter"),
        (positional, "PositionalParameter"),
        (starred, "PositionalParameter"),
        (half_open, "OpenArguments"),
    ],
)
def test_parameters_that_no_call_could_fill_are_refused(handler, code):
    with pytest.raises(DeveloperError) as caught:
        read(handler)
    assert caught.value.code == code


def test_an_explicit_argument_needs_a_parameter():
    async def handler(ctx, n):
        return None

    with pytest.raises(DeveloperError, match="has `m`, but the function has no such parameter"):
        read(handler, args={"n": v.number(), "m": v.number()})


@pytest.mark.parametrize("args", [{}, {"n": v.optional(v.number())}])
def test_a_parameter_that_explicit_arguments_may_leave_out_needs_a_default(args):
    async def handler(ctx, n):
        return None

    with pytest.raises(DeveloperError, match="parameter `n` may get no value"):
        read(handler, args=args)


def test_an_optional_validator_needs_a_default():
    async def handler(ctx, n: Annotated[str, v.optional(v.string())]):
        return None

    with pytest.raises(DeveloperError, match="optional but has no default"):
        read(handler)


def test_an_optional_validator_with_a_default_is_optional_once():
    async def handler(ctx, n: Annotated[str, v.optional(v.string())] = ""):
        return None

    assert read(handler).args == v.object({"n": v.optional(v.string())})

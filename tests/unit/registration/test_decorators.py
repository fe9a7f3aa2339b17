"""Decorators attach a declaration and refuse what can't be a function."""

import asyncio

import pytest

from syncline.errors import DeveloperError
from syncline.registration import decorators
from syncline.registration.registry import FunctionReference
from syncline.schema.validators import v

HERE = __file__


@decorators.query
async def plain(ctx: object, text: str) -> str:
    """Says it back."""
    return f"{ctx}: {text}"


@pytest.mark.parametrize(
    ("decorator", "kind", "visibility"),
    [
        (decorators.query, "query", "public"),
        (decorators.mutation, "mutation", "public"),
        (decorators.internal_query, "query", "internal"),
        (decorators.internal_mutation, "mutation", "internal"),
    ],
)
def test_each_decorator_declares_its_kind_and_visibility(decorator, kind, visibility):
    async def handler(ctx):
        return None

    for reference in (decorator(handler), decorator()(handler), decorator(args={})(handler)):
        assert isinstance(reference, FunctionReference)
        assert reference.declaration.kind == kind
        assert reference.declaration.visibility == visibility


def test_a_bare_decorator_leaves_the_validators_to_the_signature():
    assert plain.declaration.args is None
    assert plain.declaration.returns is None


def test_validators_can_be_given_as_a_dict_or_as_an_object():
    async def handler(ctx, **args):
        return None

    as_dict = decorators.query(args={"n": v.number()}, returns=v.null())(handler)
    as_object = decorators.query(args=v.object({"n": v.number()}))(handler)
    assert as_dict.declaration.args == as_object.declaration.args
    assert as_dict.declaration.returns == v.null()


def test_a_decorated_function_can_be_called_as_the_plain_one():
    assert asyncio.run(plain("me", text="hi")) == "me: hi"
    assert plain.__name__ == "plain"
    assert plain.__doc__ == "Says it back."


def test_the_path_of_a_function_that_was_not_loaded_is_an_error_with_file_and_line():
    with pytest.raises(DeveloperError, match=r"plain \(.*test_decorators\.py:\d+\) has no path"):
        _ = plain.path


def test_a_plain_def_is_refused_with_its_place_and_what_to_write():
    def handler(ctx):
        return None

    with pytest.raises(DeveloperError) as caught:
        decorators.query(handler)
    assert caught.value.code == "NotAsync"
    assert f"{HERE}:{handler.__code__.co_firstlineno}" in caught.value.message
    assert "async def handler(ctx" in caught.value.message


def test_an_async_generator_is_refused():
    async def handler(ctx):
        yield 1

    with pytest.raises(DeveloperError, match="async generator"):
        decorators.mutation(handler)


def test_a_function_is_decorated_once():
    with pytest.raises(DeveloperError, match="decorated twice"):
        decorators.mutation(plain)


@pytest.mark.parametrize("thing", [3, "text", list])
def test_what_is_no_function_is_refused(thing):
    with pytest.raises(DeveloperError, match="decorates `async def` functions"):
        decorators.query(thing)


@pytest.mark.parametrize("args", [3, "n", [v.number()]])
def test_args_must_be_validators(args):
    with pytest.raises(DeveloperError, match=r"@query\(args=\.\.\.\) takes"):
        decorators.query(args=args)


def test_fields_of_args_must_be_validators():
    with pytest.raises(DeveloperError, match="needs a validator"):
        decorators.query(args={"n": int})


def test_returns_must_be_a_validator():
    with pytest.raises(DeveloperError, match=r"@mutation\(returns=\.\.\.\) takes a validator"):
        decorators.mutation(returns=str)

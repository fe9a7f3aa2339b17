"""Function paths in all their spellings (convex-protocol 3.4)."""

import pytest

from syncline.errors import CallerError
from syncline.function_path import FunctionPath, parse


@pytest.mark.parametrize(
    ("text", "module", "function"),
    [
        ("tasks:get", "tasks", "get"),
        ("tasks.js:get", "tasks", "get"),
        ("tasks", "tasks", "default"),
        ("tasks.js", "tasks", "default"),
        ("tasks:default", "tasks", "default"),
        ("dir/sub/mod:fn", "dir/sub/mod", "fn"),
        ("dir/mod.js:fn", "dir/mod", "fn"),
        ("_system/cli/tables:default", "_system/cli/tables", "default"),
        ("a/9lives:_x1", "a/9lives", "_x1"),
    ],
)
def test_all_spellings_of_a_path_are_one(text, module, function):
    path = parse(text)
    assert path == FunctionPath(module, function)
    assert str(path) == f"{module}:{function}"
    assert path.canonical == f"{module}.js:{function}"
    assert parse(str(path)) == parse(path.canonical) == path


def test_messages_leave_the_default_name_out():
    assert parse("tasks.js").display == "tasks"
    assert parse("tasks.js:get").display == "tasks:get"


@pytest.mark.parametrize(
    "text",
    ["", ":", ":get", "tasks:", "tasks.py:get", "tasks.js.js:get", "a b:get", "tasks:a-b",
     "tasks:1", "tasks:_", "/tasks:get", "tasks/:get", "a//b:get", "../x:get", "___:get", "a:b:c",
     "é:get", "tasks:gét", "tasks:get\n", "tasks\n:get", "x" * 65 + ":get", "tasks:" + "x" * 65,
     "a/" * 600 + "a:b", "\ud800"],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(CallerError) as caught:
        parse(text)
    assert caught.value.code == "BadConvexFunctionIdentifier"
    assert len(caught.value.message) < 400

"""Values as text, for messages and for log lines."""

import math

import pytest

from syncline.values.render import inspect, render
from syncline.values.size import size
from syncline.values.value import Int64


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1.0"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (Int64(3), "3n"),
        ('a"\n', '"a\\"\\n"'),
        (b"\x01", 'b"01"'),
        ([1, "a"], '[1.0, "a"]'),
        ({"b": "x", "a": 1}, '{a: 1.0, b: "x"}'),
        ({}, "{}"),
    ],
)
def test_messages_show_values_as_javascript_would(value, text):
    assert render(value) == text


class Plain:
    pass


class Told:
    def __repr__(self) -> str:
        return "Told(1)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("hi", "'hi'"),
        ("it's", '"it\'s"'),
        ('it\'s "x"', '`it\'s "x"`'),
        ("'\"`", "'\\'\"`'"),
        ("a\n\t\\\x1b", "'a\\n\\t\\\\\\x1B'"),
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-0.0, "-0"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-7, "1e-7"),
        (1.5e-5, "0.000015"),
        (math.nan, "NaN"),
        (10**400, f"{10**400:#x}"),
        (Int64(3), "3n"),
        (None, "null"),
        (False, "false"),
        ([], "[]"),
        ((1, "a"), "[ 1, 'a' ]"),
        ({}, "{}"),
        ({"a": 1, "b-c": {"d": []}, 2: None}, "{ a: 1, 'b-c': { d: [] }, '2': null }"),
        ([[[[1]]]], "[ [ [ [Array] ] ] ]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{ a: { b: { c: [Object] } } }"),
        ([[[{1}]]], "[ [ [ [Set] ] ] ]"),
        ({"b", "a", "c"}, "Set(3) { 'a', 'b', 'c' }"),
        (list(range(102)), f"[ {', '.join(map(str, range(100)))}, ... 2 more items ]"),
        ([0] * 101, f"[ {', '.join('0' * 100)}, ... 1 more item ]"),
        (b"x", "b'x'"),
        (Plain(), "Plain {}"),
        (Plain, "[class Plain]"),
        (Told(), "Told(1)"),
        (inspect, "[Function: inspect]"),
    ],
)
def test_log_lines_show_values_as_a_console_would(value, text):
    assert inspect(value) == text


def test_a_list_that_contains_itself_can_be_logged():
    loop: list[object] = []
    loop.append(loop)
    assert inspect(loop) == "[ [ [ [Array] ] ] ]"


@pytest.mark.parametrize(
    ("value", "bytes_counted"),
    [
        (None, 1),
        (True, 1),
        (1, 9),
        (1.5, 9),
        (Int64(1), 9),
        ("abc", 5),
        ("é", 4),
        (b"abc", 5),
        ([], 2),
        ([1, None], 12),
        ({}, 2),
        ({"ab": 1}, 14),
        ({"ab": {"c": ""}}, 11),
    ],
)
def test_sizes_count_a_tag_and_the_payload(value, bytes_counted):
    assert size(value) == bytes_counted

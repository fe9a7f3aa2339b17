"""What queries and mutations see of clock and randomness: frozen, seeded, and recorded."""

import pytest

from tests.function_folder import NOW_NS, a_state, step

CLOCKS = """
import time
import datetime as module
from datetime import UTC, date, datetime, timedelta, timezone
from time import time as now

@query
async def read(ctx):
    return [{}]
"""


def read(functions, expression: str, state=None):
    bundle = functions.write(a=CLOCKS.format(expression)).bundle()
    (value,) = step(bundle, "a:read", state or a_state())
    return value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("time.time()", NOW_NS / 1e9),
        ("now()", NOW_NS / 1e9),
        ("time.time_ns()", NOW_NS),
        ("time.monotonic()", NOW_NS / 1e9),
        ("time.perf_counter_ns()", NOW_NS),
        ("tuple(time.gmtime())[:6]", (2023, 11, 14, 22, 13, 20)),
        ("time.strftime('%Y-%m-%d')", "2023-11-14"),
        ("time.asctime()", "Tue Nov 14 22:13:20 2023"),
        ("datetime.now().isoformat()", "2023-11-14T22:13:20.123456"),
        ("datetime.now(UTC).isoformat()", "2023-11-14T22:13:20.123456+00:00"),
        ("datetime.now(tz=timezone(timedelta(hours=2))).hour", 0),
        ("datetime.utcnow().isoformat()", "2023-11-14T22:13:20.123456"),
        ("datetime.today().isoformat()", "2023-11-14T22:13:20.123456"),
        ("date.today().isoformat()", "2023-11-14"),
        ("module.datetime.now(UTC).timestamp()", 1_700_000_000.123456),
    ],
)
def test_every_clock_is_the_frozen_one_and_reading_it_is_recorded(functions, expression, expected):
    state = a_state()
    assert read(functions, expression, state) == expected
    assert state.read_time
    assert not state.read_random


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("tuple(time.gmtime(0))[:3]", (1970, 1, 1)),
        ("time.strftime('%Y', time.gmtime(0))", "1970"),
        ("datetime(2020, 1, 2).isoformat()", "2020-01-02T00:00:00"),
        ("datetime.fromisoformat('2020-01-02').year", 2020),
        ("datetime.strptime('2020', '%Y').year", 2020),
        ("datetime.fromtimestamp(0, UTC).year", 1970),
        ("datetime.combine(date(2020, 1, 2), datetime.min.time()).day", 2),
        ("(datetime(2020, 1, 2) - datetime(2020, 1, 1)).days", 1),
        ("date.fromisoformat('2020-01-02').day", 2),
    ],
)
def test_what_does_not_read_the_clock_is_not_recorded(functions, expression, expected):
    state = a_state()
    assert read(functions, expression, state) == expected
    assert not state.read_time


@pytest.mark.parametrize(
    "expression",
    [
        "isinstance(datetime(2020, 1, 2), datetime)",
        "isinstance(datetime(2020, 1, 2), date)",
        "isinstance(module.datetime.now() + timedelta(1), datetime)",
        "isinstance(datetime.strptime('2020', '%Y'), datetime)",
        "not isinstance(date(2020, 1, 2), datetime)",
        "issubclass(datetime, date)",
        "datetime.now(UTC) > datetime(2020, 1, 1, tzinfo=UTC)",
        "type(datetime.now()) is type(datetime.min)",
    ],
)
def test_date_classes_behave_like_the_real_ones(functions, expression):
    assert read(functions, expression) is True


def test_subclasses_of_date_classes_work(functions):
    source = """
    from datetime import datetime

    class Moment(datetime):
        def half(self):
            return self.minute // 30

    @query
    async def read(ctx):
        moment = Moment(2020, 1, 2, 3, 40)
        return [type(moment).__name__, moment.half(), isinstance(moment, datetime)]
    """
    bundle = functions.write(a=source).bundle()
    assert step(bundle, "a:read", a_state()) == ["Moment", 1, True]


def test_annotations_and_dataclasses_in_user_modules_work(functions):
    source = """
    import typing
    from dataclasses import asdict, dataclass, field
    from datetime import datetime
    from enum import Enum
    from typing import NamedTuple

    @dataclass(frozen=True, order=True)
    class Point:
        x: int
        when: datetime = datetime(2020, 1, 1)
        tags: list[str] = field(default_factory=list, hash=False, compare=False)

    class Pair(NamedTuple):
        left: int
        right: int

    class Color(Enum):
        RED = "red"

    @query
    async def read(ctx) -> list:
        point = Point(1)
        hints = typing.get_type_hints(Point)
        match point.when:
            case datetime():
                matched = True
        return [
            {point: 1}[Point(1)], point < Point(2), asdict(point)["x"], hints["x"] is int,
            hints["when"] is datetime, Pair(1, 2).right, Color("red").name, matched,
        ]
    """
    bundle = functions.write(a=source).bundle()
    assert step(bundle, "a:read", a_state()) == [1, True, 1, True, True, 2, "RED", True]


def test_time_zones_can_be_looked_up(functions):
    source = """
    from datetime import datetime, timezone
    from zoneinfo import ZoneInfo

    @query
    async def hour(ctx):
        return datetime(2020, 7, 1, 12, tzinfo=timezone.utc).astimezone(zone).hour
    """.replace("zone)", 'ZoneInfo("Europe/Berlin"))')
    state = a_state()
    assert step(functions.write(a=source).bundle(), "a:hour", state) == 14
    assert not state.violations


def test_late_imports_and_tracebacks_are_no_effects(functions):
    source = """
    import traceback

    @query
    async def read(ctx):
        import colorsys
        try:
            1 / 0
        except ZeroDivisionError:
            return [colorsys.rgb_to_hsv(0, 0, 0), "1 / 0" in traceback.format_exc()]
    """
    state = a_state()
    bundle = functions.write(a=source).bundle()
    assert step(bundle, "a:read", state) == [(0.0, 0.0, 0), True]
    assert not state.violations


DRAWS = """
import random, uuid
from random import choice, randint, shuffle

@query
async def draw(ctx):
    items = list(range(20))
    shuffle(items)
    return [
        random.random(), randint(0, 10**9), choice("abcdef"), items, random.gauss(0, 1),
        random.Random().random(), random.sample(range(100), 5), str(uuid.uuid4()),
    ]
"""


def test_the_same_seed_draws_the_same(functions):
    bundle = functions.write(a=DRAWS).bundle()
    state = a_state(seed=7)
    assert step(bundle, "a:draw", state) == step(bundle, "a:draw", a_state(seed=7))
    assert state.read_random
    assert not state.read_time


def test_another_seed_draws_otherwise(functions):
    bundle = functions.write(a=DRAWS).bundle()
    first = step(bundle, "a:draw", a_state(seed=7))
    second = step(bundle, "a:draw", a_state(seed=8))
    assert all(a != b for a, b in zip(first[:2] + first[3:], second[:2] + second[3:], strict=True))


def test_calls_do_not_disturb_each_others_numbers(functions):
    source = """
    import random

    @query
    async def draw(ctx):
        return random.random()
    """
    bundle = functions.write(a=source).bundle()
    first, second = a_state(seed=1), a_state(seed=2)
    alone = [step(bundle, "a:draw", first) for _ in range(3)]
    first = a_state(seed=1)
    mixed = []
    for _ in range(3):
        mixed.append(step(bundle, "a:draw", first))
        step(bundle, "a:draw", second)
    assert mixed == alone


def test_generators_with_a_seed_of_their_own_keep_it(functions):
    source = """
    import random

    class Dice(random.Random):
        def throw(self):
            return self.randint(1, 6)

    @query
    async def draw(ctx):
        made = random.Random(5)
        return [made.random(), isinstance(made, random.Random), Dice(3).throw()]
    """
    bundle = functions.write(a=source).bundle()
    state = a_state()
    import random

    assert step(bundle, "a:draw", state) == [
        random.Random(5).random(),
        True,
        random.Random(3).randint(1, 6),
    ]
    assert not state.read_random


def test_seeding_without_a_number_stays_within_the_call(functions):
    source = """
    import random

    @query
    async def draw(ctx):
        random.seed()
        first = random.random()
        made = random.Random(1)
        made.seed()
        return [first, made.random()]
    """
    bundle = functions.write(a=source).bundle()
    assert step(bundle, "a:draw", a_state()) == step(bundle, "a:draw", a_state())


def test_module_level_draws_are_the_same_in_every_process(functions):
    source = """
    import random, uuid
    SALT = random.random(), str(uuid.uuid4())

    @query
    async def salt(ctx):
        return SALT
    """
    functions.write(a=source)
    first = step(functions.bundle(), "a:salt", a_state())
    second = step(functions.bundle(), "a:salt", a_state())
    assert first == second


@pytest.mark.parametrize(
    ("imports", "expression", "expected"),
    [
        ("import os", "os.path.join('a', 'b.txt')", "a/b.txt"),
        ("from os.path import splitext", "splitext('b.txt')", ("b", ".txt")),
        ("import os", "os.sep", "/"),
        ("import os", "os.fspath('x')", "x"),
        ("import pathlib", "pathlib.PurePosixPath('a/b').name", "b"),
        ("import uuid", "str(uuid.uuid5(uuid.NAMESPACE_DNS, 'x'))[14]", "5"),
        ("import uuid", "uuid.UUID(int=1).int", 1),
        ("import secrets", "secrets.compare_digest('a', 'a')", True),
        ("import urllib.parse", "urllib.parse.quote('a b')", "a%20b"),
        ("from urllib.parse import urlsplit", "urlsplit('http://x/y').path", "/y"),
        ("import http", "http.HTTPStatus.OK.value", 200),
        ("import socket", "socket.AF_INET.name", "AF_INET"),
        ("import asyncio", "issubclass(asyncio.CancelledError, BaseException)", True),
        ("import hashlib", "hashlib.sha256(b'x').hexdigest()[:4]", "2d71"),
        ("import importlib", "importlib.import_module('json').dumps(1)", "1"),
        ("import os.path", "os.path.basename('a/b')", "b"),
        ("import builtins", "builtins.len('ab')", 2),
    ],
)
def test_what_only_looks_at_its_arguments_works(functions, imports, expression, expected):
    source = f"{imports}\n@query\nasync def pure(ctx):\n    return {expression}\n"
    state = a_state()
    assert step(functions.write(a=source).bundle(), "a:pure", state) == expected
    assert not state.violations

"""What `crons.py` declares, and what it must not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.errors import DeveloperError
from syncline.registration.loader import load_bundle

FUNCTIONS = """
from syncline import ActionCtx, MutationCtx, QueryCtx, action, internal_mutation, query

@internal_mutation
async def sweep(ctx: MutationCtx, days: int = 7):
    pass

@action
async def digest(ctx: ActionCtx, kind: str):
    pass

@query
async def read(ctx: QueryCtx):
    pass
"""

Load = Callable[[str], dict[str, tuple[object, ...]]]
"""The crons that calls on `crons` declare, by name."""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(calls: str) -> dict[str, tuple[object, ...]]:
        (tmp_path / "jobs.py").write_text(FUNCTIONS)
        (tmp_path / "crons.py").write_text(
            "from syncline import Crons\nfrom .jobs import digest, read, sweep\n"
            f"crons = Crons()\n{calls}\n"
        )
        bundle = load_bundle(tmp_path, "hash")
        return {
            cron.name: (cron.seconds, cron.expression, cron.path, cron.kind, cron.arguments)
            for cron in bundle.spec.crons
        }

    return loaded


def test_each_way_to_say_when(load: Load):
    crons = load(
        'crons.interval("i", sweep, minutes=5)\n'
        'crons.hourly("h", sweep, minute_utc=7, args={"days": 3})\n'
        'crons.daily("d", digest, hour_utc=7, minute_utc=0, args={"kind": "daily"})\n'
        'crons.weekly("w", "jobs:sweep", day_of_week="sunday", hour_utc=1, minute_utc=2)\n'
        'crons.monthly("m", sweep, day=31, hour_utc=0, minute_utc=59)\n'
        'crons.cron("c", "0 9 * * 1", sweep)'
    )
    assert crons == {
        "i": (300.0, None, "jobs:sweep", "mutation", "{}"),
        "h": (None, "7 * * * *", "jobs:sweep", "mutation", '{"days":3.0}'),
        "d": (None, "0 7 * * *", "jobs:digest", "action", '{"kind":"daily"}'),
        "w": (None, "2 1 * * 0", "jobs:sweep", "mutation", "{}"),
        "m": (None, "59 0 31 * *", "jobs:sweep", "mutation", "{}"),
        "c": (None, "0 9 * * 1", "jobs:sweep", "mutation", "{}"),
    }


def test_without_a_minute_the_name_decides_and_stays(
    load: Load,
):
    calls = "\n".join(f'crons.hourly("cron {n}", sweep)' for n in range(40))
    minutes = [each[1] for each in load(calls).values()]
    assert len(set(minutes)) > 10
    assert [each[1] for each in load(calls).values()] == minutes


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('crons.interval("x", sweep)', "say one of"),
        ('crons.interval("x", sweep, seconds=1, hours=1)', "say one of"),
        ('crons.interval("x", sweep, seconds=0)', "whole number from 1"),
        ('crons.interval("x", sweep, minutes=1.5)', "whole number from 1"),
        ('crons.hourly("x", sweep, minute_utc=60)', "`minute_utc`.*0 to 59"),
        ('crons.daily("x", sweep, hour_utc=24)', "`hour_utc`.*0 to 23"),
        ('crons.daily("x", sweep, hour_utc=True)', "`hour_utc`"),
        ('crons.weekly("x", sweep, day_of_week="Sunday", hour_utc=1)', "`day_of_week` is one of"),
        ('crons.monthly("x", sweep, day=0, hour_utc=1)', "`day`.*1 to 31"),
        ('crons.cron("x", "0 9 * *", sweep)', "five fields"),
        ('crons.cron("x", "0 99 * * *", sweep)', "five fields"),
        ('crons.interval("x", read, hours=1)', "'jobs:read' is a query"),
        ('crons.interval("x", "jobs:gone", hours=1)', "no function 'jobs:gone'"),
        ('crons.interval("x", digest, hours=1)', "`args` are wrong.*kind"),
        ('crons.interval("x", sweep, hours=1, args={"days": "a"})', "`args` are wrong"),
        ('crons.interval("", sweep, hours=1)', "printable ASCII"),
        ('crons.interval("caf\\u00e9", sweep, hours=1)', "printable ASCII"),
        (
            'crons.interval("x", sweep, hours=1)\ncrons.interval("x", sweep, hours=2)',
            "another one of that name",
        ),
        ("crons = 3", "crons = Crons"),
    ],
)
def test_mistakes_are_named(load: Load, call: str, said: str):
    with pytest.raises(DeveloperError, match=f"(?s){said}"):
        load(call)

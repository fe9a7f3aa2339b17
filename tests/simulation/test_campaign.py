"""The five rules in simulated worlds, and the proof that the worlds would notice a broken rule.

Each world is a small deployment that lives through crashes, doubled and overtaking messages, lost
hints, a restore, pushes and pruning, as its seed decides (docs/simulation.md).
"""

from functools import cache

import pytest

from syncline.simulated.world import unhit
from tests.simulation.campaign import Report, Run, describe

SEEDS = 600
SEEDS_A_TEST = 25
SEEDS_TO_CATCH = 400
"""A rule that is switched off is to be noticed within so many worlds; most within ten."""

REQUIRED = (
    "connected through gate",
    "connected through node",
    "crash at append: begin",
    "crash at append: ordered",
    "crash at append: flushed",
    "crash at session store: stored",
    "crash at gateway post",
    "crash at interest: registered",
    "crash at view: apply",
    "database crashed before a flush",
    "delay at append: ordered",
    "doubt at gateway post",
    "duplicate at hints",
    "duplicate at session queue",
    "impersonated",
    "lose at gateway post",
    "lose at hints",
    "marker: clean",
    "marker: cleared",
    "pruned",
    "reorder at gateway in",
    "reorder at hints",
    "restored",
    "session queue: given out again",
    "session store: overtaken",
)
"""What happens in some world; a simulation that injects nothing proves nothing."""


@cache
def report_of(seed: int) -> Report:
    run = Run(seed)
    try:
        return run()
    except Exception as error:
        raise AssertionError(describe(run, error)) from error


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_the_five_rules_hold_in_every_world(first: int):
    for seed in range(first, first + SEEDS_A_TEST):
        report = report_of(seed)
        assert report.commits
        assert report.snapshots


def test_everything_that_can_go_wrong_does_in_some_world():
    missing = list(REQUIRED)
    for seed in range(SEEDS):
        missing = unhit([report_of(seed).probes], missing)
        if not missing:
            break
    assert not missing, f"never happened in {SEEDS} worlds: {missing}"


def test_a_seed_gives_the_same_world_again():
    for seed in (3, 9, 20):
        once, again = Run(seed), Run(seed)
        assert once() == again()
        assert once.cluster.world.loop.trace == again.cluster.world.loop.trace


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        pytest.param({"read sets"}, 0, id="conflict validation"),
        pytest.param({"conflicts"}, 0, id="conflict validation in the database"),
        pytest.param({"duplicates", "lookups"}, 0, id="dedup"),
        pytest.param({"flush"}, 0, id="the flush before replies"),
        pytest.param({"tail flush"}, 0, id="reading makes durable"),
        pytest.param({"chain"}, 0, id="the nonce chain"),
        pytest.param({"exclusive"}, 0, id="the expected head of a pipelined batch"),
        pytest.param({"interest"}, 0, id="interest before validate"),
        pytest.param({"one sender"}, 0, id="one sender"),
        # A commit has to lie between the look at a mark and its end: one world in hundreds.
        pytest.param({"marks"}, 480, id="marks are closed under the head lock"),
    ],
)
def test_a_rule_that_is_switched_off_is_noticed(rules: set[str], first: int):
    for seed in range(first, first + SEEDS_TO_CATCH):
        run = Run(seed, frozenset(rules))
        try:
            run()
        except Exception as error:
            told = describe(run, error)
            assert f"campaign {seed} {' '.join(map(repr, sorted(rules)))}" in told
            print(f"without {sorted(rules)}: {told}")
            return
    pytest.fail(f"nobody notices in {SEEDS_TO_CATCH} worlds that {sorted(rules)} is off")

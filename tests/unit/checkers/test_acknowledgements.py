"""The check of acknowledged writes: good histories pass, each way of going wrong is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checkers.acknowledgements import ClientHistory, Findings, Write, judge


def history(
    client: str = "one",
    *,
    called: int = 4,
    acknowledged: tuple[int, ...] = (1, 2, 3),
    repeats_anew: bool = False,
) -> ClientHistory:
    unknown = set(range(1, called + 1)).difference(acknowledged)
    return ClientHistory(client, repeats_anew, called, set(acknowledged), unknown)


def rows(*numbers: int, client: str = "one") -> list[Write]:
    return [(client, number) for number in numbers]


def test_acknowledged_writes_that_are_there_once_pass_and_unknown_ones_may_be_there_or_not():
    nothing = Findings((), (), (), ())
    assert judge([history()], rows(1, 2, 3)) == nothing
    assert judge([history()], rows(4, 3, 2, 1)) == nothing
    assert nothing.is_good


@pytest.mark.parametrize(
    ("expected", "histories", "found"),
    [
        (Findings((("one", 2),), (), (), ()), [history()], rows(1, 3)),
        (Findings((("one", 1), ("one", 2), ("one", 3)), (), (), ()), [history()], []),
        (Findings((), (("one", 3),), (), ()), [history()], rows(1, 2, 3, 3)),
        (Findings((), (("one", 4),), (), ()), [history()], rows(1, 2, 3, 4, 4)),
        (Findings((), (), (("one", 5),), ()), [history()], rows(1, 2, 3, 5)),
        (Findings((), (), (("one", 0),), ()), [history()], rows(0, 1, 2, 3)),
        (
            Findings((("two", 1),), (), (("other", 1),), ()),
            [history(), history("two", acknowledged=(1,))],
            [*rows(1, 2, 3), ("other", 1)],
        ),
        (
            Findings((("one", 1),), (("one", 2),), (), ()),
            [history(repeats_anew=False)],
            rows(2, 2, 3),
        ),
    ],
)
def test_each_way_of_going_wrong_is_named(
    expected: Findings, histories: list[ClientHistory], found: list[Write]
):
    assert judge(histories, found) == expected
    assert not expected.is_good


def test_a_client_that_repeats_anew_may_double_but_not_lose():
    anew = history(repeats_anew=True)
    assert judge([anew], rows(1, 2, 2, 3)) == Findings((), (), (), (("one", 2),))
    assert judge([anew], rows(1, 2, 2, 3)).is_good
    assert judge([anew], rows(2, 2, 3)).lost == (("one", 1),)


@given(st.sets(st.integers(1, 50), min_size=1), st.data())
def test_one_lost_or_doubled_write_among_many_is_always_found(
    acknowledged: set[int], data: st.DataObject
):
    told = history(called=50, acknowledged=tuple(acknowledged))
    in_doubt = data.draw(st.sets(st.sampled_from(sorted(told.unknown)))) if told.unknown else set()
    there = data.draw(st.permutations(rows(*acknowledged, *in_doubt)))
    assert judge([told], there).is_good
    victim = data.draw(st.sampled_from(sorted(acknowledged)))
    assert judge([told], [row for row in there if row[1] != victim]).lost == (("one", victim),)
    twin = data.draw(st.sampled_from(there))
    assert judge([told], [*there, twin]).doubled == (twin,)

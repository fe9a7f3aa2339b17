"""What goes wrong is drawn from a seed, counted, and bounded."""

import pytest

from syncline.local_cloud.disorder import SWAP_SECONDS, Disorder
from syncline.local_cloud.gateway_limits import GatewayLimits, Throttle


def test_the_same_seed_gives_the_same_trouble_and_another_seed_other_trouble():
    def drawn(seed):
        disorder = Disorder(seed)
        return [(disorder.swap_delay(), disorder.duplicate()) for _ in range(100)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_one_kind_of_trouble_does_not_depend_on_how_often_another_is_asked_for():
    alone, mixed = Disorder(5), Disorder(5)
    expected = [alone.duplicate() for _ in range(50)]
    found = []
    for _ in range(50):
        mixed.swap_delay()
        mixed.lose_disconnect()
        found.append(mixed.duplicate())
    assert found == expected


def test_delays_are_0_or_within_their_bounds():
    disorder = Disorder(7, swaps=0.5)
    delays = {disorder.swap_delay() for _ in range(1000)}
    assert 0.0 in delays
    low, high = SWAP_SECONDS
    assert all(low <= delay <= high for delay in delays - {0.0})
    assert len(delays) > 300


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 50)])
def test_what_happened_is_counted(share, expected):
    disorder = Disorder(1, swaps=share, duplicates=share, lost_disconnects=share)
    for _ in range(50):
        assert (disorder.swap_delay() > 0) is bool(share)
        assert disorder.duplicate() is bool(share)
        assert disorder.lose_disconnect() is bool(share)
    assert (disorder.duplicated, disorder.disconnects_lost) == (expected, expected)
    assert disorder.reordered == 0
    disorder.count_reordered()
    assert disorder.reordered == 1


def test_a_throttle_admits_its_burst_and_then_its_rate():
    now = 0.0
    throttle = Throttle(10, 3, lambda: now)
    assert [throttle.admits() for _ in range(4)] == [True, True, True, False]
    now = 0.1
    assert [throttle.admits() for _ in range(2)] == [True, False]
    now = 1000.0
    assert [throttle.admits() for _ in range(4)] == [True, True, True, False]


def test_scaling_limits_changes_times_and_no_sizes():
    limits = GatewayLimits().scaled(0.01)
    assert (limits.idle_seconds, limits.life_seconds) == (6, 72)
    assert limits.frame_bytes == 32_768
    assert limits.message_bytes == 131_072

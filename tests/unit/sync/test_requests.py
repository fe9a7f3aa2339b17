"""Ids of requests that were seen, as few runs."""

from hypothesis import given
from hypothesis import strategies as st

from syncline.sync.requests import Requests


def test_a_counter_is_one_run():
    requests = Requests()
    assert all(requests.is_new(request_id) for request_id in range(5, 1_000))
    assert requests.seen_runs == 1
    assert not any(requests.is_new(request_id) for request_id in range(5, 1_000))
    assert requests.is_new(4)
    assert requests.seen_runs == 1


def test_an_id_that_fills_a_gap_joins_the_runs_around_it():
    requests = Requests()
    for request_id in (1, 3, 7, 2):
        assert requests.is_new(request_id)
    assert (requests.seen_from, requests.seen_to) == ([1, 7], [4, 8])


@given(st.lists(st.integers(0, 30)))
def test_ids_are_new_once(request_ids: list[int]):
    requests = Requests()
    seen: set[int] = set()
    for request_id in request_ids:
        assert requests.is_new(request_id) is (request_id not in seen)
        seen.add(request_id)
        gaps = sum(1 for each in seen if each + 1 not in seen)
        assert requests.seen_runs == gaps

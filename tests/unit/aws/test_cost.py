"""What a month costs: the arithmetic, and docs/cost.md."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.cost_page import PAGE, with_tables
from syncline.aws.cost import (
    ASSUMED,
    BASIS,
    HOURS,
    MEASURED,
    MINUTES,
    WHAT_EVENTS_ARE,
    Workload,
    awake_hours,
    bill,
    events,
)
from syncline.aws.prices import PRICES

UNITS_BY_ASSUMPTION = {"table reads", "table writes", "session scans"}


def quantity(workload: Workload, meter: str) -> float:
    return next((item.quantity for item in bill(workload) if item.meter == meter), 0)


def total(workload: Workload) -> float:
    return sum(item.usd for item in bill(workload))


def test_the_page_shows_these_tables():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "cost.py or prices.py changed: python -m scripts.cost_page"


def test_every_event_is_described_and_says_how_it_was_counted():
    assert set(MEASURED) == set(WHAT_EVENTS_ARE) == set(BASIS) == set(events(Workload()))
    page = PAGE.read_text(encoding="utf-8")
    for event, basis in BASIS.items():
        assert f"| {event} | {WHAT_EVENTS_ARE[event]} |" in page
        assert basis in page


def test_every_request_counted_has_a_price_or_becomes_units_that_have():
    meters = {meter for requests in MEASURED.values() for meter in requests}
    assert meters - set(PRICES) == UNITS_BY_ASSUMPTION


def test_every_price_has_a_date_or_says_that_it_was_not_read_again():
    for price in PRICES.values():
        assert "2026" in price.source or "not read again" in price.source


def test_every_price_is_used_by_a_deployment_in_use():
    busy = Workload(connections=2, mutations=10, updates=10, http_calls=1, storage_gb=1)
    assert {item.meter for item in bill(busy)} == set(PRICES)


def test_an_idle_deployment_pays_for_what_is_there_and_its_database_sleeps():
    idle = {item.meter: item for item in bill(Workload())}
    assert not {"acu hours", "database calls", "connection minutes", "socket messages"} & set(idle)
    assert idle["keys"].usd == 1
    assert idle["dashboards"].usd == 3
    assert 5 < total(Workload()) < 20


def test_connection_minutes_and_pings_are_those_of_the_month():
    keeping = Workload(connections=100, ping_seconds=40)
    assert quantity(keeping, "connection minutes") == 100 * MINUTES
    times = events(keeping)
    assert times["ping"] == 100 * MINUTES * 1.5
    messages = times["ping"] + times["connection"] * MEASURED["connection"]["socket messages"]
    assert quantity(keeping, "socket messages") == pytest.approx(messages)


def test_ten_thousand_sockets_open_all_month_cost_what_the_gateway_s_price_says():
    item = next(i for i in bill(Workload(connections=10_000)) if i.meter == "connection minutes")
    assert item.usd == pytest.approx(109.5)


def test_a_database_that_never_sleeps_costs_half_a_unit_all_month():
    always = Workload(mutations=10**6)
    assert awake_hours(always) == HOURS
    item = next(i for i in bill(always) if i.meter == "acu hours")
    assert item.usd == pytest.approx(43.80)
    assert awake_hours(Workload(mutations=1)) == pytest.approx(0.2)
    assert awake_hours(Workload(mutations=10**6, awake_hours=10)) == 10


def test_large_results_are_several_messages():
    small, large = (Workload(updates=1000, update_kb=kb) for kb in (32, 33))
    assert quantity(large, "socket messages") - quantity(small, "socket messages") == 1000


def test_documents_and_their_index_entries_are_written_by_their_size():
    def written(kb: float, indexes: float) -> float:
        workload = Workload(mutations=1, document_kb=kb, indexes=indexes)
        return quantity(workload, "write units")

    assert written(1, 1) - written(1, 0) == pytest.approx(1)
    assert written(2.5, 0) - written(1, 0) == pytest.approx(2)


def test_cold_calls_ask_for_what_the_table_says():
    cold = quantity(Workload(mutations=100, cold_share=1), "database calls")
    assert cold == 100 * MEASURED["cold mutation"]["database calls"]
    start = ASSUMED["seconds of a start"].value * ASSUMED["memory"].value
    gb = [quantity(Workload(mutations=100, cold_share=s), "gb seconds") for s in (0, 1)]
    assert gb[1] - gb[0] == pytest.approx(100 * start)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"connections": -1}, "connections"),
        ({"cold_share": 1.1}, "cold_share"),
        ({"ping_seconds": 0}, "ping_seconds"),
        ({"awake_hours": 731}, "awake_hours"),
    ],
)
def test_impossible_months_are_refused(wrong: dict[str, float], named: str):
    with pytest.raises(ValueError, match=named):
        Workload(**wrong)


amounts = st.floats(0, 10**7, allow_nan=False)


@given(connections=amounts, mutations=amounts, updates=amounts, more=amounts)
def test_more_of_anything_never_costs_less(
    connections: float, mutations: float, updates: float, more: float
):
    less = Workload(connections=connections, mutations=mutations, updates=updates)
    for greater in (
        Workload(connections=connections + more, mutations=mutations, updates=updates),
        Workload(connections=connections, mutations=mutations + more, updates=updates),
        Workload(connections=connections, mutations=mutations, updates=updates + more),
    ):
        assert total(greater) >= total(less) * (1 - 1e-9)
        assert all(item.usd >= 0 and math.isfinite(item.usd) for item in bill(greater))


def test_the_command_prints_the_items_and_their_sum():
    command = [sys.executable, "-m", "syncline.cli.app", "cost", "--mutations", "1000", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    answer = json.loads(ran.stdout)
    assert answer["usd"] == pytest.approx(total(Workload(mutations=1000)), abs=0.01)
    assert answer["usd"] == pytest.approx(sum(item["usd"] for item in answer["items"]), abs=0.01)
    table = subprocess.run(command[:-1], capture_output=True, text=True, check=True, timeout=60)
    assert "ACU-hours" in table.stdout
    assert f"{answer['usd']:,.2f}" in table.stdout
    assert "Most of it: Aurora" in table.stderr

"""Pings after silence of ours, the end after silence of the client's."""

from syncline.sync.session import CallResult, Close, Session, SessionLimits
from tests.unit.sync.conversation import NPM, PYTHON, START_MS, Conversation, frames_of

PING = [{"type": "Ping"}]


def test_a_ping_is_due_after_15_seconds_of_silence():
    session = Conversation().session
    assert session.next_tick_ms == START_MS + 15_000
    assert session.tick(START_MS + 14_999) == []
    assert frames_of(session.tick(START_MS + 15_000)) == PING
    assert session.tick(START_MS + 15_001) == []
    assert session.next_tick_ms == START_MS + 30_000


def test_anything_sent_puts_the_ping_off():
    conversation = Conversation()
    conversation.mutates(0)
    conversation.now_ms += 10_000
    conversation.finished(0, ts=100)
    assert conversation.session.tick(START_MS + 20_000) == []
    assert frames_of(conversation.session.tick(START_MS + 25_000)) == PING


def test_what_the_client_sends_does_not_put_the_ping_off():
    conversation = Conversation()
    conversation.now_ms += 10_000
    conversation.says("Event", eventType="x", event=None)
    assert frames_of(conversation.session.tick(START_MS + 15_000)) == PING


def test_pings_are_sent_before_connect_too():
    session = Conversation(connect=False).session
    assert frames_of(session.tick(START_MS + 15_000)) == PING


def test_a_client_that_is_not_heard_for_two_minutes_is_dropped():
    session = Conversation().session
    assert session.tick(START_MS + 119_999) != [Close(1001, "InactiveClient")]
    assert session.tick(START_MS + 120_000) == [Close(1001, "InactiveClient")]


def test_a_pong_counts_as_hearing_the_client():
    session = Conversation().session
    session.pong_received(START_MS + 60_000)
    assert frames_of(session.tick(START_MS + 120_000)) == PING
    assert session.tick(START_MS + 180_000) == [Close(1001, "InactiveClient")]


def test_a_transport_without_pongs_drops_nobody():
    session = Conversation(limits=SessionLimits(idle_ms=None)).session
    assert frames_of(session.tick(START_MS + 10**8)) == PING
    assert session.next_tick_ms == START_MS + 10**8 + 15_000


def test_a_clock_that_steps_back_does_no_harm():
    session = Conversation().session
    assert session.tick(START_MS - 10**6) == []
    assert frames_of(session.tick(START_MS + 15_000)) == PING


def test_somebody_outside_may_keep_the_connection_alive():
    limits = SessionLimits(sends_pings=False, idle_ms=None)
    session = Session(NPM, now_ms=START_MS, limits=limits)
    assert session.next_tick_ms is None
    assert session.tick(START_MS + 10**7) == []
    assert session.silence_ms == 60_000
    assert Session(PYTHON, now_ms=START_MS).silence_ms == 30_000


def test_a_connection_is_closed_before_its_transport_ends_it_and_not_all_at_once():
    limits = SessionLimits(sends_pings=False, idle_ms=None, life_ms=7_000_000)
    ends: set[int] = set()
    for opened in range(START_MS, START_MS + 50):
        session = Session(NPM, now_ms=opened, limits=limits)
        end = session.next_tick_ms
        assert end is not None
        assert 6_300_000 <= end - opened <= 7_000_000
        assert session.tick(end - 1) == []
        (closed,) = session.tick(end)
        assert closed == Close(1001, "ConnectionLifeEnds")
        assert session.silence_ms == 0
        ends.add(end - opened)
    assert len(ends) > 40


def test_an_action_in_flight_puts_the_end_of_a_connection_off():
    limits = SessionLimits(sends_pings=False, idle_ms=None, life_ms=7_000_000)
    conversation = Conversation(limits=limits)
    conversation.acts(0)
    late = START_MS + 7_000_000
    assert conversation.session.tick(late) == []
    assert conversation.session.next_tick_ms == late + 1
    conversation.session.action_finished(0, CallResult(0, b"null"), late + 5)
    effects = conversation.session.tick(late + 6)
    assert Close(1001, "ConnectionLifeEnds") in effects

"""Pings after silence of ours, the end after silence of the client's."""

from syncline.sync.session import Close, SessionLimits
from tests.unit.sync.conversation import START_MS, Conversation, frames_of

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

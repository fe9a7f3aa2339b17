"""The contract of the log port (protocols.md rules 1 to 8), for every adapter."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from syncline.commit.record import (
    REFUSED_IDENTITY,
    REFUSED_PRUNED,
    Committed,
    Conflict,
    Duplicate,
    HeadMoved,
    ItemResult,
    Position,
    Recorded,
    Refused,
    Reset,
    SlowDown,
    TailReply,
    TooOld,
)
from syncline.index.key_range import KeyRange
from syncline.ports import Log
from tests.contract.log_backends import (
    SECOND_NS,
    START,
    DataApiBackend,
    LogBackend,
    MemoryBackend,
    PostgresBackend,
    all_documents,
    ask,
    commit,
    keys_of,
    put,
    text_of,
    with_log,
)


@pytest.fixture(params=["memory", "postgres", "data api", "data api, procedure"])
def backend(request: pytest.FixtureRequest) -> LogBackend:
    if request.param == "memory":
        return MemoryBackend()
    conninfo = request.getfixturevalue("postgres").conninfo
    if request.param == "postgres":
        return PostgresBackend(conninfo)
    routine = "procedure" if "procedure" in request.param else "function"
    return DataApiBackend(conninfo, request.getfixturevalue("data_api").url, routine)


def stamp(result: ItemResult) -> int:
    assert isinstance(result, Committed)
    return result.ts


async def tail(log: Log, after: Position = START, bytes_max: int = 2**20) -> TailReply:
    reply = await log.tail(after, bytes_max=bytes_max)
    assert isinstance(reply, TailReply)
    return reply


def test_a_commit_gets_a_ts_by_the_clock_and_comes_back_as_it_was(backend):
    async def scenario(log: Log) -> None:
        earliest = time.time_ns() - 1000
        reply = await commit(log, ask(1, put("a", 1), put("b", 2)))
        ts = stamp(reply.results[0])
        assert earliest < ts <= time.time_ns() + 1000
        assert reply.position == Position(ts, 1_000_001)
        assert reply.base == START
        assert reply.missing == ()
        read = await tail(log)
        assert read.head == reply.position
        (found,) = read.commits
        assert (found.ts, found.nonce, found.previous_ts) == (ts, 1_000_001, 0)
        assert found.changes == (put("a", 1), put("b", 2))
        assert (found.session, found.request) == ("session", 1)
        assert found.call == ask(1).call

    with_log(backend.open(), scenario)


def test_a_proposed_ts_is_kept_only_above_the_head_and_near_the_clock(backend):
    async def scenario(log: Log) -> None:
        soon = time.time_ns() + SECOND_NS // 10
        reply = await commit(log, ask(1, ts=soon))
        assert stamp(reply.results[0]) == soon
        reply = await commit(
            log, ask(2, ts=soon - 5), ask(3, ts=time.time_ns() + 10 * SECOND_NS), on=reply.position
        )
        second, third = map(stamp, reply.results)
        assert soon < second < third < time.time_ns() + SECOND_NS

    with_log(backend.open(), scenario)


def test_stamps_rise_although_the_clock_was_set_back(backend):
    async def scenario(log: Log) -> None:
        await commit(log, ask(1, put("a", 1)))
        backend.raise_clock(3600 * SECOND_NS)
        head = (await tail(log)).head
        reply = await commit(log, ask(2), ask(3), on=head)
        assert [stamp(result) for result in reply.results] == [head.ts + 1, head.ts + 2]
        refused = await log.append(
            [ask(4, ts=head.ts + 3)], standing_on=reply.position, exclusive=True
        )
        assert refused == HeadMoved(reply.position, ())
        failed = await commit(log, ask(5, failed=True), on=reply.position, exclusive=True)
        assert failed.results == (Recorded(head.ts + 2),)

    with_log(backend.open(), scenario)


def test_a_write_after_begin_inside_a_read_range_is_a_conflict(backend):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, put("a", 1), put("b", 1)))
        begin = first.position.ts
        second = await commit(log, ask(2, put("a", 2, (begin, 1))), on=first.position)
        third = await commit(log, ask(3, put("a", 3, (second.position.ts, 2))), on=second.position)
        reply = await commit(
            log,
            ask(4, put("c", 1), begin=begin, reads=("c", "a", "b")),
            ask(5, put("d", 1), begin=begin, reads=("c", "b")),
            ask(6, put("e", 1), begin=third.position.ts, reads=("a",)),
            on=first.position,
        )
        assert reply.results[0] == Conflict(second.position.ts, b"Ia")
        assert isinstance(reply.results[1], Committed)
        assert isinstance(reply.results[2], Committed)
        assert [each.ts for each in reply.missing] == [second.position.ts, third.position.ts]
        assert reply.missing[0].changes == (put("a", 2, (begin, 1)),)
        assert reply.base == third.position
        assert [each.request for each in (await tail(log)).commits] == [1, 2, 3, 5, 6]

    with_log(backend.open(), scenario)


def test_deleting_and_moving_in_an_index_conflict_with_readers_of_the_old_place(backend):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, put("a", 1)))
        begin = first.position.ts
        moved = await commit(log, ask(2, put("a", 7, (begin, 1))), on=first.position)
        old_place, new_place = keys_of("a", 1)[1], keys_of("a", 7)[1]
        for number, key in ((4, old_place), (5, new_place)):
            read = replace(ask(number, begin=begin), read_ranges=(KeyRange.point(key),))
            reply = await commit(log, read, on=moved.position)
            assert reply.results == (Conflict(moved.position.ts, key),)
        gone = await commit(log, ask(6, put("a", None, (moved.position.ts, 7))), on=moved.position)
        reply = await commit(log, ask(7, begin=moved.position.ts, reads=("a",)), on=gone.position)
        assert reply.results == (Conflict(gone.position.ts, b"Ia"),)

    with_log(backend.open(), scenario)


def test_items_of_one_batch_conflict_with_each_other(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(
            log,
            ask(1, put("a", 1), reads=("a",)),
            ask(2, put("a", 2), reads=("a",)),
            ask(3, put("b", 2), reads=("b",)),
        )
        first, second, third = reply.results
        assert second == Conflict(stamp(first), b"Ia")
        assert isinstance(third, Committed)

    with_log(backend.open(), scenario)


def test_a_validated_failure_is_recorded_and_changes_nothing(backend):
    async def scenario(log: Log) -> None:
        zeroth = await commit(log, ask(0))
        first = await commit(log, ask(1, put("a", 1)), on=zeroth.position)
        reply = await commit(log, ask(2, failed=True, reads=("a",)), on=first.position)
        assert reply.results == (Recorded(first.position.ts),)
        assert reply.position == first.position
        known = await log.outcome("session", 2)
        assert known == Duplicate(first.position.ts, "", ask(2).outcome, failed=True)
        stale = await commit(log, ask(3, failed=True, reads=("a",)), on=zeroth.position)
        assert stale.results == (Conflict(first.position.ts, b"Ia"),)
        assert await log.outcome("session", 3) is None

    with_log(backend.open(), scenario)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_request_takes_effect_once_and_reports_its_first_outcome(backend, exclusive):
    async def scenario(log: Log) -> None:
        now = time.time_ns()
        first = await commit(log, ask(1, put("a", 1), ts=now), exclusive=exclusive)
        again = await commit(
            log,
            ask(1, put("a", 5), nonce=77, ts=now + 50, reads=("a",)),
            on=first.position,
            exclusive=exclusive,
        )
        ts = stamp(first.results[0])
        assert again.results == (Duplicate(ts, "", ask(1).outcome, failed=False),)
        assert again.position == first.position
        assert len((await tail(log)).commits) == 1
        assert await log.outcome("session", 1) == again.results[0]
        assert await log.outcome("session", 2) is None
        assert await log.outcome("other", 1) is None

    with_log(backend.open(), scenario)


@pytest.mark.parametrize("exclusive", [False, True])
def test_an_outcome_is_refused_to_another_identity(backend, exclusive):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, identity="ada"))
        now = time.time_ns()
        for number, identity in enumerate(("", "eve", "ada")):
            reply = await commit(
                log,
                ask(1, identity=identity, nonce=5 + number, ts=now + number),
                on=first.position,
                exclusive=exclusive,
            )
            expected = Duplicate if identity == "ada" else Refused
            assert isinstance(reply.results[0], expected)
        assert reply.position == first.position

    with_log(backend.open(), scenario)


@pytest.mark.parametrize("exclusive", [False, True])
def test_one_request_twice_in_a_batch_is_a_duplicate(backend, exclusive):
    async def scenario(log: Log) -> None:
        now = time.time_ns()
        items = [
            ask(1, put("a", 1), ts=now, identity="ada"),
            ask(1, put("a", 2), ts=now + 1, nonce=5, identity="ada"),
            ask(2, ts=now + 2),
        ]
        reply = await commit(log, *items, exclusive=exclusive)
        duplicate = Duplicate(now, "ada", ask(1).outcome, failed=False)
        assert reply.results[:2] == (Committed(now, 1_000_001), duplicate)
        assert len(reply.results) == (2 if exclusive else 3)
        foreign = [ask(3, identity="ada", ts=now + 5), ask(3, identity="eve", ts=now + 6)]
        reply = await commit(log, *foreign, on=reply.position, exclusive=exclusive)
        assert reply.results[1] == Refused(REFUSED_IDENTITY)

    with_log(backend.open(), scenario)


def test_an_exclusive_batch_is_stored_as_proposed_in_order(backend):
    async def scenario(log: Log) -> None:
        now = time.time_ns()
        reply = await commit(
            log,
            ask(1, put("a", 1), ts=now, reads=("a",)),
            ask(2, failed=True, ts=now),
            ask(3, put("a", 2, (now, 1)), begin=now, reads=("a",), ts=now + 1),
            exclusive=True,
        )
        assert reply.results == (
            Committed(now, 1_000_001),
            Recorded(now),
            Committed(now + 1, 1_000_003),
        )
        assert reply.position == Position(now + 1, 1_000_003)
        chain = [(each.previous_ts, each.ts) for each in (await tail(log)).commits]
        assert chain == [(0, now), (now, now + 1)]
        assert (await commit(log, on=reply.position, exclusive=True)).results == ()

    with_log(backend.open(), scenario)


def test_an_exclusive_batch_ends_before_an_item_that_was_settled_before(backend):
    async def scenario(log: Log) -> None:
        known = await commit(log, ask(2, put("x", 1)))
        now = time.time_ns()
        reply = await commit(
            log,
            ask(1, put("a", 1), ts=now),
            ask(2, put("a", 2, (now, 1)), ts=now + 1),
            ask(3, put("a", 3, (now + 1, 2)), ts=now + 2),
            on=known.position,
            exclusive=True,
        )
        duplicate = Duplicate(known.position.ts, "", ask(2).outcome, failed=False)
        assert reply.results == (Committed(now, 1_000_001), duplicate)
        assert reply.position == Position(now, 1_000_001)
        assert await log.outcome("session", 3) is None
        assert [each.request for each in (await tail(log)).commits] == [2, 1]

    with_log(backend.open(), scenario)


def test_an_exclusive_batch_is_not_appended_when_the_head_has_moved(backend):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, put("a", 1)))
        second = await commit(log, ask(2, put("b", 1)), on=first.position)
        reply = await log.append(
            [ask(3, put("c", 1), ts=time.time_ns())], standing_on=first.position, exclusive=True
        )
        assert isinstance(reply, HeadMoved)
        assert reply.position == second.position
        assert reply.missing == (await tail(log, first.position)).commits
        assert [each.request for each in reply.missing] == [2]
        assert await log.outcome("session", 3) is None

    with_log(backend.open(), scenario)


def test_an_exclusive_batch_whose_stamps_do_not_rise_is_not_appended(backend):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, put("a", 1)))
        now = time.time_ns()
        for stamps in ((first.position.ts, now), (now, now), (now, now + 60 * SECOND_NS)):
            items = [ask(10 + at, ts=ts) for at, ts in enumerate(stamps)]
            reply = await log.append(items, standing_on=first.position, exclusive=True)
            assert reply == HeadMoved(first.position, ())

    with_log(backend.open(), scenario)


def test_whoever_stands_on_a_commit_that_a_crash_took_back_is_reset(backend):
    async def scenario(log: Log) -> None:
        kept = await commit(log, ask(1, put("a", 1)))
        lost = await commit(log, ask(2, put("a", 2, (kept.position.ts, 1))), on=kept.position)
        backend.lose_after(kept.position.ts)
        for exclusive in (False, True):
            item = ask(3, ts=time.time_ns())
            reply = await log.append([item], standing_on=lost.position, exclusive=exclusive)
            assert reply == Reset()
        assert await log.tail(lost.position, bytes_max=1000) == Reset()
        assert await log.outcome("session", 2) is None
        assert (await tail(log)).head == kept.position
        again = await commit(log, ask(2, put("a", 2, (kept.position.ts, 1))), on=kept.position)
        assert isinstance(again.results[0], Committed)

    with_log(backend.open(), scenario)


def test_the_same_ts_under_another_nonce_is_another_commit(backend):
    async def scenario(log: Log) -> None:
        now = time.time_ns()
        await commit(log, ask(1, ts=now))
        backend.lose_after(0)
        other = await commit(log, ask(2, ts=now, nonce=99))
        assert other.position == Position(now, 99)
        assert await log.tail(Position(now, 1_000_001), bytes_max=1000) == Reset()
        reply = await log.append([], standing_on=Position(now, 1_000_001), exclusive=False)
        assert reply == Reset()
        assert await log.tail(Position(0, 5), bytes_max=1000) == Reset()

    with_log(backend.open(), scenario)


def test_a_run_that_began_below_the_horizon_is_too_old(backend):
    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1, put("a", 1), ts=time.time_ns() - 60 * SECOND_NS))
        idle = await commit(log, ask(2, begin=first.position.ts, reads=("a",)), on=first.position)
        assert isinstance(idle.results[0], Committed)
        floor = idle.position.ts - 10 * SECOND_NS
        old = await commit(
            log, ask(3, begin=first.position.ts), ask(4, begin=floor), on=idle.position
        )
        assert old.results[0] == TooOld(floor)
        assert isinstance(old.results[1], Committed)

    with_log(backend.open(horizon_ns=10 * SECOND_NS), scenario)


def test_append_asks_to_slow_down_while_a_view_lags(backend):
    async def scenario(log: Log) -> None:
        past = time.time_ns() - 100 * SECOND_NS
        first = await commit(log, ask(1, ts=past))
        second = await commit(log, ask(2, ts=past + SECOND_NS), on=first.position)
        await log.report_applied("documents", first.position.ts)
        third = await commit(log, ask(3, ts=past + 20 * SECOND_NS), on=second.position)
        for exclusive in (False, True):
            item = ask(4, ts=past + 21 * SECOND_NS)
            reply = await log.append([item], standing_on=third.position, exclusive=exclusive)
            assert reply == SlowDown()
        await log.report_applied("documents", second.position.ts)
        reply = await commit(log, ask(4), on=third.position)
        assert isinstance(reply.results[0], Committed)

    with_log(backend.open(lag_ns_max=10 * SECOND_NS), scenario)


def test_the_tail_comes_in_pages_of_whole_commits(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, *[ask(n, put(f"d{n}", n), put(f"e{n}", n)) for n in range(20)])
        found = []
        position, pages = START, 0
        while True:
            page = await tail(log, position, bytes_max=2000)
            assert page.head == reply.position
            assert page.commits
            pages += 1
            found.extend(page.commits)
            position = Position(found[-1].ts, found[-1].nonce)
            if position == page.head:
                break
        assert [each.request for each in found] == list(range(20))
        assert 3 < pages < 12
        assert (await tail(log, position)).commits == ()
        assert len((await tail(log, START, bytes_max=1)).commits) == 1

    with_log(backend.open(), scenario)


def test_a_commit_without_changes_is_a_commit(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, ask(1), ask(2, put("a", 1)), ask(3))
        found = (await tail(log)).commits
        assert [len(each.changes) for each in found] == [0, 1, 0]
        assert [each.call for each in found] == [ask(n).call for n in (1, 2, 3)]
        assert found[-1].ts == reply.position.ts

    with_log(backend.open(), scenario)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_commit_of_five_megabytes_comes_back_as_it_was(backend, exclusive):
    async def scenario(log: Log) -> None:
        big = tuple(
            replace(put(f"d{n}", n), after=b'{"text":"%s"}' % (b"x\\u00e9" * 7300))
            for n in range(100)
        )
        now = time.time_ns()
        items = [ask(1, *big, put("gone", None, (5, 1)), ts=now), ask(2, put("s", 1), ts=now + 1)]
        reply = await commit(log, *items, exclusive=exclusive)
        first, second = (await tail(log, bytes_max=2**24)).commits
        assert first.changes == items[0].changes
        assert second.changes == items[1].changes
        assert reply.position.ts == second.ts
        moved = await log.append([], standing_on=START, exclusive=True)
        assert isinstance(moved, HeadMoved)
        assert moved.missing == (), "too large for the reply: the tail has it"

    with_log(backend.open(), scenario)


def test_snapshot_and_tail_together_are_the_state(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, ask(1, put("a", 1), put("b", 1), put("c", 1)))
        one = reply.position.ts
        reply = await commit(log, ask(2, put("a", 2, (one, 1))), on=reply.position)
        two = reply.position.ts
        third = await commit(log, ask(3, put("b", None, (one, 1))), on=reply.position)
        fourth = await commit(log, ask(4, put("a", None, (two, 2)), put("d", 4)), on=third.position)
        assert await all_documents(log) == (0, {})
        assert await log.fold(0, commits_max=10) == START
        assert (await log.fold(fourth.position.ts, commits_max=2)).ts == two
        assert await log.fold(third.position.ts, commits_max=10) == third.position
        folded, documents = await all_documents(log)
        assert folded == third.position.ts
        assert set(documents) == {"a", "c"}
        found = documents["a"]
        assert (found.ts, found.document, found.keys) == (two, text_of("a", 2), keys_of("a", 2))
        assert found.table == 10_001
        (rest,) = (await tail(log, third.position)).commits
        assert rest.changes == (put("a", None, (two, 2)), put("d", 4))
        assert await log.fold(fourth.position.ts, commits_max=10) == fourth.position
        assert set((await all_documents(log))[1]) == {"c", "d"}
        assert await log.fold(2**62, commits_max=10) == fourth.position

    with_log(backend.open(), scenario)


def test_pruning_forgets_what_is_folded_and_refuses_what_it_forgot(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, *[ask(n, put(f"d{n}", n)) for n in range(1, 7)])
        stamps = [stamp(result) for result in reply.results]
        assert await log.prune(keep_after=2**62, records_before=0) == 0
        await log.fold(stamps[3], commits_max=100)
        assert await log.prune(keep_after=stamps[1], records_before=0) == 2
        assert await log.prune(keep_after=2**62, records_before=0) == 1
        assert await log.prune(keep_after=2**62, records_before=0) == 0
        assert await log.tail(START, bytes_max=1000) == Reset()
        assert await log.tail(Position(stamps[2], 1_000_003), bytes_max=1000) == Reset()
        folded = Position(stamps[3], 1_000_004)
        assert [each.request for each in (await tail(log, folded)).commits] == [5, 6]
        old = await commit(log, ask(8, begin=stamps[1]), ask(9, begin=stamps[2]), on=reply.position)
        assert old.results[0] == TooOld(stamps[2])
        assert isinstance(old.results[1], Committed)
        assert len((await all_documents(log))[1]) == 4

    with_log(backend.open(), scenario)


def test_nothing_is_pruned_that_a_view_has_not_applied(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, *[ask(n, put(f"d{n}", n)) for n in range(1, 5)])
        stamps = [stamp(result) for result in reply.results]
        await log.fold(stamps[3], commits_max=100)
        await log.report_applied("documents", stamps[1])
        await log.report_applied("documents", stamps[0])
        assert await log.prune(keep_after=2**62, records_before=0) == 1
        applied = Position(stamps[1], 1_000_002)
        assert [each.request for each in (await tail(log, applied)).commits] == [3, 4]

    with_log(backend.open(), scenario)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_request_whose_record_was_pruned_is_refused(backend, exclusive):
    async def scenario(log: Log) -> None:
        reply = await commit(log, ask(4), ask(7), ask(1, session="other"))
        assert await log.prune(keep_after=0, records_before=2**62) == 3
        assert await log.outcome("session", 7) is None
        now = time.time_ns() + SECOND_NS // 10
        for number, session in ((4, "session"), (5, "session"), (7, "session"), (1, "other")):
            item = ask(number, session=session, ts=now)
            again = await commit(log, item, on=reply.position, exclusive=exclusive)
            assert again.results == (Refused(REFUSED_PRUNED),)
        fresh = await commit(
            log,
            ask(8, ts=now),
            ask(2, session="other", ts=now + 1),
            ask(0, session="third", ts=now + 2),
            on=reply.position,
            exclusive=exclusive,
        )
        assert all(isinstance(result, Committed) for result in fresh.results)

    with_log(backend.open(), scenario)


def test_index_keys_are_added_to_the_named_version_once(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, ask(1, put("a", 1), put("b", 1)))
        one = reply.position.ts
        reply = await commit(log, ask(2, put("b", 2, (one, 1))), on=reply.position)
        two = reply.position.ts
        await log.fold(one, commits_max=10)
        additions = [("a", one, b"N1a"), ("b", two, b"N2b"), ("b", two, b"M2b"), ("c", one, b"Nc")]
        for _ in range(2):
            await log.add_index_keys(additions)
            await log.add_index_keys([])
        documents = (await all_documents(log))[1]
        assert documents["a"].keys == (*keys_of("a", 1), b"N1a")
        assert documents["b"].keys == keys_of("b", 1), "that version is not the one named"
        first, second = (await tail(log)).commits
        assert first.changes[0].keys_after == (*keys_of("a", 1), b"N1a")
        assert first.changes[1].keys_after == keys_of("b", 1)
        assert set(second.changes[0].keys_after) == {*keys_of("b", 2), b"N2b", b"M2b"}
        assert len(second.changes[0].keys_after) == 4
        await log.fold(two, commits_max=10)
        documents = (await all_documents(log))[1]
        assert set(documents["b"].keys) == {*keys_of("b", 2), b"N2b", b"M2b"}

    with_log(backend.open(), scenario)


def test_a_write_skew_is_never_let_through(backend):
    """Pairs of runs read both documents of a pair and each writes the other one."""

    async def one(log: Log, pair: int, side: int, begin: int, standing: Position) -> bool:
        item = ask(
            pair * 2 + side,
            put(f"{pair}-{side}", 1),
            begin=begin,
            reads=(f"{pair}-{1 - side}",),
            session="skew",
        )
        reply = await commit(log, item, on=standing)
        return isinstance(reply.results[0], Committed)

    async def scenario(log: Log) -> None:
        first = await commit(log, ask(1))
        others = [backend.open() for _ in range(7)]
        logs = [log, *others]
        try:
            for wave in range(10):
                pairs = range(wave * 8, wave * 8 + 8)
                sides = [(pair, side) for pair in pairs for side in (0, 1)]
                won = await asyncio.gather(
                    *(
                        one(logs[at % 8], pair, side, first.position.ts, first.position)
                        for at, (pair, side) in enumerate(sides)
                    )
                )
                for pair in range(8):
                    assert won[2 * pair] + won[2 * pair + 1] == 1
        finally:
            for other in others:
                await other.close()

    with_log(backend.open(), scenario)


def test_two_processes_that_add_to_one_number_lose_nothing(backend):
    async def add(log: Log, session: str, times: int) -> None:
        position, value = START, (0, 0)
        for number in range(times):
            while True:
                change = put("n", value[1] + 1, value if value[0] else None)
                item = ask(
                    number,
                    change,
                    begin=position.ts,
                    reads=("n",),
                    session=session,
                    nonce=number + 1,
                )
                reply = await commit(log, item, on=position)
                for newer in reply.missing:
                    position = Position(newer.ts, newer.nonce)
                    value = (newer.ts, int(newer.changes[0].keys_after[1][1:4]))
                assert position == reply.base
                if isinstance(reply.results[0], Committed):
                    position, value = reply.position, (reply.position.ts, value[1] + 1)
                    break

    async def scenario(log: Log) -> None:
        other = backend.open()
        try:
            await asyncio.gather(add(log, "left", 30), add(other, "right", 30))
        finally:
            await other.close()
        commits = (await tail(log)).commits
        assert [each.changes[0].keys_after[1] for each in commits] == [
            keys_of("n", value)[1] for value in range(1, 61)
        ]
        assert [each.previous_ts for each in commits[1:]] == [each.ts for each in commits[:-1]]

    with_log(backend.open(), scenario)

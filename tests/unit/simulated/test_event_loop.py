"""The seeded event loop: repeatable interleavings, virtual time, crashes, runs that can't end."""

import asyncio
import gc
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from syncline.simulated.event_loop import (
    Process,
    SeededLoop,
    StuckError,
    UnhandledError,
    current_process,
    run,
)

SEEDS = range(20)
PROJECT = Path(__file__).resolve().parents[3]


async def racing() -> list[str]:
    """Three workers that take turns; the order tells which interleaving it was."""
    order: list[str] = []

    async def worker(name: str) -> None:
        for _ in range(4):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(worker(name) for name in "abc"))
    return order


def traced(seed: int) -> tuple[list[str], str]:
    loop = SeededLoop(Random(seed))
    order = loop.run_until_complete(racing())
    loop.close()
    return order, loop.trace


def test_a_seed_gives_the_same_order_and_the_same_trace_every_time():
    assert [traced(seed) for seed in SEEDS] == [traced(seed) for seed in SEEDS]


def test_a_seed_gives_the_same_trace_in_another_interpreter():
    script = (
        "from tests.unit.simulated.test_event_loop import traced, SEEDS\n"
        "print(*(traced(seed)[1] for seed in SEEDS))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.split() == [traced(seed)[1] for seed in SEEDS], answer.stderr


def test_seeds_give_different_interleavings():
    orders = {tuple(traced(seed)[0]) for seed in SEEDS}
    assert len(orders) > len(SEEDS) // 2
    assert len({traced(seed)[1] for seed in SEEDS}) == len(SEEDS)


def test_a_race_is_lost_with_some_seeds_and_won_with_others():
    async def read_then_write() -> int:
        value = 0

        async def increment() -> None:
            nonlocal value
            read = value
            await asyncio.sleep(0)
            value = read + 1

        await asyncio.gather(increment(), increment())
        return value

    assert {run(read_then_write(), seed) for seed in SEEDS} == {1, 2}


def test_sleeping_costs_virtual_time_only_and_wakes_in_order_of_time():
    async def main() -> tuple[list[int], float]:
        woken: list[int] = []

        async def sleeper(days: int) -> None:
            await asyncio.sleep(days * 86_400)
            woken.append(days)

        await asyncio.gather(*(sleeper(days) for days in (3, 1, 2)))
        return woken, asyncio.get_running_loop().time()

    woken, seconds = run(main(), 1)
    assert woken == [1, 2, 3]
    assert 3 * 86_400 < seconds < 3 * 86_400 + 1


def test_timers_fire_although_others_never_stop_working():
    async def main() -> None:
        async def poll() -> None:
            while True:  # noqa: ASYNC110 - polling is what is tested
                await asyncio.sleep(0)

        task = asyncio.create_task(poll())
        await asyncio.sleep(0.01)
        task.cancel()

    run(main(), 1)


def test_a_timeout_cancels_what_takes_longer():
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(2)

    run(main(), 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_callbacks_keep_the_order_that_asyncio_promises(seed: int):
    async def main() -> list[int]:
        called: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(5):
            loop.call_soon(called.append, number)
        for number in range(5, 10):
            loop.call_later(number, called.append, number)
        await asyncio.sleep(20)
        return called

    assert run(main(), seed) == list(range(10))


def test_cancelled_callbacks_and_timers_never_run():
    async def main() -> list[int]:
        called: list[int] = []
        loop = asyncio.get_running_loop()
        loop.call_soon(called.append, 1).cancel()
        loop.call_later(1, called.append, 2).cancel()
        await asyncio.sleep(2)
        return called

    assert run(main(), 1) == []


def test_a_deadlock_is_reported_with_the_waiting_tasks_and_their_places():
    async def holder(lock: asyncio.Lock, other: asyncio.Lock) -> None:
        async with lock:
            await asyncio.sleep(1)
            async with other:
                pass

    async def main() -> None:
        left, right = asyncio.Lock(), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            group.create_task(holder(left, right), name="left first")
            group.create_task(holder(right, left), name="right first")

    with pytest.raises(StuckError, match="Deadlock") as caught:
        run(main(), 1)
    main_task, left, right = caught.value.waiting
    assert "main" in main_task
    assert left.startswith("world: left first at locks.py:")
    assert right.startswith("world: right first at locks.py:")


def test_a_livelock_is_reported_after_the_bound_of_steps():
    async def main() -> None:
        while True:  # noqa: ASYNC110 - polling is what is tested
            await asyncio.sleep(0)

    loop = SeededLoop(Random(1), steps_max=1000)
    with pytest.raises(StuckError, match="No end after 1000 steps"):
        loop.run_until_complete(main())
    assert loop.recent
    loop.close()


async def failing() -> None:
    raise ValueError("nobody looks")


def test_a_failure_that_nobody_looks_at_fails_the_run():
    async def main(tasks: list[asyncio.Task[None]]) -> None:
        tasks.append(asyncio.create_task(failing()))
        await asyncio.sleep(1)

    with pytest.raises(UnhandledError, match="nobody looked") as caught:
        run(main([]), 1)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_deadlock_after_a_failure_reports_the_failure():
    async def main() -> None:
        task = asyncio.create_task(failing())
        await asyncio.Event().wait()
        await task

    with pytest.raises(UnhandledError) as caught:
        run(main(), 1)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failure_that_somebody_handles_is_no_failure_of_the_run():
    async def main() -> str:
        task = asyncio.create_task(failing())
        with pytest.raises(ValueError, match="nobody looks"):
            await task
        return "done"

    assert run(main(), 1) == "done"


def test_a_failing_callback_fails_the_run():
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "no number")
        await asyncio.sleep(1)

    with pytest.raises(UnhandledError) as caught:
        run(main(), 1)
    assert isinstance(caught.value.__cause__, ValueError)


# Crashes


def test_a_crashed_process_runs_neither_another_step_nor_its_finally_blocks():
    loop = SeededLoop(Random(1))
    process = Process("victim")
    said: list[str] = []

    async def victim() -> None:
        try:
            loop.call_later(2, said.append, "timer")
            said.append("started")
            await asyncio.sleep(2)
            said.append("went on")
        finally:
            said.append("cleaned up")
            await asyncio.sleep(1)

    async def main() -> None:
        loop.spawn(process, victim())
        await asyncio.sleep(1)
        loop.crash(process)
        gc.collect()
        await asyncio.sleep(5)

    loop.run_until_complete(main())
    assert said == ["started"]
    loop.close()


def test_tasks_and_callbacks_belong_to_the_process_that_made_them():
    loop = SeededLoop(Random(1))
    seen: list[str] = []

    async def child() -> None:
        await asyncio.sleep(0)
        seen.append(current_process().name)

    async def parent() -> None:
        await asyncio.create_task(child())
        asyncio.get_running_loop().call_soon(lambda: seen.append(current_process().name))
        await asyncio.sleep(1)

    async def main() -> None:
        await asyncio.gather(*(loop.spawn(Process(name), parent()) for name in ("p", "q")))

    loop.run_until_complete(main())
    assert sorted(seen) == ["p", "p", "q", "q"]
    loop.close()


def test_a_crash_leaves_other_processes_alone_and_hides_the_dead_from_the_report():
    loop = SeededLoop(Random(1))
    alive, dead = Process("alive"), Process("dead")

    async def main() -> None:
        for process in (alive, dead):
            loop.spawn(process, asyncio.Event().wait(), name=f"waiter of {process.name}")
        await asyncio.sleep(1)
        loop.crash(dead)
        await asyncio.Event().wait()

    with pytest.raises(StuckError) as caught:
        loop.run_until_complete(main())
    text = str(caught.value)
    assert "waiter of alive" in text
    assert "waiter of dead" not in text
    loop.close()


def test_what_a_dead_process_failed_at_is_forgotten_with_it():
    loop = SeededLoop(Random(1))
    process = Process("victim")

    async def main() -> None:
        loop.spawn(process, failing())
        await asyncio.sleep(1)
        loop.crash(process)

    loop.run_until_complete(main())
    loop.close()


def test_a_message_on_its_way_survives_its_sender():
    loop = SeededLoop(Random(1))
    sender, receiver = Process("sender"), Process("receiver")
    heard: list[str] = []

    async def send() -> None:
        loop.call_later(1, heard.append, "hello", context=loop.context_of(receiver))
        await asyncio.Event().wait()

    async def main() -> None:
        loop.spawn(sender, send())
        await asyncio.sleep(0.5)
        loop.crash(sender)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert heard == ["hello"]
    loop.close()


def test_the_end_of_the_world_takes_unfinished_generators_and_tasks_along():
    async def numbers():
        for number in range(10):
            yield number
            await asyncio.sleep(0)

    async def reader(forever: asyncio.Event) -> None:
        async for _ in numbers():
            await forever.wait()

    async def main() -> None:
        asyncio.create_task(reader(asyncio.Event()))  # noqa: RUF006 - dropped on purpose
        await asyncio.sleep(1)

    run(main(), 1)
    gc.collect()


def test_an_abandoned_generator_is_closed_within_the_run():
    closed: list[bool] = []

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    run(main(), 1)
    assert closed == [True]


def test_garbage_is_collected_again_after_a_run():
    run(asyncio.sleep(0), 1)
    assert gc.isenabled()

"""A simulated world: faults as planned, nodes that come back, lines that break what they may."""

import asyncio

import pytest

from syncline.simulated.channel import HINTS, QUEUE, STREAM, Channel, Line
from syncline.simulated.event_loop import StuckError, UnhandledError
from syncline.simulated.world import (
    CRASH,
    DELAY,
    DUPLICATE,
    EPOCH_NS,
    LOSE,
    REORDER,
    FaultPlan,
    VirtualClock,
    World,
    unhit,
)

FAULTY = FaultPlan({CRASH: 0.1, DELAY: 0.2, DUPLICATE: 0.3, REORDER: 0.3, LOSE: 0.3})


def crowd(seed: int, plan: FaultPlan = FAULTY) -> tuple[World, list[str]]:
    """Nodes that pass pauses and crash there, until a minute is over."""
    world = World(seed, plan)
    passed: list[str] = []

    def boot(name: str):
        async def work() -> None:
            for step in range(10):
                await world.pause(f"step {step}")
                passed.append(f"{name}{step}")

        return work

    async def main() -> None:
        for name in "ab":
            world.start(name, boot(name))
        await asyncio.sleep(60)

    with world:
        world.run(main())
    return world, passed


@pytest.mark.parametrize("seed", range(10))
def test_a_world_is_the_same_every_time(seed: int):
    once, again = crowd(seed), crowd(seed)
    assert once[1] == again[1]
    assert once[0].loop.trace == again[0].loop.trace
    assert once[0].probes == again[0].probes
    assert once[0].entropy.bits(64) == again[0].entropy.bits(64)


def test_worlds_of_other_seeds_differ_in_schedule_faults_and_entropy():
    worlds = [crowd(seed)[0] for seed in range(5)]
    assert len({world.loop.trace for world in worlds}) == 5
    assert len({str(sorted(world.probes.items())) for world in worlds}) == 5
    assert len({world.entropy.bits(64) for world in worlds}) == 5


def test_streams_of_one_seed_are_apart_and_repeatable():
    world = World(1)
    assert world.random("a").random() == world.random("a").random()
    assert world.random("a").random() != world.random("b").random()


def test_nothing_goes_wrong_without_a_plan():
    world, passed = crowd(1, FaultPlan())
    assert sorted(passed) == sorted(f"{name}{step}" for name in "ab" for step in range(10))
    assert all(name.startswith("pause at ") for name in world.probes)


def test_a_node_that_crashes_at_a_pause_stops_there_and_boots_again_later():
    world = World(1, FaultPlan({"crash at step": 1.0}))
    crashed = asyncio.Event()
    events: list[str] = []

    async def boot() -> None:
        events.append("boot")
        try:
            await world.pause("step")
            events.append("passed")
        finally:
            events.append("cleaned up")

    async def main() -> None:
        node = world.start("node", boot)

        def crash() -> None:
            events.append("crash")
            crashed.set()

        node.on_crash = crash
        await crashed.wait()
        world.is_calm = True
        await asyncio.sleep(10)

    with world:
        world.run(main())
        assert events == ["boot", "crash", "boot", "passed", "cleaned up"]
        assert world.probes["crash at step"] == 1


def test_a_node_that_cannot_boot_ends_the_run_at_once():
    async def boot() -> None:
        raise ValueError("no disk")

    async def main(world: World) -> None:
        world.start("node", boot)
        await asyncio.sleep(1000)

    with World(1) as world:
        with pytest.raises(UnhandledError) as caught:
            world.run(main(world))
        assert str(caught.value.__cause__) == "no disk"
        assert world.loop.now_ns < 10**9


def test_only_nodes_crash_at_pauses():
    world = World(1, FaultPlan({CRASH: 1.0}))
    with world:
        world.run(world.pause("in nobody's process"))
    assert world.probes == {"pause at in nobody's process": 1}


def test_a_specific_probability_wins_over_the_general_one():
    plan = FaultPlan({CRASH: 1.0, "crash at here": 0.0})
    assert plan.probability(CRASH, "here") == 0.0
    assert plan.probability(CRASH, "there") == 1.0
    assert plan.probability(LOSE, "here") == 0.0


def test_clocks_run_on_virtual_time_with_their_skew():
    world = World(1)
    skewed = VirtualClock(world.loop, skew_ns=-5)

    async def main() -> tuple[int, int]:
        await asyncio.sleep(1)
        return world.clock.now_ns(), skewed.now_ns()

    with world:
        true, seen = world.run(main())
    assert true - seen == 5
    assert EPOCH_NS + 10**9 <= true < EPOCH_NS + 2 * 10**9


def test_a_campaign_names_the_probes_that_no_world_has_hit():
    worlds = [crowd(seed)[0].probes for seed in range(5)]
    required = ["pause at step 0", "crash at step 0", "lose at nowhere"]
    assert unhit(worlds, required) == ["lose at nowhere"]


def test_a_stuck_world_can_be_bounded():
    with World(1, steps_max=100) as world, pytest.raises(StuckError):
        world.run(asyncio.Event().wait())


# Lines


def carried(line: Line, seed: int, plan: FaultPlan = FAULTY, count: int = 40) -> list[int]:
    world = World(seed, plan)
    heard: list[int] = []

    async def main() -> None:
        channel = Channel(world, "line", line, to=world.loop.root, receive=heard.append)
        for number in range(count):
            channel.send(number)
            await asyncio.sleep(0.001)
        await asyncio.sleep(600)

    with world:
        world.run(main())
    return heard


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_carries_everything_once_and_in_order(seed: int):
    assert carried(STREAM, seed) == list(range(40))


@pytest.mark.parametrize("seed", range(10))
def test_a_queue_doubles_and_neither_loses_nor_reorders(seed: int):
    heard = carried(QUEUE, seed)
    assert sorted(set(heard)) == list(range(40))
    assert heard == sorted(heard)
    assert len(heard) > 40


@pytest.mark.parametrize("seed", range(10))
def test_hints_are_lost_doubled_and_overtaken(seed: int):
    heard = carried(HINTS, seed)
    assert len(set(heard)) < 40
    assert len(heard) > len(set(heard))
    assert heard != sorted(heard)


@pytest.mark.parametrize("line", [STREAM, QUEUE, HINTS])
def test_every_line_is_faithful_without_faults(line: Line):
    assert carried(line, 1, FaultPlan()) == list(range(40))


def test_a_cut_line_loses_what_is_on_its_way():
    world = World(1)
    heard: list[int] = []

    async def main() -> None:
        channel = Channel(world, "line", STREAM, to=world.loop.root, receive=heard.append)
        channel.send(1)
        await asyncio.sleep(1)
        channel.send(2)
        channel.cut()
        channel.send(3)
        await asyncio.sleep(1)

    with world:
        world.run(main())
    assert heard == [1]


def test_nothing_is_delivered_to_a_crashed_process():
    world = World(1)
    heard: list[int] = []

    async def main() -> None:
        node = world.start("node", asyncio.Event().wait)
        channel = Channel(world, "line", STREAM, to=node.process, receive=heard.append)
        channel.send(1)
        await asyncio.sleep(1)
        channel.send(2)
        node.crash()
        await asyncio.sleep(1)

    with world:
        world.run(main())
    assert heard == [1]

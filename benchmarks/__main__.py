"""`make bench`: every number of docs/performance.md, measured in one run, as ratios.

Server, Postgres and clients are separate processes on loopback; each part is bounded in count and
time. `python -m benchmarks mutations fanout` runs some parts only.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from psycopg.conninfo import conninfo_to_dict

from benchmarks.dev_process import DevProcess, free_port
from benchmarks.protocol_client import ProtocolClient
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local.postgres_binaries import pgbench_path

SECONDS = 4.0
ROUNDS = 3
BODY = "x" * 100
CLIENTS = (1, 16, 64)
SUBSCRIBERS = (1, 100, 1000)
REQUIRED = {1: 0.2, 16: 0.12, 64: 0.15}


def percentile(values: list[float], share: float) -> float:
    """A percentile in milliseconds of values in seconds."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def pgbench(data: Path, clients: int) -> float:
    """Single-row inserts a second into the very Postgres that the server uses."""
    info = conninfo_to_dict(EmbeddedPostgres(data).conninfo)
    script = data / "insert.sql"
    script.write_text("insert into bench_floor(author, body) values ('ada', repeat('x', 100));\n")
    host, user, database = str(info["host"]), str(info["user"]), str(info.get("dbname", "postgres"))
    base = [str(pgbench_path()), "-h", host, "-U", user]
    # The row and an index beside its key, as in the floor that the peers were measured against.
    create = (
        "create table if not exists bench_floor(id bigserial primary key, author text, body text);"
        "create index if not exists bench_floor_by_author on bench_floor(author, id)"
    )
    import psycopg

    with psycopg.connect(EmbeddedPostgres(data).conninfo, autocommit=True) as connection:
        connection.execute(create)
    run = subprocess.run(
        [
            *base,
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            "2",
            "-T",
            "3",
            "-f",
            str(script),
            database,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"tps = ([0-9.]+)", run.stdout)
    assert match, run.stdout
    return float(match[1])


async def mutations(server: DevProcess) -> None:
    """Durable mutations a second; each client waits for response and Transition."""
    print("\n## Durable mutations (insert of one document)\n")
    print(
        "| clients | mutations/s | p50 ms | p99 ms | pgbench inserts/s | ratio | required |"
        " CPU ms/mutation (server, executors, Postgres) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for count in CLIENTS:
        floors = [await asyncio.to_thread(pgbench, server.data, count)]
        rounds: list[tuple[float, float, float]] = []
        times: list[float] = []
        for _ in range(ROUNDS):
            rate, round_times, cpu = await _mutation_load(server, count)
            floors.append(await asyncio.to_thread(pgbench, server.data, count))
            # Beside what the same Postgres did directly before and directly after.
            rounds.append((rate / statistics.mean(floors[-2:]), rate, cpu))
            times += round_times
        ratio, rate, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"| {count} | {rate:.0f} | {percentile(times, 0.5):.2f} | {percentile(times, 0.99):.2f}"
            f" | {statistics.median(floors):.0f} | {ratio:.3f} | {REQUIRED[count]}"
            f" | {cpu * 1000:.2f} |"
        )


async def _mutation_load(server: DevProcess, count: int) -> tuple[float, list[float], float]:
    clients = [await ProtocolClient.connect(server.sync_url) for _ in range(count)]
    times: list[float] = []

    async def load(client: ProtocolClient, until: float) -> None:
        while (began := time.perf_counter()) < until:
            await client.mutate("load:insert", {"author": "ada", "body": BODY})
            times.append(time.perf_counter() - began)

    await asyncio.gather(*[load(c, time.perf_counter() + 1) for c in clients])
    times.clear()
    cpu, began = server.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*[load(c, began + SECONDS) for c in clients])
    elapsed = time.perf_counter() - began
    cpu = server.cpu_seconds() - cpu
    for client in clients:
        client.close()
    return len(times) / elapsed, times, cpu / len(times)


class _Receiver(WSListener):
    def __init__(self, on_frame: Callable[[], None]) -> None:
        self._on_frame = on_frame

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._on_frame()


async def bare_fanout(subscribers: int, size: int, rounds: int) -> list[float]:
    """Seconds from sending one frame until the last of the subscribers has it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bare_server", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    got = 0
    everybody = asyncio.Event()

    def on_frame() -> None:
        nonlocal got
        got += 1
        if got == subscribers:
            everybody.set()

    connected = [
        await ws_connect(lambda: _Receiver(on_frame), f"ws://127.0.0.1:{port}/")
        for _ in range(subscribers)
    ]
    times: list[float] = []
    for _ in range(rounds):
        got = 0
        everybody.clear()
        began = time.perf_counter()
        connected[0][0].send(WSMsgType.TEXT, b"x" * size)
        await asyncio.wait_for(everybody.wait(), 10)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    process.terminate()
    await process.wait()
    return times


async def fanout(server: DevProcess) -> None:
    """One query of ten documents with many subscribers: from the call to the last callback."""
    print("\n## Fan-out: mutation call -> last subscriber's callback\n")
    print("| subscribers | p50 ms | p99 ms | bare p50 ms | ratio | required | CPU ms/write |")
    print("|---|---|---|---|---|---|---|")
    writer = await ProtocolClient.connect(server.sync_url)
    await writer.mutate("load:fill", {"channels": ["fan"], "body": BODY})
    for count in SUBSCRIBERS:
        rounds = 60 if count < 1000 else 40
        bare = await bare_fanout(count, 2400, rounds)
        times, cpu = await _fanout_load(server, writer, count, rounds)
        bare += await bare_fanout(count, 2400, rounds)
        ratio = percentile(times, 0.5) / percentile(bare, 0.5)
        required = "3.5" if count == 1000 else ""
        print(
            f"| {count} | {percentile(times, 0.5):.1f} | {percentile(times, 0.99):.1f} | "
            f"{percentile(bare, 0.5):.1f} | {ratio:.2f} | {required} | {cpu * 1000:.1f} |"
        )
    writer.close()


async def _fanout_load(
    server: DevProcess, writer: ProtocolClient, count: int, rounds: int
) -> tuple[list[float], float]:
    seen = 0
    wanted = count
    everybody = asyncio.Event()

    def on_value(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == wanted:
            everybody.set()

    clients = [await ProtocolClient.connect(server.sync_url) for _ in range(count)]
    for client in clients:
        client.subscribe("load:channel", {"channel": "fan"}, on_value)
    await asyncio.wait_for(everybody.wait(), 30)
    times: list[float] = []
    cpu = server.cpu_seconds()
    for number in range(rounds):
        seen = 0
        everybody.clear()
        began = time.perf_counter()
        arguments = {"channel": "fan", "n": number % 10, "seq": time.time_ns() % 10**9}
        await asyncio.gather(
            writer.mutate("load:update", arguments), asyncio.wait_for(everybody.wait(), 20)
        )
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    cpu = server.cpu_seconds() - cpu
    for client in clients:
        client.close()
    return times, cpu / rounds


async def channels(server: DevProcess) -> None:
    """1,000 subscribers of 1,000 channels at 50 writes/s: each write wakes exactly one."""
    print("\n## 1,000 subscribers of 1,000 channels, 50 writes/s\n")
    count, writes = 1000, 250
    writer = await ProtocolClient.connect(server.sync_url)
    names = [f"c{at}" for at in range(count)]
    for at in range(0, count, 50):
        await writer.mutate("load:fill", {"channels": names[at : at + 50], "body": BODY})
    woken = [0] * count
    arrived = asyncio.Event()

    def callback(at: int) -> Callable[[object], None]:
        def on_value(_: object) -> None:
            woken[at] += 1
            arrived.set()

        return on_value

    clients = [await ProtocolClient.connect(server.sync_url) for _ in range(count)]
    for at, client in enumerate(clients):
        client.subscribe("load:channel", {"channel": names[at]}, callback(at))
    while not all(woken):
        arrived.clear()
        await asyncio.wait_for(arrived.wait(), 30)
    times: list[float] = []
    cpu, began = server.cpu_seconds(), time.perf_counter()
    woken[:] = [0] * count
    for number in range(writes):
        await asyncio.sleep(max(0.0, began + number / 50 - time.perf_counter()))
        at = number * 37 % count
        before, sent = woken[at], time.perf_counter()
        await writer.mutate("load:update", {"channel": names[at], "n": 3, "seq": number + 1})
        while woken[at] == before:
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), 10)
        times.append(time.perf_counter() - sent)
    cpu = server.cpu_seconds() - cpu
    memory = server.memory_mb()
    stray = sum(woken) - writes
    print("| p50 ms | p99 ms | CPU ms/write | stray wake-ups | memory MB with Postgres |")
    print("|---|---|---|---|---|")
    print(
        f"| {percentile(times, 0.5):.1f} | {percentile(times, 0.99):.1f} | "
        f"{cpu / writes * 1000:.2f} | {stray} | {memory:.0f} |"
    )
    for client in [*clients, writer]:
        client.close()


async def queries(server: DevProcess) -> None:
    """One-shot queries over HTTP by 16 callers: shared results and runs of their own."""
    print("\n## One-shot queries of ten documents over HTTP, 16 callers\n")
    print("| kind | queries/s | p50 ms | p99 ms |")
    print("|---|---|---|---|")
    writer = await ProtocolClient.connect(server.sync_url)
    await writer.mutate("load:fill", {"channels": ["one"], "body": BODY})
    writer.close()
    breaker = 0

    def cold() -> dict[str, object]:
        nonlocal breaker
        breaker += 1
        return {"path": "load:cold", "args": {"channel": "one", "breaker": breaker}}

    shared = {"path": "load:channel", "args": {"channel": "one"}}
    for kind, body in (("shared", lambda: shared), ("cold", cold)):
        times: list[float] = []
        async with aiohttp.ClientSession() as session:

            async def load(
                until: float,
                session: aiohttp.ClientSession = session,
                body: Callable[[], dict[str, object]] = body,
                times: list[float] = times,
            ) -> None:
                while (began := time.perf_counter()) < until:
                    async with session.post(
                        f"{server.url}/api/query",
                        data=json.dumps(body()),
                        headers={"Content-Type": "application/json"},
                    ) as response:
                        assert (await response.json())["status"] == "success"
                    times.append(time.perf_counter() - began)

            began = time.perf_counter()
            await asyncio.gather(*[load(began + SECONDS) for _ in range(16)])
            rate = len(times) / (time.perf_counter() - began)
        print(
            f"| {kind} | {rate:.0f} | {percentile(times, 0.5):.2f} | "
            f"{percentile(times, 0.99):.2f} |"
        )


async def startup() -> None:
    """Seconds until the first acknowledged write, cold and after restarts; idle memory."""
    print("\n## Start-up and idle memory\n")
    print("| start | s to the first acknowledged write | idle MB (PSS, with Postgres) |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        server = DevProcess(Path(folder) / "data")

        async def first_write() -> float:
            began = time.perf_counter()
            await asyncio.to_thread(server.start)
            client = await ProtocolClient.connect(server.sync_url)
            await client.mutate("load:insert", {"author": "ada", "body": BODY})
            client.close()
            return time.perf_counter() - began

        cold = await first_write()
        await asyncio.sleep(2)
        print(f"| new data folder | {cold:.2f} | {server.memory_mb():.0f} |")
        server.stop()
        print(f"| restart, 1 document | {await first_write():.2f} | |")
        client = await ProtocolClient.connect(server.sync_url)
        for _ in range(100):
            await client.mutate("load:bulk", {"count": 1000, "body": BODY})
        client.close()
        server.stop()
        print(
            f"| restart, 100,000 documents (required: 3) | {await first_write():.2f} | "
            f"{server.memory_mb():.0f} |"
        )
        server.stop()


PARTS: dict[str, Callable[[DevProcess], Awaitable[None]]] = {
    "mutations": mutations,
    "fanout": fanout,
    "channels": channels,
    "queries": queries,
}


async def _with_server(part: Callable[[DevProcess], Awaitable[None]]) -> None:
    """Each part on a deployment of its own, so that none inherits another's history."""
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        server = DevProcess(Path(folder) / "data")
        server.start()
        try:
            await part(server)
        finally:
            server.stop()


async def main(names: list[str]) -> None:
    """Run the named parts, or all."""
    chosen = names or [*PARTS, "startup"]
    for name in chosen:
        if name in PARTS:
            await _with_server(PARTS[name])
    if "startup" in chosen:
        await startup()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))

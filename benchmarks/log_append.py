"""The log's append beside plain inserts into the same server, in one run.

`python -m benchmarks.log_append` starts a Postgres on a temporary folder and prints, interleaved so
that a busy machine bothers both alike: commits a second and the median call by batch size, for
batches that stand on the head (exclusive) and for batches that the database validates; single-row
inserts by pgbench with 1 and 16 clients; and how long reading everything back takes. A commit is
one updated document of about 120 bytes with three index keys, its call and its outcome: three
rows, and four index entries, in the log.
"""

import argparse
import asyncio
import random
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import uvloop
from psycopg.conninfo import conninfo_to_dict

from syncline.commit.record import Appended, CommitRequest, DocumentChange, Position, TailReply
from syncline.index.key_range import KeyRange
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local.postgres_binaries import pgbench_path
from syncline.postgres.log import PostgresLog

EXCLUSIVE_SIZES = (1, 4, 16, 64, 256)
VALIDATED_SIZES = (1, 4, 16)
DOCUMENTS = [random.randbytes(16) for _ in range(5000)]


def one_commit(number: int, begin: int, ts: int) -> CommitRequest:
    """An update of one of 5,000 documents."""
    raw = random.choice(DOCUMENTS)
    keys = tuple(b"\x00\x00\x27\x11\x00" + bytes([ordinal]) + raw * 2 for ordinal in range(3))
    text = b'{"_id":"%s","_creationTime":1.5,"body":"hello, this is a text","n":%d}' % (
        raw.hex().encode(),
        number,
    )
    return CommitRequest(
        begin_ts=begin,
        read_ranges=(KeyRange.point(keys[0]),),
        changes=(DocumentChange(raw.hex(), 10_001, text, text, max(begin, 1), keys, keys),),
        session="550e8400-e29b-41d4-a716-446655440000",
        request=number,
        identity="",
        call=b'{"path":"messages:send","args":{"body":"hello, this is a text"},"seed":1}',
        outcome=b'{"value":null,"logLines":[]}',
        failed=False,
        ts=ts,
        nonce=number,
    )


class Appender:
    """Appends batch after batch to one log, each built before its clock starts."""

    def __init__(self, log: PostgresLog) -> None:
        self.log = log
        self.position = Position(0, 0)
        self._number = time.time_ns()

    async def run(self, size: int, seconds: float, *, exclusive: bool) -> tuple[float, float]:
        """Commits a second, and the median call in milliseconds."""
        calls: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            ts = max(self.position.ts + 1, time.time_ns())
            batch: list[CommitRequest] = []
            for at in range(size):
                self._number += 1
                batch.append(one_commit(self._number, self.position.ts, ts + at))
            start = time.perf_counter()
            reply = await self.log.append(batch, standing_on=self.position, exclusive=exclusive)
            calls.append(time.perf_counter() - start)
            assert isinstance(reply, Appended)
            self.position = reply.position
        return len(calls) * size / sum(calls), statistics.median(calls) * 1000


def pgbench(conninfo: str, clients: int, seconds: int) -> float:
    """Single-row inserts a second by pgbench."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS plain (id bigserial PRIMARY KEY, text text NOT NULL)"
        )
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("INSERT INTO plain (text) VALUES (repeat('x', 200));\n")
        script.flush()
        to = conninfo_to_dict(conninfo)
        answer = subprocess.run(
            [pgbench_path(), "-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), "-f",
             script.name, "-h", str(to["host"]), "-U", str(to["user"]), str(to["dbname"])],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", answer.stdout)
    assert found is not None
    return float(found[1])


async def read_back(log: PostgresLog) -> None:
    """Time the tail, the fold and the load of everything."""
    start, position, commits = time.perf_counter(), Position(0, 0), 0
    while True:
        page = await log.tail(position, bytes_max=2**20)
        assert isinstance(page, TailReply)
        if not page.commits:
            break
        commits += len(page.commits)
        position = Position(page.commits[-1].ts, page.commits[-1].nonce)
    print(f"tail of {commits:,} commits: {commits / (time.perf_counter() - start):,.0f}/s")
    start = time.perf_counter()
    while await log.fold(position.ts, commits_max=1000) != position:
        pass
    print(f"fold of {commits:,} commits: {commits / (time.perf_counter() - start):,.0f}/s")


async def measure(conninfo: str, seconds: float) -> None:
    """All of it, three times over."""
    appender = Appender(PostgresLog(conninfo))
    cases = [(size, True) for size in EXCLUSIVE_SIZES] + [(size, False) for size in VALIDATED_SIZES]
    found: dict[tuple[int, bool], list[tuple[float, float]]] = {case: [] for case in cases}
    plain: dict[int, list[float]] = {1: [], 16: []}
    await appender.run(1, 0.5, exclusive=True)
    for _ in range(3):
        for clients, rates in plain.items():
            rates.append(await asyncio.to_thread(pgbench, conninfo, clients, 1))
        for size, exclusive in cases:
            found[size, exclusive].append(await appender.run(size, seconds, exclusive=exclusive))
    base = {clients: statistics.median(values) for clients, values in plain.items()}
    for clients, rate in base.items():
        print(f"pgbench, single-row inserts, {clients} clients: {rate:,.0f}/s")
    for (size, exclusive), values in found.items():
        rate = statistics.median(each[0] for each in values)
        call = statistics.median(each[1] for each in values)
        kind = "exclusive" if exclusive else "validated"
        print(
            f"append, {kind}, {size} a call: {rate:,.0f} commits/s, call p50 {call:.2f} ms, "
            f"{rate / base[1]:.2f} x pgbench with 1 client, {rate / base[16]:.2f} x with 16"
        )
    await read_back(appender.log)
    await appender.log.close()


def main() -> None:
    """Measure on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="per case and round")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            uvloop.run(measure(server.start(), seconds))
        finally:
            server.stop()


if __name__ == "__main__":
    main()

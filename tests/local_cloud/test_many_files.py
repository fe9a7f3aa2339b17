"""Files up to what a Lambda takes, ten at once, and a large one past it: every byte arrives.

More Lambdas than that don't start on two processors within the gateway's thirty seconds.
"""

import asyncio

import pytest

from benchmarks.files import MEBIBYTE, FilePlan, move_files
from tests.clients.conftest import StartProgram
from tests.local_cloud.cloud_server import CloudServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PLAN = FilePlan(
    files=40, bytes_all=8 * MEBIBYTE, large=10, large_bytes=4 * MEBIBYTE, seed=5, at_once=10
)


def test_fifty_files_arrive_unchanged(server: CloudServer):
    moved = asyncio.run(move_files(server.url, server.pid, PLAN))
    assert (moved.files, moved.wrong) == (50, [])
    assert max(PLAN.sizes()) <= 4 * MEBIBYTE


def test_a_file_above_what_lambda_takes_is_refused_with_what_to_do(server: CloudServer):
    plan = FilePlan(files=11, bytes_all=50, large=1, large_bytes=5 * MEBIBYTE, seed=6)
    with pytest.raises(RuntimeError, match=r"^413: .*FileTooLarge.*direct=True"):
        asyncio.run(move_files(server.url, server.pid, plan))


def test_a_file_of_a_hundred_megabytes_goes_directly_to_the_bucket(
    node: StartProgram, server: CloudServer, room: str
):
    with node("files", "direct:100000000", server, room) as running:
        assert running.only("direct")["same"]

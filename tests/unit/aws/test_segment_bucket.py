"""Search segments in a bucket."""

import asyncio

from syncline.aws.segment_bucket import SegmentBucket
from syncline.commit.record import Position
from syncline.segments.store import StoredSegment


def test_a_segment_comes_back_with_the_commit_it_stands_at(s3):
    bucket = SegmentBucket(s3, "bundles-of-mine")

    async def check() -> None:
        assert await bucket.load("index") is None
        first = StoredSegment(Position(2**62, 2**63 - 1), b"")
        await bucket.save("index", first)
        assert await bucket.load("index") == first
        second = StoredSegment(Position(1, 2), bytes(range(256)) * 100)
        await bucket.save("index", second)
        assert await bucket.load("index") == second
        assert await bucket.load("other") is None

    asyncio.run(check())
    (item,) = s3.list_objects_v2(Bucket="bundles-of-mine")["Contents"]
    assert item["Key"] == "search/index"

"""What a run read, as ranges."""

from syncline.index.key_encoding import encode_value
from syncline.index.key_range import KeyRange
from syncline.schema.catalog import TABLES, name_range
from syncline.transaction.read_set import ReadSet, TrackedRange


def test_nothing_read_is_no_range():
    assert ReadSet().merged() == ()


def test_keys_ranges_and_tables_come_out_sorted_and_merged():
    reads = ReadSet()
    reads.add_key(b"\x01k")
    reads.add_key(b"\x01k\x00")
    reads.add_range(KeyRange(b"\x01a", b"\x01b"))
    reads.add_range(KeyRange(b"\x01b", b"\x01c"))
    reads.add_table("t")
    reads.add_table("t")
    assert reads.merged() == (
        name_range("t"),
        KeyRange(b"\x01a", b"\x01c"),
        KeyRange(b"\x01k", b"\x01k\x00\x00"),
    )


def test_system_tables_depend_on_nothing():
    reads = ReadSet()
    reads.add_table("_storage")
    assert reads.merged() == ()


def test_an_unknown_table_number_depends_on_the_row_that_would_have_it():
    reads = ReadSet()
    reads.add_unknown_number(10_007)
    (found,) = reads.merged()
    assert found.lo == TABLES.indexes["by_number"].index_id + encode_value(10_007.0)
    assert found.hi == found.lo + b"\xff"


def test_a_tracked_range_counts_as_far_as_it_has_grown():
    reads = ReadSet()
    tracked = TrackedRange(b"a", b"a")
    reads.track(tracked)
    assert reads.merged() == ()
    tracked.hi = b"c"
    assert reads.merged() == (KeyRange(b"a", b"c"),)

"""Interest by equality prefix: which bucket a range lies in and which queries a key touches."""

import struct

from syncline.index.key_range import KeyRange
from syncline.subscription.interest import EVERYWHERE, InterestIndex, bucket_of, buckets_of_key

MESSAGES_BY_CHANNEL = struct.pack(">IH", 10001, 2)
MESSAGES_BY_ID = struct.pack(">IH", 10001, 0)


def text(content: str) -> bytes:
    return b"\x10" + content.encode().replace(b"\x00", b"\x00\xff") + b"\x00"


def number(value: float) -> bytes:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    return b"\x0d" + struct.pack(">Q", bits ^ (2**63 if value >= 0 else 2**64 - 1))


def successor(prefix: bytes) -> bytes:
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def everything_with(prefix: bytes) -> KeyRange:
    return KeyRange(prefix, successor(prefix))


def message_key(channel: str, created: float = 1.0, document: str = "m1") -> bytes:
    return MESSAGES_BY_CHANNEL + text(channel) + number(created) + text(document)


def test_an_equality_range_lies_in_the_bucket_of_its_values():
    prefix = MESSAGES_BY_CHANNEL + text("general")
    assert bucket_of(everything_with(prefix)) == prefix


def test_a_range_after_an_equal_value_lies_in_the_bucket_of_that_value():
    prefix = MESSAGES_BY_CHANNEL + text("general")
    newer = KeyRange(prefix + number(5.0), successor(prefix))
    assert bucket_of(newer) == prefix
    between = KeyRange(prefix + number(5.0), prefix + number(6.0))
    assert bucket_of(between) == prefix


def test_one_document_lies_in_the_bucket_of_its_whole_key():
    key = MESSAGES_BY_ID + text("m1")
    assert bucket_of(KeyRange.point(key)) == key


def test_a_range_without_an_equal_value_lies_in_the_bucket_of_its_index():
    assert bucket_of(everything_with(MESSAGES_BY_CHANNEL)) == MESSAGES_BY_CHANNEL
    some = KeyRange(MESSAGES_BY_CHANNEL + text("a"), MESSAGES_BY_CHANNEL + text("c"))
    assert bucket_of(some) == MESSAGES_BY_CHANNEL


def test_a_range_over_several_indexes_lies_in_the_bucket_of_everything():
    assert bucket_of(KeyRange(MESSAGES_BY_ID, successor(MESSAGES_BY_CHANNEL))) == EVERYWHERE
    assert bucket_of(KeyRange(b"", b"\xff")) == EVERYWHERE


def test_a_bound_that_ends_inside_a_value_counts_only_the_whole_values_before_it():
    prefix = MESSAGES_BY_CHANNEL + text("general")
    cut = KeyRange(prefix + text("a")[:-1] + b"\x01", successor(prefix))
    assert bucket_of(cut) == prefix


def test_a_key_has_one_bucket_for_every_number_of_leading_values():
    key = message_key("general")
    assert buckets_of_key(key) == (
        EVERYWHERE,
        MESSAGES_BY_CHANNEL,
        MESSAGES_BY_CHANNEL + text("general"),
        MESSAGES_BY_CHANNEL + text("general") + number(1.0),
        key,
    )


def test_a_query_is_matched_by_a_key_in_its_range_and_by_no_other():
    index = InterestIndex()
    index.register("general", [everything_with(MESSAGES_BY_CHANNEL + text("general"))])
    index.register("random", [everything_with(MESSAGES_BY_CHANNEL + text("random"))])
    assert index.match([message_key("general")]) == {"general"}
    assert index.match([message_key("random"), message_key("general")]) == {"general", "random"}
    assert index.match([message_key("gener")]) == set()


def test_bytes_decide_inside_a_bucket():
    prefix = MESSAGES_BY_CHANNEL + text("general")
    index = InterestIndex()
    index.register("newer", [KeyRange(prefix + number(5.0), successor(prefix))])
    assert index.match([message_key("general", 4.9)]) == set()
    assert index.match([message_key("general", 5.0)]) == {"newer"}


def test_a_range_over_bytes_that_begin_alike_matches_a_text_with_a_nul():
    index = InterestIndex()
    index.register("a", [everything_with(MESSAGES_BY_CHANNEL + text("a"))])
    assert message_key("a\x00b") in everything_with(MESSAGES_BY_CHANNEL + text("a"))
    assert index.match([message_key("a\x00b")]) == {"a"}


def test_a_range_over_everything_with_an_empty_object_matches_an_empty_field_name():
    empty = MESSAGES_BY_CHANNEL + b"\x15\x00"
    index = InterestIndex()
    index.register("empty", [everything_with(empty)])
    assert index.match([MESSAGES_BY_CHANNEL + b"\x15\x00\xff\x00\x03\x00" + text("m1")]) == {
        "empty"
    }


def test_registering_again_replaces_the_interest():
    index = InterestIndex()
    general = everything_with(MESSAGES_BY_CHANNEL + text("general"))
    random = everything_with(MESSAGES_BY_CHANNEL + text("random"))
    index.register("q", [general, random])
    index.register("q", [random])
    assert index.match([message_key("general")]) == set()
    assert index.match([message_key("random")]) == {"q"}


def test_an_unregistered_query_matches_nothing_and_leaves_nothing_behind():
    index = InterestIndex()
    index.register("q", [everything_with(MESSAGES_BY_CHANNEL + text("general"))] * 2)
    index.unregister("q")
    index.unregister("q")
    assert index.match([message_key("general")]) == set()
    assert len(index) == 0
    assert not index._buckets


def test_an_empty_range_is_no_interest():
    index = InterestIndex()
    index.register("q", [KeyRange(MESSAGES_BY_ID + b"\x10b", MESSAGES_BY_ID + b"\x10a")])
    assert len(index) == 1
    assert not index._buckets


def test_a_bucket_with_many_ranges_is_searched_by_their_bounds():
    index = InterestIndex()
    prefix = MESSAGES_BY_CHANNEL + text("general")
    for at in range(1000):
        pages = KeyRange(prefix + number(float(at)), prefix + number(float(at + 2)))
        index.register(at, [pages])
    assert index.match([message_key("general", 500.5)]) == {499, 500}
    for at in range(0, 1000, 2):
        index.unregister(at)
    assert index.match([message_key("general", 500.5)]) == {499}


def test_queries_with_the_same_range_are_all_found_and_leave_one_by_one():
    index = InterestIndex()
    general = everything_with(MESSAGES_BY_CHANNEL + text("general"))
    index.register("a", [general])
    index.register("b", [general])
    assert index.match([message_key("general")]) == {"a", "b"}
    index.unregister("a")
    assert index.match([message_key("general")]) == {"b"}


def test_the_last_index_of_all_has_a_bucket_too():
    last = b"\xff" * 6
    assert bucket_of(KeyRange(last, b"\xff" * 7)) == last
    assert bucket_of(KeyRange(last, b"\xff\xff\xff\xff\xff\xff\xff\xff")) == last
    assert bucket_of(KeyRange(b"\xff" * 5 + b"\xfe", b"\xff" * 7)) == EVERYWHERE
    assert bucket_of(KeyRange(last, b"upside down")) == EVERYWHERE

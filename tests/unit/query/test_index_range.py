"""The rules of the range builder, with the tags that 6.3 names."""

import pytest

from syncline.errors import DeveloperError
from syncline.index.key_encoding import MISSING as UNSET
from syncline.index.key_encoding import encode_value
from syncline.index.key_range import KeyRange
from syncline.query.index_range import IndexRange

INDEX_ID = b"\x00\x00\x27\x11\x00\x02"
Q = IndexRange("messages.by_channel_author", ("channel", "author", "_creationTime"))


def test_no_calls_give_the_whole_index():
    assert Q.key_range(INDEX_ID) == KeyRange(INDEX_ID, INDEX_ID + b"\xff")


def test_equalities_and_bounds_make_a_prefix_and_its_ends():
    built = Q.eq("channel", "x").gte("author", "a").lt("author", "b")
    prefix = INDEX_ID + b"\x10x\x00"
    assert built.key_range(INDEX_ID) == KeyRange(prefix + b"\x10a\x00", prefix + b"\x10b\x00")


def test_unset_matches_documents_without_the_field():
    assert Q.eq("channel", UNSET).key_range(INDEX_ID).lo == INDEX_ID + b"\x01"


def test_creation_time_follows_the_declared_fields():
    built = Q.eq("channel", "x").eq("author", "y").gt("_creationTime", 5)
    assert built.key_range(INDEX_ID).lo.endswith(encode_value(5.0) + b"\xff")


def test_bounds_that_exclude_each_other_give_an_empty_range():
    built = Q.gt("channel", "b").lt("channel", "a").key_range(INDEX_ID)
    assert built.lo >= built.hi


def test_a_builder_is_never_changed_by_its_methods():
    Q.eq("channel", "x").gt("author", "a")
    assert IndexRange(Q.index, Q.fields) == Q


@pytest.mark.parametrize(
    ("build", "code", "text"),
    [
        (lambda: Q.eq("author", 1), "InvalidIndexRange", "First incorrect field: 'author'"),
        (lambda: Q.eq("channel", 1).eq("channel", 1), "InvalidIndexRange", "in order"),
        (lambda: Q.eq("channel", 1).gt("_creationTime", 1), "InvalidIndexRange", "in order"),
        (lambda: Q.eq("body", 1), "FieldNotInIndex", "'body'"),
        (lambda: Q.gt("body", 1), "FieldNotInIndex", "messages.by_channel_author"),
        (lambda: Q.gt("channel", 1).lt("author", 1), "BoundsOnMultipleFields", "'author'"),
        (lambda: Q.lt("author", 1).gt("channel", 1), "InvalidIndexRange", "in order"),
        (lambda: Q.gt("channel", 1).gte("channel", 1), "InvalidIndexRange", "two lower bounds"),
        (lambda: Q.lt("channel", 1).lte("channel", 1), "InvalidIndexRange", "two upper bounds"),
        (lambda: Q.gt("channel", 1).eq("author", 1), "InvalidIndexRange", "eq comes before"),
        (
            lambda: Q.eq("channel", 1).eq("author", 1).eq("_creationTime", 1).eq("channel", 1),
            "InvalidIndexRange",
            "none, all are used",
        ),
        (lambda: Q.eq("channel", object()), "InvalidValue", "object"),
    ],
)
def test_what_an_index_cannot_answer_is_refused_by_name(build, code, text):
    with pytest.raises(DeveloperError) as refused:
        build()
    assert refused.value.code == code
    assert text in refused.value.message

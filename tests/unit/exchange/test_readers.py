"""Reading import files: what becomes of each line, and what is said about a bad one."""

import io
import zipfile

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.exchange import batches as batching
from syncline.exchange.batches import batches, survey
from syncline.exchange.documents import ImportFileError
from syncline.exchange.readers import JSON_ARRAY_BYTES_MAX, READERS
from syncline.exchange.snapshot_zip import SnapshotReader, SnapshotTable, SnapshotWriter
from syncline.values import wire_json
from syncline.values.document_id import encode_id
from syncline.values.value import Int64

ID = encode_id(10001, bytes(16))
OTHER_ID = encode_id(10002, bytes(16))


def read(form: str, content: bytes) -> list[object]:
    return [wire_json.decode(each.encoded) for each in READERS[form](io.BytesIO(content))]


def zipped(**files: bytes) -> io.BytesIO:
    """A zip; "__" in a name stands for "/"."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            folder, _, file = name.rpartition("__")
            archive.writestr(f"{folder}/{file}.jsonl" if folder else file, content)
    buffer.seek(0)
    return buffer


def test_json_lines_hold_plain_and_tagged_values_and_blank_lines_do_not_count():
    content = b'\xef\xbb\xbf{"a":1,"b":[true,null]}\r\n\n{"n":{"$integer":"BwAAAAAAAAA="}}'
    assert read("jsonLines", content) == [{"a": 1, "b": [True, None]}, {"n": Int64(7)}]


def test_a_json_array_holds_objects():
    assert read("jsonArray", b' [{"a":1},\n{"a":"x"}] ') == [{"a": 1}, {"a": "x"}]
    assert read("jsonArray", b"[]") == []


def test_csv_cells_that_are_numbers_become_numbers_and_all_others_stay_text():
    content = b'name,age,note\nAda,36,""\nNan,-1.5e3,"a, ""b""\nc"\n1_0,+.5,1e999\n'
    assert read("csv", content) == [
        {"name": "Ada", "age": 36, "note": ""},
        {"name": "Nan", "age": -1500, "note": 'a, "b"\nc'},
        {"name": "1_0", "age": 0.5, "note": "1e999"},
    ]


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("jsonLines", b'{"a":1}\n{"a":', "line 2: Not valid JSON"),
        ("jsonLines", b"\n[1]", "line 2: not a JSON object"),
        ("jsonLines", b'{"a":{"$b":1}}', "line 1: Invalid value: the single-key object '$b'"),
        ("jsonLines", b'{"a":{"\xc3\xa4":1}}', "line 1: Invalid value"),
        ("jsonLines", b'{"_id":"x"}', "line 1: `_id` 'x' is not a document id"),
        ("jsonLines", b'{"_id":7}', "line 1: `_id` 7 is not a document id"),
        ("jsonLines", b'{"_creationTime":"now"}', "line 1: `_creationTime` must be a number"),
        ("jsonLines", b'{"_creationTime":true}', "line 1: `_creationTime` must be a number"),
        ("jsonLines", b'{"_x":1}', "line 1: the field `_x` starts with an underscore"),
        ("jsonLines", b'{"a":"' + b"x" * 2**22 + b'"}', "line 1: longer than 4194304 bytes"),
        ("jsonArray", b'{"a":1}', "not a JSON array of objects"),
        ("jsonArray", b'[{"a":1}', "not a JSON array of objects"),
        ("jsonArray", b'[{"a":1},7]', "element 2: not a JSON object"),
        ("jsonArray", b'["\xff"]', "element 1: "),
        ("csv", b"", "line 1: the file is empty"),
        ("csv", b"a,,b\n1,2,3", "line 1: a column of the header has no name"),
        ("csv", b"a,a\n1,2", "line 1: the column `a` is there twice"),
        ("csv", b"a,b\n1,2\n3", "line 3: 1 cells, but the header names 2 columns"),
        ("csv", b'a\n"x', "line 3: unexpected end of data"),
        ("csv", b"a\n\xff", "invalid start byte"),
    ],
)
def test_a_bad_file_is_refused_by_line_and_reason(form: str, content: bytes, message: str):
    with pytest.raises(ImportFileError) as refused:
        read(form, content)
    assert message in refused.value.message


def test_a_json_array_is_limited_because_it_is_held_in_memory():
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 < size <= JSON_ARRAY_BYTES_MAX + 1
            return bytes(size)

    with pytest.raises(ImportFileError, match="Use JSON lines"):
        list(READERS["jsonArray"](Endless()))


def test_a_survey_counts_documents_and_finds_the_table_number_of_their_ids():
    content = f'{{"a":1}}\n{{"_id":"{ID}"}}\n'.encode()
    (table,) = survey(io.BytesIO(content), "jsonLines", "people").tables
    assert (table.name, table.number, table.documents) == ("people", 10001, 2)


def test_ids_of_two_tables_in_one_file_are_refused():
    content = f'{{"_id":"{ID}"}}\n{{"_id":"{OTHER_ID}"}}\n'.encode()
    with pytest.raises(ImportFileError, match="line 2: the `_id` belongs to another table"):
        survey(io.BytesIO(content), "jsonLines", "people")


def test_batches_keep_the_order_and_their_limits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batching, "BATCH_DOCUMENTS_MAX", 3)
    monkeypatch.setattr(batching, "BATCH_BYTES_MAX", 30)
    lines = [b'{"a":1}'] * 4 + [b'{"a":"' + b"x" * 40 + b'"}'] + [b'{"a":2}']
    found = list(batches(io.BytesIO(b"\n".join(lines)), "jsonLines", "t"))
    assert [len(batch.documents) for batch in found] == [3, 1, 1, 1]
    numbers = [each.place.number for batch in found for each in batch.documents]
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_snapshot_names_its_tables_with_their_numbers():
    file = zipped(
        _tables__documents=b'{"name":"b","id":10002.0}\n{"name":"a","id":10001}\n',
        a__documents=f'{{"_id":"{ID}","x":1}}\n'.encode(),
        b__documents=b"",
    )
    reader = SnapshotReader(file)
    assert reader.tables == (SnapshotTable("a", 10001), SnapshotTable("b", 10002))
    (document,) = reader.documents(reader.tables[0])
    assert wire_json.decode(document.encoded) == {"_id": ID, "x": 1}
    assert str(document.place) == "a/documents.jsonl line 1"


def test_a_snapshot_packed_with_its_folder_is_read_too():
    file = zipped(snapshot__a__documents=b'{"x":1}', snapshot___tables__documents=b"")
    buffer = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("__", "/"), old.read(name))
    assert SnapshotReader(buffer).tables == (SnapshotTable("a", None),)


def test_whole_numbers_are_int64_where_the_generated_schema_says_so():
    documents = b'{"_creationTime":5,"n":7,"f":1.0,"deep":[{"n":-1}]}\n'
    for hint, expected in (
        (b'"{\\"n\\": \\"int64\\"}"', Int64(7)),
        (b'"{\\"n\\": \\"normalfloat64\\"}"', 7),
    ):
        reader = SnapshotReader(zipped(a__documents=documents, a__generated_schema=hint))
        (document,) = reader.documents(reader.tables[0])
        value = wire_json.decode(document.encoded)
        assert isinstance(value, dict)
        assert (value["n"], value["f"], value["_creationTime"]) == (expected, 1, 5)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a__documents": b"{"}, "a/documents.jsonl line 1: Not valid JSON"),
        ({"_storage__documents": b"{}"}, "_storage/documents.jsonl line 1: `_id` None is not"),
        ({"_files__documents": b"{}"}, "`_files` can't be imported"),
        ({"_tables__documents": b'{"name":"a"}'}, "_tables/documents.jsonl line 1: not of the"),
        ({"a__documents": b"", "a__other": b"x"}, "not a part of a snapshot"),
        ({"a__other": b"x"}, "The zip holds no snapshot"),
        (
            {
                "_tables__documents": b'{"name":"a","id":10002}',
                "a__documents": f'{{"_id":"{ID}"}}'.encode(),
            },
            "belongs to table number 10001, but `a` has number 10002",
        ),
    ],
)
def test_a_bad_snapshot_is_refused_by_file_line_and_reason(files: dict[str, bytes], message: str):
    with pytest.raises(ImportFileError) as refused:
        survey(zipped(**files), "zip", None)
    assert message in refused.value.message


def test_a_file_that_is_no_zip_or_a_damaged_one_is_refused():
    with pytest.raises(ImportFileError, match="not a zip"):
        survey(io.BytesIO(b"hello"), "zip", None)
    content = bytearray(zipped(a__documents=b'{"x":1}' * 100).getvalue())
    content[60] ^= 0xFF
    with pytest.raises(ImportFileError, match="can't be read"):
        survey(io.BytesIO(bytes(content)), "zip", None)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.integers(-(2**63), 2**63 - 1).map(Int64)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), max_size=4))
def test_what_a_snapshot_writes_is_what_it_reads(documents: list[dict[str, object]]):
    encoded = [
        wire_json.encode(wire_json.from_json(orjson.loads(wire_json.encode(each))))
        for each in documents
    ]  # type: ignore[arg-type] # generated values are Values
    buffer = io.BytesIO()
    writer = SnapshotWriter(buffer, [SnapshotTable("t", 10001)])
    with writer.table("t") as file:
        file.write(b"".join(line + b"\n" for line in encoded))
    writer.close()
    reader = SnapshotReader(buffer)
    assert reader.tables == (SnapshotTable("t", 10001),)
    assert [each.encoded for each in reader.documents(reader.tables[0])] == encoded

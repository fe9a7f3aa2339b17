"""Finds the best matches of a text search among many documents, by tantivy.

A term is stored with its level in front ("c" and "tokyo"), so that our own score can be computed
where the documents are found: each level of each term of the query is a query of constant score,
and the sums are small whole numbers, which tantivy's 32-bit floats hold exactly. Nothing of
tantivy's own ranking, which depends on how documents are spread over segments, is left.
"""

import io
import shutil
import zipfile
from collections.abc import Collection, Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final
from weakref import finalize

import numpy as np
import tantivy
from tantivy import Occur, Query

from syncline.search.entries import TextEntry
from syncline.search.scoring import BEGINNING_WEIGHT, LEVEL_MAX, WHOLE_TERM_WEIGHT, rank_key
from syncline.search.tokenizers import TOKENIZERS_VERSION

_WRITER_BYTES: Final = 15_000_000
"""Memory of a writer; tantivy's least."""

_HITS: Final = 1000
"""Hits asked for at first; ours: hardly dearer than a few."""

_TERMS_LISTED: Final = 256
"""Terms with the same beginning and level up to which they are asked for by name."""

_MORE: Final = 8
"""How many times more hits are asked for when ties or hidden documents leave too few."""

FORMAT: Final = f"text-1-{TOKENIZERS_VERSION}-{version('tantivy')}"
"""What a dumped segment can be read by."""

_SPECIAL: Final = frozenset(r"\.+*?()|[]{}^$#&-~\"@<>")


class TextSegment:
    """Documents by id, as a searcher sees them since the last `publish`."""

    def __init__(self, content: bytes | None = None, *, is_stored: bool = False) -> None:
        """`content`: what `dump` gave. `is_stored`: it shall be dumped, so it lies in files."""
        self._folder = _folder(content) if is_stored else None
        if self._folder is not None:
            # Gone with this object: a view that is lost makes room for the one built anew.
            finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("terms", tokenizer_name="whitespace", index_option="basic")
        builder.add_text_field("filters", tokenizer_name="raw", index_option="basic")
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_float_field("created", fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=self._folder and str(self._folder))
        self._index.config_reader("manual")
        self._writer: Any = None
        self._searcher = self._index.searcher()

    def __len__(self) -> int:
        return self._searcher.num_docs

    def put(self, document_id: str, entry: TextEntry) -> None:
        """Add a document that is not there."""
        self._open_writer().add_document(
            tantivy.Document(
                id=document_id,
                created=entry.creation_time,
                terms=" ".join([f"{level:x}{term}" for term, level in entry.levels.items()]),
                filters=[_filter(place, value) for place, value in enumerate(entry.filters)],
            )
        )

    def remove(self, document_id: str) -> None:
        """Take a document out, if it is there."""
        self._open_writer().delete_documents_by_term("id", document_id)

    def publish(self) -> None:
        """Let searches see what was put and removed."""
        self._open_writer().commit()
        self._index.reload()
        self._searcher = self._index.searcher()

    def _open_writer(self) -> Any:
        if self._writer is None:
            self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)
        return self._writer

    def dump(self) -> bytes:
        """What was published, as the files of the index in one zip."""
        assert self._folder is not None, "made to be stored"
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for file in sorted(self._folder.iterdir()):
                if file.suffix != ".lock":
                    archive.write(file, file.name)
        return packed.getvalue()

    def best(
        self,
        terms: Sequence[str],
        filters: Sequence[tuple[int, bytes]],
        *,
        after: bytes,
        limit: int,
        hidden: Collection[str],
    ) -> list[tuple[bytes, str]]:
        """At most `limit` matches that rank after `after`, as (rank, id), best first.

        All that rank before the last one returned are there. `hidden`: documents to leave out.
        """
        query = self._query(terms, filters)
        wanted = max(limit + len(hidden), _HITS)
        while True:
            hits = self._searcher.search(query, limit=wanted, count=False).hits
            # Which of those with the last one's score come first is not for tantivy to say.
            is_complete = len(hits) < wanted
            least = 0 if is_complete else round(hits[-1][0]) + 1
            whole = [hit for hit in hits if hit[0] >= least]
            ranked = self._ranked(whole, after, hidden, limit)
            if is_complete or len(ranked) >= limit:
                return ranked[:limit]
            wanted *= _MORE

    def _ranked(
        self, hits: list[tuple[float, Any]], after: bytes, hidden: Collection[str], limit: int
    ) -> list[tuple[bytes, str]]:
        """The best `limit` of the hits, best first, and those of the same rank but for the id."""
        values = self._searcher.fast_field_values("created", [address for _, address in hits])
        points = np.fromiter([points for points, _ in hits], np.float64, len(hits))
        created = np.array(values, np.float64)
        ranked: list[tuple[bytes, str]] = []
        place = b""
        for at in map(int, np.lexsort((-created, -points))):
            before_id = rank_key(round(hits[at][0]), float(created[at]), "")
            if before_id != place and len(ranked) >= limit:
                break
            place = before_id
            # Ids are read one by one: only those that are needed.
            if place >= after[: len(place)]:
                document_id: str = self._searcher.doc(hits[at][1])["id"][0]
                rank = place + document_id.encode()
                if rank > after and document_id not in hidden:
                    ranked.append((rank, document_id))
        ranked.sort()
        return ranked

    def _query(self, terms: Sequence[str], filters: Sequence[tuple[int, bytes]]) -> Query:
        *whole, last = terms
        parts = [self._levels(self._term, term, WHOLE_TERM_WEIGHT) for term in whole]
        parts.append(
            [
                *self._levels(self._term, last, WHOLE_TERM_WEIGHT),
                *self._levels(self._beginning, last, BEGINNING_WEIGHT),
            ]
        )
        text = Query.boolean_query(
            [(Occur.Should, Query.disjunction_max_query(part)) for part in parts]
        )
        if not filters:
            return text
        return Query.boolean_query(
            [
                (Occur.Must, text),
                *[(Occur.Must, self._has(place, value)) for place, value in filters],
            ]
        )

    def _levels(self, make: Any, term: str, weight: int) -> list[Query]:
        return [
            Query.const_score_query(make(level, term), float(level * weight))
            for level in range(1, LEVEL_MAX + 1)
        ]

    def _term(self, level: int, term: str) -> Query:
        return Query.term_query(self._schema, "terms", f"{level:x}{term}", "basic")

    def _beginning(self, level: int, term: str) -> Query:
        """Documents with a longer term; a list of terms is much quicker made than an automaton."""
        begun = f"{level:x}{term}"
        found = self._searcher.terms_with_prefix("terms", begun, limit=_TERMS_LISTED)
        if len(found) < _TERMS_LISTED:
            listed = [each for each, _ in found]
            return Query.term_set_query(self._schema, "terms", listed)
        escaped = "".join([f"\\{each}" if each in _SPECIAL else each for each in begun])
        return Query.regex_query(self._schema, "terms", f"{escaped}.*")

    def _has(self, place: int, value: bytes) -> Query:
        term = Query.term_query(self._schema, "filters", _filter(place, value), "basic")
        return Query.const_score_query(term, 0.0)


def _filter(place: int, value: bytes) -> str:
    """A filter field's value as a term of fixed length; 128 bits, so different ones differ."""
    return f"{place:x}{blake2b(value, digest_size=16).hexdigest()}"


def _folder(content: bytes | None) -> Path:
    """A folder of this process's own, with the files of a dumped index."""
    folder = Path(mkdtemp(prefix="syncline-search-"))
    if content is not None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
    return folder

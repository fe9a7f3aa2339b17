"""What a run has used of its limits (convex-protocol 6.8)."""

from syncline.errors import DeveloperError
from syncline.limits import (
    BYTES_READ_MAX,
    BYTES_WRITTEN_MAX,
    DOCUMENTS_READ_MAX,
    DOCUMENTS_WRITTEN_MAX,
    READ_RANGES_MAX,
    SCHEDULED_PER_CALL_MAX,
)


class LimitExceededError(DeveloperError):
    """A run used more than one function execution may."""


class Usage:
    """Counters; each raises LimitExceededError when its limit is passed."""

    __slots__ = (
        "bytes_read",
        "bytes_written",
        "documents_read",
        "documents_written",
        "functions_scheduled",
        "ranges",
    )

    def __init__(self) -> None:
        self.documents_read = 0
        self.bytes_read = 0
        self.ranges = 0
        self.documents_written = 0
        self.bytes_written = 0
        self.functions_scheduled = 0

    def read_range(self) -> None:
        """One `get` or `query` call."""
        self.ranges += 1
        if self.ranges > READ_RANGES_MAX:
            raise LimitExceededError(
                "TooManyReads",
                f"Too many reads in a single function execution (limit: {READ_RANGES_MAX}). "
                "Read ranges of documents instead of single ones, or split the work.",
            )

    def read_document(self, size: int) -> None:
        """One document, filtered out or not."""
        self.documents_read += 1
        self.bytes_read += size
        if self.documents_read > DOCUMENTS_READ_MAX:
            raise LimitExceededError(
                "TooManyDocumentsRead",
                "Too many documents read in a single function execution "
                f"(limit: {DOCUMENTS_READ_MAX}). Use an index range, `take` or `paginate`.",
            )
        if self.bytes_read > BYTES_READ_MAX:
            raise LimitExceededError(
                "TooManyBytesRead",
                "Too many bytes read in a single function execution "
                f"(limit: {BYTES_READ_MAX} bytes). Use an index range, `take` or `paginate`.",
            )

    def write_document(self, size: int) -> None:
        """One insert, patch, replace or delete."""
        self.documents_written += 1
        self.bytes_written += size
        if self.documents_written > DOCUMENTS_WRITTEN_MAX:
            raise LimitExceededError(
                "TooManyWrites",
                "Too many documents written in a single function execution "
                f"(limit: {DOCUMENTS_WRITTEN_MAX}). Split the work into several mutations.",
            )
        if self.bytes_written > BYTES_WRITTEN_MAX:
            raise LimitExceededError(
                "TooManyBytesWritten",
                "Too many bytes written in a single function execution "
                f"(limit: {BYTES_WRITTEN_MAX} bytes). Split the work into several mutations.",
            )

    def schedule_function(self) -> None:
        """One function that is to run later."""
        self.functions_scheduled += 1
        if self.functions_scheduled > SCHEDULED_PER_CALL_MAX:
            raise LimitExceededError(
                "TooManyFunctionsScheduled",
                "Too many functions scheduled by a single function execution (limit: "
                f"{SCHEDULED_PER_CALL_MAX}). Schedule one that schedules the others.",
            )

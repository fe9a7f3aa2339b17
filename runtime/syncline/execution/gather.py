"""`ctx.gather`: several awaitables in rounds, each round's reads sent as one batch.

Deterministic: every round steps all in argument order, so writes happen in argument order, and the
first failure in that order is raised and the rest closed (api.md, "ctx").
"""

from collections.abc import Awaitable, Generator, Sequence

from syncline.errors import DeveloperError
from syncline.ports import Page, RangeRead
from syncline.transaction.read_request import ReadRequest


async def gather(awaitables: Sequence[Awaitable[object]]) -> list[object]:
    """All results, in argument order."""
    running = {at: each.__await__() for at, each in enumerate(awaitables)}
    answers: dict[int, Sequence[Page] | None] = dict.fromkeys(running)
    results: list[object] = [None] * len(running)
    try:
        while running:
            wanted: list[tuple[int, Sequence[RangeRead]]] = []
            for at in sorted(running):
                request = _step(running[at], answers[at])
                if isinstance(request, _Finished):
                    results[at] = request.value
                    del running[at]
                else:
                    wanted.append((at, request.reads))
            if wanted:
                answers.update(await _read(wanted))
    finally:
        for generator in running.values():
            _close(generator)
    return results


class _Finished:
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def _step(
    generator: Generator[object, object, object], answer: Sequence[Page] | None
) -> ReadRequest | _Finished:
    try:
        request = generator.send(answer)
    except StopIteration as finished:
        return _Finished(finished.value)
    if not isinstance(request, ReadRequest):
        raise not_awaitable_here(request)
    return request


def _close(generator: object) -> None:
    close = getattr(generator, "close", None)
    if close is not None:
        close()


async def _read(
    wanted: Sequence[tuple[int, Sequence[RangeRead]]],
) -> dict[int, Sequence[Page] | None]:
    pages = await ReadRequest([read for _, reads in wanted for read in reads])
    answers: dict[int, Sequence[Page] | None] = {}
    start = 0
    for at, reads in wanted:
        answers[at] = pages[start : start + len(reads)]
        start += len(reads)
    return answers


def not_awaitable_here(request: object) -> DeveloperError:
    """Something other than a ctx method was awaited in a query or mutation."""
    return DeveloperError(
        "NoAsyncIoInQueriesOrMutations",
        f"A query or mutation awaited {type(request).__name__!r}, which needs an event loop. "
        "Await only ctx methods, ctx.gather and your own async functions made of them; for the "
        "network, timers or asyncio use an action.",
    )

"""`ctx.gather`: several awaitables in rounds, each round's reads sent as one batch.

Deterministic: every round steps all in argument order, so writes happen in argument order, and the
first failure in that order is raised and the rest closed (api.md, "ctx"). A nested mutation is run
to its end before the next argument goes on: sub-transactions never interleave, so that each can
take back its own writes alone.
"""

from collections.abc import Awaitable, Coroutine, Generator, Sequence

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.ports import Page, Read
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.transaction import Transaction


async def gather(
    transaction: Transaction, calls: ContextCalls, awaitables: Sequence[Awaitable[object]]
) -> list[object]:
    """All results, in argument order."""
    running = _started(awaitables)
    answers: dict[int, Sequence[Page] | None] = dict.fromkeys(running)
    results: list[object] = [None] * len(running)
    outer_savepoints = transaction.open_savepoints
    try:
        while running:
            wanted: list[tuple[int, Sequence[Read]]] = []
            for at in sorted(running):
                request = _step(calls, running[at], answers[at])
                while isinstance(request, ReadRequest) and (
                    transaction.open_savepoints > outer_savepoints
                ):
                    request = _step(calls, running[at], await request)
                if isinstance(request, _Finished):
                    results[at] = request.value
                    del running[at]
                else:
                    wanted.append((at, request.reads))
            if wanted:
                answers.update(await _read(wanted))
    finally:
        for generator in running.values():
            generator.close()
    return results


def _started(
    awaitables: Sequence[Awaitable[object]],
) -> dict[int, Generator[object, object, object]]:
    wrong = [at for at, each in enumerate(awaitables) if not isinstance(each, Awaitable)]  # pyright: ignore[reportUnnecessaryIsInstance] # user input
    if wrong:
        for each in awaitables:
            if isinstance(each, Coroutine):
                each.close()
        raise DeveloperError(
            "NotAwaitable",
            f"ctx.gather takes awaitables; argument {wrong[0] + 1} is of type "
            f"{type(awaitables[wrong[0]]).__name__}.",
        )
    return {at: each.__await__() for at, each in enumerate(awaitables)}


class _Finished:
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def _step(
    calls: ContextCalls,
    generator: Generator[object, object, object],
    answer: Sequence[Page] | None,
) -> ReadRequest | _Finished:
    try:
        request = generator.send(answer)
        if isinstance(request, ReadRequest):
            return request
        refused = calls.refuse(request)
        # Raised where it waits, so that the trace shows the line.
        generator.throw(refused)
    except StopIteration as finished:
        return _Finished(finished.value)
    raise refused


async def _read(
    wanted: Sequence[tuple[int, Sequence[Read]]],
) -> dict[int, Sequence[Page] | None]:
    pages = await ReadRequest([read for _, reads in wanted for read in reads])
    answers: dict[int, Sequence[Page] | None] = {}
    start = 0
    for at, reads in wanted:
        answers[at] = pages[start : start + len(reads)]
        start += len(reads)
    return answers

"""Lambda on this machine: the template's functions, in as many processes as calls at once.

An environment is used again while it lives, as on AWS; after an outage all of them are cold.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Mapping

from syncline.local_cloud.lambda_instance import FunctionShape, Instance, Machine
from syncline.local_cloud.ports import FunctionFailed

INSTANCES_MAX = 4
"""Ours: environments of one function at a time, and as many more for calls by functions; calls
above it wait, as a laptop has few cores."""


class LambdaService:
    """The port `Functions` over processes."""

    def __init__(self, machine: Machine, find: Callable[[str], FunctionShape | None]) -> None:
        """`find`: the function of that name as it is deployed now, or None."""
        self._machine = machine
        self._find = find
        self._idle: dict[str, list[Instance]] = {}
        self._all: set[Instance] = set()
        self._room: dict[str, asyncio.Semaphore] = {}
        self.invocations: Counter[str] = Counter()
        """How often each function was called, by its label."""

    def shape(self, function: str) -> FunctionShape:
        """A function by its ARN (with or without a qualifier) or name.

        Raises:
            FunctionFailed: there is none.
        """
        parts = function.split(":")
        found = self._find(parts[6] if function.startswith("arn:") else parts[0])
        if found is None:
            raise FunctionFailed({
                "errorType": "ResourceNotFoundException",
                "errorMessage": f"Function not found: {function}",
            })  # fmt: skip
        return found

    async def invoke(self, function: str, event: Mapping[str, object]) -> object:
        """Call a function and wait for its answer. Raises FunctionFailed."""
        return await self._invoke(function, event, "")

    async def invoke_inner(self, function: str, event: Mapping[str, object]) -> object:
        """The same for a function that calls: what it waits for must not wait for it."""
        return await self._invoke(function, event, " from within")

    async def _invoke(self, function: str, event: Mapping[str, object], room: str) -> object:
        shape = self.shape(function)
        self.invocations[shape.label] += 1
        async with self._room.setdefault(shape.name + room, asyncio.Semaphore(INSTANCES_MAX)):
            instance = await self._instance(shape)
            try:
                answer = await instance.call(event, str(uuid.uuid4()))
            except FunctionFailed:
                await self._give_back(instance)
                raise
            except BaseException:
                # Nobody knows what it is doing: it is not used again.
                await self._end(instance)
                raise
            await self._give_back(instance)
            return answer

    async def _instance(self, shape: FunctionShape) -> Instance:
        idle = self._idle.setdefault(shape.name, [])
        while idle:
            instance = idle.pop()
            if instance.is_alive and instance.shape == shape:
                return instance
            await self._end(instance)
        instance = Instance(shape, self._machine)
        self._all.add(instance)
        await instance.start()
        return instance

    async def _give_back(self, instance: Instance) -> None:
        if instance in self._all and instance.is_alive:
            self._idle[instance.shape.name].append(instance)
        else:
            await self._end(instance)

    async def _end(self, instance: Instance) -> None:
        self._all.discard(instance)
        await instance.kill()

    async def kill_all(self) -> int:
        """End every environment, those in the middle of a call too; how many there were."""
        ended = [*self._all]
        self._all.clear()
        for idle in self._idle.values():
            idle.clear()
        await asyncio.gather(*(instance.kill() for instance in ended))
        return len(ended)

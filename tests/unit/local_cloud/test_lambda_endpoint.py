"""Functions that call functions: Invoke through boto3's own client."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

import boto3
import pytest
from botocore.exceptions import ClientError

from syncline.local_cloud.lambda_endpoint import EVENT_BYTES_MAX, LambdaEndpoint
from syncline.local_cloud.ports import FunctionFailed

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:here"


class Functions:
    """One function, `here`, that answers what it is given, or fails."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, object]] = []
        self.has_run = asyncio.Event()

    def shape(self, function: str) -> None:
        if function not in {"here", ARN}:
            raise FunctionFailed({"errorMessage": f"Function not found: {function}"})

    async def invoke_inner(self, function: str, event: Mapping[str, object]) -> object:
        self.events.append(event)
        self.has_run.set()
        if event.get("fails"):
            raise FunctionFailed({"errorMessage": "it broke"})
        return {"given": event}


Work = Callable[[object, Functions], Awaitable[None]]


def played(work: Work) -> None:
    async def main() -> None:
        functions = Functions()
        endpoint = LambdaEndpoint(functions)  # type: ignore[arg-type] - what it uses of it
        await endpoint.start()
        client = boto3.client(
            "lambda",
            endpoint_url=endpoint.url,
            region_name="eu-central-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        try:
            await work(client, functions)
        finally:
            client.close()
            await endpoint.stop()

    asyncio.run(main())


async def invoke(client, name: str, payload: object, kind: str = "RequestResponse"):
    return await asyncio.to_thread(
        client.invoke,
        FunctionName=name,
        InvocationType=kind,
        Payload=json.dumps(payload).encode(),
    )


@pytest.mark.parametrize("name", ["here", ARN])
def test_a_call_is_answered(name: str):
    async def work(client, functions: Functions) -> None:
        reply = await invoke(client, name, {"a": 1})
        assert reply["StatusCode"] == 200
        assert json.load(reply["Payload"]) == {"given": {"a": 1}}

    played(work)


def test_an_event_is_taken_at_once_and_run_behind():
    async def work(client, functions: Functions) -> None:
        reply = await invoke(client, "here", {"a": 2}, "Event")
        assert reply["StatusCode"] == 202
        await functions.has_run.wait()
        assert functions.events == [{"a": 2}]

    played(work)


def test_a_failure_is_told_to_who_waits():
    async def work(client, functions: Functions) -> None:
        reply = await invoke(client, "here", {"fails": True})
        assert reply["FunctionError"] == "Unhandled"
        assert "it broke" in json.load(reply["Payload"])["errorMessage"]
        assert (await invoke(client, "here", {"fails": True}, "Event"))["StatusCode"] == 202
        await functions.has_run.wait()

    played(work)


def test_what_is_not_there_or_too_large_is_refused():
    async def work(client, functions: Functions) -> None:
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            await invoke(client, "gone", {})
        with pytest.raises(ClientError, match="RequestTooLargeException"):
            await invoke(client, "here", "x" * EVENT_BYTES_MAX, "Event")
        assert functions.events == []

    played(work)

"""The events of a WebSocket API's functions, and the request context of its templates."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from syncline.local_cloud.distribution import EDGE_ADDRESS, OriginRequest, Pairs
from syncline.local_cloud.gateway_identity import host, milliseconds, new_id, request_time
from syncline.local_cloud.ports import SocketApi


@dataclass(frozen=True, slots=True)
class Caller:
    """One socket, as events name it."""

    connection_id: str
    connected_at: float
    """Seconds since the epoch."""
    user_agent: str


def socket_context(
    api: SocketApi, caller: Caller, event: str, route: str, at: float
) -> dict[str, object]:
    """`requestContext` of one event: CONNECT, MESSAGE or DISCONNECT."""
    identity = {"sourceIp": EDGE_ADDRESS}
    if caller.user_agent:
        identity["userAgent"] = caller.user_agent
    context: dict[str, object] = {
        "routeKey": route,
        "eventType": event,
        "extendedRequestId": new_id(),
        "requestTime": request_time(at),
        "messageDirection": "IN",
        "stage": api.stage,
        "connectedAt": milliseconds(caller.connected_at),
        "requestTimeEpoch": milliseconds(at),
        "identity": identity,
        "requestId": new_id(),
        "domainName": host(api.api_id, api.region),
        "connectionId": caller.connection_id,
        "apiId": api.api_id,
    }
    if event == "MESSAGE":
        context["messageId"] = new_id()
    return context


def connect_event(
    api: SocketApi, request: OriginRequest, context: Mapping[str, object]
) -> dict[str, object]:
    """What the function of `$connect` is given."""
    headers = (("Host", host(api.api_id, api.region)), *request.headers)
    event: dict[str, object] = {
        **_single_and_multiple("headers", "multiValueHeaders", headers),
        "requestContext": context,
        "isBase64Encoded": False,
    }
    query = tuple(parse_qsl(request.query, keep_blank_values=True))
    if query:
        names = ("queryStringParameters", "multiValueQueryStringParameters")
        event.update(_single_and_multiple(*names, query))
    return event


def disconnect_event(
    api: SocketApi, context: Mapping[str, object], code: int, reason: str
) -> dict[str, object]:
    """What the function of `$disconnect` is given."""
    headers = (
        ("Host", host(api.api_id, api.region)),
        ("x-api-key", ""),
        ("X-Forwarded-For", ""),
        ("x-restapi", ""),
    )
    ending = {"disconnectStatusCode": code, "disconnectReason": reason}
    return {
        **_single_and_multiple("headers", "multiValueHeaders", headers),
        "requestContext": {**context, **ending},
        "isBase64Encoded": False,
    }


def _single_and_multiple(single: str, multiple: str, pairs: Pairs) -> dict[str, object]:
    """The last value of each name, and all of them."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {single: {name: found[-1] for name, found in values.items()}, multiple: values}

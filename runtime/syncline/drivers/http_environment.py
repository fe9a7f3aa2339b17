"""Endpoints of environment variables, as `npx convex env` calls them (convex-protocol.md 7.2)."""

import msgspec

from syncline.drivers.deployment import Deployment
from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse, json_response


class _Change(msgspec.Struct):
    name: str
    value: str | None
    """None removes it. Without a default: what forgets the value must not remove the variable."""


class _Changes(msgspec.Struct):
    changes: list[_Change]


_decode = msgspec.json.Decoder(_Changes).decode


class EnvironmentEndpoints:
    """Every caller is an admin."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def answer(self, request: HttpRequest) -> HttpResponse | None:
        """The answer, if it is one of these endpoints."""
        match request.method, request.path:
            case "POST", "/api/update_environment_variables":
                return await self._update(request)
            case "GET", "/api/list_environment_variables":
                variables = await self._deployment.environment.variables()
                return json_response({"environmentVariables": variables})
            case _:
                return None

    async def _update(self, request: HttpRequest) -> HttpResponse:
        try:
            parsed = _decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Such an error names the place of what is wrong; bytes it would show, so it is hidden.
            shown = error if isinstance(error, msgspec.ValidationError) else "it is no JSON"
            raise HttpError(400, "BadJsonBody", f"The request can't be read: {shown}.") from None
        await self._deployment.environment.change({c.name: c.value for c in parsed.changes})
        return HttpResponse(200, b"")

"""What API Gateway and Lambda bound (aws-facts.md 1.1), and the bucket that throttles requests."""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """AWS's figures unless said otherwise; bytes and seconds."""

    frame_bytes: int = 32 * 1024
    """One frame of a client."""
    message_bytes: int = 128 * 1024
    """One message, in either direction."""
    idle_seconds: float = 600
    """Without a message in either direction; control frames do not count (aws-facts.md 1.2)."""
    life_seconds: float = 7200
    integration_seconds: float = 29
    """A route of the WebSocket API; the HTTP API's own timeout is in its integration."""
    requests_per_second: float = 10_000
    """New sockets, messages, posts and HTTP requests together."""
    requests_burst: int = 5_000
    http_body_bytes: int = 10 * 2**20
    invocation_bytes: int = 6 * 2**20
    """A synchronous invocation's event, as JSON."""
    answer_bytes: int = 6 * 2**20 + 100
    """Its answer, as JSON: Lambda's message names 6,291,556 bytes."""
    socket_buffer_bytes: int = 2**20
    """What waits for a client that does not read before posts are refused; ours, AWS names none."""
    closing_seconds: float = 5
    """What a client has to answer a close frame; ours."""

    def scaled(self, factor: float) -> "GatewayLimits":
        """The same sizes with a socket's times multiplied by `factor`, for tests."""
        return replace(
            self,
            idle_seconds=self.idle_seconds * factor,
            life_seconds=self.life_seconds * factor,
        )


class Throttle:
    """A token bucket: `burst` requests at once, refilled at `rate` a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def admits(self) -> bool:
        """Take a token; False: there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

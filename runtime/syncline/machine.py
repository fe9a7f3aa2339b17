"""This machine's clock and randomness, as the ports `Clock` and `Entropy`."""

import secrets
import time


class SystemClock:
    """The machine's wall clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


class SystemEntropy:
    """The operating system's randomness."""

    def bits(self, count: int) -> int:
        """A random number of `count` bits."""
        return secrets.randbits(count)

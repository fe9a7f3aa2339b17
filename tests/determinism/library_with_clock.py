"""Stands for any installed package that reads the clock or starts a thread."""

import time
from threading import Thread

__all__ = ["Thread", "now"]


def now() -> float:
    return time.time()

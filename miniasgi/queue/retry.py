"""Again and later: how long a failed job waits, how a task asks for another attempt, and when.

Exponential backoff with full jitter: the n-th retry waits a random time between 0 and
``base * 2**n`` seconds, capped, so that jobs that failed together do not come back together.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
from datetime import datetime

_FOREVER = 1e11  # seconds: what is later has no date


class Retry(Exception):
    """Raise it in a task to run the job again: ``raise Retry(countdown=30)``, seconds.

    Without a countdown the task's own backoff applies. It counts against ``max_retries``.
    """

    def __init__(self, message: str = "asked for a retry", countdown: float | None = None) -> None:
        super().__init__(message)
        if not isinstance(countdown, int | float | None):
            raise TypeError(f"a countdown is seconds, not {countdown!r}")
        moment(countdown, 0.0)  # raises ValueError for what is no time to wait
        self.countdown = countdown


def backoff(retries: int, base: float, cap: float) -> float:
    """Seconds to wait before retry number ``retries`` + 1."""
    return random.uniform(0.0, min(cap, base * 2.0 ** min(retries, 60)))


def moment(when: datetime | float | None, origin: float) -> float | None:
    """Unix seconds: of a datetime, or so many after ``origin``. Raises where that is no moment."""
    if when is None:
        return None
    if isinstance(when, int | float):
        if not abs(when) < _FOREVER:
            raise ValueError(f"{when!r} seconds are no time to wait")
        return origin + when
    if not isinstance(when, datetime):
        raise TypeError(f"{when!r} is neither seconds nor a datetime")
    if when.tzinfo is None:
        raise ValueError(f"{when.isoformat()} needs a time zone")
    return when.timestamp()

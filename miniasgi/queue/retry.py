"""Again and later: how long a failed job waits, and how a task asks for another attempt.

Exponential backoff with full jitter: the n-th retry waits a random time between 0 and
``base * 2**n`` seconds, capped, so that jobs that failed together do not come back together.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random


class Retry(Exception):
    """Raise it in a task to run the job again: ``raise Retry(countdown=30)``, seconds.

    Without a countdown the task's own backoff applies. It counts against ``max_retries``.
    """

    def __init__(self, message: str = "asked for a retry", countdown: float | None = None) -> None:
        super().__init__(message)
        self.countdown = countdown


def backoff(retries: int, base: float, cap: float) -> float:
    """Seconds to wait before retry number ``retries`` + 1."""
    return random.uniform(0.0, min(cap, base * 2.0 ** min(retries, 60)))

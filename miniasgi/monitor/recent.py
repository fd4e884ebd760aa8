"""What has ended in the last five minutes: how many, how fast, how many of them failed.

Rule of this file: what has ended is read once and kept in steps of ten seconds, of which only the
newest two are read again where many jobs end.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from miniasgi.monitor import rows
from miniasgi.monitor.rows import ENDED

STEP = 10.0  #: seconds
STEPS = 30  #: five minutes
FEW = 5_000  #: so many ended jobs are read again in each look


@dataclass
class Recent:
    """What has ended in the last five minutes. Durations are seconds, exact in three digits."""

    success: int = 0
    failure: int = 0
    revoked: int = 0
    per_second: float = 0.0  #: successes and failures
    failure_rate: float | None = None  #: failures among both; None: there were none
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Window:
    """The last five minutes: for each step of ten seconds, how many jobs took how long."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[tuple[str, str], Counter[float]]] = {}

    def look(self, db: rows.Database, queues: Iterable[str], now: float) -> None:
        """Read what has ended: all of it while that is little, else what may have changed."""
        newest = int(now / STEP)
        first = oldest = newest - STEPS + 1
        if sum(counter.total() for step in self._steps.values() for counter in step.values()) > FEW:
            first = max(oldest, min(newest - 1, max(self._steps)))
        self._steps = {n: step for n, step in self._steps.items() if oldest <= n < first}
        for queue in queues:
            for state in ENDED:
                for number, took, count in rows.settled(db, queue, state, first * STEP, STEP):
                    step = self._steps.setdefault(number, {})
                    step.setdefault((queue, state), Counter())[took] += count

    def recent(self, queue: str | None, now: float) -> Recent:
        """The figures of one queue, or of all."""
        took: dict[str, Counter[float]] = {state: Counter() for state in ENDED}
        for step in self._steps.values():
            for (name, state), counter in step.items():
                if queue in (None, name):
                    took[state].update(counter)
        success, failure, revoked = (sum(took[state].values()) for state in ENDED)
        ended = success + failure
        seconds = now - (int(now / STEP) - STEPS + 1) * STEP
        quantiles = percentiles(took["success"] + took["failure"], (0.5, 0.95, 0.99))
        rate = failure / ended if ended else None
        return Recent(success, failure, revoked, ended / seconds, rate, *quantiles)

    def steps(self, now: float) -> list[dict[str, Any]]:
        newest = int(now / STEP)
        return [
            {"at": number * STEP}
            | {
                state: sum(
                    counter.total()
                    for (_, name), counter in self._steps.get(number, {}).items()
                    if name == state
                )
                for state in ENDED
            }
            for number in range(newest - STEPS + 1, newest + 1)
        ]


def percentiles(counter: Counter[float], shares: Iterable[float]) -> list[float | None]:
    """The least value that is not exceeded by such a share of all (nearest rank)."""
    ordered, total = sorted(counter.items()), counter.total()
    found: list[float | None] = []
    for share in shares:
        seen, reached = 0, None
        for value, count in ordered:
            seen += count
            if seen >= math.ceil(share * total):
                reached = value
                break
        found.append(reached)
    return found

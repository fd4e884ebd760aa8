"""The figures of all queues in a file: one look, shared by everybody who watches.

A *snapshot* is plain data: it is shown on pages, given as JSON, counted in metrics, and measured by
alarms. Rules of this file: whoever comes first after a snapshot has grown old looks again, everyone
else gets what is there; a look that takes long is followed by a longer rest, so that watching
costs at most a twentieth of one processor; what has ended is read once and kept in steps of ten
seconds, of which only the newest two are read again where many jobs end.
"""

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from miniasgi.monitor import rows
from miniasgi.monitor.alarms import Alarms, Watchman
from miniasgi.monitor.rows import ENDED, STATES, Rows
from miniasgi.queue.owners import living
from miniasgi.queue.writer import Writer

STEP = 10.0  #: seconds
STEPS = 30  #: five minutes
FEW = 5_000  #: so many ended jobs are read again in each look
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8,}\b|\d+")

REST = 20  #: a look is followed by a rest of so many times its length, of a second at least


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


@dataclass
class QueueFigures:
    """One queue. ``oldest_waits`` is the age of the oldest ready job, in seconds."""

    name: str
    jobs: dict[str, int]
    paused: bool
    workers: int
    slots: int
    oldest_waits: float | None
    recent: Recent


@dataclass
class WorkerFigures:
    """A process that runs jobs, and those that it runs now."""

    name: str
    kind: str  #: "worker", or "web" for a process that runs what its responses promised
    pid: int
    queue: str
    slots: int
    running: list[dict[str, Any]]


@dataclass
class Group:
    """Failures of one task with the same error, numbers aside; among the newest of each queue."""

    queue: str
    task: str
    signature: str
    error: str  #: the newest one's
    jobs: int
    first_at: float
    last_at: float
    example: str  #: a job's id


@dataclass
class Snapshot:
    """All figures at one moment."""

    at: float
    queues: list[QueueFigures]
    workers: list[WorkerFigures]
    recent: Recent  #: of all queues
    steps: list[dict[str, Any]]  #: the five minutes in steps of ten seconds, the oldest first
    longest_running: float | None  #: seconds
    failures: list[Group]  #: the newest first
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by state, in all queues."""
        return {state: sum(queue.jobs[state] for queue in self.queues) for state in STATES}

    @property
    def oldest_waits(self) -> float | None:
        ages = [queue.oldest_waits for queue in self.queues if queue.oldest_waits is not None]
        return max(ages, default=None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"jobs": self.jobs, "oldest_waits": self.oldest_waits}

    @property
    def version(self) -> str:
        """Another one as soon as any figure is another."""
        return blake2b(repr(self.as_dict() | {"at": 0}).encode(), digest_size=6).hexdigest()


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


class Watch:
    """Looks at a queue's file, at most once a second for all who ask."""

    def __init__(
        self,
        writer: Writer,
        queue: str,
        alarms: Alarms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rows = Rows(writer)
        self.watchman = Watchman(alarms)
        self._clock = clock
        self._writer = writer
        self._queue = queue
        self._window = Window()
        self._looking = threading.Lock()
        self._seen: Snapshot | None = None
        self._cost = 0.0
        self._rests_until = 0.0

    @property
    def is_old(self) -> bool:
        return self._seen is None or time.monotonic() >= self._rests_until

    def forget(self) -> None:
        """Something was done: who asks next looks again."""
        self._rests_until = 0.0

    def snapshot(self) -> Snapshot:
        """The newest figures; blocks where it has to look. Raises QueueUnavailable."""
        seen = self._seen
        if seen is not None and not self.is_old:
            return seen
        # Where a look takes long, only the one who looks waits for it.
        if not self._looking.acquire(blocking=seen is None or self._cost < 0.02):
            assert seen is not None
            return seen
        try:
            if self.is_old:
                begin = time.perf_counter()
                self._seen = self.rows.read(self._look)
                self._cost = time.perf_counter() - begin
                self._rests_until = time.monotonic() + max(1.0, REST * self._cost)
            assert self._seen is not None
            return self._seen
        finally:
            self._looking.release()

    def _look(self, db: rows.Database) -> Snapshot:
        now = self._clock()
        owned, paused = rows.owned(db), rows.paused(db)
        workers = self._workers(owned)
        known = {self._queue, *paused, *(row["queue"] for row in owned), *rows.queues(db)}
        names = sorted((known | {worker.queue for worker in workers}) - {""})
        self._window.look(db, names, now)
        queues = []
        for name in names:
            here = Counter(row["state"] for row in owned if row["queue"] == name)
            count = partial(rows.count, db, name)
            jobs = {s: here[s] if s in ("running", "held") else count(s) for s in STATES}
            since = rows.waiting_since(db, name)
            waits = None if since is None else max(now - since, 0.0)
            slots = [worker.slots for worker in workers if worker.queue == name and worker.slots]
            recent = self._window.recent(name, now)
            queues.append(
                QueueFigures(name, jobs, name in paused, len(slots), sum(slots), waits, recent)
            )
        since = min((row["since"] for row in owned if row["state"] == "running"), default=None)
        longest = None if since is None else now - since
        recent, steps = self._window.recent(None, now), self._window.steps(now)
        failures = [
            group for queue in queues if queue.jobs["failure"] for group in groups(db, queue.name)
        ]
        snapshot = Snapshot(now, queues, workers, recent, steps, longest, failures)
        snapshot.alarms = self.watchman.judge(measured(snapshot), now)
        return snapshot

    def _workers(self, owned: list[rows.Row]) -> list[WorkerFigures]:
        """Those that live; and each process that has a job, though it may have died just now."""
        running: dict[str, list[dict[str, Any]]] = {}
        for row in owned:
            running.setdefault(row["owner"], []).append(dict(row))
        alive = living(self._writer.directory, "worker")
        found = []
        for name in sorted({*alive, *running}):
            kind, pid, _ = name.split("-", 2)
            queue, _, slots = alive.get(name, "").rpartition(" ")
            kind = "web" if kind == "queue" else kind
            jobs = running.get(name, [])
            found.append(WorkerFigures(name, kind, int(pid), queue, int(slots or 0), jobs))
        return found


def groups(db: rows.Database, queue: str) -> list[Group]:
    """The failures of one queue, grouped."""
    found: dict[tuple[str, str], Group] = {}
    for row in sorted(rows.failures(db, queue), key=lambda row: -row["last_at"]):
        task, error, count, last_at, first_at, id = row
        key = (task, signature(error))
        group = found.setdefault(key, Group(queue, *key, error or "", 0, first_at, last_at, id))
        group.jobs += count
        group.first_at = min(group.first_at, first_at)
    return list(found.values())


def signature(error: str | None) -> str:
    """What errors of one kind have in common: the first line, without its numbers."""
    first = (error or "").partition("\n")[0][:300]
    return _NUMBERS.sub("#", first)


def measured(snapshot: Snapshot) -> dict[str, float]:
    """What alarms are about."""
    return {
        "backlog": snapshot.jobs["ready"],
        "running": snapshot.longest_running or 0.0,
        "failure_rate": snapshot.recent.failure_rate or 0.0,
    }

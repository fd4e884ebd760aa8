"""The figures of all queues in a file, as one look finds them.

A *snapshot* is plain data: it is shown on pages, given as JSON, counted in metrics, and measured by
alarms. Rules of this file: a look reads one state of the file, so that its figures agree; what it
has read before and is still so, it does not read again.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

from miniasgi.monitor import rows
from miniasgi.monitor.groups import Group, Groups
from miniasgi.monitor.recent import Recent, Window
from miniasgi.monitor.rows import STATES, Rows
from miniasgi.queue.owners import living
from miniasgi.queue.writer import Writer


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
class Snapshot:
    """All figures at one moment."""

    at: float
    queues: list[QueueFigures]
    workers: list[WorkerFigures]
    recent: Recent  #: of all queues
    steps: list[dict[str, Any]]  #: the five minutes in steps of ten seconds, the oldest first
    longest_running: float | None  #: seconds
    failures: list[Group]  #: the newest first
    grouped: int  #: how many failures are in these groups
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by state, in all queues."""
        return {state: sum(queue.jobs[state] for queue in self.queues) for state in STATES}

    @property
    def oldest_waits(self) -> float | None:
        ages = [queue.oldest_waits for queue in self.queues if queue.oldest_waits is not None]
        return max(ages, default=None)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self) | {"jobs": self.jobs, "oldest_waits": self.oldest_waits}

    @cached_property
    def version(self) -> str:
        """Another one as soon as any figure is another."""
        return blake2b(repr(self.plain | {"at": 0}).encode(), digest_size=6).hexdigest()

    def measured(self) -> dict[str, float]:
        """What alarms are about."""
        return {
            "backlog": self.jobs["ready"],
            "running": self.longest_running or 0.0,
            "failure_rate": self.recent.failure_rate or 0.0,
        }


class Figures:
    """Looks at a queue's file: ``figures.look(now)``."""

    def __init__(self, writer: Writer, queue: str) -> None:
        self._rows = Rows(writer)
        self._directory = writer.directory
        self._queue = queue
        self._window = Window()
        self._groups: dict[str, Groups] = {}
        self._largest = (queue, "success")

    def look(self, now: float) -> Snapshot:
        """All figures. Raises QueueUnavailable."""
        return self._rows.read(lambda db: self._look(db, now))

    def _look(self, db: rows.Database, now: float) -> Snapshot:
        owned, paused = rows.owned(db), rows.paused(db)
        workers = self._workers(owned)
        known = {self._queue, *paused, *(row["queue"] for row in owned), *rows.queues(db)}
        names = sorted((known | {worker.queue for worker in workers}) - {""})
        jobs = self._count(db, names, owned)
        self._window.look(db, names, now)
        self._group(db, [name for name in names if jobs[name, "failure"]])
        queues = []
        for name in names:
            since = rows.waiting_since(db, name)
            slots = [worker.slots for worker in workers if worker.queue == name and worker.slots]
            queues.append(
                QueueFigures(
                    name,
                    {state: jobs[name, state] for state in STATES},
                    name in paused,
                    len(slots),
                    sum(slots),
                    None if since is None else max(now - since, 0.0),
                    self._window.recent(name, now),
                )
            )
        since = min((row["since"] for row in owned if row["state"] == "running"), default=None)
        return Snapshot(
            now,
            queues,
            workers,
            self._window.recent(None, now),
            self._window.steps(now),
            None if since is None else max(now - since, 0.0),
            [group for groups in self._groups.values() for group in groups.found],
            sum(groups.size for groups in self._groups.values()),
        )

    def _count(
        self, db: rows.Database, names: Iterable[str], owned: list[rows.Row]
    ) -> Counter[tuple[str, str]]:
        """Jobs by queue and state. The most numerous kind is what the others leave of all jobs:
        SQLite counts a whole table several times faster than a part of it.
        """
        jobs = Counter((row["queue"], row["state"]) for row in owned)
        for name in names:
            for state in rows.UNOWNED:
                if (name, state) != self._largest:
                    jobs[name, state] = rows.count(db, name, state)
        jobs[self._largest] = rows.count_all(db) - jobs.total()
        self._largest = max(
            (kind for kind in jobs if kind[1] in rows.UNOWNED), key=lambda kind: jobs[kind]
        )
        return jobs

    def _group(self, db: rows.Database, failing: list[str]) -> None:
        self._groups = {name: self._groups.get(name) or Groups(name) for name in failing}
        for groups in self._groups.values():
            groups.look(db)

    def _workers(self, owned: list[rows.Row]) -> list[WorkerFigures]:
        """Those that live; and each process that has a job, though it may have died just now."""
        running: dict[str, list[dict[str, Any]]] = {}
        for row in owned:
            running.setdefault(row["owner"], []).append(dict(row))
        alive = living(self._directory, "worker")
        found = []
        for name in sorted({*alive, *running}):
            kind, pid, _ = name.split("-", 2)
            queue, _, slots = alive.get(name, "").rpartition(" ")
            kind = "web" if kind == "queue" else kind
            jobs = running.get(name, [])
            found.append(WorkerFigures(name, kind, int(pid), queue, int(slots or 0), jobs))
        return found

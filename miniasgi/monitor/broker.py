"""What Celery tells of a queue: its workers by ``inspect``, its backlog by the broker.

A broker has no rows: what has ended is in the backend, one job at a time, by its id. Rules of this
file: the broker is asked in a thread of its own, once at a time; one that does not answer is a
sentence, `problem`, after `PATIENCE` seconds at most.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

import anyio
from anyio import to_thread

from miniasgi.monitor.access import Access
from miniasgi.monitor.site import Site
from miniasgi.monitor.watch import Watch
from miniasgi.queue import Queue, QueueUnavailable
from miniasgi.queue.celery import ANSWERS, DOWN, waiting

PATIENCE = 3.0  #: seconds
_NO_COLUMNS: dict[str, Any] = {"past": "", "owner": None, "trace": None, "crashes": 0}


@dataclass
class BrokerSnapshot:
    """What was told at one moment. With a ``problem`` nothing else is known."""

    at: float
    problem: str | None = None
    #: ``name``, and ``ready``: how many jobs no worker has taken.
    queues: list[dict[str, Any]] = field(default_factory=list)
    #: ``name, pid, slots``; ``active, reserved, scheduled``: jobs, ``id, task, since, due_at``.
    workers: list[dict[str, Any]] = field(default_factory=list)
    longest_running: float | None = None  #: seconds
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def version(self) -> str:
        return repr(self.plain | {"at": 0, "longest_running": 0})

    def measured(self) -> dict[str, float]:
        """What alarms are about; how many jobs failed Celery does not tell."""
        if self.problem:
            return {}
        backlog = sum(queue["ready"] for queue in self.queues)
        return {"backlog": backlog, "running": self.longest_running or 0.0}


class Broker:
    """Looks at a queue on Celery: ``broker.look(now)``."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._threads = ThreadPoolExecutor(6, "miniasgi-broker")
        self._asked: Future[BrokerSnapshot] | None = None

    def look(self, now: float) -> BrokerSnapshot:
        if self._asked is None or self._asked.done():  # else what was asked before still hangs
            self._asked = self._threads.submit(self._ask)
        try:
            return self._asked.result(PATIENCE)
        except TimeoutError:
            said = f"has not answered for {PATIENCE:g} s"
        except DOWN as exc:
            said = f"cannot be used: {exc}"
        return BrokerSnapshot(now, f"{self._queue.engine.where} {said}")

    def _ask(self) -> BrokerSnapshot:
        ready = self._threads.submit(waiting, self._queue.celery, self._queue.name)
        inspect = self._queue.celery.control.inspect(timeout=ANSWERS)
        kinds = ("stats", "active", "reserved", "scheduled")
        asked = [self._threads.submit(getattr(inspect, kind)) for kind in kinds]
        stats, *jobs = (answer.result() or {} for answer in asked)
        now = time.time()
        workers = [
            {
                "name": name,
                "pid": about.get("pid"),  # not in an answer that is an error
                "slots": about.get("pool", {}).get("max-concurrency"),
                **{
                    kind: [_job(one) for one in told.get(name, []) if "error" not in told[name]]
                    for kind, told in zip(kinds[1:], jobs, strict=True)
                },
            }
            for name, about in sorted(stats.items())
        ]
        began = [job["since"] for worker in workers for job in worker["active"] if job["since"]]
        longest = max(now - min(began), 0.0) if began else None
        backlog = {"name": self._queue.name, "ready": ready.result()}
        return BrokerSnapshot(now, None, [backlog], workers, longest)


def _job(told: Mapping[str, Any]) -> dict[str, Any]:
    """One of ``inspect``'s jobs, without its arguments."""
    request = told.get("request", told)  # of those that are scheduled
    return {
        "id": request["id"],
        "task": request["name"],
        "since": request.get("time_start"),
        "due_at": told.get("eta") and datetime.fromisoformat(told["eta"]).timestamp(),
    }


class BrokerSite(Site):
    """The monitor of a queue on Celery: what it can tell, and Flower for the rest."""

    paths = (("/", "broker"), ("/jobs/{id:path}", "job"))

    def __init__(
        self, queue: Queue, watch: Watch[Any], access: Access, hide: bool, flower: str | None
    ) -> None:
        super().__init__(queue.name, watch, access, hide)
        self.flower = flower and flower.rstrip("/")
        self._queue = queue

    async def find(self, id: str) -> Mapping[str, Any] | None:
        """What the backend says of a job, as a row. Raises QueueUnavailable."""
        ask = partial(getattr, self._queue.AsyncResult(id), "row")
        try:
            with anyio.fail_after(PATIENCE):
                row = await to_thread.run_sync(ask, abandon_on_cancel=True)
        except TimeoutError as exc:
            raise QueueUnavailable(f"{self._queue.engine.where} does not answer") from exc
        return row and _NO_COLUMNS | dict(row)

"""Promise, send, then run: a queue's task as the background of a response.

`Promise.accept` commits the row before the first byte, born *held*: this process owns it. After the
last byte it goes to the worker in this process, or runs here. Two commits in a job's life, not
three: nobody has to claim it.

Rules of this file: a promise is let go exactly once, by whoever comes first of the call after the
response, `abandon`, its collection as garbage, and ``hold`` seconds. If the process dies, the row
is its dead owner's and any worker takes it.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection

import anyio

from miniasgi.concurrency import threads_here
from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.jobs import Function
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job, NewJob, Outcome
from miniasgi.queue.worker import Worker
from miniasgi.queue.writer import Writer
from miniasgi.types import Background

logger = logging.getLogger("miniasgi.queue")


@dataclass(eq=False)
class Promise:
    """One job of one response. Also ``background_tasks.add_task(promise)`` in Starlette.

    ``result`` is the job's handle; its id is known before the row exists.
    """

    _writer: Writer
    _function: Function
    _new: NewJob
    _worker: Callable[[], Worker | None]
    _hold: float
    _job: Job | None = None  # once accepted
    _held_until: float = float("inf")
    _marked: bool = False

    def __post_init__(self) -> None:
        self.name = self._function.name
        self.result = AsyncResult(self._writer, self._new.id)
        self._fate = threading.Lock()  # acquired once, by who decides what becomes of the job

    def __background__(self) -> "Promise":
        return self

    async def accept(self, *others: Background) -> None:
        """Commit these jobs, one transaction for all on the same file: all or none.

        Raises QueueUnavailable: then none is promised. The same ``task_id`` twice is one job.
        """
        ours = [p for p in (self, *others) if isinstance(p, Promise) and p._writer is self._writer]
        fresh = [promise for promise in ours if promise._job is None]
        owner = self._writer.owner.name
        rows = [p._new._replace(state="held", owner=owner, attempt=1) for p in fresh]
        for promise, row in zip(fresh, rows, strict=True):
            promise._job = Job(row.id, row.task, row.arguments, owner, attempt=1)
            self._writer.promises[id(promise)] = weakref.ref(promise)
        rest = [other for other in others if other not in ours]
        made: list[NewJob] = []
        committed = False

        def make(db: Connection) -> None:
            made.clear()  # it may be the second time, after a transaction that failed
            made.extend([row for row in rows if store.insert(db, row)])

        try:
            await self._writer.arun(make)
            committed = True
            if rest:  # on another file: it cannot share our commit, so if it fails ours is undone
                await rest[0].accept(*rest[1:])
        except BaseException as exc:
            for promise in fresh:
                promise._take()
                self._writer.promises.pop(id(promise), None)
            if committed or not isinstance(exc, Exception):  # a cancel does not stop a commit
                self._writer.post(lambda db: store.withdraw(db, made))
            raise
        for promise, row in zip(fresh, rows, strict=True):
            if any(row is one for one in made):
                promise._held_until = time.monotonic() + promise._hold
                tell("job.accepted", promise.name)
            else:
                promise._take()  # it was promised before: that promise will run it
                self._writer.promises.pop(id(promise), None)

    async def __call__(self) -> None:
        """Let the worker in this process run it, or run it here. Raises nothing of the task's."""
        job, new, worker, now = self._take(), self._new, self._worker(), time.time()
        if job is None:
            return
        if new.due_at is not None and new.due_at > now:
            self._release(job)
        elif new.expires_at is not None and new.expires_at <= now:
            await self._settle(job, Outcome("revoked", error="expired", attempts=1))
        elif worker is not None:
            if worker.take(job, copy_context()):
                self._let_go()
            else:
                self._release(job)
        elif self._function.is_async:
            await self._run(job)
        else:
            await threads_here.get().run(partial(self._run_in_thread, job))

    async def abandon(self, because: BaseException) -> None:
        """The response failed, the promise stands: any worker may run it."""
        if (job := self._take()) is not None:
            self._release(job)

    def __del__(self) -> None:
        if self._job is not None and self._take() is not None:
            self._release(self._job)

    def tick(self) -> None:
        """Called once a second: what was held too long is let go, what runs is said to run."""
        job = self._job
        if job is None:
            return
        if time.monotonic() > self._held_until and self._take() is not None:
            logger.warning("job %s (%s) was held for %g s", job.id, self.name, self._hold)
            self._release(job)
        elif job.started_at and not self._marked and time.time() > job.started_at + 1:
            self._marked = True
            self._writer.post(lambda db: store.mark_running(db, job))

    def _take(self) -> Job | None:
        return self._job if self._fate.acquire(blocking=False) else None

    def _release(self, job: Job) -> None:
        due_at = self._new.due_at
        state = "ready" if due_at is None or due_at <= time.time() else "scheduled"
        self._write(job, Outcome(state, due_at=due_at, attempts=1))
        self._let_go()

    def _let_go(self) -> None:
        self._writer.promises.pop(id(self), None)
        tell("job.released", self.name)

    async def _run(self, job: Job) -> None:
        timeout = self._function.timeout
        outcome = None
        try:
            with anyio.move_on_after(timeout):
                outcome = await self._function.run(job)
        except BaseException:  # cancelled with its server: the next attempt is any worker's
            self._write(job, Outcome("ready", error="given back: its server stopped"))
            self._writer.promises.pop(id(self), None)
            raise
        if outcome is None:
            outcome = self._function.failed(job, TimeoutError(f"ran longer than {timeout:g} s"))
        await self._settle(job, outcome)

    async def _settle(self, job: Job, outcome: Outcome) -> None:
        now = time.time()
        try:
            await self._writer.arun(
                lambda db: job.settled or store.settle(db, job, outcome, now), outcome.brings_work
            )
        except QueueUnavailable:
            self._write(job, outcome)
        self._settled(job)

    def _run_in_thread(self, job: Job) -> None:
        outcome = self._function.run_in_thread(job)
        now = time.time()
        try:
            self._writer.run(
                lambda db: job.settled or store.settle(db, job, outcome, now), outcome.brings_work
            )
        except QueueUnavailable:
            self._write(job, outcome)
        self._settled(job)

    def _write(self, job: Job, outcome: Outcome) -> None:
        """Settle as soon as it can be written, without waiting for it."""
        now = time.time()
        self._writer.post(lambda db: store.settle(db, job, outcome, now), outcome.brings_work)

    def _settled(self, job: Job) -> None:
        self._writer.promises.pop(id(self), None)
        tell("job.settled", self.name)

"""Promise, send, then run: a queue's task as the background of a response.

`Promise.accept` commits the row before the first byte, born *held*: this process owns it. After the
last byte it goes to the worker in this process, or runs here. Two commits in a job's life, not
three: nobody has to claim it.

Rules of this file: a promise is let go exactly once, by whoever comes first of the call after the
response, `abandon`, its collection as garbage, and ``hold`` seconds. If the process dies, the row
is its dead owner's and any worker takes it.
"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from sqlite3 import Connection

from miniasgi.background import is_cancelled
from miniasgi.concurrency import threads_here
from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.jobs import Function, Site, settling
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job, Outcome
from miniasgi.types import Background

logger = logging.getLogger("miniasgi.queue")


@dataclass(eq=False)
class Promise:
    """One job of one response. Also ``background_tasks.add_task(promise)`` in Starlette.

    ``result`` is the job's handle; its id is known before the row exists.
    """

    _site: Site
    _function: Function
    _job: Job
    _accepted: bool = False
    _held_until: float = float("inf")

    def __post_init__(self) -> None:
        self.name = self._function.name
        self._writer = self._site.writer
        self.result = AsyncResult(self._writer, self._job.id)
        self._fate = threading.Lock()  # free while the job is promised and nobody has decided
        self._fate.acquire()

    def __background__(self) -> "Promise":
        return self

    async def accept(self, *others: Background) -> None:
        """Commit these jobs, one transaction for all on the same file: all or none.

        Raises QueueUnavailable: then none is promised. The same ``task_id`` twice is one job.
        """
        ours = [p for p in (self, *others) if isinstance(p, Promise) and p._writer is self._writer]
        rest = [other for other in others if other not in ours]
        fresh = [promise for promise in ours if not promise._accepted]
        for promise in fresh:
            promise._job.state, promise._job.attempt = "held", 1
            promise._job.owner = self._writer.owner.name
        made: list[Promise] = []
        committed = False

        def make(db: Connection) -> None:
            made[:] = [promise for promise in fresh if store.insert(db, promise._job)]

        try:
            await self._writer.arun(make)
            committed = True
            if rest:  # on another file: it cannot share our commit, so if it fails ours is undone
                await rest[0].accept(*rest[1:])
        except BaseException as exc:
            if committed or not isinstance(exc, Exception):  # a cancel does not stop a commit
                self._writer.post(lambda db: store.withdraw(db, [one._job for one in made]))
            raise
        for promise in fresh:
            promise._accepted = True
            if promise in made:  # or it was promised before: that promise will run it
                promise._held_until = time.monotonic() + promise._site.hold
                promise._fate.release()
                self._writer.promises[promise._job.id] = promise
                tell("job.accepted", promise.name)

    async def __call__(self) -> None:
        """Let the worker in this process run it, or run it here. Raises nothing of the task's."""
        if not self.take():
            return
        job, workers, now = self._job, self._site.workers, time.time()
        if job.due_at is not None and job.due_at > now:
            self._release()
        elif job.expires_at is not None and job.expires_at <= now:
            await self._settle(store.EXPIRED)
        elif job.id in self._writer.read(store.revoking, str(job.owner)):
            await self._settle(Outcome("revoked", error="revoked", attempts=1))
        elif workers and workers[-1].take(job, self):
            tell("job.released", self.name)
        elif workers:
            self._release()
        elif self._function.is_async:
            await self._run()
        else:
            await threads_here.get().run(self._run_in_thread)

    async def abandon(self, because: BaseException) -> None:
        """The response failed, the promise stands: any worker may run it."""
        self.__del__()

    def __del__(self) -> None:
        if self.take():
            self._release()

    def tick(self) -> None:
        """Called once a second: what was held too long is let go, what runs is said to run."""
        job = self._job
        if time.monotonic() > self._held_until and self.take():
            logger.warning("job %s (%s) was held for %g s", job.id, self.name, self._site.hold)
            self._release()
        elif job.state == "held" and 0 < job.started_at < time.time() - 1:
            job.state = "running"
            self._writer.post(lambda db: store.mark_running(db, job))

    def take(self) -> bool:
        """Decide its fate: True once. In a child of a fork nobody may, for it is the parent's."""
        return self._fate.acquire(blocking=False)

    def _release(self) -> None:
        due_at = self._job.due_at
        state = "ready" if due_at is None or due_at <= time.time() else "scheduled"
        outcome = Outcome(state, due_at=due_at, attempts=1)
        self._writer.post(settling(self._job, outcome), wakes=True)
        tell("job.released", self.name)

    async def _run(self) -> None:
        """Run it on this loop; cancelled with its server, it is given back to any worker."""
        try:
            outcome = await self._function.run(self._job)
        except BaseException as exc:
            if not isinstance(exc, asyncio.CancelledError) or is_cancelled():
                given_back = Outcome("ready", error="given back: its server stopped")
                self._writer.post(settling(self._job, given_back), wakes=True)
                raise
            outcome = self._function.failed(self._job, exc)  # somebody else's cancel came in
        await self._settle(outcome)

    async def _settle(self, outcome: Outcome) -> None:
        settle = settling(self._job, outcome)
        await self._writer.arun(settle, wakes=outcome.brings_work, surely=settle)
        tell("job.settled", self.name)

    def _run_in_thread(self) -> None:
        outcome = self._function.run_in_thread(self._job)
        settle = settling(self._job, outcome)
        self._writer.run(settle, wakes=outcome.brings_work, surely=settle)
        tell("job.settled", self.name)

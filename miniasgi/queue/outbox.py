"""The outbox: promises are kept in a local file until the broker has them.

A job is committed in a SQLite file first, as in an embedded queue. Its "work" there is to be handed
over: a thread of this process claims what is ready and publishes it, again and again while the
broker is away. If the process dies, its rows are a dead owner's, and the next process that uses the
file hands them over. So a 202 does not need the broker, nothing starts before the last byte, and a
job may wait as long as it likes before it is due.

Rule of this file: what may have been published is published again under the same id, never dropped.
"""

import asyncio
import atexit
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from anyio.to_thread import run_sync

from miniasgi.queue import store
from miniasgi.queue.celery import CeleryEngine, CeleryResult
from miniasgi.queue.embedded import EmbeddedEngine
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.jobs import Function
from miniasgi.queue.promises import Promise
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.worker import Worker


class OutboxEngine:
    """A Celery engine behind a file."""

    def __init__(self, file: EmbeddedEngine, broker: CeleryEngine) -> None:
        self.where = broker.where
        self.celery = broker.celery
        self.register = broker.register
        self.work = broker.work
        self.explained = broker.explained
        self.transaction = file.transaction
        self._file = file
        self._broker = broker
        self._file.functions = _Anything(self._hand_over)
        self._starting = threading.Lock()
        self._process = 0
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    def put(self, job: Job) -> None:
        self._broker.check_priority(job)
        self._begin()
        self._file.put(job)

    def aput(self, job: Job) -> Awaitable[bool]:
        self._broker.check_priority(job)
        self._begin()
        return self._file.aput(job)

    def promise(self, function: Function, job: Job) -> Promise:
        self._broker.check_priority(job)
        self._begin()
        promise = self._file.promise(self._file.functions.get(job.task) or function, job)
        promise.result = self.result(job.id)
        return promise

    def result(self, id: str) -> "OutboxResult":
        return OutboxResult(self._broker, self._file, id)

    def worker(self, concurrency: int, grace: float) -> Worker:
        return self._broker.worker(concurrency, grace)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self._begin()
        try:
            yield
        finally:
            await run_sync(self._end)

    def close(self) -> None:
        self._end()
        self._file.close()
        self._broker.close()

    # Handing over

    def _hand_over(self, job: Job, *args: Any, **kwargs: Any) -> None:
        self._broker.publish(replace(job, due_at=None, attempt=0, retries=0))
        row = self._file.writer.read(store.find, job.id)
        if row is not None and row["revoking"]:  # asked before the broker knew of it
            self._broker.result(job.id).revoke()

    def _begin(self) -> None:
        """Start the thread that hands over, also for what a dead process has left."""
        with self._starting:
            if self._process == os.getpid() and self._thread and self._thread.is_alive():
                return
            if not self._process:
                atexit.register(self._end)
            self._process = os.getpid()
            ready = threading.Event()
            run = self._run(ready)
            self._thread = threading.Thread(target=asyncio.run, args=(run,), daemon=True)
            self._thread.start()
            ready.wait()

    async def _run(self, ready: threading.Event) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        ready.set()
        async with self._file.worker(concurrency=4, grace=1.0):
            await self._stop.wait()

    def _end(self) -> None:
        if self._process == os.getpid() and self._thread and self._thread.is_alive() and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10.0)


class _Anything(dict[str, Any]):
    """For each name of a task the function that hands its jobs over, also for those of others."""

    def __init__(self, hand_over: Any) -> None:
        super().__init__()
        self._hand_over = hand_over

    def get(self, name: str, default: object = None) -> Any:
        retry = {"max_retries": None, "retry_backoff": 0.2, "retry_backoff_max": 5.0}
        return _HandOver(name, self._hand_over, bind=True, **retry)  # type: ignore[arg-type]


class _HandOver(Function):
    """Tried again and again, but for what another time cannot mend: an id that is taken."""

    def failed(self, job: Job, exc: BaseException, *, final: bool = False) -> Outcome:
        return super().failed(job, exc, final=final or isinstance(exc, ValueError))


class OutboxResult(CeleryResult):
    """A job that has not been handed over waits; then the backend knows."""

    def __init__(self, broker: CeleryEngine, file: EmbeddedEngine, id: str) -> None:
        super().__init__(broker, id)
        self._file = file

    def _read(self) -> Any:
        row = self._file.writer.read(store.find, self.id)
        if row is None or row["state"] == "success":
            return super()._read()
        if row["state"] == "failure" or (row["settled_at"] is not None and not row["attempt"]):
            return row
        if row["settled_at"] is not None:  # revoked while it was handed over
            return super()._read() or row
        there = self._read_early(row) if row["state"] == "running" else None
        return there or dict(row) | {"state": "ready", "retries": 0, "attempt": 0, "error": None}

    def _read_early(self, row: store.Row) -> Any:
        """What the broker may know already of this job, which is being handed over."""
        with suppress(QueueUnavailable):
            there = super()._read()
            return there if there and there["arguments"] == row["arguments"] else None

    def revoke(self) -> bool:
        """As on the broker; a job that has not been handed over never will be.

        One that is being handed over is revoked on either side: whichever of the two comes second,
        this call or the broker's answer to the other thread, sees the first.
        """
        asked = self._file.writer.run(store.revoke, self.id, time.time())
        row = self._file.writer.read(store.find, self.id)
        if asked and row is not None and (row["state"] == "held" or not row["attempt"]):
            return True
        try:
            return super().revoke() or asked
        except QueueUnavailable:
            if asked:  # the file has it: it is not handed over again
                return True
            raise

"""The embedded engine: a queue's jobs in a SQLite file, and workers wherever the file is."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Literal, NoReturn

from miniasgi.queue import store
from miniasgi.queue.jobs import Function, current_job, settling
from miniasgi.queue.promises import Promise
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.worker import Worker
from miniasgi.queue.writer import Writer


@dataclass(eq=False)
class EmbeddedEngine:
    """One queue's jobs in one SQLite file. Its settings are described at `Queue`."""

    name: str
    path: Path
    durability: Literal["power", "process"]
    result_ttl: float
    failure_ttl: float
    max_crashes: int | None
    hold: float
    lock_timeout: float

    def __post_init__(self) -> None:
        self.where = f"sqlite:///{self.path}"
        self.functions: dict[str, Function] = {}
        self.writer = Writer.at(self.path, self.durability, self.lock_timeout)
        self._workers: list[Worker] = []

    def register(self, function: Function) -> None:
        self.functions[function.name] = function

    def put(self, job: Job) -> None:
        self.writer.run(store.insert, job, wakes=True)

    def aput(self, job: Job) -> Awaitable[bool]:
        return self.writer.arun(store.insert, job, wakes=True)

    def promise(self, function: Function, job: Job) -> Promise:
        return Promise(self.writer, function, job, self.running_worker, self.hold)

    def result(self, id: str) -> AsyncResult:
        return AsyncResult(self.writer, id)

    @asynccontextmanager
    async def worker(self, concurrency: int, grace: float) -> AsyncIterator[Worker]:
        ttl = self.result_ttl
        keep = {"success": ttl, "revoked": ttl, "failure": self.failure_ttl}
        limits = (self.max_crashes, keep, concurrency, grace)
        async with Worker(self.writer, self.name, self.functions, *limits) as worker:
            self._workers.append(worker)
            try:
                yield worker
            finally:
                self._workers.remove(worker)

    def lifespan(self) -> AbstractAsyncContextManager[object]:
        return self.worker(4, 30.0)

    def work(self, concurrency: int, grace: float) -> None:
        """Run jobs until SIGTERM or Ctrl-C; a second signal exits at once.

        After ``grace`` seconds the process ends, whatever its threads still do.
        """

        async def until_a_signal() -> bool:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(
                    number, lambda: os._exit(1) if stop.is_set() else stop.set()
                )
            async with self.worker(concurrency, grace) as worker:
                names = ", ".join(sorted(self.functions))
                logging.info("working for %r on %s: %s", self.name, self.writer.path, names)
                await stop.wait()
            if worker.slots:
                worker.forgive()
            return bool(worker.slots)

        if asyncio.run(until_a_signal()):
            os._exit(0)  # threads still run: the end of their owner gives their jobs back

    @property
    def celery(self) -> NoReturn:
        raise ValueError(f"{self.where} is embedded: Celery needs a redis:// or amqp:// broker")

    def running_worker(self) -> Worker | None:
        return self._workers[-1] if self._workers else None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        job = current_job.get()
        with self.writer.transaction() as connection:
            yield connection
            if job is not None and not settling(job, Outcome("success", "null"))(connection):
                raise RuntimeError(f"job {job.id} is not this attempt's any more")
        if job is not None:
            job.settled = True

    def close(self) -> None:
        self.writer.close()

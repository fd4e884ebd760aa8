"""The embedded engine: a queue's jobs in a SQLite file, and workers wherever the file is."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from sqlite3 import Connection
from typing import NoReturn

from miniasgi.queue import store
from miniasgi.queue.jobs import Function, Site, current_job, settling
from miniasgi.queue.owners import is_alive
from miniasgi.queue.promises import Promise
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.worker import Worker


class EmbeddedEngine(Site):
    """One queue's jobs in one SQLite file. Its settings are described at `Queue`."""

    def register(self, function: Function) -> None:
        self.functions[function.name] = function

    def put(self, job: Job) -> None:
        self.writer.run(store.insert, job, wakes=True)

    def aput(self, job: Job) -> Awaitable[bool]:
        return self.writer.arun(store.insert, job, wakes=True)

    def promise(self, function: Function, job: Job) -> Promise:
        return Promise(self, function, job)

    def result(self, id: str) -> AsyncResult:
        return AsyncResult(self.writer, id)

    def worker(self, concurrency: int, grace: float) -> Worker:
        return Worker(self, concurrency, grace)

    def lifespan(self) -> Worker:
        return self.worker(4, 30.0)

    def work(self, concurrency: int, grace: float) -> None:
        """Run jobs until SIGTERM or Ctrl-C; a second signal exits at once.

        After ``grace`` seconds the process ends, whatever its threads still do.
        """

        async def until_a_signal() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(
                    number, lambda: os._exit(1) if stop.is_set() else stop.set()
                )
            async with Worker(self, concurrency, grace, is_alone=True) as worker:
                names = ", ".join(sorted(self.functions))
                logging.info("working for %r on %s: %s", self.name, self.writer.path, names)
                await stop.wait()
            if worker.slots:
                os._exit(0)  # threads still run: the end of their owner gives their jobs back

        gc.freeze()  # what is loaded by now stays; to look at it again was a tenth of the work
        asyncio.run(until_a_signal())

    @property
    def celery(self) -> NoReturn:
        raise ValueError(f"{self.where} is embedded: Celery needs a redis:// or amqp:// broker")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        job = current_job.get()
        if job is not None and not is_alive(self.writer.directory, str(job.owner)):
            job = None  # it is of another file: its owner is not known here
        with self.writer.transaction() as connection:
            yield connection
            if job is not None and not settling(job, Outcome("success", "null"))(connection):
                raise RuntimeError(f"job {job.id} is not this attempt's any more")
        if job is not None:
            job.settled = True

    def close(self) -> None:
        self.writer.close()

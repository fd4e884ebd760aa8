"""What a queue asks of the engine that keeps and runs its jobs: `Queue` chooses it by the URL.

Two there are: `miniasgi.queue.embedded.EmbeddedEngine`, a SQLite file, and
`miniasgi.queue.celery.CeleryEngine`, a broker. tests/queue/conformance holds both to one standard.
"""

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from sqlite3 import Connection
from typing import Any, Protocol

from miniasgi.queue.jobs import Function
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job
from miniasgi.queue.worker import Worker
from miniasgi.types import Background


class Promised(Background, Protocol):
    """A background that stands for a job: `result` is the job's handle."""

    @property
    def result(self) -> AsyncResult: ...


class Engine(Protocol):
    #: The broker's URL, fit to be printed.
    where: str

    def register(self, function: Function) -> None:
        """Run the jobs of this name with this function. Raises ValueError if it cannot."""

    def put(self, job: Job) -> None:
        """Keep a job, and return when it is kept. Raises QueueUnavailable."""

    def aput(self, job: Job) -> Awaitable[object]:
        """The same, awaited; the loop is never blocked."""

    def promise(self, function: Function, job: Job) -> Promised:
        """A job that is kept when a response accepts it."""

    def result(self, id: str) -> AsyncResult: ...

    def worker(self, concurrency: int, grace: float) -> AbstractAsyncContextManager[Worker]:
        """Run jobs in this process, while it is open."""

    @property
    def celery(self) -> Any:
        """The Celery application. Raises ValueError where there is none."""

    def work(self, concurrency: int, grace: float) -> None:
        """Be a worker's process until SIGTERM."""

    def lifespan(self) -> AbstractAsyncContextManager[object]:
        """What has to run as long as an application does."""

    def transaction(self) -> AbstractContextManager[Connection]: ...

    def close(self) -> None: ...

"""The Celery engine: the same queue on a broker, when one machine is not enough.

`CeleryEngine.celery` is an ordinary Celery application with every task of the queue registered on
it, so that Celery's own worker, Flower and beat work with it.

Rules of this file: a job is announced in the backend before it is published; whatever is wrong with
the broker is one sentence, `QueueUnavailable`, within seconds; an event loop is never blocked,
because what a coroutine asks of the broker is done in the engine's own threads.
"""

import asyncio
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn
from uuid import uuid4

try:
    from amqp.exceptions import AMQPError
    from celery.backends.redis import RedisBackend
    from kombu.exceptions import ChannelError, KombuError
    from redis.exceptions import RedisError

    from miniasgi.queue.celery_application import PRIORITIES, application
except ImportError as exc:
    raise ImportError(f"a queue on Celery needs: pip install 'miniasgi[celery]' ({exc})") from exc

from miniasgi.concurrency import BackgroundThreads
from miniasgi.events import tell
from miniasgi.queue.celery_tasks import Runner
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.jobs import Function
from miniasgi.queue.marks import Marks
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.store import Job
from miniasgi.types import Background

logger = logging.getLogger("miniasgi.queue")

ANSWERS = 1.0  #: seconds in which workers answer; Celery waits all of them
#: What is raised where a broker or a backend cannot be used.
DOWN = (KombuError, RedisError, AMQPError, OSError)


class CeleryEngine:
    """One queue's jobs on a broker. Its settings are described at `Queue`."""

    def __init__(
        self,
        name: str,
        broker: str,
        backend: str | None,
        *,
        ttl: float,
        max_crashes: int | None,
        patience: float,
        visibility_timeout: float,
    ) -> None:
        backend = backend or broker
        if not backend.startswith(("redis", "sentinel", "socket")):
            raise ValueError(f"results need Redis: Queue({name!r}, ..., backend='redis://...')")
        self.name = name
        self.where = without_password(broker)
        self.longest = visibility_timeout
        self.celery = application(name, broker, backend, ttl, patience, visibility_timeout)
        store: RedisBackend = self.celery.backend
        # Celery would listen for the result of every job that this process publishes, for ever.
        store.on_task_call = _nothing
        self.marks = Marks(store, ttl)
        self._runner = Runner(self.marks, max_crashes, visibility_timeout)
        self._threads = BackgroundThreads(16)
        self._warned = False
        self._timeouts: dict[str, float | None] = {}

    def register(self, function: Function) -> None:
        """Make a Celery task of it, of the same name."""
        timeout = self._timeouts[function.name] = function.timeout
        if timeout is not None and timeout >= self.longest:
            raise ValueError(f"{function.name} may run {timeout:g} s, and {self._too_late()}")

        def run(task: Any, *args: Any, **kwargs: Any) -> Any:
            return self._runner.run(function, task, args, kwargs)

        run.__doc__ = function.func.__doc__
        limit = None if function.is_async else timeout
        options = {"bind": True, "max_retries": None, "soft_time_limit": limit, "typing": False}
        self.celery.task(name=function.name, shared=False, **options)(run)

    def _too_late(self) -> str:
        return (
            f"after {self.longest:g} s the broker hands a job out again: give the Queue a longer "
            "visibility_timeout, or an outbox, which keeps jobs until they are due"
        )

    # Publishing

    def put(self, job: Job) -> None:
        if asyncio._get_running_loop() is not None and not self._warned:
            self._warned = True
            logger.warning("%s.delay() blocks the event loop: await adelay()", job.task)
        self.publish(job)

    async def aput(self, job: Job) -> None:
        self._check(job)
        await self._threads.run(partial(self.publish, job))

    def publish(self, job: Job) -> bool:
        """Announce it and hand it to the broker. False: the same id was published before."""
        self._check(job)
        args, kwargs = json.loads(job.arguments)
        level = job.priority if self._is_amqp else PRIORITIES - 1 - job.priority
        with self.explained():
            if is_new := self.marks.announce(job):
                self.celery.send_task(
                    job.task,
                    args,
                    kwargs,
                    task_id=job.id,
                    queue=job.queue,
                    eta=job.due_at and datetime.fromtimestamp(job.due_at, UTC),
                    priority=level,
                    retries=job.retries,
                    headers={"miniasgi_copy": uuid4().hex},
                )
                self.marks.published(job.id)
        return is_new

    @property
    def _is_amqp(self) -> bool:
        return self.where.startswith("amqp")

    def check_priority(self, job: Job) -> None:
        if not 0 <= job.priority < PRIORITIES:
            raise ValueError(f"priority {job.priority}: Celery has 0 to {PRIORITIES - 1}")

    def _check(self, job: Job) -> None:
        self.check_priority(job)
        wait = max(0.0, (job.due_at or 0.0) - time.time())
        run = self._timeouts.get(job.task) or 0.0
        if wait + run >= self.longest:  # for the broker it is one time: a worker has the job
            said = f"waits {wait:.0f} s and may run {run:g} s" if run else f"waits {wait:.0f} s"
            raise ValueError(f"a job that {said} runs twice: {self._too_late()}")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Whatever is wrong with the broker or the backend, as one sentence."""
        try:
            yield
        except DOWN as exc:
            raise QueueUnavailable(f"{self.where} cannot be used: {exc}") from exc

    def promise(self, function: Function, job: Job) -> "CeleryPromise":
        return CeleryPromise(self, job)

    def result(self, id: str) -> "CeleryResult":
        return CeleryResult(self, id)

    # Running

    def worker(self, concurrency: int, grace: float) -> NoReturn:
        raise RuntimeError(
            "the workers of a queue on Celery are processes: python -m miniasgi worker module:queue"
        )

    def work(self, concurrency: int, grace: float) -> None:
        """Be a Celery worker until SIGTERM or Ctrl-C."""
        self.celery.conf.worker_soft_shutdown_timeout = grace
        worker = self.celery.Worker(
            hostname=f"{self.name}-{os.getpid()}@{socket.gethostname()}",  # a name of its own
            concurrency=concurrency,
            loglevel="INFO",
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        sys.exit(worker.exitcode)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    def transaction(self) -> NoReturn:
        raise RuntimeError(f"{self.where} has no transactions: that takes a SQLite queue")

    def close(self) -> None:
        """Let go of the connections; the next use opens them again."""
        self.celery.close()


@dataclass(eq=False)
class CeleryPromise:
    """One job of one response, published before its first byte.

    A worker elsewhere may begin before the last byte. An outbox keeps to the order.
    """

    _engine: CeleryEngine
    _job: Job
    _accepted: bool = False

    def __post_init__(self) -> None:
        self.name = self._job.task
        self.result = self._engine.result(self._job.id)

    def __background__(self) -> "CeleryPromise":
        return self

    async def accept(self, *others: Background) -> None:
        """Publish these jobs. Raises QueueUnavailable: those that it published are withdrawn."""
        promises = [p for p in (self, *others) if isinstance(p, CeleryPromise)]
        rest = [other for other in others if other not in promises]
        fresh = [promise for promise in promises if not promise._accepted]
        made = await self._engine._threads.run(partial(_publish_all, fresh))
        try:
            if rest:
                await rest[0].accept(*rest[1:])
        except BaseException:
            await self._engine._threads.run(partial(_withdraw, made))
            raise
        for promise in fresh:
            promise._accepted = True
            tell("job.accepted", promise.name)

    async def __call__(self) -> None:
        """Nothing is left to do: the broker has it."""

    async def abandon(self, because: BaseException) -> None:
        """The response failed, the promise stands."""


def _publish_all(promises: list[CeleryPromise]) -> list[CeleryPromise]:
    """Those that were published now: what was promised before is no affair of this response."""
    made: list[CeleryPromise] = []
    try:
        for promise in promises:
            if promise._engine.publish(promise._job):
                made.append(promise)
    except BaseException:
        _withdraw(made)
        raise
    return made


def _withdraw(promises: list[CeleryPromise]) -> None:
    for promise in promises:
        with suppress(QueueUnavailable), promise._engine.explained():
            promise._engine.marks.withdraw(promise._job.id)


class CeleryResult(AsyncResult):
    """The same handle, answered by the backend."""

    def __init__(self, engine: CeleryEngine, id: str) -> None:
        self.id = id
        self._engine = engine
        self._where = engine.where
        self._pinned = None

    def _read(self) -> Any:
        with self._engine.explained():
            return self._engine.marks.row(self.id)

    def revoke(self) -> bool:
        """A waiting job never runs; a running ``async def`` is cancelled within about a second."""
        with self._engine.explained():
            return self._engine.marks.revoke(self.id)

    def forget(self) -> bool:
        """Delete what is known of a job that has ended."""
        with self._engine.explained():
            return self._engine.marks.forget(self.id)


def waiting(app: Any, queue: str) -> int:
    """How many messages of a queue no worker has taken. Raises what is in `DOWN`."""
    with app.connection_for_read() as connection:
        try:
            told = connection.default_channel.queue_declare(queue, passive=True)
        except (ChannelError, AMQPError) as exc:  # nothing was ever published
            if getattr(exc, "reply_code", exc.args[-1]) != 404 and "404" not in str(exc):
                raise
            return 0
        return int(told.message_count)


def without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _nothing(*args: Any) -> None: ...

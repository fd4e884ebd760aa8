"""What a caller sees: `Queue`, and `Task`, a function that can be put into it.

    queue = Queue("mail", broker="sqlite:///jobs.db")

    @queue.task(max_retries=3)
    async def send_email(to: str, subject: str) -> dict: ...

    result = await send_email.adelay("a@b.c", "hi")     # committed when it returns
    background.add_task(send_email, "a@b.c", "hi")      # promised before the response, run after it

Rule of this file: nothing touches the disk before the first job; a mistake in the arguments is a
TypeError in the caller.
"""

import copy
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial, update_wrapper
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Unpack, overload

from miniasgi.concurrency import is_async_callable
from miniasgi.queue.embedded import EmbeddedEngine
from miniasgi.queue.jobs import Function, Settings
from miniasgi.queue.promises import Promise
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.retry import moment
from miniasgi.queue.store import Job
from miniasgi.queue.tracing import traceparent
from miniasgi.queue.worker import Worker
from miniasgi.queue.writer import Writer

if TYPE_CHECKING:
    from miniasgi.queue.celery import CeleryEngine, CeleryPromise
    from miniasgi.queue.outbox import OutboxEngine

DAY = 86_400.0
_CELERY = ("redis", "rediss", "sentinel", "amqp", "amqps")  # the schemes of a broker's URL
P = ParamSpec("P")


@dataclass(frozen=True)
class Options:
    """How one job differs from its task's others.

    ``countdown`` and a float ``expires`` are seconds from now; ``eta`` and ``expires`` may be
    datetimes with a time zone. A ``task_id`` is an idempotency key: the same id twice is one job.
    """

    countdown: float | None = None
    eta: datetime | float | None = None
    priority: int | None = None
    task_id: str | None = None
    expires: datetime | float | None = None


class Task(Function, Generic[P]):
    """A function of the queue. Called it is the plain function; `delay` makes a job of it."""

    def __init__(self, queue: "Queue", func: Callable[..., Any], **settings: Any) -> None:
        super().__init__(settings.pop("name", func.__name__), func, **settings)
        update_wrapper(self, func)
        self.queue = queue
        self._options = Options()

    def __repr__(self) -> str:
        return f"Task({self.name!r} of {self.queue!r})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)

    def options(self, **options: Any) -> "Task[P]":
        """The same task with options: ``task.options(countdown=60).delay(...)``. See `Options`."""
        _refuse_unknown(options, Options.__dataclass_fields__, "options")
        other = copy.copy(self)
        other._options = replace(self._options, **options)
        return other

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Put a job into the queue: when this returns it is on disk. Blocks for one commit."""
        job = self._job(args, kwargs)
        self.queue.engine.put(job)
        return self.queue.AsyncResult(job.id)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """The same, awaited: many callers share one commit and the loop is never blocked."""
        job = self._job(args, kwargs)
        await self.queue.engine.aput(job)
        return self.queue.AsyncResult(job.id)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Celery's spelling of ``options(...).delay(...)``."""
        return Task.delay(self.options(**options), *args, **(kwargs or {}))

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        return await Task.adelay(self.options(**options), *args, **(kwargs or {}))

    def __background__(self, *args: Any, **kwargs: Any) -> "Promise | CeleryPromise":
        return self.queue.engine.promise(self, self._job(args, kwargs))

    async def accept(self, *args: P.args, **kwargs: P.kwargs) -> "Promise | CeleryPromise":
        """Promise a job now, for a response of Starlette or FastAPI that is sent later.

        Give what this returns to ``background_tasks.add_task(job)``.
        """
        promise = self.__background__(*args, **kwargs)
        await promise.accept()
        return promise

    def _job(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        options = self._options
        priority = self.priority if options.priority is None else options.priority
        if not isinstance(priority, int):
            raise TypeError(f"priority {priority!r} is not a whole number")
        if not isinstance(options.task_id, str | None):
            raise TypeError(f"task_id {options.task_id!r} is no text")
        now = time.time()
        due_at = moment(options.eta, 0.0) or moment(options.countdown, now)
        return Job(
            options.task_id or new_id(now),
            self.queue.name,
            self.name,
            self.signature.encode(args, kwargs),
            "ready" if due_at is None or due_at <= now else "scheduled",
            priority,
            now,
            due_at,
            moment(options.expires, now),
            trace=traceparent(),
        )


class AsyncTask(Task[P]):
    """An ``async def`` task, recognised as one by whoever asks (Starlette does)."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self.func(*args, **kwargs)


def _refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    if unknown := set(given) - set(known):
        raise TypeError(f"{where} knows no {min(unknown)!r}; known: {', '.join(sorted(known))}")


#: Random bytes for new ids. Many at once, because to ask the system lets another thread go first:
#: the writer's, which would then commit the few jobs that are there instead of all that are coming.
_entropy: list[bytes] = []
os.register_at_fork(after_in_child=_entropy.clear)  # or parent and child would make the same ids


def new_id(now: float) -> str:
    """A UUID of version 7: ordered by time, so that it is a cheap key, and not to be guessed."""
    try:
        some = _entropy.pop()  # one step: no two threads get the same
    except IndexError:
        many = os.urandom(640)
        _entropy.extend(many[at : at + 10] for at in range(10, 640, 10))
        some = many[:10]
    time, random = f"{int(now * 1000):012x}", some.hex()
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{time[:8]}-{time[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


class Queue:
    """A named queue: in a SQLite file, which may hold several queues and tables of your own, or on
    a Celery broker (``redis://``, ``amqp://``; docs/celery.md). Without a ``broker`` it is
    ``$MINIASGI_BROKER``, else a file in the working directory.

    ``durability`` "power" (the default) survives the loss of power, "process" only ``kill -9``.
    Results are kept ``result_ttl`` seconds, failures ``failure_ttl``. A job whose process died
    ``max_crashes`` times is a failure (None: never). A promise whose response never came to its end
    is let go after ``hold`` seconds. Waiting for the file's lock or for the broker ends after
    ``lock_timeout``. With Celery ``backend`` (a Redis; if the broker is one, that) keeps the
    results, ``outbox`` is a SQLite file that keeps promises until the broker has them, and a job
    that was taken and has not ended is handed out again after ``visibility_timeout`` seconds.
    """

    engine: "EmbeddedEngine | CeleryEngine | OutboxEngine"

    def __init__(
        self,
        name: str = "default",
        broker: str | None = None,
        *,
        backend: str | None = None,
        outbox: str | None = None,
        durability: Literal["power", "process"] = "power",
        result_ttl: float = DAY,
        failure_ttl: float = 7 * DAY,
        max_crashes: int | None = 5,
        hold: float = 300.0,
        lock_timeout: float = 5.0,
        visibility_timeout: float = 3600.0,
    ) -> None:
        self.name = name
        self.broker = broker or os.environ.get("MINIASGI_BROKER", "sqlite:///miniasgi-jobs.db")
        self.tasks: dict[str, Task[Any]] = {}
        #: What `lifespan` opens beside the worker: a monitor puts its watch here.
        self.beside: list[Callable[[], AbstractAsyncContextManager[object]]] = []
        embedded = partial(EmbeddedEngine, name, durability, hold, lock_timeout, failure_ttl)
        if self.broker.partition("://")[0] not in _CELERY:
            if backend is not None or outbox is not None:
                raise ValueError(f"{self.broker} needs neither backend nor outbox: leave them out")
            self.engine = embedded(broker_path(self.broker), result_ttl, max_crashes)
            return
        from miniasgi.queue.celery import CeleryEngine
        from miniasgi.queue.outbox import OutboxEngine

        celery = CeleryEngine(
            name,
            self.broker,
            backend,
            ttl=max(result_ttl, failure_ttl),
            max_crashes=max_crashes,
            patience=lock_timeout,
            visibility_timeout=visibility_timeout,
        )
        if outbox is None:
            self.engine = celery
        else:  # what has been handed over is the broker's: its row is soon deleted. To die with it
            # in hand, as a server may that is stopped while the broker is away, says nothing of it.
            self.engine = OutboxEngine(embedded(broker_path(outbox), 60.0, None), celery)

    def __repr__(self) -> str:
        return f"Queue({self.name!r}, {self.engine.where!r})"

    @overload
    def task(self, func: Callable[P, Any], /) -> Task[P]: ...

    @overload
    def task(
        self, *, bind: Literal[True], **settings: Unpack[Settings]
    ) -> Callable[[Callable[Concatenate[Any, P], Any]], Task[P]]: ...

    @overload
    def task(
        self, *, bind: Literal[False] = False, **settings: Unpack[Settings]
    ) -> Callable[[Callable[P, Any]], Task[P]]: ...

    def task(self, func: Any = None, **settings: Any) -> Any:
        """Make a function a `Task`: ``@queue.task`` or ``@queue.task(max_retries=3)``.

        See `Settings`. ``bind=True`` passes the job first: ``self.id, self.attempt``.
        """

        _refuse_unknown(settings, {"bind", *Settings.__annotations__}, "task")

        def register(func: Callable[..., Any]) -> Task[Any]:
            kind = AsyncTask if is_async_callable(func) else Task
            task: Task[Any] = kind(self, func, **settings)
            if task.name in self.tasks:
                raise ValueError(f"{self!r} has a task named {task.name!r}: give this one a name=")
            self.engine.register(task)
            self.tasks[task.name] = task
            return task

        return register if func is None else register(func)

    # Left out: jobs that come back by the clock, ``schedule(every=, cron=)`` (Celery: beat). A
    # timer of the system that runs a command, or a job that ends by ordering the next one, does it.

    def AsyncResult(self, id: str) -> AsyncResult:
        return self.engine.result(id)

    @property
    def writer(self) -> Writer:
        """The writer of the queue's file."""
        if isinstance(self.engine, EmbeddedEngine):
            return self.engine.writer
        raise ValueError(f"{self!r} has no file: ask its broker, for instance with Flower")

    @property
    def celery(self) -> Any:
        """The Celery application. Name it in your module: ``celery_app = queue.celery``."""
        return self.engine.celery

    def worker(self, concurrency: int = 4, grace: float = 30.0) -> Worker:
        """Run this queue's jobs here while the block is open; needs asyncio. See `Worker`."""
        return self.engine.worker(concurrency, grace)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """``MiniASGI(lifespan=queue.lifespan)``, and the same for Starlette and FastAPI.

        Runs a worker of an embedded queue. Celery's are processes of their own.
        """
        async with AsyncExitStack() as opened:
            for open in (self.engine.lifespan, *self.beside):
                await opened.enter_async_context(open())
            yield

    def transaction(self) -> AbstractContextManager[Connection]:
        """One transaction on the queue's file, with your own tables; `delay` inside joins it,
        `adelay` raises.

        Inside a task it also settles the job (result None): its effects happen exactly once.
        Blocks, and holds the file's only write lock: keep it short and await nothing inside.
        """
        return self.engine.transaction()

    def close(self) -> None:
        """Let go of the file or the broker; the next use opens it again."""
        self.engine.close()


def broker_path(broker: str) -> Path:
    """The file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    scheme, separator, path = broker.partition(":///")
    if scheme == "sqlite" and path:
        return Path(path)
    if separator or "://" in broker:
        known = "sqlite:///file.db; redis:// and amqp:// for a queue on Celery"
        raise ValueError(f"broker {broker!r} is no file: {known}")
    raise ValueError(f"broker {broker!r} is not a URL: did you mean sqlite:///{broker}?")

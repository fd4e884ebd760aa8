"""Running one job: a task's function, what it is called with, and how an attempt ends.

Rule of this file: whatever the function does becomes an `Outcome`, also ``sys.exit()``. Only a
cancel passes through, because it belongs to whoever runs the function.
"""

import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypedDict

from miniasgi.concurrency import is_async_callable
from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.arguments import Signature, encode_result
from miniasgi.queue.retry import Retry, backoff
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.tracing import span
from miniasgi.queue.writer import Writer

logger = logging.getLogger("miniasgi.queue")

#: The job that runs here, for `Queue.transaction`.
current_job: ContextVar[Job | None] = ContextVar("miniasgi.job", default=None)

_UNKNOWN_WAIT = 30.0
_UNKNOWN_LIMIT = 3_600.0


class Settings(TypedDict, total=False):
    """What a task may say of itself; durations are seconds.

    ``max_retries`` is 0 unless you say more, None is without end. ``timeout`` cancels an
    ``async def``; a thread is only reported. Higher ``priority`` first.
    """

    name: str
    max_retries: int | None
    retry_backoff: float
    retry_backoff_max: float
    timeout: float | None
    priority: int


@dataclass(eq=False)
class Function:
    """What a worker needs to know of a task. Durations are seconds."""

    name: str
    func: Callable[..., Any]
    bind: bool = False
    max_retries: int | None = 0
    retry_backoff: float = 1.0
    retry_backoff_max: float = 600.0
    timeout: float | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        self.is_async = is_async_callable(self.func)
        self.signature = Signature(self.func, bound=self.bind)

    async def run(self, job: Job) -> Outcome:
        """Run the job's code to its end. That of a ``def`` task runs here and now."""
        pid = os.getpid()
        job.started_at = time.time()
        current_job.set(job)
        tell("job.start", self.name)
        try:
            with span(job):
                args, kwargs = self.signature.decode(job.arguments)
                value = self.func(*[job][: self.bind], *args, **kwargs)
                if self.is_async:
                    value = await self._in_time(value)
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            return self.failed(job, exc)
        finally:
            current_job.set(None)
            if os.getpid() != pid:  # a child that the task forked came back: the job is not its
                os._exit(0)
        try:
            outcome = Outcome("success", encode_result(value))
        except (TypeError, ValueError, RecursionError) as exc:
            if hasattr(value, "cr_code"):
                value.close()  # a coroutine that nobody awaits would warn
            # Not tried again: the work is done, and would be done twice.
            return self.failed(job, TypeError(f"the result of {self.name}: {exc}"), final=True)
        tell("job.end", self.name)
        return outcome

    def run_in_thread(self, job: Job) -> Outcome:
        """Run a ``def`` task: its coroutine waits for nothing, so the first step is the last."""
        try:
            return self.run(job).send(None)  # type: ignore[no-any-return]
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as exc:  # nobody cancels a thread: it is the code's own
            return self.failed(job, exc)

    async def _in_time(self, running: Awaitable[Any]) -> Any:
        if self.timeout is None:
            return await running
        from anyio import move_on_after

        with move_on_after(self.timeout):
            return await running
        raise TimeoutError(f"ran longer than {self.timeout:g} s")

    def failed(self, job: Job, exc: BaseException, *, final: bool = False) -> Outcome:
        """The outcome of an attempt that raised: another attempt later, or the end."""
        tell("job.failed", self.name)
        error = _text(f"{type(exc).__name__}: {_said(exc)}")
        trace = _text("".join(traceback.format_exception(exc)))
        if final or (self.max_retries is not None and job.retries >= self.max_retries):
            logger.error("job %s (%s) failed", job.id, self.name, exc_info=exc)
            return Outcome("failure", None, error, trace)
        wait = exc.countdown if isinstance(exc, Retry) else None
        if wait is None:
            wait = backoff(job.retries, self.retry_backoff, self.retry_backoff_max)
        logger.warning("job %s (%s) will be retried in %.1f s: %s", job.id, self.name, wait, error)
        return Outcome("scheduled", None, error, trace, time.time() + wait, retries=1)


@dataclass(eq=False)
class Site:
    """One queue's place in this process, for its workers and promises.

    The settings are described at `Queue`.
    """

    name: str
    durability: str
    hold: float
    lock_timeout: float
    failure_ttl: float
    path: Path
    result_ttl: float
    max_crashes: int | None
    functions: dict[str, Function] = field(default_factory=dict, init=False)
    workers: list[Any] = field(default_factory=list, init=False)  #: that run in this process

    def __post_init__(self) -> None:
        self.where = f"sqlite:///{self.path}"
        self.writer = Writer.at(self.path, self.durability, self.lock_timeout)


def settling(job: Job, outcome: Outcome) -> Callable[[Connection], bool]:
    """What the writer is to do now that the job has ended."""
    return partial(store.settle, job=job, outcome=outcome, now=time.time())


def unknown(job: Job, known: Iterable[str]) -> Outcome:
    """The task is not known here: left for a newer worker, for an hour."""
    now = time.time()
    since = job.unknown_at or now
    error = f"no task named {job.task!r} here; known: {', '.join(sorted(known)) or 'none'}"
    if now - since >= _UNKNOWN_LIMIT:
        logger.error("job %s failed: %s", job.id, error)
        return Outcome("failure", error=error, attempts=1)
    due_at = now + _UNKNOWN_WAIT
    return Outcome("scheduled", error=error, due_at=due_at, unknown_at=since, attempts=1)


def _said(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as bad:
        return f"its __str__ raised {bad!r}"


def _text(text: str) -> str:
    # SQLite takes no lone surrogates, and an exception may carry any text of any length.
    return text[:65_536].encode("utf-8", "backslashreplace").decode()

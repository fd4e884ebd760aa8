"""Running one job: a task's function, what it is called with, and how an attempt ends.

Rule of this file: whatever the function does becomes an `Outcome`, also ``sys.exit()``. Only a
cancel passes through, because it belongs to whoever runs the function.
"""

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from miniasgi.concurrency import is_async_callable
from miniasgi.events import tell
from miniasgi.queue.arguments import Signature, encode_result
from miniasgi.queue.retry import Retry, backoff
from miniasgi.queue.store import Job, Outcome

logger = logging.getLogger("miniasgi.queue")

#: The job that runs here, for `Queue.transaction`.
current_job: ContextVar[Job | None] = ContextVar("miniasgi.job", default=None)

_UNKNOWN_WAIT = 30.0
_UNKNOWN_LIMIT = 3_600.0


@dataclass(frozen=True)
class Function:
    """What a worker needs to know of a task. Durations are seconds."""

    name: str
    func: Callable[..., Any]
    bind: bool
    max_retries: int | None
    retry_backoff: float
    retry_backoff_max: float
    timeout: float | None

    @cached_property
    def is_async(self) -> bool:
        return is_async_callable(self.func)

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.func, bound=self.bind)

    async def run(self, job: Job) -> Outcome:
        """Run an ``async def`` task to its end."""
        try:
            args, kwargs = self._begin(job)
            value = await self.func(*args, **kwargs)
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            return self.failed(job, exc)
        return self._ended(job, value)

    def run_in_thread(self, job: Job) -> Outcome:
        """Run a ``def`` task to its end, in the thread of the caller."""
        pid = os.getpid()
        try:
            args, kwargs = self._begin(job)
            value = self.func(*args, **kwargs)
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            return self.failed(job, exc)
        finally:
            if os.getpid() != pid:  # a child that the task forked came back: the job is not its
                os._exit(0)
        return self._ended(job, value)

    def _begin(self, job: Job) -> tuple[list[Any], dict[str, Any]]:
        job.started_at = time.time()
        current_job.set(job)
        tell("job.start", self.name)
        args, kwargs = self.signature.decode(job.arguments)
        return [job, *args] if self.bind else args, kwargs

    def _ended(self, job: Job, value: Any) -> Outcome:
        try:
            result = encode_result(value)
        except (TypeError, ValueError, RecursionError) as exc:
            if hasattr(value, "close"):
                value.close()  # a coroutine that nobody awaits would warn
            # Not tried again: the work is done, and would be done twice.
            return self.failed(job, TypeError(f"the result of {self.name}: {exc}"), final=True)
        tell("job.end", self.name)
        return Outcome("success", result)

    def failed(self, job: Job, exc: BaseException, *, final: bool = False) -> Outcome:
        """The outcome of an attempt that raised: another attempt later, or the end."""
        tell("job.failed", self.name)
        error = _text(f"{type(exc).__name__}: {exc}")
        trace = _text("".join(traceback.format_exception(exc)))
        if final or (self.max_retries is not None and job.retries >= self.max_retries):
            logger.error("job %s (%s) failed", job.id, self.name, exc_info=exc)
            return Outcome("failure", None, error, trace)
        wait = exc.countdown if isinstance(exc, Retry) else None
        if wait is None:
            wait = backoff(job.retries, self.retry_backoff, self.retry_backoff_max)
        logger.warning("job %s (%s) will be retried in %.1f s: %s", job.id, self.name, wait, error)
        return Outcome("scheduled", None, error, trace, time.time() + wait, retries=1)


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


def _text(text: str) -> str:
    # SQLite takes no lone surrogates, and an exception may carry any text of any length.
    return text[:65_536].encode("utf-8", "backslashreplace").decode()

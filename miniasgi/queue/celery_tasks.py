"""How a job runs in a Celery worker: once a message, however often that is handed out.

A ``def`` task runs where Celery runs it: the main thread of a worker's process. An ``async def``
task runs in an event loop of the process's own, in a thread, which lives as long as the process:
what a task keeps open on its loop stays usable for the next.

Rules of this file: what the worker knows of a job it asks `Marks` for, before the task's code
begins; an attempt that raised is retried or ended by the task's own rules, in Celery's way, so that
Celery's events and its result say so.
"""

import asyncio
import json
import logging
import os
import signal
import threading
import time
from concurrent.futures import wait
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, NoReturn

from celery.exceptions import Ignore, Reject
from redis.exceptions import RedisError

from miniasgi.queue.errors import JobFailed
from miniasgi.queue.jobs import Function
from miniasgi.queue.marks import Marks, Skip
from miniasgi.queue.store import Job, Outcome

logger = logging.getLogger("miniasgi.queue")

_STOPPED = signal.SIGTERM - 256  #: with this a child ends when its worker stops in mid-work


class Runner:
    """Runs functions as Celery tasks. ``longest``: seconds in which a job waits, runs and ends."""

    def __init__(self, marks: Marks, max_crashes: int | None, longest: float) -> None:
        self._marks = marks
        self._max_crashes = max_crashes
        self._longest = longest
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._starting = threading.Lock()

    def run(self, function: Function, task: Any, args: Any, kwargs: Any) -> Any:
        """Run one message of a job; returns its result, or raises what Celery understands."""
        job = self._begin(task, json.dumps((args, kwargs)))
        try:
            if function.is_async:
                outcome = self._run_on_loop(function, job)
            else:
                outcome = copy_context().run(function.run_in_thread, job)
            if outcome.error == f"SystemExit: {_STOPPED}":
                raise SystemExit(_STOPPED)  # it came in the task's code
        except Skip as skip:
            self._skip(task, skip)
        except SystemExit as exc:  # with the job in hand: it is handed out again
            if exc.code == _STOPPED:
                with suppress(RedisError):
                    self._marks.give_back(job.id)
            raise
        if outcome.result is not None:
            return json.loads(outcome.result)
        self._marks.end(job.id, outcome.error, outcome.traceback)
        if outcome.brings_work:
            self._again(task, outcome, (self._longest - (function.timeout or 0.0)) / 2)
        raise JobFailed(outcome.error or "")

    def _begin(self, task: Any, arguments: str) -> Job:
        try:
            job, crashes = self._marks.begin(task.request, arguments)
        except Skip as skip:
            self._skip(task, skip)
        except RedisError as exc:  # nothing is known of the job: back it goes
            time.sleep(1.0)
            raise Reject(exc, requeue=True) from exc
        if self._max_crashes is not None and crashes >= self._max_crashes:
            said = f"worker died, {crashes} times so far"
            self._marks.end(job.id, said)
            raise JobFailed(said)
        about = {"pid": os.getpid(), "hostname": task.request.hostname}
        task.update_state(state="STARTED", meta=about)
        return job

    def _skip(self, task: Any, skip: Skip) -> NoReturn:
        logger.info("job %s (%s) is skipped: %s", task.request.id, task.name, skip)
        if skip.revoked:
            task.backend.mark_as_revoked(task.request.id, skip.revoked, request=task.request)
        raise Ignore(str(skip))

    def _again(self, task: Any, outcome: Outcome, most: float) -> NoReturn:
        countdown = max(0.0, (outcome.due_at or 0.0) - time.time())
        if countdown > most:
            said = "job %s is retried in %g s and not in %g: its broker would hand it out twice"
            logger.warning(said, task.request.id, most, countdown)
        try:
            raise task.retry(exc=JobFailed(outcome.error or ""), countdown=min(countdown, most))
        except Reject as exc:  # it could not be published: Celery would drop the job
            raise Reject(exc.reason, requeue=True) from exc

    # Where the code runs

    def _run_on_loop(self, function: Function, job: Job) -> Outcome:
        begun: list[asyncio.Task[Any]] = []
        loop = self._running_loop()
        future = asyncio.run_coroutine_threadsafe(_attempt(function, job, begun), loop)
        cancelled = False
        while not wait([future], timeout=1.0).done:
            if not cancelled and begun and self._is_revoked(job):
                cancelled = True
                loop.call_soon_threadsafe(begun[0].cancel)
        if future.cancelled():
            if cancelled:
                raise Skip("it was revoked while it ran", revoked="revoked while it ran")
            return function.failed(job, asyncio.CancelledError("the task cancelled itself"))
        return future.result()

    def _is_revoked(self, job: Job) -> bool:
        with suppress(RedisError):
            return self._marks.is_revoked(job.id)
        return False

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None or self._process != os.getpid():  # Celery's workers fork
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                run = partial(_run_forever, self._loop)
                threading.Thread(target=run, name="miniasgi loop", daemon=True).start()
            return self._loop


async def _attempt(function: Function, job: Job, begun: "list[asyncio.Task[Any]]") -> Outcome:
    task = asyncio.current_task()
    assert task is not None
    begun.append(task)
    return await function.run(job)


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()

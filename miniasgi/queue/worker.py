"""The worker: it looks, claims, runs and settles, on an asyncio loop.

An ``async def`` task is an asyncio task of its own; a ``def`` task runs in a thread. A slot settles
one job and takes the next in one commit, and nothing is claimed without a free slot.

Rules of this file: a job is settled only when its code has ended; a cancel reaches the task's code
and nothing else; slots are counted on the loop, so that counting needs no lock. Once a second the
worker does its chores: it gives back the jobs of dead owners, cancels what was revoked, and every
minute deletes what ended long ago.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from sqlite3 import Connection
from typing import Any

from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.jobs import Function, Site, settling, unknown
from miniasgi.queue.owners import Owner, is_alive, living, open_port
from miniasgi.queue.store import Job, Outcome

logger = logging.getLogger("miniasgi.queue")
Settle = Callable[[Connection], bool]


@dataclass(slots=True, eq=False)
class Slot:
    """One job that runs here."""

    job: Job
    function: Function | None
    promise: object = None  # kept, so that it ticks
    task: asyncio.Task[None] | None = None
    cancellable: bool = False  # its code runs on the loop
    if_cancelled: Outcome | None = None
    warned: bool = False


@dataclass(eq=False)
class Worker:
    """Runs a queue's jobs while it is open: ``async with queue.worker(concurrency=4)``.

    At the end it claims no more, waits ``grace`` seconds, cancels and gives back what is left. A
    thread cannot be cancelled: its job stays owned until it ends or the process exits.
    """

    site: Site
    concurrency: int
    grace: float
    is_alone: bool = False  # the loop is its own: a commit on it keeps only its own jobs waiting
    slots: dict[str, Slot] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.queue, self.writer = self.site.name, self.site.writer

    async def __aenter__(self) -> "Worker":
        self._free = self.concurrency
        self._stopping = False
        self._chores_at = self._delete_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()  # what is claimed runs in a copy of it
        self._rang = asyncio.Event()
        self._owner = await asyncio.to_thread(self._open)
        self._loop.add_reader(self._socket, self._hear)
        self._serving = self._loop.create_task(self._serve())
        self.site.workers.append(self)
        return self

    def _open(self) -> Owner:
        self.writer.read(store.outlook, self.queue)  # raises if it is unfit
        living(self.writer.directory, "queue")  # clears away what the dead left
        self._socket = open_port()
        about, port = f"{self.queue} {self.concurrency}", self._socket.getsockname()[1]
        return Owner(self.writer.directory, "worker", about, port)

    async def __aexit__(self, *exc: object) -> None:
        self.site.workers.remove(self)
        self._stopping = True
        self._rang.set()
        await asyncio.wait([self._serving])  # which may have been cancelled, with its loop
        self._loop.remove_reader(self._socket)
        self._socket.close()
        await self._wait_empty(self.grace)
        for slot in list(self.slots.values()):
            self._cancel(slot, Outcome("ready", error="given back: its worker stopped"))
        if any(slot.task for slot in self.slots.values()):
            await self._wait_empty(5.0)  # for what the cancelled tasks do to clean up
        if self.slots:
            logger.warning("%d jobs still run in threads and stay owned", len(self.slots))
            forgive = partial(store.forgive, owner=self._owner.name)  # if the process ends now
            await self.writer.arun(forgive, surely=forgive)
        else:
            self._owner.drop()

    async def _wait_empty(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.slots:
                    self._rang.clear()  # each slot that becomes free rings
                    await self._rang.wait()

    # Looking

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while self._socket.recv(16):
                self._rang.set()

    async def _serve(self) -> None:
        while not self._stopping:
            self._rang.clear()  # before the look: what rings during it is looked at again
            try:
                wait = await self._look()
            except Exception:  # whatever it is: a worker that stops looking looks alive
                logger.exception("the worker could not look for jobs")
                wait = 1.0
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0)):
                    await self._rang.wait()

    async def _look(self) -> float:
        """Claim for the free slots; returns the seconds until the next look is needed."""
        if time.monotonic() >= self._chores_at:
            await self._do_chores()
            self._chores_at = time.monotonic() + 1.0
        ready, due_at = self.writer.read(store.outlook, self.queue)
        now = time.time()
        if due_at is not None and due_at <= now:
            await self.writer.arun(store.promote, self.queue, now)
            ready = True
        if ready and self._free > 0:
            reserved, self._free = self._free, 0
            jobs: list[Job] = []
            try:
                alone = self.is_alone and not self.slots
                jobs = await self.writer.arun(self._claim, reserved, here=alone)
            finally:
                self._free += reserved - len(jobs)
            for job in jobs:
                self._begin(job, self._context.copy())
            if not jobs:  # another one was quicker, or what was ready has expired
                return 0.0
        chores = self._chores_at - time.monotonic()
        return chores if due_at is None else min(chores, due_at - now)

    def _claim(self, db: Connection, limit: int) -> list[Job]:
        return store.claim(db, self.queue, self._owner.name, limit, time.time())

    async def _do_chores(self) -> None:
        writer = self.writer
        alive = partial(is_alive, writer.directory)
        if not all(map(alive, writer.read(store.owners, self.queue))):
            limits = (self.site.max_crashes, time.time())
            found = await writer.arun(store.recover, self.queue, alive, *limits, wakes=True)
            logger.warning("recovered %d jobs of dead owners", found)
        for owner in {str(slot.job.owner) for slot in self.slots.values()}:  # a promise has another
            for id in writer.read(store.revoking, owner):
                if id in self.slots and not self.slots[id].if_cancelled:  # once: it may clean up
                    self._cancel(self.slots[id], Outcome("revoked", error="revoked while it ran"))
        for slot in list(self.slots.values()):
            self._report(slot)
        if time.monotonic() >= self._delete_at:
            for state in store.ENDED:
                ttl = self.site.failure_ttl if state == "failure" else self.site.result_ttl
                while await writer.arun(store.delete, self.queue, state, time.time() - ttl):
                    pass
            self._delete_at = time.monotonic() + 60.0

    def _report(self, slot: Slot) -> None:
        job, timeout = slot.job, slot.function.timeout if slot.function else None
        running = time.time() - (job.started_at or time.time())
        if timeout is not None and running > timeout and not (slot.task or slot.warned):
            slot.warned = True
            said = "job %s (%s) runs longer than %g s, in a thread that cannot be stopped"
            logger.error(said, job.id, job.task, timeout)

    # Running

    def take(self, job: Job, promise: object) -> bool:
        """Run a job that this process has accepted, if a slot is free. Else False."""
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop and self._free > 0 and not self._stopping:
                self._free -= 1
                self._begin(job, copy_context(), promise)
                return True
        return False

    def _begin(self, job: Job, context: Context, promise: object = None) -> None:
        slot = self.slots[job.id] = Slot(job, self.site.functions.get(job.task), promise)
        on_the_loop = slot.function is None or slot.function.is_async or self._stopping
        if on_the_loop or not self._has_thread(slot, context):
            slot.task = self._loop.create_task(self._run(slot), context=context)

    def _has_thread(self, slot: Slot, context: Context) -> bool:
        """Begin a ``def`` job in a thread. False: the system has none to give."""
        run = partial(self._work_in_thread, slot, context)
        try:
            # A daemon, so that one that is stuck does not keep the process.
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError:
            logger.exception("job %s (%s) has to wait", slot.job.id, slot.job.task)
            return False
        return True

    async def _run(self, slot: Slot) -> None:
        if self._stopping:
            outcome = Outcome("ready", attempts=1)  # it has not begun
        elif slot.function is None:
            outcome = unknown(slot.job, self.site.functions)
        elif not slot.function.is_async:  # and there was no thread for it
            outcome = Outcome("scheduled", due_at=time.time() + 1.0, attempts=1)
        else:
            slot.cancellable = True
            try:
                outcome = await slot.function.run(slot.job)
            except GeneratorExit:
                raise
            except BaseException as exc:  # most of all a cancel: ours, its loop's, the code's own
                if self._serving.cancelling():
                    slot.if_cancelled = Outcome("ready", error="given back: its loop ended")
                outcome = slot.if_cancelled or slot.function.failed(slot.job, exc)
            slot.cancellable = False
        settle, wakes = settling(slot.job, outcome), outcome.brings_work
        alone = self.is_alone and len(self.slots) == 1
        jobs = await self.writer.arun(
            self._exchange, slot.job, settle, wakes=wakes, surely=settle, here=alone
        )
        tell("job.settled", slot.job.task)
        self._next(slot, jobs or [])

    def _cancel(self, slot: Slot, then: Outcome) -> None:
        if slot.task is not None and slot.cancellable:
            slot.if_cancelled = then
            slot.task.cancel()

    def _work_in_thread(self, slot: Slot, context: Context) -> None:
        """Run a ``def`` job, and the next ones as long as they are ``def`` too.

        So that under load no thread has to be made, and nobody waits for the loop.
        """
        while True:
            jobs = context.run(self._run_in_thread, slot)
            function = self.site.functions.get(jobs[0].task) if jobs else None
            if function is None or function.is_async or self._stopping:
                break
            done, slot = slot, Slot(jobs[0], function)
            context = self._context.copy()
            self.slots[slot.job.id] = slot
            self.slots.pop(done.job.id, None)
        with suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(self._next, slot, jobs)

    def _run_in_thread(self, slot: Slot) -> list[Job]:
        assert slot.function is not None
        outcome = slot.function.run_in_thread(slot.job)
        settle, wakes = settling(slot.job, outcome), outcome.brings_work
        jobs = self.writer.run(self._exchange, slot.job, settle, wakes=wakes, surely=settle)
        tell("job.settled", slot.job.task)
        return jobs or []

    def _exchange(self, db: Connection, ended: list[tuple[Job, Settle]]) -> Any:
        """In one commit, for each job that has ended another one, if there is one."""
        for job, settle in ended:
            if not settle(db):
                logger.warning("job %s was not ours any more: its outcome is dropped", job.id)
        jobs = [] if self._stopping else self._claim(db, len(ended))
        return [jobs[at : at + 1] for at in range(len(ended))]

    _exchange.together = True  # type: ignore[attr-defined]

    def _next(self, slot: Slot, jobs: list[Job]) -> None:
        """The slot's next job, or the slot is free."""
        self.slots.pop(slot.job.id, None)
        for job in jobs:
            self._begin(job, self._context.copy())
        if not jobs:
            self._free += 1
            self._rang.set()  # a bell may have rung while no slot was free
        if not self.slots and self._socket.fileno() < 0:  # the last thread, after the end
            self._owner.drop()

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
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from socket import socket
from sqlite3 import Connection

from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.jobs import Function, unknown
from miniasgi.queue.owners import Owner, is_alive, living
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.writer import Writer

logger = logging.getLogger("miniasgi.queue")

_GIVEN_BACK = Outcome("ready", error="given back: its worker stopped")
_NOT_BEGUN = Outcome("ready", attempts=1)
_REVOKED = Outcome("revoked", error="revoked while it ran")
_BY_ITSELF = asyncio.CancelledError("the task cancelled itself")


@dataclass(slots=True, eq=False)
class Slot:
    """One job that runs here."""

    job: Job
    context: Context
    function: Function | None = None
    born_held: bool = False  # its row does not say yet that it runs
    task: asyncio.Task[Outcome] | None = None
    if_cancelled: Outcome | BaseException = _BY_ITSELF
    warned: bool = False


@dataclass(eq=False)
class Worker:
    """Runs a queue's jobs while it is open: ``async with queue.worker(concurrency=4)``.

    At the end it claims no more, waits ``grace`` seconds, cancels and gives back what is left. A
    thread cannot be cancelled: its job stays owned until it ends or the process exits.
    """

    writer: Writer
    queue: str
    functions: Mapping[str, Function]
    max_crashes: int | None
    keep: Mapping[str, float]  # by state, seconds after the end
    concurrency: int
    grace: float
    slots: dict[str, Slot] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._free = self.concurrency
        self._stopping = False
        self._chores_at = self._delete_at = 0.0

    async def __aenter__(self) -> "Worker":
        self._loop = asyncio.get_running_loop()
        self._rang = asyncio.Event()
        self._empty = asyncio.Event()
        self._owner, self._socket = await asyncio.to_thread(self._open)
        self._loop.add_reader(self._socket, self._hear)
        self._serving = self._loop.create_task(self._serve())
        return self

    def _open(self) -> tuple[Owner, socket]:
        self.writer.read(lambda db: store.outlook(db, self.queue))  # raises if it is unfit
        living(self.writer.directory, "queue")  # clears away what the dead left
        owner = Owner(self.writer.directory, "worker", f"{self.queue} {self.concurrency}")
        return owner, self.writer.bell.listen(owner.name)

    async def __aexit__(self, *exc: object) -> None:
        self._stopping = True
        self._rang.set()
        await self._serving
        self._loop.remove_reader(self._socket)
        self._socket.close()
        (self.writer.directory / f"{self._owner.name}.sock").unlink(missing_ok=True)
        await self._wait_empty(self.grace)
        for slot in list(self.slots.values()):
            self._cancel(slot, _GIVEN_BACK)
        if any(slot.task for slot in self.slots.values()):
            await self._wait_empty(5.0)  # for what the cancelled tasks do to clean up
        if self.slots:
            logger.warning("%d jobs still run in threads and stay owned", len(self.slots))
        else:
            self._owner.drop()

    async def _wait_empty(self, timeout: float) -> None:
        self._empty.clear()
        if self.slots:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout)

    def forgive(self) -> None:
        """Before the process exits with threads at work: their jobs did not crash it."""
        self.writer.run(lambda db: store.forgive(db, self._owner.name))

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
        ready, due_at = self.writer.read(lambda db: store.outlook(db, self.queue))
        now = time.time()
        if due_at is not None and due_at <= now:
            await self.writer.arun(lambda db: store.promote(db, self.queue, now))
            ready = True
        if ready and self._free > 0:
            reserved, self._free = self._free, 0
            name, jobs = self._owner.name, []
            try:
                jobs = await self.writer.arun(
                    lambda db: store.claim(db, self.queue, name, reserved, now)
                )
            finally:
                self._free += reserved - len(jobs)
            for job in jobs:
                self._begin(Slot(job, copy_context()))
        chores = self._chores_at - time.monotonic()
        return chores if due_at is None else min(chores, due_at - now)

    async def _do_chores(self) -> None:
        writer, name = self.writer, self._owner.name
        alive = partial(is_alive, writer.directory)
        owners = writer.read(lambda db: store.owners(db, self.queue))
        if not all(alive(owner) for owner in owners):
            max_crashes, now = self.max_crashes, time.time()
            recovered = await writer.arun(
                lambda db: store.recover(db, self.queue, alive, max_crashes, now), wakes=True
            )
            logger.warning("recovered %d jobs of dead owners", recovered)
        for id in writer.read(lambda db: store.revoking(db, name)):
            if id in self.slots:
                self._cancel(self.slots[id], _REVOKED)
        for slot in list(self.slots.values()):
            await self._look_at(slot)
        if time.monotonic() >= self._delete_at:
            for state, seconds in self.keep.items():
                delete = partial(store.delete, state=state, before=time.time() - seconds)
                while await writer.arun(delete):
                    pass
            self._delete_at = time.monotonic() + 60.0

    async def _look_at(self, slot: Slot) -> None:
        job, function = slot.job, slot.function
        running = time.time() - (job.started_at or time.time())
        if slot.born_held and running > 1:
            slot.born_held = False
            await self.writer.arun(lambda db: store.mark_running(db, job))
        timeout = function.timeout if function else None
        if timeout is not None and running > timeout and not (slot.task or slot.warned):
            slot.warned = True
            said = "job %s (%s) runs longer than %g s, in a thread that cannot be stopped"
            logger.error(said, job.id, job.task, timeout)

    # Running

    def take(self, job: Job, context: Context) -> bool:
        """Run a job that this process has accepted, if a slot is free. Else False."""
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop and self._free > 0 and not self._stopping:
                self._free -= 1
                self._begin(Slot(job, context, born_held=True))
                return True
        return False

    def _begin(self, slot: Slot) -> None:
        job = slot.job
        self.slots[job.id] = slot
        function = slot.function = self.functions.get(job.task)
        if self._stopping:
            self._settle(slot, _NOT_BEGUN)
        elif function is None:
            self._settle(slot, unknown(job, self.functions))
        elif not function.is_async:
            # A daemon, so that one that is stuck does not keep the process. It goes on to the next
            # job by itself, so that under load no thread has to be made.
            threading.Thread(target=self._work_through, args=(slot,), daemon=True).start()
        else:
            slot.task = self._loop.create_task(function.run(job), context=slot.context)
            timer = None
            if (timeout := function.timeout) is not None:
                late = TimeoutError(f"ran longer than {timeout:g} s")
                timer = self._loop.call_later(timeout, self._cancel, slot, late)
            slot.task.add_done_callback(partial(self._ended, slot, function, timer))

    def _cancel(self, slot: Slot, then: Outcome | BaseException) -> None:
        if slot.task is not None and not slot.task.done():
            slot.if_cancelled = then
            slot.task.cancel()

    def _ended(
        self,
        slot: Slot,
        function: Function,
        timer: asyncio.TimerHandle | None,
        task: asyncio.Task[Outcome],
    ) -> None:
        slot.task = None
        if timer is not None:
            timer.cancel()
        found = slot.if_cancelled if task.cancelled() else task.exception() or task.result()
        if isinstance(found, BaseException):
            found = slot.context.run(function.failed, slot.job, found)
        self._settle(slot, found)

    # Settling

    def _settle(self, slot: Slot, outcome: Outcome) -> None:
        future: asyncio.Future[tuple[bool, list[Job]]] = self._loop.create_future()
        future.add_done_callback(partial(self._settled, slot, outcome))
        work = partial(self._settle_and_claim, job=slot.job, outcome=outcome)
        self.writer.post(work, outcome.brings_work, future)

    def _settled(
        self, slot: Slot, outcome: Outcome, future: asyncio.Future[tuple[bool, list[Job]]]
    ) -> None:
        self._next(slot, self._conclude(slot, outcome, future.result))

    def _work_through(self, slot: Slot) -> None:
        """In a thread: run the job, settle it and take the next, as long as that is a ``def``."""
        while slot.function is not None:
            outcome = slot.context.run(slot.function.run_in_thread, slot.job)
            work = partial(self._settle_and_claim, job=slot.job, outcome=outcome)
            settle = partial(self.writer.run, work, outcome.brings_work)
            jobs = self._conclude(slot, outcome, settle)
            function = self.functions.get(jobs[0].task) if jobs else None
            if function is None or function.is_async or self._stopping:
                with suppress(RuntimeError):  # the loop is closed: the process is about to end
                    self._loop.call_soon_threadsafe(self._next, slot, jobs)
                return
            done, slot = slot, Slot(jobs[0], copy_context(), function)
            self.slots[slot.job.id] = slot
            self.slots.pop(done.job.id, None)

    def _settle_and_claim(
        self, db: Connection, job: Job, outcome: Outcome
    ) -> tuple[bool, list[Job]]:
        now = time.time()
        written = job.settled or store.settle(db, job, outcome, now)
        name, limit = self._owner.name, 0 if self._stopping else 1
        return written, store.claim(db, self.queue, name, limit, now) if limit else []

    def _conclude(
        self, slot: Slot, outcome: Outcome, settle: Callable[[], tuple[bool, list[Job]]]
    ) -> list[Job]:
        """What the commit said; returns the jobs that it claimed."""
        job, now = slot.job, time.time()
        try:
            written, jobs = settle()
        except QueueUnavailable as exc:
            logger.error("job %s ended, and that cannot be written yet: %s", job.id, exc)
            self.writer.post(lambda db: store.settle(db, job, outcome, now), outcome.brings_work)
            return []
        if not written:
            logger.warning("job %s was not ours any more: its outcome is dropped", job.id)
        slot.context.run(tell, "job.settled", job.task)
        return jobs

    def _next(self, slot: Slot, jobs: list[Job]) -> None:
        """The slot's next job, or the slot is free."""
        self.slots.pop(slot.job.id, None)
        for job in jobs:
            self._begin(Slot(job, copy_context()))
        if not jobs:
            self._free += 1
            self._rang.set()  # a bell may have rung while no slot was free
        if not self.slots:
            self._empty.set()
            if self._socket.fileno() < 0 and self._serving.done():
                self._owner.drop()

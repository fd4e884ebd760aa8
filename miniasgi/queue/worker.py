"""The worker: it looks, claims, runs and settles, on an asyncio loop.

An ``async def`` task is an asyncio task of its own; a ``def`` task runs in the worker's threads.
A slot settles one job and takes the next in one commit, and nothing is claimed without a free slot.

Rules of this file: a job is settled only when its code has ended; a cancel reaches the task's code
and nothing else; everything but threads happens on the loop, so that counting slots needs no lock.
Once a second the worker does its chores: it gives back the jobs of dead owners, asks what was
revoked, prunes what has been settled for long.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from socket import socket
from sqlite3 import Connection
from typing import Any

from miniasgi.events import tell
from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.jobs import Function, Threads, unknown
from miniasgi.queue.owners import Owner, is_alive, living
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.writer import Writer

logger = logging.getLogger("miniasgi.queue")

_GIVE_BACK = Outcome("ready", error="given back: its worker stopped")
_NOT_BEGUN = Outcome("ready", attempts=1)
_PRUNE_EVERY = 60.0
_PRUNE_AT_ONCE = 2_000


@dataclass(slots=True, eq=False)
class Slot:
    """One job that runs here."""

    job: Job
    function: Function | None
    context: Context
    born_held: bool = False  # its row does not say yet that it runs
    task: asyncio.Task[Outcome] | None = None
    timer: asyncio.TimerHandle | None = None
    because: str = ""  # why it was cancelled
    warned: bool = False


class Worker:
    """Runs a queue's jobs while it is open: ``async with queue.worker(concurrency=4)``.

    At the end it claims no more, waits ``grace`` seconds, cancels and gives back what is left. A
    thread cannot be cancelled: its job stays owned until it ends or the process exits.
    """

    def __init__(
        self,
        writer: Writer,
        queue: str,
        functions: Mapping[str, Function],
        *,
        concurrency: int,
        grace: float,
        max_crashes: int | None,
        keep: Mapping[str, float],
    ) -> None:
        self.queue = queue
        self.concurrency = concurrency
        self.grace = grace
        self.max_crashes = max_crashes
        self.slots: dict[str, Slot] = {}
        self._writer = writer
        self._functions = functions
        self._keep = keep
        self._free = concurrency
        self._stopping = False
        self._threads = Threads()
        self._chores_at = 0.0
        self._prune_at = 0.0

    async def __aenter__(self) -> "Worker":
        self._loop = asyncio.get_running_loop()
        self._rang = asyncio.Event()
        self._empty = asyncio.Event()
        self._owner, self._socket = await asyncio.to_thread(self._open)
        self._loop.add_reader(self._socket, self._hear)
        self._serving = self._loop.create_task(self._serve())
        return self

    def _open(self) -> tuple[Owner, socket]:
        self._writer.read(partial(store.outlook, queue=self.queue))  # the file is fit for use
        living(self._writer.directory, "queue")  # clears away what the dead left
        owner = Owner(self._writer.directory, "worker", f"{self.queue} {self.concurrency}")
        return owner, self._writer.bell.listen(owner.name)

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._stopping = True
        self._rang.set()
        await self._serving
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._owner.path.with_suffix(".sock").unlink(missing_ok=True)
        await self._wait_empty(self.grace)
        for slot in list(self.slots.values()):
            self._cancel(slot, "stopping")
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
        self._writer.run(partial(store.forgive, owner=self._owner.name))

    # Looking

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
                self._rang.set()

    async def _serve(self) -> None:
        while not self._stopping:
            self._rang.clear()  # before the look: what rings during it is looked at again
            try:
                wait = await self._look()
            except QueueUnavailable as exc:
                logger.error("%s", exc)
                wait = 1.0
            if wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._rang.wait()

    async def _look(self) -> float:
        """Claim for the free slots; returns the seconds until the next look is needed."""
        if time.monotonic() >= self._chores_at:
            await self._chores()
            self._chores_at = time.monotonic() + 1.0
        ready, due_at = self._writer.read(partial(store.outlook, queue=self.queue))
        now = time.time()
        if due_at is not None and due_at <= now:
            await self._writer.arun(partial(store.promote, queue=self.queue, now=now))
            ready, due_at = True, now
        if ready and self._free > 0:
            reserved, self._free = self._free, 0
            jobs: list[Job] = []
            try:
                jobs = await self._writer.arun(
                    partial(
                        store.claim,
                        queue=self.queue,
                        owner=self._owner.name,
                        limit=reserved,
                        now=now,
                    )
                )
            finally:
                self._free += reserved - len(jobs)
            for job in jobs:
                self._begin(job, copy_context())
        chores = self._chores_at - time.monotonic()
        return chores if due_at is None else min(chores, due_at - now)

    async def _chores(self) -> None:
        alive = partial(is_alive, self._writer.directory)
        owners = self._writer.read(partial(store.owners, queue=self.queue))
        if not all(alive(owner) for owner in owners):
            recovered = await self._writer.arun(
                partial(
                    store.recover,
                    queue=self.queue,
                    is_alive=alive,
                    max_crashes=self.max_crashes,
                    now=time.time(),
                ),
                wakes=True,
            )
            logger.warning("recovered %d jobs of dead owners", recovered)
        for id in self._writer.read(partial(store.revoking, owner=self._owner.name)):
            if (slot := self.slots.get(id)) is not None:
                self._cancel(slot, "revoked")
        for slot in list(self.slots.values()):
            await self._look_at(slot)
        if time.monotonic() >= self._prune_at:
            for state, seconds in self._keep.items():
                prune = partial(store.prune, state=state, before=time.time() - seconds)
                while await self._writer.arun(partial(prune, limit=_PRUNE_AT_ONCE)) > 0:
                    pass
            self._prune_at = time.monotonic() + _PRUNE_EVERY

    async def _look_at(self, slot: Slot) -> None:
        job, running = slot.job, slot.job.started_at and time.time() - slot.job.started_at
        if slot.born_held and running > 1:
            slot.born_held = False
            await self._writer.arun(partial(store.mark_running, job=job))
        timeout = slot.function and slot.function.timeout
        if timeout and running > timeout and slot.task is None and not slot.warned:
            slot.warned = True
            logger.error(
                "job %s (%s) runs longer than %g s; a thread cannot be stopped: "
                "it keeps its slot until it ends or the worker exits",
                *(job.id, job.task, timeout),
            )

    # Running

    def take(self, job: Job, context: Context) -> bool:
        """Run a job that this process has accepted, if a slot is free. Else False."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here or self._stopping or self._free <= 0:
            return False
        job.started_at = 0.0
        self._free -= 1
        self._begin(job, context, born_held=True)
        return True

    def _begin(self, job: Job, context: Context, *, born_held: bool = False) -> None:
        function = self._functions.get(job.task)
        slot = self.slots[job.id] = Slot(job, function, context, born_held)
        if self._stopping:
            self._settle(slot, _NOT_BEGUN)
        elif function is None:
            self._settle(slot, unknown(job, list(self._functions)))
        elif function.is_async:
            slot.task = self._loop.create_task(function.run(job), context=context)
            slot.task.add_done_callback(partial(self._ended, slot))
            if function.timeout is not None:
                slot.timer = self._loop.call_later(function.timeout, self._cancel, slot, "timeout")
        else:
            self._threads.submit(partial(self._work_through, slot))

    def _cancel(self, slot: Slot, because: str) -> None:
        if slot.task is not None and not slot.task.done():
            slot.because = because
            slot.task.cancel()

    def _ended(self, slot: Slot, task: asyncio.Task[Outcome]) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
        slot.task = None
        assert slot.function is not None
        function = slot.function

        def failed(exc: BaseException) -> Outcome:
            return slot.context.run(function.failed, slot.job, exc)

        if not task.cancelled():
            exc = task.exception()
            outcome = task.result() if exc is None else failed(exc)
        elif slot.because == "stopping":
            outcome = _GIVE_BACK
        elif slot.because == "revoked":
            outcome = Outcome("revoked", error="revoked while it ran")
        elif slot.because == "timeout":
            outcome = failed(TimeoutError(f"ran longer than {function.timeout:g} s"))
        else:
            outcome = failed(asyncio.CancelledError("the task cancelled itself"))
        self._settle(slot, outcome)

    # Settling

    def _settle(self, slot: Slot, outcome: Outcome) -> None:
        work = partial(self._settle_and_claim, job=slot.job, outcome=outcome)
        operation = self._writer.submit(self._loop, work, wakes=_brings_work(outcome))
        assert operation.future is not None
        operation.future.add_done_callback(partial(self._settled, slot, outcome))

    def _settle_and_claim(
        self, db: Connection, job: Job, outcome: Outcome
    ) -> tuple[bool, list[Job]]:
        now = time.time()
        written = job.settled or store.settle(db, job, outcome, now)
        if self._stopping:
            return written, []
        return written, store.claim(db, self.queue, self._owner.name, 1, now)

    def _settled(self, slot: Slot, outcome: Outcome, future: asyncio.Future[Any]) -> None:
        try:
            written, jobs = future.result()
        except BaseException as exc:
            written, jobs = self._not_settled(slot, outcome, exc)
        self._say(slot, written)
        self._next(slot, jobs)

    def _not_settled(
        self, slot: Slot, outcome: Outcome, exc: BaseException
    ) -> tuple[bool, list[Job]]:
        logger.error("job %s ended, and cannot be settled yet: %s", slot.job.id, exc)
        work = partial(store.settle, job=slot.job, outcome=outcome, now=time.time())
        self._writer.post(work, wakes=_brings_work(outcome))
        return True, []

    def _say(self, slot: Slot, written: bool) -> None:
        if not written:
            logger.warning("job %s was not ours any more: its outcome is dropped", slot.job.id)
        slot.context.run(tell, "job.settled", slot.job.task)

    def _next(self, slot: Slot, jobs: list[Job]) -> None:
        """The slot's next job, or the slot is free."""
        self.slots.pop(slot.job.id, None)
        for job in jobs:
            self._begin(job, copy_context())
        if not jobs:
            self._free += 1
            self._rang.set()  # a bell may have rung while no slot was free
        if not self.slots:
            self._empty.set()
            if self._stopping and self._serving.done():
                self._owner.drop()

    def _work_through(self, slot: Slot) -> None:
        """In a thread: run the job, settle it and take the next, as long as that is a ``def``."""
        while True:
            assert slot.function is not None
            outcome = slot.context.run(slot.function.run_in_thread, slot.job)
            work = partial(self._settle_and_claim, job=slot.job, outcome=outcome)
            try:
                written, jobs = self._writer.run(work, wakes=_brings_work(outcome))
            except BaseException as exc:
                written, jobs = self._not_settled(slot, outcome, exc)
            self._say(slot, written)
            function = self._functions.get(jobs[0].task) if jobs else None
            if function is None or function.is_async or self._stopping:
                break
            done, slot = slot, Slot(jobs[0], function, copy_context())
            self.slots[slot.job.id] = slot
            self.slots.pop(done.job.id, None)
        with suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(self._next, slot, jobs)


def _brings_work(outcome: Outcome) -> bool:
    return outcome.state in ("ready", "scheduled")

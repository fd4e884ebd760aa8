"""The one place where a process writes: many callers, one commit.

Callers hand in *operations*, functions of the connection. A thread gathers what is waiting and
commits it as one transaction (group commit), so that 32 callers share one fsync; what arrives
during an fsync is the next batch. A caller in a thread of its own, with nobody else waiting,
commits there and saves two changes of thread.

Rules of this file: a batch that fails is done again in halves, so nobody fails for a neighbour and
a full disk refuses no more than it must. Who has waited for ``lock_timeout`` gets QueueUnavailable,
and the operation is withdrawn, not done later; but what must be done *surely* (a job has ended) is
tried again until it can be. Whatever happens in the thread, nobody is left waiting.
"""

import asyncio
import atexit
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.files import File
from miniasgi.queue.operations import Again, Operation, Work, perform, resolve
from miniasgi.queue.owners import Bell, Owner

logger = logging.getLogger("miniasgi.queue")
T = TypeVar("T")

_exiting = threading.Event()


class Writer:
    """One file's writer in this process. `Writer.at` gives every queue on that file the same."""

    _all: "dict[Path, Writer]" = {}  # noqa: RUF012 (one set a process, on purpose)

    @classmethod
    def at(cls, path: Path, durability: str, lock_timeout: float) -> "Writer":
        path = path.resolve()
        if (writer := cls._all.get(path)) is None:
            writer = cls._all[path] = cls(File(path, durability, lock_timeout))
        there = (writer.file.durability, writer.file.lock_timeout)
        if there != (durability, lock_timeout):
            raise ValueError(f"{path} is open with durability and lock_timeout {there} already")
        return writer

    def __init__(self, file: File) -> None:
        self.file = file
        self.read = file.read
        self.path = file.path
        self.directory = file.beside("-owners")
        self._begin_anew()
        os.register_at_fork(after_in_child=self._after_fork)

    def _begin_anew(self) -> None:
        #: What was accepted here, by id; each is asked to tick every second.
        self.promises: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._bell = Bell(self.directory)
        self._starting = threading.RLock()  # a __del__ may come in between
        self._inbox: SimpleQueue[Operation | None] = SimpleQueue()
        self._again: list[Operation] = []
        self._tick_at = 0.0
        self._thread: threading.Thread | None = None
        self._at_work = False  # the thread has something in hand
        self._blocked = False  # and waits for its turn
        self._owner: Owner | None = None
        self._warned = False
        self._joined_wakes = False  # a job was put into the transaction that is open

    # Handing in

    def run(self, work: Work[T], *args: Any, wakes: bool = False, surely: Again = None) -> T:
        """Commit ``work(db, *args)`` and return its value; blocks.

        Inside `transaction` it joins that. If storage fails, ``surely(db)`` is tried again later,
        and the value is None.
        """
        if (db := self.file.joined()) is not None:
            self._joined_wakes |= wakes
            return work(db, *args)
        operation = Operation(work, args, wakes, surely)
        if not self._done_at_once(operation):
            self._wait_for(operation)
        return operation.outcome()  # type: ignore[no-any-return]

    def _done_at_once(self, operation: Operation) -> bool:
        """Commit here, in the caller's thread, if nobody else waits and it is our turn."""
        if self._at_work or not self._inbox.empty() or not self.file.take_turn(wait=False):
            return False
        try:
            self._commit([operation])
        finally:
            self.file.end_turn()
        self._tell([operation])
        return True

    def _wait_for(self, operation: Operation) -> None:
        done = operation.done = threading.Lock()
        done.acquire()
        self._put(operation)
        if not done.acquire(timeout=-1 if operation.surely else self.file.lock_timeout):
            if operation.take():
                raise self.file.busy()
            done.acquire()

    async def arun(
        self,
        work: Work[T],
        *args: Any,
        wakes: bool = False,
        surely: Again = None,
        here: bool = False,
    ) -> T:
        """The same, awaited. A cancel withdraws what still waits.

        The loop is never blocked, unless it is committed ``here``, where nothing else happens.
        """
        if self.file.joined() is not None:
            raise RuntimeError("inside queue.transaction() use the plain delay(): it joins it")
        if asyncio._get_running_loop() is None:  # trio
            from anyio.to_thread import run_sync

            return await run_sync(lambda: self.run(work, *args, wakes=wakes, surely=surely))
        if _exiting.is_set():  # no thread would do it any more
            return self.run(work, *args, wakes=wakes, surely=surely)
        operation = Operation(work, args, wakes, surely)
        if not (here and self._done_at_once(operation)):
            await self._wait_on_the_loop(operation)
        return operation.outcome()  # type: ignore[no-any-return]

    async def _wait_on_the_loop(self, operation: Operation) -> None:
        future = operation.future = asyncio.get_running_loop().create_future()
        self._put(operation)
        if self._blocked:
            self._be_impatient([operation])
        try:
            await future
        except asyncio.CancelledError:
            if not operation.surely:
                operation.take()
            raise

    def _be_impatient(self, operations: list[Operation | None]) -> None:
        """Withdraw what waits on a loop after ``lock_timeout``: the writer has to wait itself."""
        for operation in operations:
            if operation and operation.future and not operation.surely:
                loop = operation.future.get_loop()
                later = partial(loop.call_later, self.file.lock_timeout, self._late, operation)
                with suppress(RuntimeError):  # that loop is closed
                    loop.call_soon_threadsafe(later)

    def _late(self, operation: Operation) -> None:
        if operation.take():
            operation.error = self.file.busy()
            resolve([operation])

    def post(self, work: Work[Any], *, wakes: bool = False) -> None:
        """Hand in what has to be done, however late. Safe in a ``__del__``, in any thread."""
        self._put(Operation(work, (), wakes, work))

    def _put(self, operation: Operation) -> None:
        if _exiting.is_set():  # a thread started now would never run, and be waited for
            return
        self._inbox.put(operation)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, daemon=True)
                thread.start()
                self._thread = thread

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock and one transaction; commits at the end, or rolls back."""
        with self.file.transaction() as db:
            self._joined_wakes = False
            yield db
            wakes = self._joined_wakes
        if wakes:
            self._ring()

    # The thread

    def _serve(self) -> None:
        found: list[Operation | None] = []
        while None not in found:
            found = []
            self._at_work = self._blocked = False
            with suppress(Empty):
                found.append(self._inbox.get(timeout=1.0))
            self._at_work = True
            try:
                if time.monotonic() > self._tick_at:
                    self._tick()
                if found:
                    self._take_all(found)
            except BaseException as exc:
                batch = [operation for operation in found if operation and operation.take()]
                for operation in batch:
                    operation.error = self.file.unavailable(exc)
                self._tell(batch)

    def _take_all(self, found: list[Operation | None]) -> None:
        if not self.file.take_turn(wait=False):
            self._blocked = True  # first: who comes after the others are found sees it
            self._find(found)
            self._be_impatient(found)
            self.file.take_turn(wait=True)
        try:
            self._find(found)  # what came while we waited shares the commit
            batch = [operation for operation in found if operation and operation.take()]
            self._commit(batch)
        finally:
            self.file.end_turn()
        # With the lock free again: who hears of it may want it at once, or be stopped here and now.
        self._tell(batch)

    def _find(self, found: list[Operation | None]) -> None:
        while not self._inbox.empty():
            found.append(self._inbox.get())

    def _tick(self) -> None:
        self._tick_at = time.monotonic() + 1.0
        again, self._again = self._again, []
        for operation in again:
            if operation.surely is not None:
                self.post(operation.surely, wakes=operation.wakes)
        for reference in self.promises.valuerefs():
            if (promise := reference()) is not None:
                promise.tick()

    def _commit(self, batch: list[Operation]) -> None:
        """One transaction for all; if it fails, one for each half."""
        begun = False
        try:
            db = self.file.open()
            db.execute("begin immediate")  # waits, within its own timeout, for a stranger's lock
            begun = True
            perform(batch, db)
            db.execute("commit")
        except BaseException as exc:
            if begun and db.in_transaction:
                db.execute("rollback")
            if begun and len(batch) > 1:
                half = len(batch) // 2
                self._commit(batch[:half])
                self._commit(batch[half:])
            else:
                for operation in batch:
                    operation.error = self.file.unavailable(exc)

    def _tell(self, batch: list[Operation]) -> None:
        """Wake who waits, with one call into each loop; then ring the bell."""
        loops: dict[asyncio.AbstractEventLoop, list[Operation]] = {}
        for operation in batch:
            if operation.delayed:
                logger.error("%s: it will be tried again", operation.error)
                self._again.append(operation)
            if operation.future is not None:
                loops.setdefault(operation.future.get_loop(), []).append(operation)
            elif operation.done is not None:
                operation.done.release()
        for loop, waiting in loops.items():
            with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(resolve, waiting)
        if any(operation.brought_work for operation in batch):
            self._ring()

    def _ring(self) -> None:
        """Wake the workers. That there are none is said once, and again when they were there."""
        somebody = self._bell.ring()
        if not (somebody or self._warned):
            logger.warning("%s: jobs are waiting and no worker is running", self.path)
        self._warned = not somebody

    # Beginning and end

    @property
    def owner(self) -> Owner:
        """Whose the jobs are that this process accepts; taken on first use."""
        with self._starting, self.file.explained():
            self._owner = self._owner or Owner(self.directory, "queue")
            return self._owner

    def close(self) -> None:
        """Let go of the files. The next use opens them again."""
        with self._starting:
            if self._thread is not None:
                self._inbox.put(None)
                self._thread.join(self.file.lock_timeout)
                has_ended = not self._thread.is_alive()
                self._thread = None
                if has_ended and not self._inbox.empty():  # handed in behind the None
                    self._start()
        self.file.close()
        if self._owner is not None and not self.promises:  # or they would be a dead one's
            self._owner.drop()
            self._owner = None
        self._bell.close()

    def _after_fork(self) -> None:
        for promise in self.promises.values():
            promise.take()  # it is the parent's
        self._begin_anew()


def _close_all() -> None:
    """At exit, or SQLite would checkpoint outside the lock as it closes."""
    _exiting.set()
    for writer in Writer._all.values():
        with suppress(QueueUnavailable, OSError):
            writer.close()


atexit.register(_close_all)

"""The one place where a process writes: many callers, one commit.

Callers hand in *operations*, functions of the connection. A thread gathers what is waiting and
commits it as one transaction (group commit), so that 32 callers share one fsync; what arrives
during an fsync is the next batch. A caller in a thread of its own, with nobody else waiting,
commits there and saves two changes of thread.

Rules of this file: a batch in which one operation fails is done again with a savepoint around each,
and one whose transaction fails (a full disk) one by one, so nobody fails for a neighbour. Who has
waited for the file's lock for ``lock_timeout`` gets QueueUnavailable, and the operation is
withdrawn, not done later.
"""

import asyncio
import atexit
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.files import File
from miniasgi.queue.operations import Future, Operation, Work, tell
from miniasgi.queue.owners import Owner, living
from miniasgi.queue.wakeup import Bell

logger = logging.getLogger("miniasgi.queue")
T = TypeVar("T")

_exiting = threading.Event()
#: The connection while a transaction is open here; emptied at its end, for contexts that live on.
_transaction: ContextVar[tuple[()] | list[sqlite3.Connection]] = ContextVar(
    "transaction", default=()
)


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

    def _begin_anew(self) -> None:
        #: What was accepted here and is in no worker's hands; each is asked to tick every second.
        self.promises: dict[int, weakref.ref[Any]] = {}
        self.bell = Bell(self.directory)
        self._starting = threading.Lock()
        self._inbox: SimpleQueue[Operation | None] = SimpleQueue()
        self._waiting: dict[Operation, float] = {}  # until when
        self._again: list[Operation] = []
        self._thread: threading.Thread | None = None
        self._owner: Owner | None = None
        self._warned = False

    # Handing in

    def run(self, work: Work[T], wakes: bool = False) -> T:
        """Commit ``work`` and return its value; blocks. Inside `transaction` it joins that."""
        if (db := self._joined()) is not None:
            return work(db)
        if self._inbox.empty() and self.file.mutex.acquire(blocking=False):
            operation = Operation(work, wakes)
            try:
                if alone := self.file.try_lock():
                    self._commit_and_unlock([operation])
            finally:
                self.file.mutex.release()
            if alone:
                self._after_commit([operation])
                return operation.outcome()  # type: ignore[no-any-return]
        return self._run_in_turn(work, wakes)

    def _run_in_turn(self, work: Work[T], wakes: bool) -> T:
        operation = Operation(work, wakes)
        operation.done = threading.Lock()
        operation.done.acquire()
        self._put(operation, self.file.lock_timeout)
        operation.done.acquire()
        return operation.outcome()  # type: ignore[no-any-return]

    async def arun(self, work: Work[T], wakes: bool = False) -> T:
        """The same, awaited; the loop is never blocked. A cancel withdraws what still waits."""
        if self._joined() is not None:
            raise RuntimeError("inside queue.transaction() use the plain delay(): it joins it")
        try:
            future: Future = asyncio.get_running_loop().create_future()
        except RuntimeError:
            import anyio.to_thread

            return await anyio.to_thread.run_sync(self._run_in_turn, work, wakes)  # trio
        operation = Operation(work, wakes, future)
        self._put(operation, self.file.lock_timeout)
        try:
            return await future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            operation.take()
            raise

    def post(self, work: Work[Any], wakes: bool = False, future: Future | None = None) -> None:
        """Hand in what has to be done, however late; without a future also after failures.

        Safe in a ``__del__``, in any thread.
        """
        self._put(Operation(work, wakes, future), float("inf"))

    def _put(self, operation: Operation, timeout: float) -> None:
        if _exiting.is_set():  # a thread started now would never run, and be waited for
            return
        self._waiting[operation] = time.monotonic() + timeout
        self._inbox.put(operation)
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._serve, daemon=True)
                    self._thread.start()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock and one transaction; commits at the end, or rolls back."""
        with self.file.locked():
            with self.file.explained():
                db = self.file.open()
                db.execute("begin immediate")
            inside = [db]
            token = _transaction.set(inside)
            try:
                yield db
                with self.file.explained():
                    db.execute("commit")
            finally:
                inside.clear()
                _transaction.reset(token)
                if db.in_transaction:
                    db.execute("rollback")
        self.bell.ring()

    def _joined(self) -> sqlite3.Connection | None:
        return next((db for db in _transaction.get() if db is self.file.open()), None)

    # The thread

    def _serve(self) -> None:
        stop = False
        while not stop:
            try:
                found = [self._inbox.get(timeout=1.0 if self.promises or self._again else None)]
            except Empty:
                self._tick()
                continue
            error = None
            try:
                self._take_turn()
                while not self._inbox.empty():  # what came while we waited shares the commit
                    found.append(self._inbox.get())
                batch = [op for op in found if op is not None and op.take()]
                self._commit_and_unlock(batch)
            except (OSError, QueueUnavailable) as exc:  # there is no lock to be had
                error = self.file.unavailable(exc)
                batch = [op for op in found if op is not None and op.take()]
            finally:
                self.file.mutex.release()
            self._after_commit(batch, error)
            stop = None in found

    def _take_turn(self) -> None:
        """The mutex and the file's lock, however long it takes."""
        if (here := self.file.mutex.acquire(blocking=False)) and self.file.try_lock():
            return
        turn = threading.Event()
        threading.Thread(target=self._turn_away, args=(turn,), daemon=True).start()
        try:
            if not here:
                self.file.mutex.acquire()
            self.file.lock()
        finally:
            turn.set()

    def _turn_away(self, turn: threading.Event) -> None:
        """While the writer waits for its turn: those who have waited too long."""
        while not turn.wait(0.05):
            now = time.monotonic()
            late = [op for op, until in list(self._waiting.items()) if until < now and op.take()]
            self._after_commit(late, self.file.busy())

    def _tick(self) -> None:
        again, self._again = self._again, []
        for operation in again:
            self.post(operation.work, operation.wakes)
        for reference in list(self.promises.values()):
            if (promise := reference()) is not None:
                promise.tick()

    def _commit_and_unlock(self, batch: list[Operation]) -> None:
        try:
            self._commit(batch)
            self.file.checkpoint()
        finally:
            self.file.unlock()

    def _commit(self, batch: list[Operation], careful: bool = False) -> None:
        begun = False
        try:
            db = self.file.open()
            db.execute("begin immediate")  # waits, within its own timeout, for a stranger's lock
            begun = True
            for operation in batch:
                if careful:
                    self._perform(db, operation)
                else:
                    operation.value = operation.work(db)
            db.execute("commit")
        except BaseException as exc:
            if begun and db.in_transaction:
                db.execute("rollback")
            if not begun or len(batch) == 1:
                for operation in batch:
                    operation.error = self.file.unavailable(exc)
            elif not careful:
                self._commit(batch, careful=True)
            else:
                for operation in batch:
                    self._commit([operation])

    def _perform(self, db: sqlite3.Connection, operation: Operation) -> None:
        db.execute("savepoint operation")
        operation.error = None
        try:
            operation.value = operation.work(db)
        except Exception as exc:
            # After an error that ended the transaction this raises, and each is tried alone.
            db.execute("rollback to operation")
            operation.error = self.file.unavailable(exc)
        db.execute("release operation")

    def _after_commit(self, batch: list[Operation], error: BaseException | None = None) -> None:
        """Tell the callers, and ring the bell."""
        for operation in batch:
            self._waiting.pop(operation, None)
            operation.error = error or operation.error
        self._again += tell(batch)
        if any(operation.wakes and operation.error is None for operation in batch):
            self.bell.ring()
            if not self._warned:
                self._warned = True
                if not living(self.directory, "worker"):
                    logger.warning("%s: jobs are waiting and no worker is running", self.path)

    # Beginning and end

    @property
    def owner(self) -> Owner:
        """Whose the jobs are that this process accepts; taken on first use."""
        with self._starting, self.file.explained():
            self._owner = self._owner or Owner(self.directory, "queue")
            return self._owner

    def close(self) -> None:
        """Let go of the files. The next use opens them again."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(self.file.lock_timeout)
            self._thread = None
        self.file.close()
        if self._owner is not None:
            self._owner.drop()
            self._owner = None

    def after_fork(self) -> None:
        self.file.after_fork()
        self._begin_anew()


def _after_fork() -> None:
    for writer in Writer._all.values():
        writer.after_fork()


def _close_all() -> None:
    """At exit, or SQLite would checkpoint outside the lock as it closes."""
    _exiting.set()
    for writer in Writer._all.values():
        with suppress(QueueUnavailable, OSError):
            writer.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_close_all)

"""The one place where a process writes: many callers, one commit.

Callers hand in *operations*, functions of the connection. A thread gathers what is waiting and
commits it as one transaction (group commit), so that 32 callers share one fsync; what arrives
during an fsync is the next batch. A caller in a thread of its own, with nobody else waiting,
commits there and saves two changes of thread.

Rules of this file: each operation of a batch is a savepoint, and when the transaction itself fails
(a full disk) each is tried alone, so one that fails does not fail its neighbours. Processes queue
at ``<file>-lock``: `flock(2)` is fair where SQLite's busy handler starves. Opening, closing and
checkpoints happen under that lock only (sqlite.org/wal.html#walresetbug). Who has waited for it for
``lock_timeout`` gets QueueUnavailable and its operation is withdrawn, not done later.
"""

import asyncio
import atexit
import fcntl
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.owners import Owner, living
from miniasgi.queue.wakeup import Bell

logger = logging.getLogger("miniasgi.queue")
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_CHECKPOINT_CHANGES = 1_000
_WAL_BYTES = 16 * 1024 * 1024


class Operation:
    """One caller's part of a commit. Whoever takes it first decides: the writer, or a timeout."""

    __slots__ = ("_turn", "done", "error", "future", "value", "wakes", "work")

    def __init__(self, work: Work[Any], wakes: bool) -> None:
        self.work = work
        self.wakes = wakes  # it brings work: ring the workers' bell after the commit
        self.value: Any = None
        self.error: BaseException | None = None
        self.future: asyncio.Future[Any] | None = None
        self.done: threading.Lock | None = None
        self._turn = threading.Lock()

    def take(self) -> bool:
        return self._turn.acquire(blocking=False)

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Transaction:
    """An open `Writer.transaction`, seen by what runs inside it."""

    def __init__(self, writer: "Writer", db: sqlite3.Connection) -> None:
        self.writer = writer
        self.db = db
        self.open = True
        self.wakes = False


_transaction: ContextVar[Transaction | None] = ContextVar("miniasgi.transaction", default=None)


class Writer:
    """One file's writer in this process. `Writer.at` gives every queue on that file the same."""

    _all: "dict[Path, Writer]" = {}  # noqa: RUF012 (one a process, on purpose)

    @classmethod
    def at(cls, path: Path, durability: str, lock_timeout: float) -> "Writer":
        path = path.resolve()
        writer = cls._all.get(path)
        if writer is None:
            writer = cls._all[path] = cls(path, durability, lock_timeout)
        elif writer.durability != durability:
            raise ValueError(f"{path} is open with durability {writer.durability!r} already")
        return writer

    def __init__(self, path: Path, durability: str, lock_timeout: float) -> None:
        self.path = path
        self.durability = durability
        self.lock_timeout = lock_timeout
        self.directory = path.with_name(path.name + "-owners")
        #: What was accepted here and is not in a worker's hands; called once a second.
        self.promises: dict[str, weakref.ref[Any]] = {}
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._mutex = threading.Lock()  # who holds it may use the connection and the file lock
        self._reading = threading.Lock()
        self._starting = threading.Lock()
        self._inbox: SimpleQueue[Operation | None] = SimpleQueue()
        self._again: list[Operation] = []
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._owner: Owner | None = None
        self._lock_fd = -1
        self._checkpoint_at = _CHECKPOINT_CHANGES
        self._warned = False
        self.bell = Bell(self.directory)

    # In

    def run(self, work: Work[T], wakes: bool = False) -> T:
        """Commit ``work`` and return its value; blocks. Inside `transaction` it joins that."""
        if (transaction := self._joined()) is not None:
            transaction.wakes |= wakes
            return work(transaction.db)
        operation = Operation(work, wakes)
        if self._inbox.empty() and self._mutex.acquire(blocking=False):
            try:
                alone = self._try_lock()
                if alone:
                    self._commit_locked([operation])
            finally:
                self._mutex.release()
            if alone:
                self._after_commit([operation])
                return operation.outcome()  # type: ignore[no-any-return]
        done = operation.done = threading.Lock()
        done.acquire()
        self._put(operation)
        if not done.acquire(timeout=self.lock_timeout):
            if operation.take():
                raise self._busy()
            done.acquire()  # it is being committed
        return operation.outcome()  # type: ignore[no-any-return]

    async def arun(self, work: Work[T], wakes: bool = False) -> T:
        """The same, awaited; the loop is never blocked. A cancel withdraws what still waits."""
        if self._joined() is not None:
            raise RuntimeError("inside queue.transaction() use the plain delay(): it joins it")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            import anyio.to_thread

            return await anyio.to_thread.run_sync(self.run, work, wakes)  # trio
        operation = self.submit(loop, work, wakes)
        assert operation.future is not None
        timer = loop.call_later(self.lock_timeout, self._expire, operation)
        try:
            return await operation.future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            operation.take()
            raise
        finally:
            timer.cancel()

    def submit(
        self, loop: asyncio.AbstractEventLoop, work: Work[Any], wakes: bool = False
    ) -> Operation:
        """Hand in ``work``; its future on ``loop`` is done after the commit, however late."""
        operation = Operation(work, wakes)
        operation.future = loop.create_future()
        self._put(operation)
        return operation

    def post(self, work: Work[Any], wakes: bool = False) -> None:
        """Hand in ``work`` that nobody waits for; tried again each second while it cannot be done.

        Safe in a ``__del__``, in any thread.
        """
        self._put(Operation(work, wakes))

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection that only reads; sees what is committed."""
        with self._reading:
            try:
                if self._reader is None:
                    with self._locked():
                        self._open()
                    self._reader = store.connect_reader(self.path)
                return work(self._reader)
            except (sqlite3.Error, OSError) as exc:
                raise self._unavailable(exc) from exc

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock and one transaction; commits at the end, or rolls back."""
        with self._locked():
            try:
                db = self._open()
                db.execute("begin immediate")
            except (sqlite3.Error, OSError) as exc:
                raise self._unavailable(exc) from exc
            transaction = Transaction(self, db)
            token = _transaction.set(transaction)
            try:
                yield db
                db.execute("commit")
            except BaseException:
                self._rollback(db)
                raise
            finally:
                transaction.open = False
                _transaction.reset(token)
        if transaction.wakes:
            self.bell.ring()

    def _joined(self) -> Transaction | None:
        transaction = _transaction.get()
        if transaction is not None and transaction.open and transaction.writer is self:
            return transaction
        return None

    def _put(self, operation: Operation) -> None:
        self._inbox.put(operation)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._serve, name="miniasgi writer", daemon=True
                    )
                    self._thread.start()

    def _expire(self, operation: Operation) -> None:
        if operation.take() and operation.future is not None and not operation.future.done():
            operation.future.set_exception(self._busy())

    # Out: the thread

    def _serve(self) -> None:
        while True:
            batch = []
            try:
                first = self._inbox.get(timeout=1.0 if self.promises or self._again else None)
            except Empty:
                self._tick()
                continue
            if first is None:
                return
            batch.append(first)
            with self._mutex:
                try:
                    self._lock()
                except OSError as exc:
                    failure: OSError | None = exc
                else:
                    failure = None
                # Whatever came while we waited for the lock shares the commit.
                while not self._inbox.empty():
                    batch.append(self._inbox.get())  # type: ignore[arg-type]
                stop = None in batch
                batch = [op for op in batch if op is not None and op.take()]
                if failure is None:
                    self._commit_locked(batch)
                else:
                    for operation in batch:
                        operation.error = self._unavailable(failure)
            self._after_commit(batch)
            if stop:
                return

    def _tick(self) -> None:
        again, self._again = self._again, []
        for operation in again:
            self.post(operation.work, operation.wakes)
        for reference in list(self.promises.values()):
            promise = reference()
            if promise is not None:
                promise.tick()

    def _commit_locked(self, batch: list[Operation]) -> None:
        """Commit and unlock. The caller holds the mutex and the file's lock."""
        try:
            self._commit(batch)
            if self._db is not None and self._db.total_changes >= self._checkpoint_at:
                self._checkpoint(self._db)
        finally:
            self._unlock()

    def _commit(self, batch: list[Operation]) -> None:
        db = None
        begun = False
        try:
            db = self._open()
            db.execute("begin immediate")  # waits, within its own timeout, for a stranger's lock
            begun = True
            for operation in batch:
                self._perform(db, operation, alone=len(batch) == 1)
            db.execute("commit")
        except BaseException as exc:
            if db is not None:
                self._rollback(db)
            if begun and len(batch) > 1:
                for operation in batch:
                    self._commit([operation])
            else:
                for operation in batch:
                    operation.error = self._unavailable(exc)

    def _perform(self, db: sqlite3.Connection, operation: Operation, *, alone: bool) -> None:
        operation.error = None
        if alone:
            operation.value = operation.work(db)
            return
        db.execute("savepoint operation")
        try:
            operation.value = operation.work(db)
        except BaseException as exc:
            # After an error that ended the transaction this raises: each is then tried alone.
            db.execute("rollback to operation")
            operation.error = self._unavailable(exc)
        db.execute("release operation")

    def _rollback(self, db: sqlite3.Connection) -> None:
        if db.in_transaction:
            db.execute("rollback")

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        """Move the log into the file. RESTART writes over the log, which is faster than a new one.

        A reader in the way, or a full disk, is no reason to fail: the commit is done.
        """
        self._checkpoint_at = db.total_changes + _CHECKPOINT_CHANGES
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            mode = "truncate" if wal.stat().st_size > _WAL_BYTES else "restart"
            db.execute("pragma busy_timeout = 0")
            db.execute(f"pragma wal_checkpoint({mode})").fetchall()
            db.execute("pragma busy_timeout = 5000")
        except (sqlite3.Error, OSError) as exc:
            logger.warning("%s: no checkpoint now: %s", self.path, exc)

    def _after_commit(self, batch: list[Operation]) -> None:
        """Tell the callers, and ring the bell."""
        loops: dict[asyncio.AbstractEventLoop, list[Operation]] = {}
        wakes = False
        for operation in batch:
            wakes |= operation.wakes and operation.error is None
            if operation.future is not None:
                loops.setdefault(operation.future.get_loop(), []).append(operation)
            elif operation.done is not None:
                operation.done.release()
            elif isinstance(operation.error, QueueUnavailable):
                self._again.append(operation)
        for loop, operations in loops.items():
            with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_resolve, operations)
        if wakes:
            self.bell.ring()
            if not self._warned:
                self._warned = True
                if not living(self.directory, "worker"):
                    logger.warning("%s: jobs are waiting and no worker is running", self.path)

    # The file and its locks

    @property
    def owner(self) -> Owner:
        """Whose the jobs are that this process has accepted, taken on first use."""
        with self._starting:
            if self._owner is None:
                try:
                    self._owner = Owner(self.directory, "queue")
                except OSError as exc:
                    raise self._unavailable(exc) from exc
            return self._owner

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = store.connect(self.path, self.durability)
            self._checkpoint_at = _CHECKPOINT_CHANGES
        return self._db

    def _lock_file(self) -> int:
        if self._lock_fd < 0:
            path = self.path.with_name(self.path.name + "-lock")
            self._lock_fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        return self._lock_fd

    def _lock(self) -> None:
        fcntl.flock(self._lock_file(), fcntl.LOCK_EX)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise self._unavailable(exc) from exc
        return True

    def _unlock(self) -> None:
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The mutex and the file's lock, or QueueUnavailable after ``lock_timeout``."""
        until = time.monotonic() + self.lock_timeout
        if not self._mutex.acquire(timeout=self.lock_timeout):
            raise self._busy()
        try:
            while not self._try_lock():
                if time.monotonic() > until:
                    raise self._busy()
                time.sleep(0.001)
            try:
                yield
            finally:
                self._unlock()
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Let go of the files. The next use opens them again."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join(self.lock_timeout)
        if self._db is not None:
            with self._reading, self._locked():
                for db in (self._reader, self._db):
                    if db is not None:
                        db.close()
                self._reader = self._db = None
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        if self._owner is not None:
            self._owner.drop()
            self._owner = None

    def _after_fork(self) -> None:
        """In a child: forget all, close the locks' copies, and never touch SQLite's files."""
        _left.extend((self._db, self._reader, self._inbox, self.bell))
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self.promises = {}
        self._begin_anew()

    def _busy(self) -> QueueUnavailable:
        return QueueUnavailable(
            f"{self.path} is locked by another process for more than {self.lock_timeout:g} s"
        )

    def _unavailable(self, exc: BaseException) -> BaseException:
        """Storage that fails, as one sentence. A caller's own mistake stays what it is."""
        if isinstance(exc, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            return exc
        if isinstance(exc, sqlite3.Error | OSError):
            unavailable = QueueUnavailable(f"{self.path} cannot be used: {exc}")
            unavailable.__cause__ = exc
            return unavailable
        return exc


_left: list[Any] = []  # a child's copies of its parent's connections: closing them would do harm


def _resolve(operations: list[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is None or future.done():
            continue
        if operation.error is None:
            future.set_result(operation.value)
        else:
            future.set_exception(operation.error)


def _each(do: Callable[[Writer], None]) -> None:
    for writer in list(Writer._all.values()):
        try:
            do(writer)
        except QueueUnavailable as exc:
            logger.warning("%s", exc)


os.register_at_fork(after_in_child=partial(_each, Writer._after_fork))
atexit.register(_each, Writer.close)  # or SQLite would checkpoint outside the lock as it closes

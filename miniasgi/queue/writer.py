"""The one place where a process writes: many callers, one commit.

Callers hand in *operations*, functions of the connection. A thread gathers what is waiting and
commits it as one transaction (group commit), so that 32 callers share one fsync; what arrives
during an fsync is the next batch. A caller in a thread of its own, with nobody else waiting,
commits there and saves two changes of thread.

Rules of this file: a batch in which one operation fails is done again with a savepoint around each,
and one whose transaction fails (a full disk) one by one, so nobody fails for a neighbour. Processes
queue at ``<file>-lock``: `flock(2)` is fair where SQLite's busy handler starves. Opening, closing
and checkpoints happen under it only (sqlite.org/wal.html#walresetbug). Who has waited for it for
``lock_timeout`` gets QueueUnavailable, and its operation is withdrawn, not done later.
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
_exiting = threading.Event()
_transaction: ContextVar[object] = ContextVar("miniasgi.transaction", default=None)


class Operation:
    """One caller's part of a commit. Who takes it first decides: the writer, or impatience."""

    __slots__ = ("_turn", "done", "error", "future", "value", "wakes", "work")

    def __init__(
        self, work: Work[Any], wakes: bool, future: asyncio.Future[Any] | None = None
    ) -> None:
        self.work = work
        self.wakes = wakes  # it brings work: ring the workers' bell after the commit
        self.future = future  # who waits: a loop, a thread, or nobody
        self.done: threading.Lock | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self._turn = threading.Lock()

    def take(self) -> bool:
        return self._turn.acquire(blocking=False)

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Writer:
    """One file's writer in this process. `Writer.at` gives every queue on that file the same."""

    _all: "dict[Path, Writer]" = {}  # noqa: RUF012 (one set a process, on purpose)

    @classmethod
    def at(cls, path: Path, durability: str, lock_timeout: float) -> "Writer":
        path = path.resolve()
        if (writer := cls._all.get(path)) is None:
            writer = cls._all[path] = cls(path, durability, lock_timeout)
        if writer.durability != durability:
            raise ValueError(f"{path} is open with durability {writer.durability!r} already")
        return writer

    def __init__(self, path: Path, durability: str, lock_timeout: float) -> None:
        self.path = path
        self.durability = durability
        self.lock_timeout = lock_timeout
        self.directory = self._beside("-owners")
        self._begin_anew()

    def _begin_anew(self) -> None:
        #: What was accepted here and is in no worker's hands; each is asked to tick every second.
        self.promises: dict[str, weakref.ref[Any]] = {}
        self.bell = Bell(self.directory)
        self._mutex = threading.Lock()  # who holds it may use the connection and the file's lock
        self._reading = threading.Lock()
        self._starting = threading.Lock()
        self._inbox: SimpleQueue[Operation | None] = SimpleQueue()
        self._waiting: dict[Operation, float] = {}  # until when
        self._again: list[Operation] = []
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._owner: Owner | None = None
        self._lock_fd = -1
        self._checkpoint_at = _CHECKPOINT_CHANGES
        self._open_transaction: object = None
        self._warned = False

    # Handing in

    def run(self, work: Work[T], wakes: bool = False) -> T:
        """Commit ``work`` and return its value; blocks. Inside `transaction` it joins that."""
        if self._db is not None and self._joins():
            return work(self._db)
        operation = Operation(work, wakes)
        if self._inbox.empty() and self._mutex.acquire(blocking=False):
            try:
                if alone := self._try_lock():
                    self._commit_and_unlock([operation])
            finally:
                self._mutex.release()
            if alone:
                self._after_commit([operation])
                return operation.outcome()  # type: ignore[no-any-return]
        operation.done = threading.Lock()
        operation.done.acquire()
        self._put(operation, self.lock_timeout)
        operation.done.acquire()
        return operation.outcome()  # type: ignore[no-any-return]

    async def arun(self, work: Work[T], wakes: bool = False) -> T:
        """The same, awaited; the loop is never blocked. A cancel withdraws what still waits."""
        if self._joins():
            raise RuntimeError("inside queue.transaction() use the plain delay(): it joins it")
        try:
            future = asyncio.get_running_loop().create_future()
        except RuntimeError:
            import anyio.to_thread

            return await anyio.to_thread.run_sync(self.run, work, wakes)  # trio
        operation = Operation(work, wakes, future)
        self._put(operation, self.lock_timeout)
        try:
            return await future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            operation.take()
            raise

    def post(
        self, work: Work[Any], wakes: bool = False, future: asyncio.Future[Any] | None = None
    ) -> None:
        """Hand in what has to be done, however late; without a future also after failures.

        Safe in a ``__del__``, in any thread.
        """
        self._put(Operation(work, wakes, future), float("inf"))

    def _put(self, operation: Operation, timeout: float) -> None:
        if _exiting.is_set():  # a thread started now would never run, and be waited for
            return
        self._waiting[operation] = time.monotonic() + timeout
        self._inbox.put(operation)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._serve, name="miniasgi writer", daemon=True
                    )
                    self._thread.start()

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection that only reads; it sees what is committed."""
        with self._reading, self._explained():
            if self._reader is None:
                with self._locked():
                    self._open()
                self._reader = store.connect_reader(self.path)
            return work(self._reader)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock and one transaction; commits at the end, or rolls back."""
        with self._locked():
            with self._explained():
                db = self._open()
                db.execute("begin immediate")
            self._open_transaction = object()
            token = _transaction.set(self._open_transaction)
            try:
                yield db
                with self._explained():
                    db.execute("commit")
            finally:
                self._open_transaction = None
                _transaction.reset(token)
                if db.in_transaction:
                    db.execute("rollback")
        self.bell.ring()

    def _joins(self) -> bool:
        return self._open_transaction is not None and _transaction.get() is self._open_transaction

    # The thread

    def _serve(self) -> None:
        stop = False
        while not stop:
            try:
                found = [self._inbox.get(timeout=1.0 if self.promises or self._again else None)]
            except Empty:
                self._tick()
                continue
            try:
                self._take_turn()
                while not self._inbox.empty():  # what came while we waited shares the commit
                    found.append(self._inbox.get())
                stop = None in found
                batch = [op for op in found if op is not None and op.take()]
                self._commit_and_unlock(batch)
            except (OSError, QueueUnavailable) as exc:
                batch = [op for op in found if op is not None and op.take()]
                for operation in batch:
                    operation.error = self._unavailable(exc)
            finally:
                self._mutex.release()
            self._after_commit(batch)

    def _take_turn(self) -> None:
        """The mutex and the file's lock, however long it takes."""
        if (here := self._mutex.acquire(blocking=False)) and self._try_lock():
            return
        turn = threading.Event()
        threading.Thread(target=self._turn_away, args=(turn,), daemon=True).start()
        try:
            if not here:
                self._mutex.acquire()
            fcntl.flock(self._lock_file(), fcntl.LOCK_EX)
        finally:
            turn.set()

    def _turn_away(self, turn: threading.Event) -> None:
        """While the writer waits for its turn: those who have waited too long."""
        while not turn.wait(0.05):
            now = time.monotonic()
            late = [op for op, until in list(self._waiting.items()) if until < now and op.take()]
            for operation in late:
                operation.error = self._busy()
            self._after_commit(late)

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
            if self._db is not None and self._db.total_changes >= self._checkpoint_at:
                self._checkpoint(self._db)
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _commit(self, batch: list[Operation], careful: bool = False) -> None:
        begun = False
        try:
            db = self._open()
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
                    operation.error = self._unavailable(exc)
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
            operation.error = self._unavailable(exc)
        db.execute("release operation")

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        """Move the log into the file. RESTART writes over the log, which is faster than a new one.

        A reader in the way, or a full disk, is no reason to fail: the commit is done.
        """
        self._checkpoint_at = db.total_changes + _CHECKPOINT_CHANGES
        try:
            mode = "truncate" if self._beside("-wal").stat().st_size > _WAL_BYTES else "restart"
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
            self._waiting.pop(operation, None)
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
        """Whose the jobs are that this process accepts; taken on first use."""
        with self._starting, self._explained():
            self._owner = self._owner or Owner(self.directory, "queue")
            return self._owner

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = store.connect(self.path, self.durability)
            self._checkpoint_at = _CHECKPOINT_CHANGES
        return self._db

    def _lock_file(self) -> int:
        if self._lock_fd < 0:
            self._lock_fd = os.open(self._beside("-lock"), os.O_CREAT | os.O_RDWR, 0o666)
        return self._lock_fd

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise self._unavailable(exc) from exc
        return True

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
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Let go of the files. The next use opens them again."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(self.lock_timeout)
            self._thread = None
        if self._db is not None:
            with self._reading, self._locked():
                for db in (self._reader, self._db):
                    if db is not None:
                        db.close()
                self._reader = self._db = None
        if self._owner is not None:
            self._owner.drop()
            self._owner = None

    def after_fork(self) -> None:
        """In a child: forget all, close the lock's copy, and never touch SQLite's files."""
        _left.extend((self._db, self._reader, self._inbox, self.bell))
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._begin_anew()

    def _busy(self) -> QueueUnavailable:
        waited = f"for {self.lock_timeout:g} s"
        return QueueUnavailable(f"{self.path} has been locked by another process {waited}")

    def _unavailable(self, exc: BaseException) -> BaseException:
        """Storage that fails, as one sentence. A caller's own mistake stays what it is."""
        mistakes = (sqlite3.IntegrityError, sqlite3.ProgrammingError, BlockingIOError)
        if isinstance(exc, mistakes) or not isinstance(exc, sqlite3.Error | OSError):
            return exc
        unavailable = QueueUnavailable(f"{self.path} cannot be used: {exc}")
        unavailable.__cause__ = exc
        return unavailable

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise self._unavailable(exc) from exc


_left: list[Any] = []  # a child's copies of its parent's connections: closing them would do harm


def _resolve(operations: list[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is not None and not future.done():
            if operation.error is None:
                future.set_result(operation.value)
            else:
                future.set_exception(operation.error)


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

"""The queue's file as one process holds it: its lock, two connections, and what can go wrong.

Processes queue at ``<file>-lock``: `flock(2)` is fair where SQLite's busy handler starves all but
one, and the kernel drops it when its holder dies. Who has that lock, and in this process the mutex,
has the *turn*.

Rules of this file: opening, closing, writing and checkpoints happen in one's turn only
(sqlite.org/wal.html#walresetbug); storage that fails is one sentence, `QueueUnavailable`; a forked
child never touches its parent's connections.
"""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable

logger = logging.getLogger("miniasgi.queue")
T = TypeVar("T")

_CHECKPOINT_CHANGES = 1_000
_WAL_BYTES = 16 * 1024 * 1024
_MISTAKES = (sqlite3.IntegrityError, sqlite3.ProgrammingError)
#: The connection while a transaction is open here; emptied at its end, for contexts that live on.
_transaction: ContextVar[tuple[()] | list[sqlite3.Connection]] = ContextVar(
    "transaction", default=()
)
_left: list[Any] = []  # a child's copies of its parent's connections: closing them would do harm


class File:
    """One database file. In your turn you may use `open`'s connection.

    It is there as long as the process: `Writer.at` makes one for each path.
    """

    def __init__(self, path: Path, durability: str, lock_timeout: float) -> None:
        self.path = path
        self.durability = durability
        self.lock_timeout = lock_timeout
        self._is_inherited = False  # a fork came while it was open: SQLite is confused here
        self._begin_anew()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._after_fork_in_child,
        )

    def _begin_anew(self) -> None:
        self._mutex = threading.Lock()
        self._reading = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.others: list[sqlite3.Connection] = []  #: that only read, and are closed with ours
        self._lock_fd = -1
        self._held = ExitStack()  # while the process forks: the turn
        self._checkpoint_at = _CHECKPOINT_CHANGES

    def beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    # Turns

    def take_turn(self, *, wait: bool) -> bool:
        """The mutex and the lock. Waits for both however long it takes, or for none."""
        if self._is_inherited:
            said = "was in use when this process was forked from another: start it by spawn"
            raise QueueUnavailable(f"{self.path} {said}")
        if not self._mutex.acquire(wait):
            return False
        try:
            if self._lock_fd < 0:
                self._lock_fd = os.open(self.beside("-lock"), os.O_CREAT | os.O_RDWR, 0o666)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BaseException as exc:
            self._mutex.release()
            if isinstance(exc, BlockingIOError):
                return False
            raise self.unavailable(exc) from exc

    def end_turn(self) -> None:
        try:
            self._checkpoint()
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
            self._mutex.release()

    def _wait_for_turn(self) -> None:
        until = time.monotonic() + self.lock_timeout
        while not self.take_turn(wait=False):
            if time.monotonic() > until:
                raise self.busy()
            time.sleep(0.001)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn for a block; QueueUnavailable after ``lock_timeout``."""
        self._wait_for_turn()
        try:
            yield
        finally:
            self.end_turn()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A turn with a transaction, which is `joined` by whoever asks inside the block."""
        if self.joined() is not None:
            raise RuntimeError("a transaction is open here already: use its connection")
        with self.turn():
            with self.explained():
                db = self.open()
                db.execute("begin immediate")
            inside = [db]
            token = _transaction.set(inside)
            try:
                yield db
                with self.explained():
                    db.execute("commit")
            finally:
                inside.clear()
                _transaction.reset(token)
                if db.in_transaction:
                    db.execute("rollback")

    def joined(self) -> sqlite3.Connection | None:
        """The connection, if it is in a transaction of this context."""
        return self._db if _transaction.get() and self._db in _transaction.get() else None

    # The connections

    def open(self) -> sqlite3.Connection:
        """The connection that writes."""
        if self._db is None:
            self._db = store.connect(self.path, self.durability, self.lock_timeout)
            self._checkpoint_at = _CHECKPOINT_CHANGES
        return self._db

    def read(self, work: Callable[..., T], *args: Any) -> T:
        """``work(db, *args)`` on a connection that only reads; it sees what is committed."""
        while True:
            with self._reading, self.explained():
                if self._reader is None and self.joined() is not None:  # the turn is ours already
                    self._reader = store.connect(self.path)
                if self._reader is not None:
                    return work(self._reader, *args)
            with self.explained(), self.turn(), self._reading:  # in this order, as everywhere
                self.open()
                self._reader = self._reader or store.connect(self.path)

    def _checkpoint(self) -> None:
        """Now and then, move the log into the file, and write over the log from its start.

        A reader in the way, or a full disk, is no reason to fail: the commit is done.
        """
        if self._db is None or self._db.total_changes < self._checkpoint_at:
            return
        self._checkpoint_at = self._db.total_changes + _CHECKPOINT_CHANGES
        try:
            # RESTART keeps the log's file, which is faster than a new one.
            mode = "truncate" if self.beside("-wal").stat().st_size > _WAL_BYTES else "restart"
            self._db.execute("pragma busy_timeout = 0")
            try:
                self._db.execute(f"pragma wal_checkpoint({mode})").fetchall()
            finally:
                self._db.execute(f"pragma busy_timeout = {self.lock_timeout * 1000:.0f}")
        except (sqlite3.Error, OSError) as exc:
            logger.warning("%s: no checkpoint now: %s", self.path, exc)

    def close(self) -> None:
        if self._db is not None:
            with self.turn(), self._reading:
                self._close()
        if self._mutex.acquire(blocking=False):  # else somebody waits with it for a turn
            fd, self._lock_fd = self._lock_fd, -1
            if fd >= 0:
                os.close(fd)
            self._mutex.release()

    def _close(self) -> None:
        for db in (*self.others, self._reader, self._db):
            if db is not None:
                db.close()
        self._reader = self._db = None
        self.others.clear()

    # Forks: SQLite keeps, for the whole process, which locks it has. A child of a process with an
    # open connection believes that it has them too, and takes none: nothing is open while we fork.

    def _before_fork(self) -> None:
        """Close what is open, and keep the turn. Where that cannot be, the child cannot use it."""
        if self._db is not None and self.joined() is None:
            with suppress(QueueUnavailable), ExitStack() as held:
                self._wait_for_turn()
                held.callback(self.end_turn)
                held.enter_context(self._reading)
                self._close()
                self._held = held.pop_all()

    def _after_fork_in_parent(self) -> None:
        self._held.close()

    def _after_fork_in_child(self) -> None:
        """Close the lock's copy, leave connections alone, begin anew."""
        self._is_inherited |= self._db is not None
        _left.extend((self._db, self._reader, *self.others))
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._begin_anew()

    # What can go wrong

    def busy(self) -> QueueUnavailable:
        waited = f"for {self.lock_timeout:g} s"
        return QueueUnavailable(f"{self.path} has been locked by another process {waited}")

    def unavailable(self, exc: BaseException) -> BaseException:
        """Storage that fails, as one sentence. A caller's own mistake stays what it is."""
        if isinstance(exc, _MISTAKES) or not isinstance(exc, sqlite3.Error | OSError):
            return exc
        unavailable = QueueUnavailable(f"{self.path} cannot be used: {exc}")
        unavailable.__cause__ = exc
        return unavailable

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise self.unavailable(exc) from exc

"""Who is alive: each owner of jobs holds a kernel lock on a file of its own.

An owner (a process that accepts jobs, a worker) has a name that is never used again and holds
`flock(2)` on ``<file>-owners/<name>``, taken before any row names it. The kernel drops the lock
when the process ends, however it ends: an owner whose lock is free is dead, and one that is slow,
stopped or asleep is not. No heartbeat, no lease, no clock.

Rules of this file: a child of a fork closes its copy of the lock, or it would keep its dead parent
alive; a probe takes the shared lock, so that two probes do not take each other for an owner.
Source: flock(2), "Locks created by flock() are associated with an open file description".
"""

import fcntl
import os
import secrets
import weakref
from pathlib import Path


class Owner:
    """A name with a locked file, which says ``about`` whom to those who list the owners."""

    def __init__(self, directory: Path, kind: str, about: str = "") -> None:
        directory.mkdir(exist_ok=True)
        self._fd = -1
        while not self._lock():
            self.close()
            self.name = f"{kind}-{os.getpid()}-{secrets.token_hex(6)}"
            self._path = directory / self.name
            self._fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        os.write(self._fd, about.encode())
        _owners.add(self)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._fd).st_nlink > 0
        except (BlockingIOError, ValueError):  # `living` swept between open and lock; no file yet
            return False

    def drop(self) -> None:
        """Own nothing more: the file goes, then the lock."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_owners: "weakref.WeakSet[Owner]" = weakref.WeakSet()


def _close_in_child() -> None:
    for owner in list(_owners):
        owner.close()


os.register_at_fork(after_in_child=_close_in_child)


def is_alive(directory: Path, name: str) -> bool:
    """Does a living process hold this owner's lock? Costs a few microseconds."""
    try:
        fd = os.open(directory / name, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def living(directory: Path, kind: str) -> dict[str, str]:
    """The living owners of one kind and what each says about itself. Clears away the dead."""
    found = {}
    for path in sorted(directory.glob(f"{kind}-*")):
        if path.suffix != ".sock" and is_alive(directory, path.name):
            found[path.name] = path.read_text()
        elif not is_alive(directory, path.stem):
            path.unlink(missing_ok=True)
    return found

"""Who is alive, and how to wake them: each owner of jobs holds a kernel lock on a file of its own.

An owner (a process that accepts jobs, a worker) has a name that is never used again and holds
`flock(2)` on ``<file>-owners/<name>``, taken before anybody can see the name. The kernel drops the
lock when the process ends, however it ends: an owner whose lock is free is dead, and one that is
slow, stopped or asleep is not. No heartbeat, no lease, no clock. A worker's name tells its port on
loopback as well: the *bell* is one datagram to each after a commit that brought work.

Rules of this file: a child of a fork closes its copy of the lock, or it would keep its dead parent
alive; a probe takes the shared lock, so that two probes do not take each other for an owner;
ringing never waits and may be lost, because a worker also looks every second.
Source: flock(2), "Locks created by flock() are associated with an open file description".
"""

import fcntl
import os
import secrets
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path


class Owner:
    """A name with a locked file, which says ``about`` whom to those who list the owners."""

    def __init__(self, directory: Path, kind: str, about: str = "", port: int = 0) -> None:
        directory.mkdir(exist_ok=True)
        self.name = f"{kind}-{os.getpid()}-{port}-{secrets.token_hex(6)}"
        self._path = directory / self.name
        hidden = directory / f".{self.name}"
        self._fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.write(self._fd, about.encode())
        hidden.rename(self._path)
        _owners.add(self)

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
    """Does a living process hold this owner's lock?"""
    return _about(directory / name) is not None


def living(directory: Path, kind: str) -> dict[str, str]:
    """The living owners of one kind and what each says about itself. Clears away the dead."""
    found = {}
    for path in sorted(directory.glob(f"{kind}-*")):
        if (about := _about(path)) is not None:
            found[path.name] = about
        else:
            path.unlink(missing_ok=True)
    return found


def _about(path: Path) -> str | None:
    with suppress(FileNotFoundError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return None


class Bell:
    """Rings at every worker on one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket: socket.socket | None = None  # on first use
        self._ports: list[int] = []
        self._look_at = 0.0

    def ring(self) -> bool:
        """False: there is nobody to hear it."""
        if time.monotonic() > self._look_at:
            self._look_at = time.monotonic() + 0.1
            with suppress(OSError):  # a folder that cannot be read costs a second, not a job
                workers = living(self._directory, "worker")
                self._ports = [int(name.split("-")[2]) for name in workers]
        opened = self._socket = self._socket or open_port()
        for port in self._ports:
            with suppress(OSError):  # its buffer is full: it is awake anyway
                opened.sendto(b"!", ("127.0.0.1", port))
        return bool(self._ports)

    def close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()


def open_port() -> socket.socket:
    """A datagram socket on a free port of this machine."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind(("127.0.0.1", 0))
    return opened

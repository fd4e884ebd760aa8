"""The bell: one datagram to each worker after a commit that brought work.

A worker binds the unix datagram socket ``<file>-owners/<owner>.sock``. Ringing never waits and may
be lost (a full buffer means that the worker is awake anyway): a worker also looks every second.
"""

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path


class Bell:
    """Rings at every worker on one file, and makes the sockets that hear it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._looked = 0.0
        self._addresses: list[str] = []

    def ring(self) -> None:
        now = time.monotonic()
        if now > self._looked + 0.1:
            self._looked = now
            with suppress(FileNotFoundError):  # nobody was ever there
                names = os.listdir(self._directory)
                self._addresses = [self._address(name) for name in names if name.endswith(".sock")]
        for address in self._addresses:
            with suppress(OSError):  # gone, or its buffer is full
                self._socket.sendto(b"!", address)

    def listen(self, owner: str) -> socket.socket:
        hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        hearing.setblocking(False)
        hearing.bind(self._address(f"{owner}.sock"))
        return hearing

    def _address(self, name: str) -> str:
        if sys.platform != "linux":
            return str(self._directory / name)
        # A socket's path has at most 107 bytes; by way of the directory's descriptor it is short.
        if self._fd < 0:
            self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{name}"

"""A Redis of our own, for what the tutorial shows with Celery: on loopback, at a free port.

``with RedisServer(folder) as redis: redis.url(0)``. It keeps nothing on disk unless options say so,
and it ends with the block. Without Debian's ``redis-server`` there is none: see `why_not`.

Rule of this file: only processes started here are ended here.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

PATIENCE = 20.0  #: seconds that it may take to answer its first PING
IN_MEMORY = ("--save", "", "--appendonly", "no")


def why_not() -> str:
    """Why there can be no Redis here, in one sentence; empty if there can."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed; on Debian: apt-get install redis-server"
    return ""


class RedisServer:
    """One process; ``options`` are lines of redis.conf as the command line takes them."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options or IN_MEMORY
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, at the port that it had before if it had one, and wait until it answers."""
        reason = why_not()
        if reason:
            raise OSError(reason)
        for _ in range(3):  # another process may take the port before Redis does
            self.port = self.port or _free_port()
            where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
            self._process = subprocess.Popen(
                ["redis-server", *where, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for us; we end it
            )
            if self._is_up():
                return
            self.port = 0
        raise OSError("redis-server does not come up")

    def _is_up(self) -> bool:
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                if self.ask("PING") == b"+PONG\r\n":
                    return True
            time.sleep(0.01)
        self.kill()
        return False

    def ask(self, *words: str) -> bytes:
        """One command of the inline kind, and the answer as it comes, up to 64 KiB."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536)

    def count(self, *words: str) -> int:
        """The answer to a command that counts, such as LLEN."""
        return int(self.ask(*words).removeprefix(b":"))

    def signal(self, number: int) -> None:
        """SIGSTOP and SIGCONT, for a server that stands still."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

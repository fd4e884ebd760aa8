"""One uvicorn process for each framework and scenario: started, waited for, stopped by its pid.

The socket is bound here and handed down, so a free port stays ours and a port in use is known
before anything is started. The child (`demos.serve`) stops when its standard input ends, which is
also what happens when this process dies, and prints what it recorded on its standard output.

Rule of this file: only processes started here are ended here.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demos.client import Connection
from demos.scenario import FRAMEWORKS, Visitor
from miniasgi.timeline import Recording

STARTING = 60.0  #: seconds that a server may take to answer its first request
STOPPING = 30.0  #: seconds that a server may take to finish its tasks and end
ROOT = Path(__file__).parent.parent


class DemoError(Exception):
    """Why the demos cannot go on, in one sentence."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run: ``http``, ``loop`` and ``options`` are uvicorn's; ports count up from ``port``, 0
    is any.
    """

    frameworks: tuple[str, ...] = FRAMEWORKS
    http: str = "auto"
    loop: str = "auto"
    port: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class Server:
    """``uvicorn demos.s01_order:starlette_app`` with a recorder around it; at any port if 0."""

    def __init__(
        self,
        target: str,
        framework: str,
        settings: Settings,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target
        self.framework = framework
        listener = listen(port)
        self.port: int = listener.getsockname()[1]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in end)
        options = ["--fd", str(listener.fileno()), "--http", settings.http]
        options += ["--loop", settings.loop, "--options", json.dumps(dict(settings.options))]
        with listener:  # closed here: if the child dies, a client must notice
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demos.serve", target, *options],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                process_group=0,  # Ctrl-C is for us; we end it
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def visitor(self) -> Visitor:
        """The client of this server."""
        return Visitor(self.port, self.framework)

    def wait_until_up(self) -> None:
        """Wait until it answers. The gate is open then, so that a warm-up can pass."""
        try:
            with Connection(self.port, patience=STARTING) as connection:
                answer = connection.get("/gate/open")
        except OSError:
            answer = None
        if answer is None:
            raise DemoError(f"{self.target} did not come up: {self._last_words()}")

    def warm_up(self, paths: tuple[str, ...]) -> None:
        """Ask once for each path, so that nobody looks slow for having gone first."""
        for path in (*paths, "/gate/close"):  # a failing task may cost the connection
            with Connection(self.port) as connection:
                connection.get(path)

    def begin_to_stop(self) -> None:
        """Ask it to stop, and go on at once."""
        if self.process.stdin is not None:
            self.process.stdin.close()
            self.process.stdin = None

    def stop(self) -> Recording:
        """Stop as uvicorn does, which waits for background tasks. Returns what was recorded."""
        self.begin_to_stop()
        try:
            output, _ = self.process.communicate(timeout=STOPPING)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self.target} did not stop in {STOPPING:g} seconds") from None
        if self.process.returncode:
            raise DemoError(f"{self.target} ended badly: {self._last_words()}")
        return Recording.from_json(output.decode())

    def end(self) -> None:
        """End the process if it still runs, and let go of its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace")
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        # A traceback ends with what went wrong; uvicorn says why, and then that it gives up.
        said = lines[-1:] if "Traceback" in words else lines[-2:]
        return " / ".join(said) or self._end()

    def _end(self) -> str:
        """How it ended, if it ended without a word."""
        code = self.process.poll()
        if code is None:
            return f"no answer in {STARTING:g} seconds"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}, and nothing was said"


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise DemoError(f"port {port} cannot be used: {exc.strerror}; try another --port") from None
    return listener

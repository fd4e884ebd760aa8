"""A RabbitMQ of the tests' own: on loopback, at free ports, with its files in a folder.

It is optional: where Debian's ``rabbitmq-server`` is missing, or nobody asks for it with
``RABBITMQ=1``, its tests are skipped, and `why_not` says so.

Rule of this file: only processes started here are ended here.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import kombu

PATIENCE = 90.0  #: seconds that it may take to come up
HEADER = b"AMQP\x00\x00\x09\x01"


def command() -> Path | None:
    """The server's own script: what is on the PATH asks for another user."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1] if found else None


def why_not() -> str:
    """Why there is no RabbitMQ, in one sentence; empty if there is."""
    if command() is None:
        return "rabbitmq-server is not installed; on Debian: apt-get install rabbitmq-server"
    if not os.environ.get("RABBITMQ"):
        return "its tests take two minutes; RABBITMQ=1 runs them"
    return ""


class RabbitServer:
    """One node and its port mapper, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port, distribution, mapper = _free_ports(3)
        (folder / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        }
        # The port mapper first: else the node starts one, which would outlive it.
        mapping = ["epmd", "-address", "127.0.0.1", "-port", str(mapper)]
        self._processes = [
            subprocess.Popen(
                words,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for words in (mapping, [str(command())])
        ]
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._processes[1].poll() is not None or time.monotonic() > until:
                self.kill()
                raise OSError("rabbitmq-server does not come up")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(HEADER)
                return bool(connection.recv(1))
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def forget(self, queue: str) -> None:
        """Delete what waits in a queue."""
        with kombu.Connection(self.url) as connection:
            kombu.Queue(queue, max_priority=9, channel=connection).declare()
            connection.default_channel.queue_purge(queue)

    def signal(self, number: int) -> None:
        """SIGSTOP and SIGCONT, for a server that stands still."""
        os.killpg(self._processes[1].pid, number)

    def kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.kill()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        listeners = [
            open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [int(listener.getsockname()[1]) for listener in listeners]

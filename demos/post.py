"""The mail server that the scenarios' client plays, and the function by which tasks talk to it.

A task says what it delivers and waits for the answer. So the client knows that the task is in
mid-work, holds it there as long as it wants, and decides how it ends: ``ok``, ``refuse``, or
``die``, which is ``kill -9`` from inside. It works the same in a web server and in a worker.
"""

import asyncio
import os
import queue
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = "DEMOS_MAIL"  #: the variable with the path of the mail server's socket
PATIENCE = 20.0  #: seconds to wait for a delivery that should come


class Refused(Exception):
    """The mail server did not take it."""


async def deliver(words: str) -> None:
    """Deliver, and wait for the answer. Without a mail server a mail takes a second."""
    address = os.environ.get(ADDRESS)
    if address is None:
        await asyncio.sleep(1.0)
        return
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(f"{words}\n".encode())
        answer = await reader.readline()
    finally:
        writer.close()
    _heed(answer)


def deliver_now(words: str) -> None:
    """The same for whoever blocks: its thread does nothing else meanwhile."""
    address = os.environ.get(ADDRESS)
    if address is None:
        time.sleep(1.0)
        return
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(f"{words}\n".encode())
        with connection.makefile("rb") as lines:
            _heed(lines.readline())


def _heed(answer: bytes) -> None:
    if answer == b"die\n":
        os.kill(os.getpid(), signal.SIGKILL)
    if answer != b"ok\n":
        raise Refused("the mail server is busy")


ANSWERED = "the answer has left"
ANSWERING = "the answer is about to leave"


def meeting(app: ASGIApp, path: str, when: str) -> ASGIApp:
    """Meet the client once in each call of ``path``: `ANSWERING` before the first byte is given to
    the server, `ANSWERED` after the last. Nothing happens in the call until the client says so.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow_send(message: Message) -> None:
            if when == ANSWERING and message["type"] == "http.response.start":
                await deliver(ANSWERING)
            await send(message)
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if when == ANSWERED and is_last:
                await deliver(ANSWERED)

        meets = scope["type"] == "http" and scope["path"].startswith(path)
        await app(scope, receive, slow_send if meets else send)

    return call


def _process(connection: socket.socket) -> int:
    """Who is at the other end, as the kernel knows it; 0 where it does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process: int = struct.unpack("3i", found)[0]
    return process


class Delivery:
    """What a task delivers; the task waits until it has its answer."""

    def __init__(self, connection: socket.socket, words: str, at: int) -> None:
        self._connection = connection
        self.words = words
        self.at = at

    def answer(self, word: str = "ok") -> None:
        """Let the task go on: ``ok``, ``refuse`` or ``die``."""
        with self._connection as connection, suppress(OSError):  # its process is dead
            connection.sendall(f"{word}\n".encode())


class MailServer:
    """Listens in a thread. In the warm-up and at the end it says ``ok`` to everything."""

    def __init__(self, path: Path) -> None:
        self.is_lenient = True
        self.taken: list[str] = []  #: what `next` has returned or answered
        #: Called with when, what, and the sender's process; in a thread of its own.
        self.note: Callable[[int, str, int], None] = lambda at, words, sender: None
        self._came: queue.Queue[Delivery] = queue.Queue()
        self._connections: list[socket.socket] = []  # some are never answered
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                with connection.makefile("rb") as lines:
                    words = lines.readline().decode().strip()
            except OSError:  # closed; or the one who called was killed
                if self._listener.fileno() < 0:
                    return
                continue
            delivery = Delivery(connection, words, time.monotonic_ns())
            if self.is_lenient or not words:
                delivery.answer()
            else:
                self.note(delivery.at, words, _process(connection))
                self._came.put(delivery)

    def next(self, words: str = "") -> Delivery:
        """Wait for the next delivery that begins so; what else comes is answered with ``ok``."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                delivery = self._came.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no delivery {words!r}") from None
            self.taken.append(delivery.words)
            if delivery.words.startswith(words):
                return delivery
            delivery.answer()

    def be_lenient(self) -> None:
        """Answer what waits and whatever comes with ``ok``."""
        self.is_lenient = True
        while not self._came.empty():
            self._came.get().answer()

    def close(self) -> None:
        self.be_lenient()
        # An accept that waits does not notice a close; it does notice a shutdown.
        self._listener.shutdown(socket.SHUT_RDWR)
        for open_one in (*self._connections, self._listener):
            open_one.close()

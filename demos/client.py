"""A client that speaks HTTP/1.1 with bare sockets, and says when each thing happened.

Browsers and HTTP libraries hide what the scenarios are about: where one answer ends, that the
server closed, that two requests left in one segment. Here every byte is sent and read by hand::

    with Connection(port, note) as connection:
        reply = connection.get("/signup")  # a Reply, or None: the server closed before any byte

Rules of this file: blocking sockets, so that a moment is stamped right after the system call that
showed it; one clock, CLOCK_MONOTONIC, which a server process on the same machine reads too;
nothing waits for ever.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

#: Called as ``note(at, kind, name, detail)``, with ``at`` in nanoseconds on CLOCK_MONOTONIC. Kinds:
#: ``request.start``, ``request.end`` (last byte) or ``request.failed`` (closed
#: before it), ``read`` for progress, ``mark`` for the rest.
Note = Callable[[int, str, str, str], None]

PATIENCE = 10.0  #: seconds without a byte until a read raises TimeoutError
CHUNK = 256 * 1024  #: bytes asked for in one read


def silent(at: int, kind: str, name: str, detail: str) -> None:
    """A note that is not taken."""


@dataclass(slots=True)
class Reply:
    """One answer, as it was read. Moments are nanoseconds on CLOCK_MONOTONIC."""

    name: str  #: what was asked: ``GET /signup``
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_byte: int = 0
    last_byte: int = 0

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        import json

        return json.loads(self.body)


class Connection:
    """One TCP connection. Replies are read in the order in which their requests were sent.

    ``receive_buffer`` is the kernel's, in bytes: a small one makes a slow reader felt early.
    """

    def __init__(
        self,
        port: int,
        note: Note = silent,
        *,
        host: str = "127.0.0.1",
        receive_buffer: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.note = note
        self._asked: list[str] = []  # names of requests whose reply has not been read
        self._buffer = bytearray()  # received, not yet part of a reply
        self._stamp = 0  # when the newest bytes, or the end, were received
        self._first_byte = 0  # of the reply that has begun to arrive and was not read; else 0
        self.socket = socket.socket()
        if receive_buffer is not None:  # before connect: it decides the window that is announced
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Sending

    def ask(self, *paths: str, method: str = "GET", headers: str = "", body: bytes = b"") -> None:
        """Send a request for each path, all in one segment, and read nothing.

        ``headers`` are whole lines: ``"Connection: close\\r\\n"``. Raises OSError if the server's
        reset has already been seen.
        """
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        names = [f"{method} {path}" for path in paths]
        lines = f"HTTP/1.1\r\nHost: demo\r\n{headers}{length}\r\n".encode()
        self.send(b"".join(f"{name} ".encode() + lines + body for name in names), *names)

    def send(self, data: bytes, *names: str) -> None:
        """Send these bytes; ``names`` says which requests they complete."""
        at = time.monotonic_ns()  # before the call: the server may be quicker than our return
        for name in names:
            self._asked.append(name)
            self.note(at, "request.start", name, "")
        self.socket.sendall(data)

    def finish(self) -> None:
        """Send FIN: no more requests will come. Replies can still be read."""
        self.socket.shutdown(socket.SHUT_WR)
        self.note(time.monotonic_ns(), "mark", "client sends FIN", "")

    def reset(self) -> None:
        """Send RST: gone at once, whatever is on its way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        at = time.monotonic_ns()
        self.note(at, "mark", "client sends RST", "")
        for name in self._asked:
            self.note(at, "request.cancelled", name, "")

    # Reading

    def get(self, path: str, **more: Any) -> Reply | None:
        """Ask and read the reply. None if the connection ended before any byte of it."""
        try:
            self.ask(path, **more)
        except OSError:  # the server has closed, and the kernel already knows
            self._closed(self._asked.pop())
            return None
        return self.read()

    def wait_first_byte(self, within: float | None = None) -> bool:
        """Wait until the next reply begins to arrive, and read no more than its first byte.

        False if the connection ended before, or if nothing came ``within`` seconds.
        """
        is_here = self._wait_first_byte(within)
        if is_here:
            self.note(self._first_byte, "first byte", self._asked[0], "")
        return is_here

    def _wait_first_byte(self, within: float | None = None) -> bool:
        if self._first_byte:
            return True
        with self._patience(within):
            try:
                if not self._buffer and not self._receive(1):
                    return False
            except TimeoutError:
                if within is None:
                    raise
                return False
        self._first_byte = self._stamp
        return True

    def read(self, *, pause: float = 0.0, progress: int = 0) -> Reply | None:
        """Read the next reply whole. None if the connection ended before any byte of it.

        A slow reader waits ``pause`` seconds after each read; ``progress`` notes each time so many
        bytes more of the body are there. Raises ConnectionError if the connection ended inside the
        reply, TimeoutError if nothing came for too long.
        """
        if not self._wait_first_byte():
            self._closed(self._asked.pop(0))
            return None
        reply = Reply(self._asked.pop(0), first_byte=self._first_byte)
        self._first_byte = 0
        try:
            self._read_whole(reply, pause, progress)
        except ConnectionError:
            self._closed(reply.name)
            raise
        reply.last_byte = self._stamp
        self.note(self._stamp, "request.end", reply.name, str(reply.status))
        return reply

    def _read_whole(self, reply: Reply, pause: float, progress: int) -> None:
        self._read_head(reply)
        if reply.headers.get("transfer-encoding") == "chunked":
            self._read_chunks(reply)
        elif "content-length" in reply.headers and not reply.name.startswith("HEAD "):
            reply.body = self._take(int(reply.headers["content-length"]), pause, progress)

    def is_closed(self, within: float) -> bool:
        """Has the server closed the connection, or does it do so ``within`` seconds?"""
        with self._patience(within):
            try:
                if self._receive():
                    return False
            except TimeoutError:
                return False
        self.note(self._stamp, "mark", "server has closed", "")
        return True

    def close(self) -> None:
        """Close our end."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # The wire

    def _receive(self, size: int = CHUNK) -> bool:
        """Read once. False at the end of the connection, by FIN or by RST."""
        try:
            data = self.socket.recv(size)
        except ConnectionResetError:
            data = b""
        self._stamp = time.monotonic_ns()
        self._buffer += data
        return bool(data)

    @contextmanager
    def _patience(self, seconds: float | None) -> Iterator[None]:
        before = self.socket.gettimeout()
        self.socket.settimeout(before if seconds is None else seconds)
        try:
            yield
        finally:
            self.socket.settimeout(before)

    def _closed(self, name: str) -> None:
        self.note(self._stamp or time.monotonic_ns(), "request.failed", name, "closed")

    def _more(self, inside: str) -> None:
        if not self._receive():
            raise ConnectionError(f"the connection ended inside the {inside}")

    def _take(self, size: int, pause: float = 0.0, progress: int = 0) -> bytes:
        """The next ``size`` bytes."""
        while len(self._buffer) < size:
            before = len(self._buffer)
            self._more("body")
            if progress and len(self._buffer) // progress > before // progress:
                self.note(self._stamp, "read", f"{len(self._buffer) / 1e6:.0f} MB", "")
            time.sleep(pause)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _line(self, end: bytes, inside: str) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._more(inside)
        line = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return line

    def _read_head(self, reply: Reply) -> None:
        status, *lines = self._line(b"\r\n\r\n", "head").decode("latin-1").split("\r\n")
        reply.status = int(status.split(" ", 2)[1])
        for line in lines:
            name, _, value = line.partition(":")
            reply.headers[name.lower()] = value.strip()

    def _read_chunks(self, reply: Reply) -> None:
        body = bytearray()
        while size := int(self._line(b"\r\n", "body").partition(b";")[0], 16):
            body += self._take(size)
            self._line(b"\r\n", "body")
        self._line(b"\r\n", "body")
        reply.body = bytes(body)

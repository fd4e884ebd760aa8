"""The raw client against a server that answers with bytes that were chosen beforehand."""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from demos.client import Connection

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;extension=1\r\nlo\r\n0\r\n\r\n"
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """A server in another thread; gives its port."""
    ports: list[int] = []
    is_up = threading.Event()
    stop: Callable[[], object] = lambda: None  # noqa: E731

    async def main() -> None:
        nonlocal stop
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop = lambda: loop.call_soon_threadsafe(done.set)  # noqa: E731
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            is_up.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert is_up.wait(10)
    try:
        yield ports[0]
    finally:
        stop()
        thread.join(10)


def answering(*answers: bytes) -> Serve:
    """Answer each request with the next of these, then close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    return serve


class Notes:
    def __init__(self) -> None:
        self.taken: list[tuple[int, str, str, str]] = []

    def __call__(self, at: int, kind: str, name: str, detail: str) -> None:
        self.taken.append((at, kind, name, detail))

    @property
    def labels(self) -> list[str]:
        return [" ".join(filter(None, words)) for _, *words in self.taken]


def test_a_reply_is_read_to_its_content_length_and_not_further() -> None:
    with serving(answering(HELLO)) as port, Connection(port) as connection:
        reply = connection.get("/a")

    assert reply is not None
    assert (reply.status, reply.text) == (200, "hello")
    assert 0 < reply.first_byte <= reply.last_byte


def test_a_chunked_reply_is_put_together() -> None:
    with serving(answering(CHUNKED, HELLO)) as port, Connection(port) as connection:
        chunked, next_one = connection.get("/a"), connection.get("/b")

    assert chunked is not None and next_one is not None
    assert (chunked.status, chunked.text) == (201, "hello")
    assert next_one.text == "hello"


def test_a_reply_without_a_body_ends_with_its_head() -> None:
    with serving(answering(NO_CONTENT, HELLO)) as port, Connection(port) as connection:
        empty = connection.get("/a")
        head = connection.get("/b", method="HEAD")

    assert empty is not None and empty.body == b""
    assert head is not None and head.headers["content-length"] == "5"


def test_pipelined_requests_leave_at_once_and_their_replies_keep_their_order() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"/2 HTTP/1.1\r\nHost: demo\r\n\r\n")
        both_came_first = asked.count(b"GET ") == 2
        writer.write(HELLO + (HELLO if both_came_first else NO_CONTENT))
        writer.close()

    with serving(serve) as port, Connection(port, notes := Notes()) as connection:
        connection.ask("/1", "/2")
        first, second = connection.read(), connection.read()

    assert first is not None and second is not None
    assert (first.name, second.name, second.text) == ("GET /1", "GET /2", "hello")
    assert notes.labels == [
        "request.start GET /1",
        "request.start GET /2",
        "request.end GET /1 200",
        "request.end GET /2 200",
    ]


def test_an_end_before_any_byte_is_no_reply() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    with serving(serve) as port, Connection(port, notes := Notes()) as connection:
        reply = connection.get("/a")

    assert reply is None
    assert notes.labels == ["request.start GET /a", "request.failed GET /a closed"]


def test_a_reset_before_any_byte_is_no_reply_either() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    with serving(serve) as port, Connection(port) as connection:
        reply = connection.get("/a")

    assert reply is None


def test_an_end_inside_a_reply_is_an_error_that_says_where() -> None:
    with (
        serving(answering(HELLO[:-2])) as port,
        Connection(port) as connection,
        pytest.raises(ConnectionError, match="inside the body"),
    ):
        connection.get("/a")


def test_silence_is_an_error_and_not_an_endless_wait() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with (
        serving(serve) as port,
        Connection(port, patience=0.05) as connection,
        pytest.raises(TimeoutError),
    ):
        connection.get("/a")


def test_the_first_byte_is_noted_and_the_rest_is_left() -> None:
    with serving(answering(HELLO)) as port, Connection(port, notes := Notes()) as connection:
        connection.ask("/a")
        is_here = connection.wait_first_byte()
        labels = list(notes.labels)
        reply = connection.read(progress=2)

    assert is_here
    assert labels == ["request.start GET /a", "first byte GET /a"]
    assert reply is not None and reply.text == "hello"


def test_no_first_byte_within_the_time_is_not_an_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"now\r\n\r\n")
        writer.write(HELLO)
        writer.close()

    with serving(serve) as port, Connection(port) as connection:
        connection.ask("/a")
        is_here = connection.wait_first_byte(within=0.01)
        connection.send(b"now\r\n\r\n")
        reply = connection.read()

    assert not is_here
    assert reply is not None and reply.text == "hello"


def test_a_connection_that_the_server_closed_is_seen() -> None:
    with serving(answering(HELLO)) as port, Connection(port, notes := Notes()) as connection:
        connection.get("/a")
        is_closed = connection.is_closed(within=10)

    assert is_closed
    assert notes.labels[-1] == "mark server has closed"


def test_a_connection_that_stays_open_is_not_closed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with serving(serve) as port, Connection(port) as connection:
        assert not connection.is_closed(within=0.01)


def test_fin_ends_what_we_send_but_not_what_we_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        everything = await reader.read()
        writer.write(HELLO if everything else NO_CONTENT)
        writer.close()

    with serving(serve) as port, Connection(port, notes := Notes()) as connection:
        connection.ask("/a")
        connection.finish()
        reply = connection.read()

    assert reply is not None and reply.text == "hello"
    assert notes.labels[1] == "mark client sends FIN"


def test_rst_reaches_the_server_as_a_reset() -> None:
    seen: list[str] = []
    is_seen = threading.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")
        is_seen.set()
        writer.close()

    with serving(serve) as port:
        Connection(port, notes := Notes()).reset()
        assert is_seen.wait(10)

    assert seen == ["reset"]
    assert notes.labels == ["mark client sends RST"]


def test_a_slow_reader_makes_the_server_wait() -> None:
    size = 8_000_000
    order: list[str] = []
    is_drained = threading.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()
        order.append("drained")
        is_drained.set()
        writer.close()

    with serving(serve) as port, Connection(port, receive_buffer=16_384) as connection:
        connection.ask("/a")
        connection.wait_first_byte()
        order.append("reads")
        reply = connection.read(progress=1_000_000, pause=0.0001)
        assert is_drained.wait(10)

    assert reply is not None and len(reply.body) == size
    assert order == ["reads", "drained"]

"""Send, then run: the order of messages and effects for every kind of response, on one list."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from miniasgi.responses import DRAIN_OVER
from miniasgi.types import Message
from tests.asgi import DISCONNECT, call, headers_of, http, receiving, request, sending, serve, words

pytestmark = pytest.mark.anyio


async def async_chunks() -> AsyncIterator[str]:
    for chunk in ("one", "two"):
        yield chunk


def plain_chunks() -> Iterator[bytes]:
    yield from (b"one", b"two")


WHOLE = {
    "Response": (lambda **then: Response(b"hi", **then), "hi"),
    "PlainTextResponse": (lambda **then: PlainTextResponse("hi", **then), "hi"),
    "HTMLResponse": (lambda **then: HTMLResponse("<p>", **then), "<p>"),
    "JSONResponse": (lambda **then: JSONResponse([1], **then), "[1]"),
    "RedirectResponse": (lambda **then: RedirectResponse("/", 200, **then), ""),
}
STREAMED = {
    "StreamingResponse, async": lambda **then: StreamingResponse(async_chunks(), **then),
    "StreamingResponse, plain": lambda **then: StreamingResponse(plain_chunks(), **then),
}


# The order


@pytest.mark.parametrize(("make", "body"), WHOLE.values(), ids=WHOLE)
async def test_background_work_starts_after_the_last_byte(make: Any, body: str):
    """Order is asserted on one list of sends and effects: whole responses."""
    order = []

    await make(background=BackgroundTask(order.append, "task"))(http(), receiving(), sending(order))

    assert order == ["start 200", f"body {body!r}", "task"]


@pytest.mark.parametrize("make", STREAMED.values(), ids=STREAMED)
@pytest.mark.parametrize("spec_version", ["2.0", "2.3", "2.4"])
async def test_background_work_starts_after_the_end_of_a_stream(make: Any, spec_version: str):
    """Order is asserted on one list of sends and effects: streams."""
    order = []
    response = make(background=BackgroundTask(order.append, "task"))

    await serve(response, http(spec_version=spec_version), receiving(request()), sending(order))

    assert order == ["start 200", "body 'one', more", "body 'two', more", "body ''", "task"]


async def test_background_work_starts_after_the_end_of_a_file(tmp_path: Path):
    """Order is asserted on one list of sends and effects: files."""
    order = []
    path = tmp_path / "report.txt"
    path.write_text("hi")
    response = FileResponse(path, background=BackgroundTask(order.append, "task"))

    await serve(response, http(), receiving(request()), sending(order))

    assert order == ["start 200", "body 'hi', more", "body ''", "task"]


async def test_the_next_task_starts_when_the_one_before_has_ended():
    order = []

    async def slow():
        order.append("slow begins")
        await anyio.lowlevel.checkpoint()
        order.append("slow ends")

    tasks = BackgroundTasks([BackgroundTask(slow), BackgroundTask(order.append, "next")])
    await PlainTextResponse("hi", background=tasks)(http(), receiving(), sending(order))

    assert order == ["start 200", "body 'hi'", "slow begins", "slow ends", "next"]


async def test_a_task_does_not_start_while_the_server_still_takes_the_last_message():
    order = []

    async def slow_send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        order.append(words(message))

    response = PlainTextResponse("hi", background=BackgroundTask(order.append, "task"))
    await serve(response, http(), receiving(), slow_send)

    assert order == ["start 200", "body 'hi'", "task"]


async def test_a_response_by_itself_raises_what_its_background_raised():
    """A failing task is contained by the application; the response itself still raises."""
    order = []

    async def fail():
        raise ValueError("no mail")

    with pytest.raises(ValueError, match="no mail") as raised:
        await Response("hi", background=BackgroundTask(fail))(http(), receiving(), sending(order))

    assert order == ["start 200", "body 'hi'"]
    assert raised.value.__notes__ == ["in background task 'fail'"]


# A client that leaves, a server that fails


async def test_a_whole_response_runs_its_background_when_the_client_has_left():
    order = []

    async def send(message: Message) -> None:
        raise OSError("the client has left")

    response = PlainTextResponse("hi", background=BackgroundTask(order.append, "task"))
    await serve(response, http(spec_version="2.4"), receiving(), send)

    assert order == ["task"]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
async def test_a_stream_runs_its_background_when_send_says_that_the_client_has_left(count: int):
    order, taken = [], []

    async def send(message: Message) -> None:
        if len(taken) == count:
            raise OSError("the client has left")
        taken.append(message)
        order.append(words(message))

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            order.append("closed")

    response = StreamingResponse(chunks(), background=BackgroundTask(order.append, "task"))
    await serve(response, http(spec_version="2.4"), receiving(request()), send)

    before = ["start 200", "body 'one', more", "body 'two', more"][:count]
    closed = ["closed"] if count else []  # a generator that never began has no `finally` to run
    assert order == [*before, *closed, "task"]


async def test_a_stream_runs_its_background_when_receive_says_that_the_client_has_left():
    order = []
    first_was_sent = anyio.Event()

    async def receive() -> Message:
        await first_was_sent.wait()
        return DISCONNECT

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            first_was_sent.set()
            await anyio.sleep_forever()
        finally:
            order.append("closed")

    response = StreamingResponse(chunks(), background=BackgroundTask(order.append, "task"))
    await serve(response, http(spec_version="2.3"), receive, sending(order))

    assert order == ["start 200", "body 'one', more", "closed", "task"]


async def test_a_reader_that_stalls_and_leaves_does_not_hold_a_stream():
    order = []
    stalled = anyio.Event()

    async def receive() -> Message:
        await stalled.wait()
        return DISCONNECT

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            stalled.set()
            await anyio.sleep_forever()
        order.append(words(message))

    response = StreamingResponse(async_chunks(), background=BackgroundTask(order.append, "task"))
    await serve(response, http(spec_version="2.3"), receive, send)

    assert order == ["start 200", "task"]


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("failure", [ValueError("no database"), OSError("disk failed")], ids=repr)
async def test_a_generator_that_raises_ends_the_response_and_its_background_does_not_run(
    spec_version: str, failure: Exception, caplog: pytest.LogCaptureFixture
):
    order = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise failure

    def send_email() -> None:
        order.append("task")

    response = StreamingResponse(chunks(), background=BackgroundTask(send_email))
    with pytest.raises(type(failure)) as raised:
        await serve(response, http(spec_version=spec_version), receiving(request()), sending(order))

    assert raised.value is failure
    assert order == ["start 200", "body 'one', more"]
    assert caplog.messages == [f"background task 'send_email' will not run: {failure!r}"]


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_plain_generator_that_raises_is_a_failure_too(spec_version: str):
    order = []

    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise OSError("disk failed")

    response = StreamingResponse(chunks(), background=BackgroundTask(order.append, "task"))
    with pytest.raises(OSError, match="disk failed"):
        await serve(response, http(spec_version=spec_version), receiving(request()), sending(order))

    assert order == ["start 200", "body 'one', more"]


async def test_a_cancelled_response_closes_its_generator_and_abandons_its_background(caplog):
    order = []
    first_was_sent = anyio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            first_was_sent.set()
            await anyio.sleep_forever()
        finally:
            order.append("closed")

    def send_email() -> None:
        order.append("task")

    response = StreamingResponse(chunks(), background=BackgroundTask(send_email))
    async with anyio.create_task_group() as group:
        group.start_soon(response, http(), receiving(request()), sending(order))
        await first_was_sent.wait()
        group.cancel_scope.cancel()

    assert order == ["start 200", "body 'one', more", "closed"]
    assert caplog.messages[0].startswith("background task 'send_email' will not run: Cancelled")


async def test_a_plain_generator_is_stepped_and_closed_in_threads():
    order = []
    here = threading.current_thread()

    def chunks() -> Iterator[bytes]:
        try:
            order.append(("step", threading.current_thread() is here))
            yield b"one"
            yield b"two"
        finally:
            order.append(("close", threading.current_thread() is here))

    async def send(message: Message) -> None:
        if message.get("body") == b"one":
            raise OSError("the client has left")

    await StreamingResponse(chunks())(http(spec_version="2.4"), receiving(request()), send)

    assert order == [("step", False), ("close", False)]


# "Sent" is handed over; a large body comes nearer to "received"


@pytest.mark.parametrize(
    ("size", "last"),
    [
        (DRAIN_OVER, [f"body {DRAIN_OVER} bytes"]),
        (DRAIN_OVER + 1, [f"body {DRAIN_OVER + 1} bytes, more", "body ''"]),
    ],
)
async def test_a_body_over_64_kib_ends_with_an_empty_message_before_its_background(size, last):
    """What is sent comes nearer to what is received: the server must have drained first."""
    order = []

    response = Response(b"x" * size, background=BackgroundTask(order.append, "task"))
    await serve(response, http(), receiving(), sending(order))

    assert DRAIN_OVER == 64 * 1024
    assert order == ["start 200", *last, "task"]


async def test_without_a_background_a_large_body_is_one_message():
    order = []

    await Response(b"x" * (DRAIN_OVER + 1))(http(), receiving(), sending(order))

    assert order == ["start 200", f"body {DRAIN_OVER + 1} bytes"]


class Impatient(Response):
    drain_timeout = 0.0


class Stalled:
    """A server whose write buffer stays full until `reads` is set: it takes no last message."""

    def __init__(self, order: list[str]) -> None:
        self.order, self.reads = order, anyio.Event()

    async def send(self, message: Message) -> None:
        if message.get("body") == b"":
            await self.reads.wait()
        self.order.append(words(message))


async def test_a_reader_that_stalls_delays_the_background_only_so_long():
    """A reader that stalls delays the task by at most ``drain_timeout``."""
    order = []
    server = Stalled(order)

    async def task():
        order.append("task")
        server.reads.set()

    response = Impatient(b"x" * 100_000, background=BackgroundTask(task))
    await serve(response, http(), receiving(), server.send)

    assert order == ["start 200", "body 100000 bytes, more", "task", "body ''"]


async def test_the_last_message_goes_out_also_when_the_background_raises():
    order = []
    server = Stalled(order)

    async def fail():
        server.reads.set()
        raise ValueError("no mail")

    response = Impatient(b"x" * 100_000, background=BackgroundTask(fail))
    with pytest.raises(ValueError, match="no mail"):
        await serve(response, http(), receiving(), server.send)

    assert order == ["start 200", "body 100000 bytes, more", "body ''"]


async def test_a_reader_that_reads_in_time_is_waited_for():
    order = []
    server = Stalled(order)
    response = Response(b"x" * 100_000, background=BackgroundTask(order.append, "task"))

    async with anyio.create_task_group() as group:
        group.start_soon(response, http(), receiving(), server.send)
        await anyio.wait_all_tasks_blocked()
        order.append("reads")
        server.reads.set()

    assert order == ["start 200", "body 100000 bytes, more", "reads", "body ''", "task"]


async def test_a_client_that_leaves_while_the_background_runs_harms_nobody():
    order = []
    left = False

    async def send(message: Message) -> None:
        if left:
            raise OSError("the client has left")
        if message.get("body") == b"":
            await anyio.sleep_forever()
        order.append(words(message))

    async def task():
        nonlocal left
        left = True
        order.append("task")

    response = Impatient(b"x" * 100_000, background=BackgroundTask(task))
    await serve(response, http(spec_version="2.4"), receiving(), send)

    assert order == ["start 200", "body 100000 bytes, more", "task"]


async def test_a_stream_whose_reader_stalls_at_its_end_delays_its_background_only_so_long():
    order = []
    server = Stalled(order)

    class ImpatientStream(StreamingResponse):
        drain_timeout = 0.0

    async def task():
        order.append("task")
        server.reads.set()

    response = ImpatientStream(async_chunks(), background=BackgroundTask(task))
    await serve(response, http(), receiving(request()), server.send)

    assert order == ["start 200", "body 'one', more", "body 'two', more", "task", "body ''"]


# Content and headers (test_parity.py compares them with Starlette's, case by case)


async def test_json_has_no_words_for_infinity():
    with pytest.raises(ValueError, match="not JSON compliant"):
        JSONResponse({"value": float("inf")})


@pytest.mark.parametrize("content", [1, 0, False, [], {}, {"a": 1}], ids=repr)
def test_content_that_is_neither_text_nor_bytes_is_refused(content: Any):
    with pytest.raises((TypeError, AttributeError)):
        Response(content)


async def test_headers_can_be_changed_until_they_are_sent():
    response = PlainTextResponse("hi", headers={"X-Trace": "1", "Vary": "Accept"})

    response.headers["x-trace"] = "2"
    response.headers.append("vary", "Cookie")
    del response.headers["content-length"]
    [start, _] = await call(response)

    assert start["headers"] == [
        (b"x-trace", b"2"),
        (b"vary", b"Accept"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"vary", b"Cookie"),
    ]


async def test_a_subclass_says_its_media_type_charset_and_encoder():
    class Latin(Response):
        media_type = "text/csv"
        charset = "latin-1"

    class Reversed(JSONResponse):
        def render(self, content: Any) -> bytes:
            return super().render(content)[::-1]

    latin, reverse = await call(Latin("é")), await call(Reversed({"a": 1}))

    assert (headers_of(latin)["content-type"], latin[1]["body"]) == (
        "text/csv; charset=latin-1",
        b"\xe9",
    )
    assert (headers_of(reverse)["content-type"], reverse[1]["body"]) == (
        "application/json",
        b'}1:"a"{',
    )


async def test_two_cookies_are_two_headers():
    response = Response()
    response.set_cookie("a", "1", path=None, samesite=None)
    response.set_cookie("b", "2", max_age=60, secure=True, httponly=True)

    assert response.headers.getlist("set-cookie") == [
        "a=1",
        "b=2; HttpOnly; Max-Age=60; Path=/; SameSite=lax; Secure",
    ]


async def test_one_response_can_be_sent_twice():
    response = PlainTextResponse("hi")

    assert await call(response) == await call(response)

"""What a client sees of the order: bytes over real sockets, against several real servers.

Both ends write on one `Story`, and nothing sleeps: a task that must still be running when the
client has its answer waits for the client's words.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.lowlevel
import pytest

from demos.client import Connection
from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    JSONResponse,
    MiniASGI,
    PlainTextResponse,
    Request,
    Response,
    StreamingResponse,
)
from miniasgi.types import Background
from tests.servers import PATIENCE, SERVERS, Story, serving, uvicorn_process

#: For what both parsers of uvicorn must do alike, and hypercorn does in its own way.
UVICORN = [name for name in SERVERS if name.startswith("uvicorn")]
CHUNK = 64 * 1024


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def app() -> MiniASGI:
    return MiniASGI()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


on_uvicorn = pytest.mark.parametrize("server", UVICORN)


def async_task(story: Story) -> Background:
    async def task() -> None:
        story.say("task begins")
        await story.heard("go on")
        story.say("task ends")

    return BackgroundTask(task)


def sync_task(story: Story) -> Background:
    def task() -> None:
        story.say("task begins")
        story.wait("go on")
        story.say("task ends")

    return BackgroundTask(task)


def two_tasks(story: Story) -> Background:
    return BackgroundTasks([async_task(story), BackgroundTask(story.say, "second task")])


TASKS: dict[str, tuple[Callable[[Story], Background], list[str]]] = {
    "async": (async_task, ["task ends"]),
    "sync": (sync_task, ["task ends"]),
    "several": (two_tasks, ["task ends", "second task"]),
}


async def chunks() -> AsyncIterator[bytes]:
    yield b"hel"
    yield b"lo"


RESPONSES: dict[str, tuple[Callable[[Background], Response], list[str]]] = {
    "whole": (lambda b: PlainTextResponse("hello", background=b), ["/ last body"]),
    "large": (
        lambda b: PlainTextResponse("hello" * 20_000, background=b),
        ["/ body", "/ last body"],
    ),
    "streamed": (
        lambda b: StreamingResponse(chunks(), background=b),
        ["/ body", "/ body", "/ last body"],
    ),
}


# The client has its answer


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", RESPONSES)
def test_the_client_has_its_last_byte_while_the_task_still_waits(
    app: MiniASGI, server: str, story: Story, kind: str, task: str
) -> None:
    make, then = TASKS[task]
    respond, bodies = RESPONSES[kind]

    @app.get("/")
    async def home(request: Request) -> Response:
        return respond(make(story))

    with serving(app, server, story) as port, Connection(port) as client:
        reply = client.get("/")
        story.wait("task begins")
        story.say("the client has its answer")
        story.say("go on")
        story.wait("/ returned")

    assert reply is not None
    assert reply.text.startswith("hello")
    assert story.events == [
        "/ start 200",
        *bodies,
        "task begins",
        "the client has its answer",
        "go on",
        *then,
        "/ returned",
    ]


def test_the_next_request_on_the_connection_does_not_wait_for_the_task(
    app: MiniASGI, server: str, story: Story
) -> None:
    @app.get("/first")
    async def first(request: Request) -> Response:
        return PlainTextResponse("1", background=async_task(story))

    @app.get("/second")
    async def second(request: Request) -> Response:
        return PlainTextResponse("2")

    with serving(app, server, story) as port, Connection(port) as client:
        replies = [client.get("/first"), client.get("/second")]
        story.wait("/second returned")
        story.say("go on")
        story.wait("/first returned")

    assert [reply and reply.text for reply in replies] == ["1", "2"]
    assert without(story, "task begins") == [
        "/first start 200",
        "/first last body",
        "/second start 200",
        "/second last body",
        "/second returned",
        "go on",
        "task ends",
        "/first returned",
    ]


def without(story: Story, *events: str) -> list[str]:
    """The list without what may stand at several places in it."""
    return [event for event in story.events if event not in events]


@on_uvicorn
def test_pipelined_requests_are_answered_in_order_and_do_not_wait_for_tasks(
    app: MiniASGI, server: str, story: Story
) -> None:
    @app.get("/{number}")
    async def home(request: Request) -> Response:
        return PlainTextResponse(request.path_params["number"], background=async_task(story))

    with serving(app, server, story) as port, Connection(port) as client:
        client.ask("/1", "/2", "/3")
        replies = [client.read() for _ in range(3)]
        story.wait("/3 last body")
        story.say("go on")
        for number in (1, 2, 3):
            story.wait(f"/{number} returned")

    assert [reply and reply.text for reply in replies] == ["1", "2", "3"]
    events = without(story, "task begins")  # each of them somewhere after its own last body
    assert events[:7] == [
        "/1 start 200",
        "/1 last body",
        "/2 start 200",
        "/2 last body",
        "/3 start 200",
        "/3 last body",
        "go on",
    ]
    assert sorted(events[7:]) == ["/1 returned", "/2 returned", "/3 returned", *["task ends"] * 3]


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1\r\nConnection: close\r\n", b"GET / HTTP/1.0\r\n"]
)
@on_uvicorn
def test_a_connection_that_is_to_close_closes_before_the_task_ends(
    app: MiniASGI, server: str, story: Story, request_line: bytes
) -> None:
    @app.get("/")
    async def home(request: Request) -> Response:
        return PlainTextResponse("hello", background=async_task(story))

    with serving(app, server, story) as port, Connection(port) as client:
        client.send(request_line + b"Host: demo\r\n\r\n", "GET /")
        reply = client.read()
        story.wait("task begins")
        if client.is_closed(within=PATIENCE):
            story.say("the server has closed")
        story.say("go on")
        story.wait("/ returned")

    assert reply is not None
    assert reply.text == "hello"
    assert story.events == [
        "/ start 200",
        "/ last body",
        "task begins",
        "the server has closed",
        "go on",
        "task ends",
        "/ returned",
    ]


# A task that fails


def test_a_failing_task_leaves_the_connection_and_the_neighbour_on_it_alive(
    app: MiniASGI, server: str, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        await story.heard("the neighbour is running")
        raise ValueError("the mail server is down")

    @app.get("/fails")
    async def fails(request: Request) -> Response:
        return PlainTextResponse("1", background=BackgroundTask(fail))

    @app.get("/neighbour")
    async def neighbour(request: Request) -> Response:
        story.say("the neighbour is running")
        await story.heard("/fails returned")
        return PlainTextResponse("2")

    @app.get("/third")
    async def third(request: Request) -> Response:
        return PlainTextResponse("3")

    with serving(app, server, story) as port, Connection(port) as client:
        replies = [client.get(path) for path in ("/fails", "/neighbour", "/third")]
        story.wait("/third returned")

    assert [reply and reply.text for reply in replies] == ["1", "2", "3"]
    assert story.events == [
        "/fails start 200",
        "/fails last body",
        "the neighbour is running",
        "/fails returned",
        "/neighbour start 200",
        "/neighbour last body",
        "/neighbour returned",
        "/third start 200",
        "/third last body",
        "/third returned",
    ]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [
        "an exception after the response, in background task 'fail': "
        "ValueError('the mail server is down')"
    ]


# Streams that do not come to their end


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset], ids=["FIN", "RST"])
def test_the_background_runs_when_the_client_leaves_in_mid_stream(
    app: MiniASGI, server: str, story: Story, leave: Callable[[Connection], None]
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * CHUNK
                await anyio.lowlevel.checkpoint()  # or the event loop would have no turn
        finally:
            story.say("the stream is closed")

    @app.get("/")
    async def home(request: Request) -> Response:
        return StreamingResponse(endless(), background=BackgroundTask(story.say, "task"))

    with serving(app, server, story) as port:
        client = Connection(port)
        client.ask("/")
        client.wait_first_byte()
        leave(client)
        story.wait("/ returned")

    assert without(story, "/ body") == [
        "/ start 200",
        "the stream is closed",
        "task",
        "/ returned",
    ]


def test_a_stream_that_raises_reaches_the_client_cut_and_runs_no_background(
    app: MiniASGI, server: str, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    async def raises() -> AsyncIterator[bytes]:
        yield b"hel"
        raise ValueError("the disk is gone")

    @app.get("/")
    async def home(request: Request) -> Response:
        return StreamingResponse(raises(), background=BackgroundTask(story.say, "task"))

    with serving(app, server, story) as port, Connection(port) as client:
        client.ask("/")
        with pytest.raises(ConnectionError, match="inside the body"):
            client.read()
        story.wait("/ raised ValueError")

    assert story.events == ["/ start 200", "/ body", "/ raised ValueError"]
    said = [record.getMessage() for record in caplog.records if record.name == "miniasgi"]
    assert said == ["background task 'say' will not run: ValueError('the disk is gone')"]


# Sent is not received


@pytest.mark.parametrize("kind", ["whole", "streamed"])
@on_uvicorn
def test_the_task_of_a_large_body_waits_until_the_reader_reads(
    app: MiniASGI, server: str, story: Story, kind: str
) -> None:
    async def megabytes() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000_000

    async def task() -> None:
        story.say("task")

    @app.get("/")
    async def home(request: Request) -> Response:
        if kind == "whole":
            return Response(b"x" * 20_000_000, background=BackgroundTask(task))
        return StreamingResponse(megabytes(), background=BackgroundTask(task))

    with serving(app, server, story) as port, Connection(port, receive_buffer=4096) as client:
        client.ask("/")
        client.wait_first_byte()
        # Another answer: the event loop has had its turn, and the task could have begun.
        with Connection(port) as other:
            other.get("/other")
        story.say("the reader reads")
        reply = client.read()
        story.wait("/ returned")

    assert reply is not None
    assert len(reply.body) == 20_000_000
    others = ("/other start 404", "/other last body", "/other returned")
    assert without(story, "/ body", *others) == [
        "/ start 200",
        "the reader reads",
        "/ last body",
        "task",
        "/ returned",
    ]


@on_uvicorn
def test_drain_timeout_lets_the_task_begin_for_a_reader_that_stalls(
    app: MiniASGI, server: str, story: Story
) -> None:
    @app.get("/")
    async def home(request: Request) -> Response:
        response = Response(b"x" * 20_000_000, background=BackgroundTask(story.say, "task"))
        response.drain_timeout = 0.01
        return response

    with serving(app, server, story) as port, Connection(port, receive_buffer=4096) as client:
        client.ask("/")
        story.wait("task")
        story.say("the reader reads")
        reply = client.read()
        story.wait("/ returned")

    assert reply is not None
    assert len(reply.body) == 20_000_000
    assert story.events == [
        "/ start 200",
        "/ body",
        "task",
        "the reader reads",
        "/ last body",
        "/ returned",
    ]


# What is no HTTP, or no text


#: A request, and the status if it reaches the application: a server may refuse it before, by a 400
#: or by closing the connection.
BAD_BYTES: dict[str, tuple[bytes, int]] = {
    "header value": (b"GET /echo HTTP/1.1\r\nHost: demo\r\nX-Word: \xff\xfe\r\n", 200),
    "header name": (b"GET /echo HTTP/1.1\r\nHost: demo\r\nX\xff: 1\r\n", 200),
    "cookie": (b'GET /echo HTTP/1.1\r\nHost: demo\r\nCookie: a="\xff; =; b\r\n', 200),
    "host, in a redirect": (b"GET /echo/ HTTP/1.1\r\nHost: \xff\xff\r\n", 307),
    "path": (b"GET /\xff\xfe HTTP/1.1\r\nHost: demo\r\n", 404),
    "quoted path": (b"GET /%ff%00%fe HTTP/1.1\r\nHost: demo\r\n", 404),
    "query": (b"GET /echo?%ff=%zz&\xff HTTP/1.1\r\nHost: demo\r\n", 200),
    "request line": (b"\xff\xff\xff\r\n", 400),
    "json": (b"POST /json HTTP/1.1\r\nHost: demo\r\nContent-Length: 2\r\n\r\n\xff\xff", 400),
    "form": (
        b"POST /form HTTP/1.1\r\nHost: demo\r\nContent-Length: 3\r\n"
        b"Content-Type: multipart/form-data; boundary=\xff\r\n\r\n\xff\xff\xff",
        400,
    ),
}


def test_bytes_that_are_no_text_are_never_an_error_of_the_server(
    app: MiniASGI, server: str, story: Story
) -> None:
    @app.get("/echo")
    async def echo(request: Request) -> Response:
        seen = (dict(request.headers), request.cookies, dict(request.query_params), request.url)
        return JSONResponse([str(one) for one in seen])

    @app.post("/json")
    async def parse_json(request: Request) -> Response:
        return JSONResponse(await request.json())

    @app.post("/form")
    async def parse_form(request: Request) -> Response:
        return JSONResponse(len(await request.form()))

    statuses: dict[str, int] = {}
    with serving(app, server, story) as port:
        for where, (data, _) in BAD_BYTES.items():
            with Connection(port) as client:
                client.send(data if b"\r\n\r\n" in data else data + b"\r\n", where)
                reply = client.read()
                statuses[where] = reply.status if reply else 400

    expected = {where: status for where, (_, status) in BAD_BYTES.items()}
    refused = {where: 400 for where, status in statuses.items() if status == 400}
    assert statuses == expected | refused
    assert [event for event in story.events if "raised" in event] == []


def test_a_body_over_the_limit_is_refused_with_413(server: str, story: Story) -> None:
    app = MiniASGI(max_body_size=10)

    @app.post("/")
    async def home(request: Request) -> Response:
        return Response(await request.body())

    with serving(app, server, story) as port, Connection(port) as client:
        replies = [client.get("/", method="POST", body=b"x" * size) for size in (10, 11)]

    assert [reply and reply.status for reply in replies] == [200, 413]


def test_a_websocket_handshake_is_refused_with_403(
    app: MiniASGI, server: str, story: Story
) -> None:
    handshake = (
        b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    with serving(app, server, story) as port, Connection(port) as client:
        client.send(handshake, "handshake")
        reply = client.read()

    assert reply is not None
    assert reply.status == 403


# The life of the server


def test_what_the_lifespan_yields_reaches_every_request(server: str, story: Story) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        story.say("startup")
        yield {"pool": ["a connection"]}
        story.say("shutdown")

    app = MiniASGI(lifespan=lifespan)

    @app.get("/{number}")
    async def home(request: Request) -> Response:
        seen = list(request.state.pool)
        request.state.mine = request.path_params["number"]
        return JSONResponse([*seen, sorted(vars(request.state))])

    with serving(app, server, story) as port, Connection(port) as client:
        replies = [client.get(path) for path in ("/1", "/2")]

    seen = ["a connection", ["mine", "pool"]]
    assert [reply and reply.json() for reply in replies] == [seen, seen]
    assert (story.events[0], story.events[-1]) == ("startup", "shutdown")


def sigterm_app() -> MiniASGI:
    """Served by a process of its own, which a signal can be sent to; it speaks on its pipes."""

    def task() -> None:
        print("task begins", flush=True)
        sys.stdin.readline()
        print("task ends", flush=True)

    async def home(request: Request) -> Response:
        return PlainTextResponse("hello", background=BackgroundTask(task))

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield
        print("shutdown", flush=True)

    app = MiniASGI(lifespan=lifespan)
    app.get("/")(home)
    return app


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_sigterm_waits_for_the_task_that_runs(http: str) -> None:
    target = "tests.test_sockets:sigterm_app"
    with uvicorn_process(target, http) as (port, process), Connection(port) as client:
        reply = client.get("/")
        words = [process.stdout.readline()]
        process.terminate()
        log = next(line for line in process.stderr if "Waiting for background tasks" in line)
        words.append("the server waits\n")
        process.stdin.write("go on\n")
        process.stdin.flush()
        words += process.stdout.readlines()

    assert reply is not None
    assert reply.text == "hello"
    assert log.startswith("INFO")
    assert words == ["task begins\n", "the server waits\n", "task ends\n", "shutdown\n"]

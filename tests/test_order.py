"""Send, then run: for every kind of response, everything that happens, on one list.

`call` plays the server. A message stands on the list once the server has taken it, that is when
``send`` has returned: whatever happens in between stands before it. `Work` is what comes after;
between its beginning and its end others get their turn, so that nothing can slip in unseen.
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    FileResponse,
    HTMLResponse,
    HTTPException,
    JSONResponse,
    Middleware,
    MiniASGI,
    Mount,
    PlainTextResponse,
    RedirectResponse,
    Request,
    Response,
    Route,
    Router,
    StreamingResponse,
)
from miniasgi.events import listening, mark
from miniasgi.middleware.errors import Handlers
from miniasgi.types import ASGIApp, Background, Message, Receive, Scope, Send
from tests.asgi import http

pytestmark = pytest.mark.anyio

Events = list[str]
Headers = list[tuple[bytes, bytes]]


# The server's end


async def call(
    app: ASGIApp,
    events: Events,
    method: str = "GET",
    headers: Headers | None = None,
    *,
    spec_version: str = "2.3",
    left: anyio.Event | None = None,
    stalls: bool = False,
    turns: int = 3,
    raise_background: bool = False,
) -> None:
    """Call the application once, as a server does, and add to the list what it sends.

    ``left`` is set when the client has left; a reader that ``stalls`` never takes what follows the
    first body message; ``turns`` is how often others come to run while a message is taken. What
    the application raises is raised on, as "raised" on the list.
    """
    bodies = 0
    request: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if request:
            return request.pop()
        await (left or anyio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal bodies
        bodies += message["type"] == "http.response.body"
        if stalls and bodies == 2:
            assert anyio.current_effective_deadline() < float("inf"), "nothing bounds this wait"
            await anyio.sleep_forever()
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        if left is not None and left.is_set() and spec_version >= "2.4":
            raise OSError("the client has left")
        events.append(spoken(message))

    scope = http("/", method, headers=headers or (), spec_version=spec_version)
    if raise_background:
        scope["miniasgi.raise_background"] = True
    try:
        await app(scope, receive, send)
    except BaseException as exc:
        events.append(f"raised {type(exc).__name__}")
        raise
    events.append("returned")


def spoken(message: Message) -> str:
    """``start 200``, ``more 'hel'`` while more is to come, ``last 'lo'`` at the end."""
    if message["type"] == "http.response.start":
        return f"start {message['status']}"
    body = message["body"].decode()
    shown = repr(body) if len(body) < 20 else f"{len(body)} bytes"
    return f"{'more' if message.get('more_body') else 'last'} {shown}"


def serves(endpoint: Callable[..., Any]) -> MiniASGI:
    """An application with one endpoint."""
    return MiniASGI(routes=[Route("/", endpoint)])


# What comes after


@dataclass
class Thread:
    """Notes where something is called: on the event loop, where this was made, or in a thread."""

    events: Events
    loop: int = field(default_factory=threading.get_ident)

    def note(self, what: str) -> None:
        where = "on the loop" if threading.get_ident() == self.loop else "in a thread"
        self.events.append(f"{what} {where}")


class Promise:
    """A background that shows its moments, as a queue's task has them."""

    def __init__(self, events: Events, refusal: Exception | None = None) -> None:
        self.events = events
        self.refusal = refusal

    async def accept(self, *others: Background) -> None:
        await anyio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        self.events.append("accepted")

    async def __call__(self) -> None:
        self.events.append("called")

    async def abandon(self, because: BaseException) -> None:
        self.events.append(f"abandoned: {type(because).__name__}")


def async_task(events: Events, name: str = "task") -> BackgroundTask:
    async def run() -> None:
        events.append(f"{name} begins")
        await anyio.lowlevel.checkpoint()
        events.append(f"{name} ends")

    return BackgroundTask(run)


def sync_task(events: Events) -> BackgroundTask:
    return BackgroundTask(Thread(events).note, "sync task")


def several_tasks(events: Events) -> BackgroundTasks:
    return BackgroundTasks([async_task(events, "first"), sync_task(events), Promise(events)])


@dataclass
class Work:
    """A background, what it does before the first message, and what after the last."""

    make: Callable[[Events], Background]
    after: Events
    before: Events = field(default_factory=list)


ASYNC = Work(async_task, ["task begins", "task ends"])
SYNC = Work(sync_task, ["sync task in a thread"])
SEVERAL = Work(
    several_tasks,
    ["first begins", "first ends", "sync task in a thread", "called"],
    before=["accepted"],
)
WORK = {"an async task": ASYNC, "a sync task": SYNC, "several tasks": SEVERAL}


# Every kind of response


@dataclass
class Kind:
    """A way to answer with a background, and the messages that the answer is."""

    respond: Callable[[Background], Response]
    sends: Events
    method: str = "GET"
    headers: Headers = field(default_factory=list)
    app: Callable[[Callable[..., Any]], ASGIApp] = serves


def text(background: Background) -> Response:
    return PlainTextResponse("hello", background=background)


def stream(chunks: Callable[[], Any]) -> Callable[[Background], Response]:
    return lambda background: StreamingResponse(chunks(), background=background)


async def chunks_from_the_loop() -> AsyncIterator[str]:
    for chunk in ("hel", "lo"):
        await anyio.lowlevel.checkpoint()
        yield chunk


def chunks_from_a_thread() -> Iterator[bytes]:
    yield from (b"hel", b"lo")


def file(background: Background) -> Response:
    return FileResponse("hello.txt", background=background)


def answers_errors_with(endpoint: Callable[..., Any]) -> ASGIApp:
    async def fail(request: Request) -> Response:
        raise LookupError

    async def handler(request: Request, exc: Exception) -> Any:
        return await endpoint(request)

    return MiniASGI(routes=[Route("/", fail)], exception_handlers={LookupError: handler})


def mounts(endpoint: Callable[..., Any]) -> ASGIApp:
    return MiniASGI(routes=[Mount("", serves(endpoint))])


async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
    response = await call_next(request)
    response.headers["x-seen"] = "yes"
    return response


class PassOn:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def within(middleware: Callable[..., Any]) -> Callable[[Callable[..., Any]], ASGIApp]:
    return lambda endpoint: MiniASGI(
        routes=[Route("/", endpoint)], middleware=[Middleware(middleware)]
    )


WHOLE = ["start 200", "last 'hello'"]
IN_CHUNKS = ["start 200", "more 'hel'", "more 'lo'", "last ''"]
KINDS = {
    "Response": Kind(lambda b: Response(b"hello", background=b), WHOLE),
    "Response without a body": Kind(
        lambda b: Response(status_code=204, background=b), ["start 204", "last ''"]
    ),
    "PlainTextResponse": Kind(text, WHOLE),
    "HTMLResponse": Kind(lambda b: HTMLResponse("hello", background=b), WHOLE),
    "JSONResponse": Kind(lambda b: JSONResponse(1, background=b), ["start 200", "last '1'"]),
    "RedirectResponse": Kind(
        lambda b: RedirectResponse("/there", background=b), ["start 307", "last ''"]
    ),
    "StreamingResponse, async": Kind(stream(chunks_from_the_loop), IN_CHUNKS),
    "StreamingResponse, sync": Kind(stream(chunks_from_a_thread), IN_CHUNKS),
    "FileResponse": Kind(file, ["start 200", "more 'hello'", "last ''"]),
    "a range of a file": Kind(
        file, ["start 206", "more 'ell'", "last ''"], headers=[(b"range", b"bytes=1-3")]
    ),
    "a range outside the file": Kind(
        file, ["start 416", "last ''"], headers=[(b"range", b"bytes=9-")]
    ),
    "HEAD": Kind(text, WHOLE, method="HEAD"),  # the server leaves the body out
    "HEAD of a file": Kind(file, ["start 200", "last ''"], method="HEAD"),
    "an error handler's response": Kind(text, WHOLE, app=answers_errors_with),
    "a mounted application": Kind(text, WHOLE, app=mounts),
    "a bare router": Kind(text, WHOLE, app=lambda endpoint: Router([Route("/", endpoint)])),
    "behind a function": Kind(text, WHOLE, app=within(pass_on)),
    "behind ASGI middleware": Kind(text, WHOLE, app=within(PassOn)),
}


@pytest.fixture
def hello_txt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("hello_txt")
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("work", WORK.values(), ids=list(WORK))
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
async def test_background_work_follows_the_last_message(
    kind: Kind, work: Work, spec_version: str
) -> None:
    events: Events = []

    async def endpoint(request: Request) -> Response:
        return kind.respond(work.make(events))

    app = kind.app(endpoint)
    await call(app, events, kind.method, headers=kind.headers, spec_version=spec_version)

    assert events == [*work.before, *kind.sends, *work.after, "returned"]


@pytest.mark.parametrize("work", WORK.values(), ids=list(WORK))
async def test_a_response_is_an_application_of_its_own(work: Work) -> None:
    events: Events = []

    await call(text(work.make(events)), events)

    assert events == [*work.before, *WHOLE, *work.after, "returned"]


# The end of a large body


async def test_a_large_body_ends_with_an_empty_message_that_waits_for_the_drain() -> None:
    events: Events = []
    response = Response(b"x" * 65_537, background=async_task(events))

    await call(response, events)

    sends = ["start 200", "more 65537 bytes", "last ''"]
    assert events == [*sends, "task begins", "task ends", "returned"]


async def test_one_message_is_enough_for_64_kib() -> None:
    events: Events = []

    await call(Response(b"x" * 65_536, background=async_task(events)), events)

    assert events == ["start 200", "last 65536 bytes", "task begins", "task ends", "returned"]


async def test_one_message_is_enough_where_no_background_waits() -> None:
    events: Events = []

    await call(Response(b"x" * 65_537), events)

    assert events == ["start 200", "last 65537 bytes", "returned"]


async def test_a_reader_that_stalls_delays_the_task_no_longer_than_drain_timeout() -> None:
    events: Events = []
    response = Response(b"x" * 65_537, background=async_task(events))
    response.drain_timeout = 0.0

    await call(response, events, stalls=True)

    sends = ["start 200", "more 65537 bytes"]
    assert events == [*sends, "task begins", "task ends", "last ''", "returned"]


# The two moments of a background


async def test_work_is_promised_before_the_first_message() -> None:
    events: Events = []

    await call(text(Promise(events)), events)

    assert events == ["accepted", "start 200", "last 'hello'", "called", "returned"]


async def test_what_cannot_be_promised_is_answered_with_an_error_and_not_called() -> None:
    class Full(Exception):
        status_code = 503
        detail = "the queue is full"

    events: Events = []

    async def endpoint(request: Request) -> Response:
        return text(Promise(events, refusal=Full()))

    await call(serves(endpoint), events)

    assert events == ["start 503", "last 'the queue is full'", "returned"]


async def test_a_promise_is_let_go_when_the_response_cannot_be_sent() -> None:
    events: Events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def broken_send(message: Message) -> None:
            raise RuntimeError("the server has a bug")

        await text(Promise(events))(scope, receive, broken_send)

    with pytest.raises(RuntimeError, match="bug"):
        await call(app, events)

    assert events == ["accepted", "abandoned: RuntimeError", "raised RuntimeError"]


async def test_a_promise_behind_a_failed_task_is_let_go() -> None:
    events: Events = []

    async def fail() -> None:
        raise ValueError

    background = BackgroundTasks([BackgroundTask(fail), Promise(events)])

    with pytest.raises(ValueError):
        await call(text(background), events)

    assert events == ["accepted", *WHOLE, "abandoned: ValueError", "raised ValueError"]


# Several tasks


def failing(events: Events, name: str) -> BackgroundTask:
    async def fail() -> None:
        events.append(f"{name} fails")
        raise ValueError(name)

    return BackgroundTask(fail)


async def test_the_first_failure_ends_the_row_and_the_log_names_what_will_not_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: Events = []
    tasks = BackgroundTasks([async_task(events), failing(events, "b"), async_task(events, "c")])

    with pytest.raises(ValueError, match="b"):
        await call(text(tasks), events)

    assert events == [*WHOLE, "task begins", "task ends", "b fails", "raised ValueError"]
    assert caplog.messages == ["background task 'run' will not run: ValueError('b')"]


async def test_on_error_continue_runs_the_rest_and_raises_all_failures_at_the_end() -> None:
    events: Events = []
    tasks = BackgroundTasks(
        [failing(events, "a"), async_task(events), failing(events, "c")], on_error="continue"
    )

    with pytest.raises(ExceptionGroup) as raised:
        await call(text(tasks), events)

    effects = ["a fails", "task begins", "task ends", "c fails"]
    assert events == [*WHOLE, *effects, "raised ExceptionGroup"]
    assert [str(failure) for failure in raised.value.exceptions] == ["a", "c"]


async def test_a_task_may_add_a_task() -> None:
    events: Events = []
    tasks = BackgroundTasks()

    async def add_another() -> None:
        events.append("adds another")
        tasks.add_task(events.append, "another")

    tasks.add_task(add_another)

    await call(text(tasks), events)

    assert events == [*WHOLE, "adds another", "another", "returned"]


@pytest.mark.parametrize("wrap", [lambda f: lambda: f(), partial], ids=["lambda", "partial"])
async def test_a_coroutine_function_runs_also_inside_a_wrapper(wrap: Any) -> None:
    events: Events = []
    task = async_task(events)

    await call(text(BackgroundTask(wrap(task.func))), events)

    assert events == [*WHOLE, "task begins", "task ends", "returned"]


async def test_a_coroutine_object_is_refused_before_anything_is_promised() -> None:
    events: Events = []

    async def send_email() -> None:
        events.append("sent")

    with pytest.raises(TypeError, match="send_email"):
        BackgroundTasks().add_task(send_email())  # type: ignore[arg-type]

    assert events == []


# A task that fails, a task that is cancelled


async def test_a_failing_task_is_logged_by_its_name_and_contained(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: Events = []

    async def charge_card() -> None:
        events.append("task fails")
        raise ValueError("the card is declined")

    async def endpoint(request: Request) -> Response:
        return text(BackgroundTask(charge_card))

    await call(serves(endpoint), events)

    assert events == [*WHOLE, "task fails", "returned"]
    [record] = caplog.records
    assert (record.name, record.levelname) == ("miniasgi", "ERROR")
    assert "in background task 'charge_card'" in record.getMessage()
    assert "the card is declined" in record.getMessage()


@pytest.mark.parametrize("kind", ["Response", "StreamingResponse, async", "behind ASGI middleware"])
async def test_a_failing_task_is_raised_on_if_the_caller_asks_for_it(kind: str) -> None:
    events: Events = []

    async def endpoint(request: Request) -> Response:
        return KINDS[kind].respond(failing(events, "task"))

    app = KINDS[kind].app(endpoint)

    with pytest.raises(ValueError):
        await call(app, events, raise_background=True)

    assert events == [*KINDS[kind].sends, "task fails", "raised ValueError"]


async def test_a_response_by_itself_raises_what_its_task_raised() -> None:
    events: Events = []

    with pytest.raises(ValueError):
        await call(text(failing(events, "task")), events)

    assert events == [*WHOLE, "task fails", "raised ValueError"]


async def test_a_cancelled_task_is_on_record_and_the_cancel_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: Events = []
    heard: Events = []

    async def index() -> None:
        events.append("task begins")
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope, listening(lambda kind, name: heard.append(kind)):
        await call(text(BackgroundTask(index)), events)

    assert scope.cancelled_caught
    assert events[:3] == [*WHOLE, "task begins"]
    assert events[3] in ("raised CancelledError", "raised Cancelled")
    assert heard == ["accept", "task.start", "task.cancelled"]
    assert caplog.messages == ["background task 'index' was cancelled before its end"]


# Streams that do not come to their end


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("work", WORK.values(), ids=list(WORK))
async def test_a_client_that_leaves_ends_the_stream_and_the_background_runs(
    work: Work, spec_version: str
) -> None:
    events: Events = []
    left = anyio.Event()

    async def chunks() -> AsyncIterator[str]:
        yield "a"
        left.set()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
            if spec_version >= "2.4":  # send will say so
                yield "b"
        events.append("the stream goes on for nobody")

    response = StreamingResponse(chunks(), background=work.make(events))
    await call(response, events, spec_version=spec_version, left=left)

    assert events == [*work.before, "start 200", "more 'a'", *work.after, "returned"]


async def test_a_client_that_leaves_ends_a_stream_that_never_waits() -> None:
    events: Events = []
    left = anyio.Event()

    async def chunks() -> AsyncIterator[str]:
        for _ in range(1000):
            yield "a"
            left.set()

    response = StreamingResponse(chunks(), background=async_task(events))
    await call(response, events, left=left, turns=0)  # a server does not wait for who has left

    assert events.count("more 'a'") < 1000
    assert events[-3:] == ["task begins", "task ends", "returned"]


@pytest.mark.parametrize("size", [5, 65_537], ids=["one message", "more than one"])
async def test_the_background_runs_for_a_client_that_left_before_its_answer(size: int) -> None:
    events: Events = []
    left = anyio.Event()
    left.set()
    response = Response(b"x" * size, background=several_tasks(events))

    await call(response, events, spec_version="2.4", left=left)

    assert events == [*SEVERAL.before, *SEVERAL.after, "returned"]


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_stream_that_raises_stays_cut_and_its_background_is_abandoned(
    spec_version: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: Events = []

    async def chunks() -> AsyncIterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    async def endpoint(request: Request) -> Response:
        tasks = BackgroundTasks([Promise(events), async_task(events)])
        return StreamingResponse(chunks(), background=tasks)

    with pytest.raises(OSError, match="disk"):
        await call(serves(endpoint), events, spec_version=spec_version)

    sends = ["start 200", "more 'a'"]
    assert events == ["accepted", *sends, "abandoned: OSError", "raised OSError"]
    assert caplog.messages == ["background task 'run' will not run: OSError('the disk is gone')"]


# Where plain functions run


async def test_a_plain_endpoint_runs_in_a_thread() -> None:
    events: Events = []
    thread = Thread(events)

    def endpoint(request: Request) -> Response:
        thread.note("endpoint")
        return text(async_task(events))

    await call(serves(endpoint), events)

    assert events == ["endpoint in a thread", *WHOLE, "task begins", "task ends", "returned"]


async def test_a_plain_iterator_runs_and_is_closed_in_a_thread() -> None:
    events: Events = []
    thread = Thread(events)

    def chunks() -> Iterator[str]:
        try:
            thread.note("iterator")
            yield "a"
        finally:
            thread.note("closed")

    await call(StreamingResponse(chunks(), background=async_task(events)), events)

    assert events == [
        "start 200",
        "iterator in a thread",
        "more 'a'",
        "closed in a thread",
        "last ''",
        "task begins",
        "task ends",
        "returned",
    ]


async def test_a_plain_iterator_that_is_left_is_closed_in_a_thread() -> None:
    events: Events = []
    thread = Thread(events)
    left = anyio.Event()

    def chunks() -> Iterator[str]:
        try:
            yield "a"
            left.set()
            yield "b"
        finally:
            thread.note("closed")

    response = StreamingResponse(chunks(), background=async_task(events))
    await call(response, events, spec_version="2.4", left=left)

    sends = ["start 200", "more 'a'"]
    assert events == [*sends, "closed in a thread", "task begins", "task ends", "returned"]


async def test_a_plain_error_handler_runs_in_a_thread() -> None:
    events: Events = []
    thread = Thread(events)

    async def endpoint(request: Request) -> Response:
        raise HTTPException(404)

    def handler(request: Request, exc: HTTPException) -> Response:
        thread.note("handler")
        return text(async_task(events))

    app = MiniASGI(routes=[Route("/", endpoint)], exception_handlers={404: handler})
    await call(app, events)

    assert events == ["handler in a thread", *WHOLE, "task begins", "task ends", "returned"]


async def test_background_threads_take_no_token_from_those_of_the_requests() -> None:
    events: Events = []
    limiter = anyio.to_thread.current_default_thread_limiter()

    def task() -> None:
        events.append(f"tokens of the requests taken: {limiter.borrowed_tokens}")

    await call(text(BackgroundTask(task)), events)

    assert events == [*WHOLE, "tokens of the requests taken: 0", "returned"]


async def test_an_application_runs_as_many_plain_tasks_at_one_time_as_it_was_told() -> None:
    events: Events = []
    may_end, has_begun = threading.Event(), threading.Event()

    def task() -> None:
        events.append("a task begins")
        has_begun.set()
        may_end.wait(10)
        events.append("a task ends")

    async def endpoint(request: Request) -> Response:
        return text(BackgroundTask(task))

    app = MiniASGI(routes=[Route("/", endpoint)], background_threads=1)

    async with anyio.create_task_group() as group:
        group.start_soon(call, app, [])
        await anyio.to_thread.run_sync(has_begun.wait, 10)
        group.start_soon(call, app, [])
        await anyio.wait_all_tasks_blocked()
        events.append("the other waits")
        may_end.set()

    assert events == [
        "a task begins",
        "the other waits",
        "a task ends",
        "a task begins",
        "a task ends",
    ]


# Marks


async def test_marks_stand_in_the_order_of_events() -> None:
    events: Events = []

    def task() -> None:
        mark("in the task")

    with listening(lambda kind, name: events.append(f"{kind} {name}".strip())):
        await call(text(BackgroundTask(task)), events)

    assert events == [
        "accept",
        *WHOLE,
        "task.start task",
        "mark in the task",
        "task.end task",
        "returned",
    ]


# Beside the order: an exception before the first message, and one in the midst of them


async def test_an_exception_before_the_first_message_is_answered_and_raised_on() -> None:
    events: Events = []

    async def endpoint(request: Request) -> Response:
        raise ValueError

    with pytest.raises(ValueError):
        await call(serves(endpoint), events)

    assert events == ["start 500", "last 21 bytes", "raised ValueError"]


async def test_a_last_message_that_the_server_refuses_is_no_complete_response() -> None:
    events: Events = []

    async def endpoint(request: Request) -> Response:
        return text(Promise(events))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse_the_last(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise RuntimeError("too little data for the declared content-length")
            await send(message)

        await serves(endpoint)(scope, receive, refuse_the_last)

    with pytest.raises(RuntimeError, match="too little"):
        await call(app, events)

    assert events == ["accepted", "start 200", "abandoned: RuntimeError", "raised RuntimeError"]


async def test_the_handler_of_the_nearest_class_answers() -> None:
    events: Events = []

    async def endpoint(request: Request) -> Response:
        raise KeyError

    def answers(word: str) -> Any:
        async def handler(request: Request, exc: Exception) -> Response:
            return PlainTextResponse(word)

        return handler

    kinds: list[type[Exception]] = [LookupError, KeyError, Exception]
    handlers: Handlers = {kind: answers(kind.__name__) for kind in kinds}
    await call(MiniASGI(routes=[Route("/", endpoint)], exception_handlers=handlers), events)

    assert events == ["start 200", "last 'KeyError'", "returned"]

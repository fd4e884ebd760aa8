"""Question: does the task of a stream run if the stream does not come to its end?

Four streams, each with a task behind it. One comes to its end; of one the client reads a little and
leaves; one raises. The last is left by its client too, but the server that it runs on says that it
speaks ASGI 2.4, where a send to a client that has left raises an OSError.

Lesson: Finished: the task runs. Client gone: it runs, but on Starlette only as long as the server
does not speak ASGI 2.4. Stream raised: it does not run, and only miniasgi's log says so.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from demos.card import Answer, Card
from demos.scenario import Seen, Unforeseen, Visitor
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

SURE = "it runs unless the stream raised, and then the log names it"
AS_THE_SERVER_SAYS = "client gone: it runs, or not, as the server says; raised: it is lost silently"
outcomes = {SURE: 1, AS_THE_SERVER_SAYS: 2}
expected = {"miniasgi": SURE, "starlette": AS_THE_SERVER_SAYS, "fastapi": AS_THE_SERVER_SAYS}
warm_up = ("/whole", "/ends")
card = Card(
    answers=(
        Answer('Yes: "after the response" means after whatever became of it.'),
        Answer("No: it runs after the last byte, and here there is none."),
        Answer(
            "If the client leaves, that depends on the server; if the stream raised, no.",
            AS_THE_SERVER_SAYS,
        ),
        Answer("If the client leaves, yes; if the stream raised, no.", SURE),
    ),
    part="4.1",
    threads=("fastapi/fastapi#1342", "encode/starlette#2732", "encode/uvicorn#3085"),
    decisive={
        "miniasgi": (
            "miniasgi.responses:Response.__call__",
            "miniasgi.responses:StreamingResponse.transmit",
        ),
        "starlette": ("starlette.responses:StreamingResponse.__call__",),
    },
)

ends: list[str] = []


async def stream(way: str) -> AsyncIterator[bytes]:
    """Three chunks, or in the other ways more than anybody wants."""
    try:
        for count in range(3 if way == "whole" else 1000):
            yield b"chunk"
            await asyncio.sleep(0.01)
            if way == "raises" and count == 2:
                raise ValueError("no more paper")
    finally:
        mark(f"stream {way} ends")
        ends.append(way)


def after(way: str) -> Callable[[], Awaitable[None]]:
    """The task behind a stream; that it begins is all that is asked."""

    async def task() -> None:
        pass

    task.__name__ = f"after_{way}"
    return told(task)


def newer_server(app: ASGIApp) -> ASGIApp:
    """Calls of ``/newer`` as a server makes them that speaks ASGI 2.4: send raises."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/newer":
            await app(scope, receive, send)
            return
        gone = asyncio.Event()

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        async def raising_send(message: Message) -> None:
            if gone.is_set():
                raise OSError("the client has left")
            await send(message)

        listening = asyncio.create_task(listen())
        newer = {**scope, "asgi": {**scope["asgi"], "spec_version": "2.4"}}
        try:
            await app(newer, asyncio.Event().wait, raising_send)  # type: ignore[arg-type]
        finally:
            listening.cancel()

    return call


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request, StreamingResponse

    app = MiniASGI()

    @app.get("/ends")
    async def how_many(request: Request) -> JSONResponse:
        return JSONResponse(ends)

    @app.get("/{way}")
    async def download(request: Request) -> StreamingResponse:
        way = request.path_params["way"]
        return StreamingResponse(stream(way), background=BackgroundTask(after(way)))

    return newer_server(app)


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    async def how_many(request: Request) -> JSONResponse:
        return JSONResponse(ends)

    async def download(request: Request) -> StreamingResponse:
        way = request.path_params["way"]
        return StreamingResponse(stream(way), background=BackgroundTask(after(way)))

    return newer_server(Starlette(routes=[Route("/ends", how_many), Route("/{way}", download)]))


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/ends")
    async def how_many() -> list[str]:
        return ends

    @app.get("/{way}")
    async def download(way: str, tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(after(way))
        return StreamingResponse(stream(way))

    return newer_server(app)


def client(visitor: Visitor) -> None:
    with visitor.connect(noted=False) as observer:

        def wait_for_the_end(way: str) -> None:
            visitor.wait_until(
                lambda: way in observer.must_get("/ends").json(), f"the stream {way} ends"
            )

        with visitor.connect() as connection:
            connection.get("/whole")
        for way in ("left", "newer"):
            with visitor.connect() as connection:
                connection.ask(f"/{way}")
                connection.wait_first_byte()
                visitor.rest(0.02)  # for the picture only
                connection.reset()
            wait_for_the_end(way)
        with visitor.connect() as connection:
            try:
                connection.get("/raises")
            except ConnectionError:
                visitor.say("the stream breaks off")
        wait_for_the_end("raises")


def observe(seen: Seen) -> str:
    for way in ("whole", "left", "raises"):
        seen.must_be_in_order(f"request.start GET /{way}", f"stream {way} ends")
    seen.must_be_in_order("stream whole ends", "response.end GET /whole", "task.start after_whole")
    seen.must_be_in_order("stream left ends", "task.start after_left", "task.end after_left")
    seen.must_be_in_order("stream raises ends", "the stream breaks off")
    if "task.start after_raises" in seen:
        return "the task of a stream that raised runs"
    is_named = seen.has_log("'after_raises'")
    if seen.in_order("stream newer ends", "task.start after_newer"):
        return SURE if is_named else "it runs unless the stream raised"
    # Its generator is closed by whoever collects it, so that its end is nowhere in the lanes.
    if not seen.has_log("ClientDisconnect"):
        raise Unforeseen("the task of the newer server does not run, and nothing says why")
    return AS_THE_SERVER_SAYS

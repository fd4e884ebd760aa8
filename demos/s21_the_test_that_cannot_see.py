"""Question: can a test see that the answer comes before the task ends?

The same application over a socket, then under three test clients. The task waits at the gate. Over
the socket, and with miniasgi's client, the gate is opened when the reply is there. The others never
get that far: a timer has to open it for them.

Lesson: Starlette's TestClient and httpx's ASGITransport return when the application returns, so
they cannot see the order. A socket can, and so can `miniasgi.testing`, on any of the three.
"""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import listening
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

SEES = "its own test client has the reply before the task ends, as over a socket"
WAITS = "its test clients wait for the task; over a socket the reply comes before"
outcomes = {SEES: 1, WAITS: 2}
expected = {"miniasgi": SEES, "starlette": WAITS, "fastapi": WAITS}
warm_up = ("/signup",)
needs = ("httpx",)
card = Card(
    answers=(
        Answer("Yes: its TestClient is a client like any other."),
        Answer("Only over a socket: its test clients wait until the task has ended.", WAITS),
        Answer("Yes, with a test client that returns after the last byte.", SEES),
    ),
    part="4.1",
    threads=("encode/starlette#533", "encode/starlette#1102"),
    decisive={
        "miniasgi": ("miniasgi.testing.client:Client.request",),
        "starlette": ("httpx._transports.asgi:ASGITransport.handle_async_request",),
    },
)


@told
async def send_mail() -> None:
    await gate.wait()


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse({"welcome": "Ada"}, background=BackgroundTask(send_mail))

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        return JSONResponse({"welcome": "Ada"}, background=BackgroundTask(send_mail))

    return Starlette(routes=[Route("/signup", signup)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(send_mail)
        return {"welcome": "Ada"}

    return app


Asking = AbstractContextManager[None]  # the block in which the test waits for its reply


def opened_later(app: ASGIApp) -> ASGIApp:
    """Open the gate a while after the last byte: a client that returns then has the time to."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                asyncio.get_running_loop().call_later(0.1, gate.open)

        await app(scope, receive, watched_send)

    return call


async def with_miniasgi(app: ASGIApp, asking: Asking) -> None:
    from miniasgi.testing import Client

    async with Client(app) as client:
        with asking:
            reply = await client.get("/signup")
        gate.open()
        await reply.finished()


async def with_asgi_transport(app: ASGIApp, asking: Asking) -> None:
    from httpx import ASGITransport, AsyncClient

    transport = ASGITransport(opened_later(app))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        with asking:
            await client.get("/signup")


async def with_testclient(app: ASGIApp, asking: Asking) -> None:
    with warnings.catch_warnings(action="ignore"):  # that another httpx would be preferred
        from starlette.testclient import TestClient

    def get() -> None:  # in a thread: it blocks, and has an event loop of its own
        client = TestClient(opened_later(app))
        with asking:
            client.get("/signup")

    await asyncio.to_thread(get)


#: Here the gate stands in the client's process, and another run may be going on there.
one_at_a_time = threading.Lock()

TestCall = Callable[[ASGIApp, Asking], Coroutine[Any, Any, None]]
OTHERS: dict[str, TestCall] = {"TestClient": with_testclient, "ASGITransport": with_asgi_transport}
OWN: dict[str, TestCall] = {"miniasgi.testing": with_miniasgi}


def client(visitor: Visitor) -> None:
    app: application = globals()[f"{visitor.framework}_app"]
    app.build()
    with visitor.connect() as connection:
        connection.get("/signup")
        visitor.rest(0.02)  # for the picture only
        visitor.open_gate()
    for name, test in (OWN if visitor.framework == "miniasgi" else OTHERS | OWN).items():
        visitor.rest(0.02)
        with one_at_a_time:
            gate.close()
            asyncio.run(test(in_a_test(app, name, visitor), visitor.asking(name)))


def in_a_test(app: ASGIApp, name: str, visitor: Visitor) -> ASGIApp:
    """Record the task that runs under a test client, in a lane of its own."""

    def hear(kind: str, task: str) -> None:
        if kind.startswith("task."):
            visitor.note(time.monotonic_ns(), kind, f"{task} under {name}", place="in the test")

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        with listening(hear):
            await app(scope, receive, send)

    return recorded


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.end send_mail")
    seen.must_be_in_order(
        "request.end miniasgi.testing", "task.end send_mail under miniasgi.testing"
    )
    if "request.start TestClient" not in seen:
        return SEES
    for name in OTHERS:
        seen.must_be_in_order(f"task.end send_mail under {name}", f"request.end {name}")
    return WAITS

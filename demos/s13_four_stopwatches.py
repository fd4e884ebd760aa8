"""Question: how long does a request take, if a task follows it?

Four stopwatches are started with the call: in a middleware around ``call_next``, in a pure ASGI
middleware until the last body message, in the same until the application returns, and in the
client. A fifth, the access log, only says when the server writes its line. The task waits until the
client has its answer.

Lesson: Each clock measures something else. A timer around the whole ASGI call includes the task:
stop it at the last body message.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

APART = "call_next, then the access log, then the last body; only the whole call includes the task"
outcomes = {APART: 1}
expected = {"miniasgi": APART, "starlette": APART, "fastapi": APART}
warm_up = ("/signup",)
options = {"access_log": True}
card = Card(
    answers=(
        Answer("All of them stop before the task begins."),
        Answer("All of them include the task."),
        Answer("Only a timer around the whole call includes the task.", APART),
        Answer("Only the access log's line waits for the task."),
    ),
    part="4.2",
    threads=(
        "open-telemetry/opentelemetry-python-contrib#1684",
        "DataDog/dd-trace-py#3799",
        "trallnag/prometheus-fastapi-instrumentator#191",
    ),
    decisive={
        "miniasgi": ("miniasgi.timeline.recorder:TimelineMiddleware.__call__",),
        "starlette": (
            "starlette.responses:Response.__call__",
            "starlette.middleware.base:BaseHTTPMiddleware.__call__",
            "uvicorn.protocols.http.h11_impl:RequestResponseCycle.send",
        ),
    },
    lit=("background=", "add_task(", "Stopwatch", "around_call_next"),
)


@told
async def send_mail() -> None:
    await gate.wait()


async def around_call_next(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    response = await call_next(request)
    mark("call_next returns")
    return response


class Stopwatch:
    """Pure ASGI: stopped twice."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                mark("the last body is sent")

        await self.app(scope, receive, watched_send)
        if scope["type"] == "http":
            mark("the whole call returns")


class AccessLog(logging.Handler):
    """uvicorn's line, as a mark: it is written within the call."""

    def emit(self, record: logging.LogRecord) -> None:
        mark("access log")


def listen_to_the_access_log() -> None:
    logger = logging.getLogger("uvicorn.access")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(AccessLog())


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request
    from miniasgi.middleware import Middleware

    listen_to_the_access_log()
    app = MiniASGI(middleware=[Middleware(Stopwatch), Middleware(around_call_next)])

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    listen_to_the_access_log()
    inner = Middleware(BaseHTTPMiddleware, dispatch=around_call_next)
    return Starlette(routes=[Route("/signup", signup)], middleware=[Middleware(Stopwatch), inner])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    listen_to_the_access_log()
    app = FastAPI()
    app.middleware("http")(around_call_next)
    app.add_middleware(Stopwatch)

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail)
        return "welcome"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/signup")
        visitor.rest(0.1)  # for the picture only
        visitor.open_gate()


STOPS = {
    "around call_next": "call_next returns",
    "the access log's line": "access log",
    "pure ASGI, to the last body": "the last body is sent",
    "the client": "request.end GET /signup",
    "pure ASGI, the whole call": "the whole call returns",
}


def observe(seen: Seen) -> str:
    order = ("call_next returns", "access log", "the last body is sent", "task.start send_mail")
    seen.must_be_in_order("app.start GET /signup", *order)
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.end send_mail")
    seen.must_be_in_order("task.end send_mail", "the whole call returns")
    return APART


def details(seen: Seen) -> list[str]:
    begin = seen["app.start GET /signup"].at
    stops = (f"{name} {(seen[stop].at - begin) / 1e6:.1f} ms" for name, stop in STOPS.items())
    return ["; ".join(stops)]

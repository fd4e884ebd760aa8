"""Question: does the next request on the same connection wait for the task?

The application has a middleware that only passes on. The client asks for a sign-up and, in the same
segment of bytes, for something else; when it has both answers it asks once more on the same
connection. Only then does it let the task go on; or sooner, if another client on another connection
has been answered twenty times meanwhile.

Lesson: The next request overtakes the task, pipelined or not. It did not always: a
``BaseHTTPMiddleware`` of Starlette 0.27 held the connection until the task had ended.
"""

from typing import Any

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

OVERTAKES = "both next requests are answered before the task has ended"
WAITS = "the next request waits until the task has ended"
CLOSED = "the next request gets no answer: the connection is closed"
outcomes = {OVERTAKES: 1, WAITS: 2, CLOSED: 3}
expected = {"miniasgi": OVERTAKES, "starlette": OVERTAKES, "fastapi": OVERTAKES}
warm_up = ("/signup", "/ping")
card = Card(
    answers=(
        Answer("Yes: one connection, one thing after the other.", WAITS),
        Answer("No: it is answered while the task runs.", OVERTAKES),
        Answer("There is none: the connection is closed after each answer.", CLOSED),
    ),
    part="4.1, the diagram",
    threads=("encode/starlette#919", "encode/starlette#2093", "fastapi/fastapi#4616"),
    decisive={
        "miniasgi": ("miniasgi.middleware:Middleware.around",),
        "starlette": (
            "starlette.middleware.base:BaseHTTPMiddleware.__call__",
            "uvicorn.protocols.http.h11_impl:H11Protocol.on_response_complete",
        ),
    },
    lit=("background=", "add_task(", "call_next(", "iddleware"),
)


@told
async def send_mail() -> None:
    await gate.wait()


async def passes_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request
    from miniasgi.middleware import Middleware

    app = MiniASGI(middleware=[Middleware(passes_on)])

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    @app.get("/ping")
    @app.get("/pong")
    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

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

    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    routes = [Route("/signup", signup), Route("/ping", ping), Route("/pong", ping)]
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=passes_on)]
    return Starlette(routes=routes, middleware=middleware)


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()
    app.middleware("http")(passes_on)

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail)
        return "welcome"

    @app.get("/ping")
    @app.get("/pong")
    async def ping() -> str:
        return "pong"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection, visitor.connect(noted=False) as another:
        connection.ask("/signup", "/ping")
        connection.read()
        if connection.is_kept_waiting(lambda: another.get("/nothing")):
            visitor.open_gate()
        if connection.read() is None:
            return
        visitor.rest(0.02)  # for the picture only, here and below
        connection.get("/pong")
        visitor.rest(0.02)
        visitor.open_gate()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.end send_mail")
    if "request.failed GET /ping" in seen:
        return CLOSED
    if seen.in_order("task.end send_mail", "request.end GET /ping"):
        return WAITS
    seen.must_be_in_order("task.start send_mail", "request.end GET /pong")
    seen.must_be_in_order("request.end GET /ping", "request.end GET /pong", "gate opens")
    return OVERTAKES

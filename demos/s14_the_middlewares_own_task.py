"""Question: a middleware puts a task of its own on the response. What becomes of the endpoint's?

The endpoint leaves a mail behind it, the middleware an entry in an audit log. In the first call
the audit waits until the client has its answer; in the second it fails.

Lesson: The response that a ``BaseHTTPMiddleware`` sees is not the endpoint's, and has no task yet:
the middleware's own goes first, and if it fails the endpoint's never runs. A function middleware
of miniasgi sees the endpoint's own response, and puts its task behind.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

BEHIND = "the endpoint's task goes first, then the middleware's, whose failure harms nobody"
BEFORE = "the middleware's task goes first; if it fails, the endpoint's never runs"
outcomes = {BEHIND: 1, BEFORE: 2}
expected = {"miniasgi": BEHIND, "starlette": BEFORE, "fastapi": BEFORE}
warm_up = ("/first",)
card = Card(
    answers=(
        Answer("It runs first, then the middleware's: from the inside out.", BEHIND),
        Answer("It waits for the middleware's, and needs it to succeed.", BEFORE),
        Answer("It is replaced: only the middleware's runs."),
    ),
    part="4.1, the sketch",
    threads=("encode/starlette#3458", "encode/starlette#3476"),
    decisive={
        "miniasgi": ("miniasgi.middleware:Middleware.around",),
        "starlette": ("starlette.middleware.base:BaseHTTPMiddleware.__call__",),
    },
    lit=("background", "add_task(", "call_next(request)"),
)


@told
async def mail_first() -> None: ...


@told
async def audit_first() -> None:
    await gate.wait()


@told
async def mail_second() -> None: ...


@told
async def audit_second() -> None:
    raise ValueError("the audit log is full")


MAILS = {"/first": mail_first, "/second": mail_second}
AUDITS = {"/first": audit_first, "/second": audit_second}

CallNext = Callable[[Any], Awaitable[Any]]


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, BackgroundTasks, JSONResponse, MiniASGI, Request
    from miniasgi.middleware import Middleware

    async def audit(request: Request, call_next: CallNext) -> Any:
        response = await call_next(request)
        response.background = BackgroundTasks(
            [response.background, BackgroundTask(AUDITS[request.url.path])]
        )
        return response

    app = MiniASGI(middleware=[Middleware(audit)])

    @app.get("/first")
    @app.get("/second")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(MAILS[request.url.path]))

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

    async def audit(request: Request, call_next: CallNext) -> Any:
        response = await call_next(request)
        assert response.background is None  # the endpoint's is out of reach
        response.background = BackgroundTask(AUDITS[request.url.path])
        return response

    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(MAILS[request.url.path]))

    routes = [Route("/first", signup), Route("/second", signup)]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=audit)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI, Request
    from starlette.background import BackgroundTask

    app = FastAPI()

    @app.middleware("http")
    async def audit(request: Request, call_next: CallNext) -> Any:
        response = await call_next(request)
        assert response.background is None  # the endpoint's is out of reach
        response.background = BackgroundTask(AUDITS[request.url.path])
        return response

    @app.get("/first")
    @app.get("/second")
    async def signup(request: Request, tasks: BackgroundTasks) -> str:
        tasks.add_task(MAILS[request.url.path])
        return "welcome"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/first")
        visitor.rest(0.02)  # for the picture only, here and below
        visitor.open_gate()
        visitor.rest(0.02)
    with visitor.connect() as connection:
        connection.get("/second")


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /first", "gate opens", "task.end audit_first")
    seen.must_be_in_order("response.end GET /second", "task.failed audit_second")
    if seen.in_order("task.end mail_first", "task.start audit_first"):
        seen.must_be_in_order("task.end mail_second", "task.start audit_second")
        return BEHIND
    seen.must_be_in_order("task.end audit_first", "task.start mail_first")
    # The recording ends when the server has waited for its tasks: what is not there has not run.
    return "the middleware's task goes first" if "task.start mail_second" in seen else BEFORE

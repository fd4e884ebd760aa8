"""Question: who learns that a background task has failed?

The client has its 200 and lets the task go on; the task raises. Then the client asks again on
the same connection.

Lesson: The client has its 200; the error exists only in the log. On Starlette and FastAPI under
uvicorn it also costs the connection.
"""

import asyncio

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

LIVES = "200, the error is in the log, the connection lives"
CLOSED = "200, the error is in the log, the connection is closed"
outcomes = {LIVES: 1, CLOSED: 2}
expected = {"miniasgi": LIVES, "starlette": CLOSED, "fastapi": CLOSED}
warm_up = ("/signup", "/failed", "/ping")
card = Card(
    answers=(
        Answer("The client: it gets a 500."),
        Answer("Nobody but the log.", LIVES),
        Answer("The log, and whoever uses the connection next: it is closed.", CLOSED),
    ),
    part="4.1",
    threads=("fastapi/fastapi#2505", "fastapi/fastapi#14599"),
    decisive={
        "miniasgi": ("miniasgi.middleware.errors:ErrorMiddleware.answer",),
        "starlette": ("uvicorn.protocols.http.h11_impl:RequestResponseCycle.run_asgi",),
    },
)

failed = asyncio.Event()


@told
async def send_mail() -> None:
    failed.clear()  # the warm-up was here before
    await gate.wait()
    failed.set()  # who waits for it goes on after this step, in which the server hears of it
    raise ValueError("no such address")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    @app.get("/failed")
    async def has_failed(request: Request) -> JSONResponse:
        await failed.wait()
        return JSONResponse("yes")

    @app.get("/ping")
    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    async def has_failed(request: Request) -> JSONResponse:
        await failed.wait()
        return JSONResponse("yes")

    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    routes = [Route("/signup", signup), Route("/failed", has_failed), Route("/ping", ping)]
    return Starlette(routes=routes)


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail)
        return "welcome"

    @app.get("/failed")
    async def has_failed() -> str:
        await failed.wait()
        return "yes"

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection, visitor.connect(noted=False) as observer:
        connection.get("/signup")
        visitor.rest(0.02)  # for the picture only
        visitor.open_gate()
        observer.must_get("/failed")
        if not connection.is_closed(within=0.05):
            connection.get("/ping")


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.failed send_mail")
    seen.must_be_in_order("task.start send_mail", "task.failed send_mail")
    if not seen.has_log("ValueError: no such address"):
        return "200, and the error is nowhere"
    if seen.in_order("task.failed send_mail", "request.end GET /ping"):
        return LIVES
    end = "server has closed" if "server has closed" in seen else "request.failed GET /ping"
    seen.must_be_in_order("request.end GET /signup", "gate opens", end)
    return CLOSED

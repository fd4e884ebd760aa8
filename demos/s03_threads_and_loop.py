"""Question: does a plain ``def`` task block the event loop?

The task blocks its thread until the client opens the gate. Before that, the client asks
something else on another connection, and opens the gate only when it has the answer.

Lesson: A sync task does not block the loop: it runs in a thread, and others are served.
"""

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

SERVED = "the task is in a thread; the other request is answered meanwhile"
WAITED = "the other request waits for the task"
outcomes = {SERVED: 1, WAITED: 2}
expected = {"miniasgi": SERVED, "starlette": SERVED, "fastapi": SERVED}
warm_up = ("/report", "/ping")
card = Card(
    answers=(
        Answer("No: it runs in a thread, and others are answered meanwhile.", SERVED),
        Answer("Yes: only `async def` tasks let others go on.", WAITED),
    ),
    part="4.1",
    threads=("fastapi/fastapi#1313", "encode/starlette#2972"),
    decisive={
        "miniasgi": (
            "miniasgi.concurrency:BackgroundThreads.run",
            "miniasgi.background:BackgroundTask._run_and_tell",
        ),
        "starlette": (
            "starlette.background:BackgroundTask.__call__",
            "starlette.concurrency:run_in_threadpool",
        ),
    },
)


@told
def make_report() -> None:
    gate.wait_in_thread()


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/report")
    async def report(request: Request) -> JSONResponse:
        return JSONResponse("coming", background=BackgroundTask(make_report))

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

    async def report(request: Request) -> JSONResponse:
        return JSONResponse("coming", background=BackgroundTask(make_report))

    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    return Starlette(routes=[Route("/report", report), Route("/ping", ping)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/report")
    async def report(tasks: BackgroundTasks) -> str:
        tasks.add_task(make_report)
        return "coming"

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection, visitor.connect() as other:
        connection.get("/report")
        visitor.rest(0.01)  # for the picture only, here and below
        other.get("/ping")
        visitor.rest(0.01)
        visitor.open_gate()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("response.end GET /report", "task.start make_report")
    is_served = seen.in_order("request.end GET /ping", "gate opens", "task.end make_report")
    return SERVED if is_served and seen.in_thread("task.start make_report") else WAITED

"""Question: do several tasks run side by side, and what if one fails?

Three tasks on one response. The first waits at the gate, the second raises. On miniasgi a
second request asks for ``on_error="continue"``, which the others do not have.

Lesson: Tasks run one after the other; the first exception ends the row, unless you ask for more.
"""

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

STOPPED = "in a row; the second raises, the third never starts"
ASKED = "in a row; the second raises, the third never starts, or runs if asked for"
outcomes = {STOPPED: 1, ASKED: 1}  # the default is the same; what may be asked for is more
expected = {"miniasgi": ASKED, "starlette": STOPPED, "fastapi": STOPPED}
warm_up = ("/three",)
card = Card(
    answers=(
        Answer("All three run at the same time; one fails."),
        Answer("One after the other; the third runs although the second failed."),
        Answer("One after the other; the third never runs.", STOPPED),
        Answer("One after the other; the third never runs, unless that is asked for.", ASKED),
    ),
    part="4.1, the diagram",
    threads=("encode/starlette#549", "encode/starlette#1589", "fastapi/fastapi#3338"),
    decisive={
        "miniasgi": ("miniasgi.background:BackgroundTasks.__call__",),
        "starlette": ("starlette.background:BackgroundTasks.__call__",),
    },
)


@told
async def first() -> None:
    await gate.wait()


@told
async def second() -> None:
    raise ValueError("no such address")


@told
async def third() -> None:
    """That it begins is all that is asked."""


@told
async def third_all_the_same() -> None:
    """That it begins is all that is asked."""


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/three")
    async def three(request: Request) -> JSONResponse:
        tasks = BackgroundTasks()
        tasks.add_task(first)
        tasks.add_task(second)
        tasks.add_task(third)
        return JSONResponse("three tasks", background=tasks)

    @app.get("/continue")
    async def go_on(request: Request) -> JSONResponse:
        tasks = BackgroundTasks(on_error="continue")
        tasks.add_task(second)
        tasks.add_task(third_all_the_same)
        return JSONResponse("two tasks", background=tasks)

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTasks
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def three(request: Request) -> JSONResponse:
        tasks = BackgroundTasks()
        tasks.add_task(first)
        tasks.add_task(second)
        tasks.add_task(third)
        return JSONResponse("three tasks", background=tasks)

    return Starlette(routes=[Route("/three", three)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/three")
    async def three(tasks: BackgroundTasks) -> str:
        tasks.add_task(first)
        tasks.add_task(second)
        tasks.add_task(third)
        return "three tasks"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/three")
        visitor.rest(0.02)  # for the picture only
        visitor.open_gate()
    if visitor.framework == "miniasgi":
        visitor.rest(0.02)
        with visitor.connect() as connection:
            connection.get("/continue")


def observe(seen: Seen) -> str:
    # The recording ends when the server has waited for its tasks: what is not there has not run.
    seen.must_be_in_order("response.end GET /three", "task.start first", "task.end first")
    seen.must_be_in_order("gate opens", "task.end first", "task.start second", "task.failed second")
    if "task.start third" in seen:
        return "in a row; the second raises, the third runs"
    if seen.in_order("task.failed second", "task.start third_all_the_same"):
        return ASKED
    return STOPPED

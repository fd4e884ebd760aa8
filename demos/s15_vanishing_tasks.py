"""Question: the endpoint has added a task. In which of four ways is it lost?

The endpoint raises after `add_task`; it returns a response with a background of its own; it answers
a download whose range is bad with a file; its task is a lambda around a coroutine function. (On
Starlette nothing is injected that a response of one's own could push aside, so there it is three.)

Lesson: Tasks hang on one response object: lose it and you lose them, silently. miniasgi loses only
the first, which nobody promised, and names it in the log.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from demos.card import Answer, Card
from demos.scenario import Seen, Unforeseen, Visitor
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

NAMED = "three of four run; what was added before an exception does not, and the log names it"
THREE = "none of three runs, and the log is silent"
FOUR = "none of four runs, and the log is silent"
outcomes = {NAMED: 1, THREE: 2, FOUR: 2}
expected = {"miniasgi": NAMED, "starlette": THREE, "fastapi": FOUR}
warm_up = ("/plain",)
card = Card(
    answers=(
        Answer("In none: what was added is run."),
        Answer("Only if the endpoint raises, and the log says so.", NAMED),
        Answer("In all of them, and nothing says so.", FOUR),
        Answer(
            "In three, and nothing says so: a response of one's own has nothing to lose.", THREE
        ),
    ),
    part="4.1, the diagram",
    threads=("fastapi/fastapi#2604", "fastapi/fastapi#13116", "fastapi/fastapi#11215"),
    decisive={
        "miniasgi": (
            "miniasgi.dependencies:with_tasks",
            "miniasgi.files:FileResponse.transmit",
            "miniasgi.background:BackgroundTask._run_and_tell",
        ),
        "starlette": (
            "starlette.responses:FileResponse.__call__",
            "starlette.background:BackgroundTask.__call__",
        ),
        "fastapi": (
            "fastapi.routing:get_request_handler",
            "starlette.responses:FileResponse.__call__",
        ),
    },
    lit=("background=", "add_task("),
)
STATUSES = {"raises": "409", "own": "200", "range": "416", "lambda": "200"}
WAYS = tuple(STATUSES)


def task(way: str) -> Callable[[], Awaitable[None]]:
    """It says itself that it runs: within a lambda nobody else knows its name."""

    async def run() -> None:
        mark(f"mail {way} runs")

    run.__name__ = f"mail_{way}"
    return told(run)


def not_recognised(way: str) -> Callable[[], Any]:
    """A lambda, which nobody takes for async, around a task that is."""
    mail = task(way)
    return lambda: mail()


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import (
        BackgroundTask,
        BackgroundTasks,
        FileResponse,
        HTTPException,
        JSONResponse,
        MiniASGI,
        Request,
    )

    app = MiniASGI()

    @app.get("/plain")
    async def plain(request: Request) -> JSONResponse:
        return JSONResponse("welcome")

    @app.get("/raises")
    async def raises(tasks: BackgroundTasks) -> None:
        tasks.add_task(task("raises"))
        raise HTTPException(409, "taken")

    @app.get("/own")
    async def own(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(task("own"))
        return JSONResponse("welcome", background=BackgroundTask(task("other")))

    @app.get("/range")
    async def download(tasks: BackgroundTasks) -> FileResponse:
        tasks.add_task(task("range"))
        return FileResponse(__file__)

    @app.get("/lambda")
    async def with_lambda(tasks: BackgroundTasks) -> str:
        tasks.add_task(not_recognised("lambda"))
        return "welcome"

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask, BackgroundTasks
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse
    from starlette.routing import Route

    async def plain(request: Request) -> JSONResponse:
        return JSONResponse("welcome")

    async def raises(request: Request) -> JSONResponse:
        tasks = BackgroundTasks()
        tasks.add_task(task("raises"))
        raise HTTPException(409, "taken")

    async def download(request: Request) -> FileResponse:
        return FileResponse(__file__, background=BackgroundTask(task("range")))

    async def with_lambda(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(not_recognised("lambda")))

    routes = [Route("/plain", plain), Route("/raises", raises), Route("/range", download)]
    return Starlette(routes=[*routes, Route("/lambda", with_lambda)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI, HTTPException
    from fastapi.responses import FileResponse, JSONResponse
    from starlette.background import BackgroundTask

    app = FastAPI()

    @app.get("/plain")
    async def plain() -> str:
        return "welcome"

    @app.get("/raises")
    async def raises(tasks: BackgroundTasks) -> None:
        tasks.add_task(task("raises"))
        raise HTTPException(409, "taken")

    @app.get("/own")
    async def own(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(task("own"))
        return JSONResponse("welcome", background=BackgroundTask(task("other")))

    @app.get("/range")
    async def download(tasks: BackgroundTasks) -> FileResponse:
        tasks.add_task(task("range"))
        return FileResponse(__file__)

    @app.get("/lambda")
    async def with_lambda(tasks: BackgroundTasks) -> str:
        tasks.add_task(not_recognised("lambda"))
        return "welcome"

    return app


def client(visitor: Visitor) -> None:
    ways = [way for way in WAYS if way != "own" or visitor.framework != "starlette"]
    for way in ways:
        with visitor.connect() as connection:
            connection.get(f"/{way}", headers="Range: bytes=9999999-\r\n")
        visitor.rest(0.01)  # for the picture only


def observe(seen: Seen) -> str:
    ways = [way for way in WAYS if f"request.end GET /{way}" in seen]
    statuses = {way: seen[f"request.end GET /{way}"].detail for way in ways}
    if statuses not in (STATUSES, {way: STATUSES[way] for way in WAYS if way != "own"}):
        raise Unforeseen(f"these statuses: {statuses}")
    run = [way for way in ways if f"mail {way} runs" in seen]
    named = [way for way in ways if seen.has_log(f"'mail_{way}'")]
    if (run, named) == (["own", "range", "lambda"], ["raises"]):
        return NAMED
    if run or named:
        raise Unforeseen(f"of {ways}, these run: {run}; the log names {named}")
    return FOUR if "own" in ways else THREE

"""Question: a plain ``def`` task works when the server's patience for stopping ends. And then?

The task's thread waits for its mail server. The server may take a fifth of a second to stop. First
it gets SIGTERM; then another server, with the same request, gets SIGINT, and its thread is answered
when the application has been shut down.

Lesson: A thread cannot be cancelled. After the patience of whoever stops the server the application
is shut down under it: on SIGTERM it dies in mid-work, on SIGINT it works on with what is closed.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver, deliver_now
from demos.scenario import Seen, Unforeseen
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

NAMED = "shut down under its thread; SIGTERM: dies in mid-work, SIGINT: goes on; the log names it"
SILENT = "shut down under its thread; SIGTERM: dies in mid-work, SIGINT: goes on; no log names it"
outcomes = {NAMED: 1, SILENT: 2}
expected = {"miniasgi": NAMED, "starlette": SILENT, "fastapi": SILENT}
warm_up = ("/ping",)
on_machine = True
options = {"timeout_graceful_shutdown": 0.2}
card = Card(
    answers=(
        Answer("It is waited for, whatever the patience."),
        Answer("It is cancelled: an exception is raised in the thread."),
        Answer(
            "The application is shut down under it, and nothing says whose work that was.", SILENT
        ),
        Answer("The application is shut down under it, and the log names the task.", NAMED),
    ),
    part="4.2, the tree",
    threads=("encode/uvicorn#1600", "encode/uvicorn#2119"),
    decisive={
        "miniasgi": (
            "miniasgi.background:BackgroundTask.__call__",
            "miniasgi.concurrency:BackgroundThreads.run",
            "uvicorn.server:Server.shutdown",
        ),
        "starlette": (
            "starlette.concurrency:run_in_threadpool",
            "uvicorn.server:Server.shutdown",
            "uvicorn.server:Server.capture_signals",
        ),
    },
    lit=("background=", "add_task(", "lifespan"),
)


@told
def print_report(number: int) -> None:
    deliver_now(f"report {number}")
    mark(f"thread {number} goes on")


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    yield
    await deliver("the application is shut down")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI(lifespan=lifespan)

    @app.get("/ping")
    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    @app.get("/report/{number:int}")
    async def report(request: Request) -> JSONResponse:
        task = BackgroundTask(print_report, request.path_params["number"])
        return JSONResponse("coming", background=task)

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    async def report(request: Request) -> JSONResponse:
        task = BackgroundTask(print_report, request.path_params["number"])
        return JSONResponse("coming", background=task)

    routes = [Route("/ping", ping), Route("/report/{number:int}", report)]
    return Starlette(routes=routes, lifespan=lifespan)


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI(lifespan=lifespan)

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/report/{number}")
    async def report(number: int, tasks: BackgroundTasks) -> str:
        tasks.add_task(print_report, number)
        return "coming"

    return app


def client(visitor: MachineVisitor) -> None:
    visitor.visit("/report/1")
    visitor.next_delivery("report 1")
    visitor.stop_server(signal.SIGTERM)
    visitor.next_delivery("the application is shut down").answer()
    visitor.wait_for_death()

    visitor.start_server()
    visitor.visit("/report/2")
    report = visitor.next_delivery("report 2")
    visitor.stop_server(signal.SIGINT)
    visitor.next_delivery("the application is shut down").answer()
    visitor.rest(0.05)  # for the picture only
    visitor.say("report 2 is answered")
    report.answer()
    visitor.wait_for_death()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("report 1", "SIGTERM server", "the application is shut down")
    seen.must_be_in_order("the application is shut down", "server is dead", "server is back")
    seen.must_be_in_order("report 2", "SIGINT server", "report 2 is answered", "thread 2 goes on")
    if "thread 1 goes on" in seen:
        raise Unforeseen("thread 1 goes on")
    return NAMED if seen.has_log("'print_report' was cancelled") else SILENT

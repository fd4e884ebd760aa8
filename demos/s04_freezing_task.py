"""Question: is a slow task best written as ``async def``?

The task is ``async def``, but it blocks its thread until a printer answers, as a heavy computation
does, or a library that is not async. Meanwhile the client asks something else on another
connection; it is the printer too, and answers when it has waited for a while.

Lesson: ``async def`` is a promise to yield; break it and everybody waits.
"""

from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver_now
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.types import ASGIApp

WAITED = "its own client is answered; every other request waits for the task"
SERVED = "the other request is answered meanwhile"
outcomes = {SERVED: 1, WAITED: 2}
expected = {"miniasgi": WAITED, "starlette": WAITED, "fastapi": WAITED}
warm_up = ("/ping",)
on_machine = True
card = Card(
    answers=(
        Answer("Yes: `async def` never blocks anybody.", SERVED),
        Answer("No: every other request waits until it has ended.", WAITED),
        Answer("No: its own client waits for its answer, the others do not."),
    ),
    part="4.1",
    threads=("fastapi/fastapi#1313", "fastapi/fastapi#404"),
    decisive={
        "miniasgi": ("miniasgi.background:BackgroundTask._run_and_tell",),
        "starlette": ("starlette.background:BackgroundTask.__call__",),
    },
)


@told
async def make_report() -> None:
    deliver_now("the report")


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


def client(visitor: MachineVisitor) -> None:
    with visitor.connect() as connection, visitor.connect() as other:
        connection.get("/report")
        report = visitor.next_delivery("the report")
        other.ask("/ping")
        other.wait_first_byte(within=0.3)  # long for the picture; who waits, waits for the printer
        visitor.say("the printer answers")
        report.answer()
        other.read()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("response.end GET /report", "task.start make_report", "the report")
    seen.must_be_in_order("request.end GET /report", "request.start GET /ping")
    seen.must_be_in_order("request.start GET /ping", "the printer answers", "task.end make_report")
    if seen.in_order("first byte GET /ping", "the printer answers"):
        return SERVED
    seen.must_be_in_order("task.end make_report", "request.end GET /ping")
    return WAITED

"""Question: the server gets SIGTERM. Whom does it wait for?

Two sign-ups: one leaves a background task, the other an `asyncio.create_task`, held in a list so
that nothing collects it. Both wait for their mail server. Then the server gets SIGTERM; when it
takes no connections any more, the mail server answers the background task, and waits for the end
of the server.

Lesson: A background task belongs to its request and is waited for. What `create_task` began belongs
to nobody: it is not waited for, not cancelled, and not told; no ``finally`` runs.
"""

import asyncio

from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen, Unforeseen
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

CUT = "the background task is waited for; create_task's is cut off without a word"
outcomes = {CUT: 1}
expected = {"miniasgi": CUT, "starlette": CUT, "fastapi": CUT}
warm_up = ("/ping",)
on_machine = True
card = Card(
    answers=(
        Answer("For nobody: both are lost."),
        Answer("For the background task; the other ends without a word.", CUT),
        Answer("For the background task; the other is cancelled, and may tidy up."),
        Answer("For both."),
    ),
    part="4.2, the tree",
    threads=("encode/uvicorn#451", "encode/uvicorn#1950", "encode/uvicorn#2119"),
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__", "uvicorn.server:Server.shutdown"),
        "starlette": ("starlette.responses:Response.__call__", "uvicorn.server:Server.shutdown"),
    },
    lit=("background=", "add_task(", "create_task("),
)


@told
async def send_mail() -> None:
    await deliver("the task's mail")


async def orphan() -> None:
    try:
        await deliver("the orphan's mail")
        mark("the orphan ends")
    except asyncio.CancelledError:
        mark("the orphan is cancelled")
    finally:
        mark("the orphan tidies up")


held: list[asyncio.Task[None]] = []  # not even this helps


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/ping")
    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    @app.get("/task")
    async def task(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    @app.get("/orphan")
    async def create(request: Request) -> JSONResponse:
        held.append(asyncio.create_task(orphan()))
        return JSONResponse("welcome")

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

    async def task(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    async def create(request: Request) -> JSONResponse:
        held.append(asyncio.create_task(orphan()))
        return JSONResponse("welcome")

    return Starlette(routes=[Route("/ping", ping), Route("/task", task), Route("/orphan", create)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/task")
    async def task(tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail)
        return "welcome"

    @app.get("/orphan")
    async def create() -> str:
        held.append(asyncio.create_task(orphan()))
        return "welcome"

    return app


def client(visitor: MachineVisitor) -> None:
    visitor.visit("/orphan")
    visitor.next_delivery("the orphan's mail")
    visitor.visit("/task")
    mail = visitor.next_delivery("the task's mail")
    visitor.stop_server()
    visitor.wait_until_refused()
    mail.answer()
    visitor.wait_for_death()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("the orphan's mail", "the task's mail", "SIGTERM server")
    seen.must_be_in_order("SIGTERM server", "no new connection is taken", "task.end send_mail")
    seen.must_be_in_order("task.end send_mail", "server is dead")
    said = [moment.name for moment in seen.moments if moment.name.startswith("the orphan ")]
    if said:
        raise Unforeseen(f"{', '.join(said)}")
    return CUT

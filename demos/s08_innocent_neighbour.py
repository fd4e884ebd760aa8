"""Question: can a failing task hurt a request that has nothing to do with it?

Two requests on one keep-alive connection. The first is answered and leaves a task. The second
is being handled when that task raises.

Lesson: On uvicorn a failing task of Starlette or FastAPI kills the next request on its
connection: an exception after the last byte must not leave the application.
"""

import asyncio

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

ANSWERED = "the neighbour is answered"
KILLED = "the neighbour's connection ends before any byte; its handler runs on, for nobody"
outcomes = {ANSWERED: 1, KILLED: 2}
expected = {"miniasgi": ANSWERED, "starlette": KILLED, "fastapi": KILLED}
warm_up = ("/signup", "/neighbour")
card = Card(
    answers=(
        Answer("No: it is answered.", ANSWERED),
        Answer("It gets a 500 in the place of its answer."),
        Answer("Its connection is closed before it gets a byte.", KILLED),
    ),
    part="4.1",
    threads=("encode/uvicorn#3153",),
    decisive={
        "miniasgi": (
            "miniasgi.middleware.errors:ErrorMiddleware.answer",
            "miniasgi.middleware.errors:_contain",
        ),
        "starlette": ("uvicorn.protocols.http.h11_impl:RequestResponseCycle.run_asgi",),
    },
)

neighbour_is_here = asyncio.Event()
failed = asyncio.Event()


@told
async def send_mail() -> None:
    neighbour_is_here.clear()  # the warm-up was here before
    failed.clear()
    await neighbour_is_here.wait()
    await asyncio.sleep(0.02)  # for the picture only
    failed.set()
    raise ValueError("no such address")


async def wait_for_the_failure() -> None:
    mark("neighbour begins")
    neighbour_is_here.set()
    await failed.wait()
    mark("neighbour ends")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse("welcome", background=BackgroundTask(send_mail))

    @app.get("/neighbour")
    async def neighbour(request: Request) -> JSONResponse:
        await wait_for_the_failure()
        return JSONResponse("good morning")

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

    async def neighbour(request: Request) -> JSONResponse:
        await wait_for_the_failure()
        return JSONResponse("good morning")

    return Starlette(routes=[Route("/signup", signup), Route("/neighbour", neighbour)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail)
        return "welcome"

    @app.get("/neighbour")
    async def neighbour() -> str:
        await wait_for_the_failure()
        return "good morning"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/signup")
        visitor.rest(0.005)  # for the picture only
        connection.get("/neighbour")


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /signup", "request.start GET /neighbour")
    seen.must_be_in_order(
        "request.start GET /neighbour", "neighbour begins", "task.failed send_mail"
    )
    seen.must_be_in_order("task.failed send_mail", "neighbour ends")
    if seen.in_order("task.failed send_mail", "request.end GET /neighbour"):
        return ANSWERED
    seen.must_be_in_order("request.start GET /neighbour", "request.failed GET /neighbour")
    return KILLED

"""Question: does the connection live until the task has ended?

Two requests, each on a connection of its own, each with a task that waits. The first asks the
server to close the connection after the answer. The second says nothing, and the server's timer for
idle connections (here a fifth of a second) runs out. The tasks go on when both are closed.

Lesson: The connection's life and the task's life are independent: a closed connection does not end
a task, and a running task does not keep a connection.
"""

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

APART = "both connections are closed while their tasks run; both tasks end"
HELD = "a connection stays open until its task has ended"
outcomes = {APART: 1, HELD: 2}
expected = {"miniasgi": APART, "starlette": APART, "fastapi": APART}
warm_up = ("/close", "/keep")
options = {"timeout_keep_alive": 0.2}
card = Card(
    answers=(
        Answer("Yes: the server closes it when the call has returned.", HELD),
        Answer("No: it is closed while the task runs, and the task runs on.", APART),
        Answer("No: it is closed, and that cancels the task."),
    ),
    part="4.1, the diagram",
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__",),
        "starlette": (
            "starlette.responses:Response.__call__",
            "uvicorn.protocols.http.h11_impl:RequestResponseCycle.send",
            "uvicorn.protocols.http.h11_impl:H11Protocol.timeout_keep_alive_handler",
        ),
    },
)


@told
async def after_close() -> None:
    await gate.wait()


@told
async def after_keep() -> None:
    await gate.wait()


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/close")
    async def close(request: Request) -> JSONResponse:
        return JSONResponse("goodbye", background=BackgroundTask(after_close))

    @app.get("/keep")
    async def keep(request: Request) -> JSONResponse:
        return JSONResponse("see you", background=BackgroundTask(after_keep))

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def close(request: Request) -> JSONResponse:
        return JSONResponse("goodbye", background=BackgroundTask(after_close))

    async def keep(request: Request) -> JSONResponse:
        return JSONResponse("see you", background=BackgroundTask(after_keep))

    return Starlette(routes=[Route("/close", close), Route("/keep", keep)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/close")
    async def close(tasks: BackgroundTasks) -> str:
        tasks.add_task(after_close)
        return "goodbye"

    @app.get("/keep")
    async def keep(tasks: BackgroundTasks) -> str:
        tasks.add_task(after_keep)
        return "see you"

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as closing, visitor.connect() as idle:
        closing.get("/close", headers="Connection: close\r\n")
        if closing.is_closed(within=3):
            visitor.say("FIN, as asked for")
        idle.get("/keep")
        if idle.is_closed(within=3):
            visitor.say("FIN, as the timer ran out")
        visitor.open_gate()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /close", "gate opens", "task.end after_close")
    seen.must_be_in_order("request.end GET /keep", "gate opens", "task.end after_keep")
    if seen.in_order("FIN, as asked for", "FIN, as the timer ran out", "gate opens"):
        return APART
    return HELD

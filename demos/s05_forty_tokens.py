"""Question: how many sync tasks until a sync endpoint has to wait?

Forty requests leave forty sync tasks behind, and each blocks its thread at the gate. Then the
client asks a ``def`` endpoint. It opens the gate when it has the answer, or when the server
says that somebody waits for a thread.

Lesson: Sync tasks share 40 threads with your sync endpoints, unless background work has threads
of its own.
"""

import anyio.to_thread

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

SERVED = "the sync endpoint answers while 40 tasks run"
WAITED = "the sync endpoint waits until one of 40 tasks has ended"
outcomes = {SERVED: 1, WAITED: 2}
expected = {"miniasgi": SERVED, "starlette": WAITED, "fastapi": WAITED}
warm_up = ("/report/0", "/sync", "/threads")
card = Card(
    answers=(
        Answer("As many as you like: threads are cheap."),
        Answer("40: then it waits until one of them has ended.", WAITED),
        Answer("None is ever too many: background work has threads of its own.", SERVED),
    ),
    part="4.1",
    threads=("encode/starlette#1724", "fastapi/fastapi#4304"),
    decisive={
        "miniasgi": ("miniasgi.concurrency:BackgroundThreads.run",),
        "starlette": ("starlette.concurrency:run_in_threadpool",),
    },
    lit=("background=", "add_task(", "def sync"),
)

running: list[int] = []


@told
def make_report(number: int) -> None:
    running.append(number)
    gate.wait_in_thread()


def threads() -> dict[str, int]:
    """How many tasks have begun, and how many calls wait for one of anyio's threads."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    return {"begun": len(running), "waiting": limiter.statistics().tasks_waiting}


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/report/{number:int}")
    async def report(request: Request) -> JSONResponse:
        task = BackgroundTask(make_report, request.path_params["number"])
        return JSONResponse("coming", background=task)

    @app.get("/sync")
    def sync(request: Request) -> JSONResponse:
        return JSONResponse("from a thread")

    @app.get("/threads")
    async def how_many(request: Request) -> JSONResponse:
        return JSONResponse(threads())

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def report(request: Request) -> JSONResponse:
        task = BackgroundTask(make_report, request.path_params["number"])
        return JSONResponse("coming", background=task)

    def sync(request: Request) -> JSONResponse:
        return JSONResponse("from a thread")

    async def how_many(request: Request) -> JSONResponse:
        return JSONResponse(threads())

    routes = [Route("/report/{number:int}", report), Route("/sync", sync)]
    return Starlette(routes=[*routes, Route("/threads", how_many)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/report/{number}")
    async def report(number: int, tasks: BackgroundTasks) -> str:
        tasks.add_task(make_report, number)
        return "coming"

    @app.get("/sync")
    def sync() -> str:
        return "from a thread"

    @app.get("/threads")
    async def how_many() -> dict[str, int]:
        return threads()

    return app


def client(visitor: Visitor) -> None:
    with (
        visitor.connect() as connection,
        visitor.connect() as other,
        visitor.connect(noted=False) as observer,
    ):
        before = observer.must_get("/threads").json()["begun"]
        connection.get("/report/1")
        for number in range(2, 40):
            observer.get(f"/report/{number}")
        connection.get("/report/40")
        visitor.wait_until(
            lambda: observer.must_get("/threads").json()["begun"] >= before + 40,
            "40 tasks have begun",
        )
        other.ask("/sync")
        while not other.wait_first_byte(within=0.01):
            if observer.must_get("/threads").json()["waiting"]:
                visitor.say("one call waits for a thread")
                visitor.rest(0.05)  # for the picture only
                break
        visitor.open_gate()
        other.read()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("request.end GET /report/40", "request.start GET /sync")
    if seen.in_order("first byte GET /sync", "gate opens", "task.end make_report"):
        return SERVED
    seen.must_be_in_order("one call waits for a thread", "gate opens", "task.end make_report")
    seen.must_be_in_order("task.end make_report", "request.end GET /sync")
    return WAITED

"""Question: is there a "last phase" of the event loop in which background tasks run?

A counter is put behind the event loop: it is called once in each iteration. Endpoint, writes
and tasks say which iteration they ran in, and in which asyncio Task.

Lesson: Endpoint, writes and async task are one step of one asyncio Task. Nothing else can run
between them. Only a sync task leaves: to a thread.
"""

import asyncio
import threading

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

ONE_STEP = "endpoint, writes and async task: one step; a sync task: in a thread"
outcomes = {ONE_STEP: 1}
expected = {"miniasgi": ONE_STEP, "starlette": ONE_STEP, "fastapi": ONE_STEP}
warm_up = ("/async", "/sync")
card = Card(
    answers=(
        Answer("Yes: when the endpoints of an iteration are done, their tasks run."),
        Answer(
            "No: endpoint, writes and async task are one step; a sync task goes to a thread.",
            ONE_STEP,
        ),
        Answer("No: the task is a Task of its own, which the loop runs when it likes."),
    ),
    part="4.1, the tick",
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__",),
        "starlette": (
            "starlette.responses:Response.__call__",
            "starlette.background:BackgroundTask.__call__",
        ),
    },
)


class Iterations:
    """Counts the iterations of the running event loop between start and stop."""

    def __init__(self) -> None:
        self.count = 0
        self._next: asyncio.Handle | None = None

    def start(self) -> None:
        self.count = 0
        self._again()

    def _again(self) -> None:
        # What is called soon is called in the next iteration, so this is called once in each.
        self._next = asyncio.get_running_loop().call_soon(self._again)
        self.count += 1

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()


iterations = Iterations()


def here() -> str:
    """Where this line runs: an iteration and a Task of the event loop, or a thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return f"in a thread, {threading.current_thread().name}"
    assert task is not None
    return f"in iteration {iterations.count} of {task.get_name()}"


def counted(app: ASGIApp) -> ASGIApp:
    """Count while ``app`` runs, and mark each write with its iteration and Task."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def send_and_mark(message: Message) -> None:
            await send(message)
            mark(f"{message['type'].removeprefix('http.')} {here()}")

        iterations.start()
        try:
            await app(scope, receive, send_and_mark)
            mark(f"return {here()}")
        finally:
            iterations.stop()

    return call


@told
async def async_task() -> None:
    mark(f"async task {here()}")


@told
def sync_task() -> None:
    mark(f"sync task {here()}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/async")
    async def with_async_task(request: Request) -> JSONResponse:
        mark(f"endpoint {here()}")
        return JSONResponse("done", background=BackgroundTask(async_task))

    @app.get("/sync")
    async def with_sync_task(request: Request) -> JSONResponse:
        mark(f"endpoint {here()}")
        return JSONResponse("done", background=BackgroundTask(sync_task))

    return counted(app)


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def with_async_task(request: Request) -> JSONResponse:
        mark(f"endpoint {here()}")
        return JSONResponse("done", background=BackgroundTask(async_task))

    async def with_sync_task(request: Request) -> JSONResponse:
        mark(f"endpoint {here()}")
        return JSONResponse("done", background=BackgroundTask(sync_task))

    return counted(
        Starlette(routes=[Route("/async", with_async_task), Route("/sync", with_sync_task)])
    )


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/async")
    async def with_async_task(tasks: BackgroundTasks) -> str:
        mark(f"endpoint {here()}")
        tasks.add_task(async_task)
        return "done"

    @app.get("/sync")
    async def with_sync_task(tasks: BackgroundTasks) -> str:
        mark(f"endpoint {here()}")
        tasks.add_task(sync_task)
        return "done"

    return counted(app)


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/async")
    with visitor.connect() as connection:
        connection.get("/sync")


def observe(seen: Seen) -> str:
    of_async, of_sync = steps(seen, "async task"), steps(seen, "sync task")
    if len(set(of_async.values())) > 1:
        return f"several steps: {of_async}"
    until_task = {of_sync[what] for what in ("endpoint", "response.start", "response.body")}
    if len(until_task) > 1 or "thread" not in of_sync["sync task"]:
        return f"not one step and a thread: {of_sync}"
    return ONE_STEP


def details(seen: Seen) -> list[str]:
    """Where each of them ran."""
    lines = []
    for task in ("async task", "sync task"):
        by_place: dict[str, list[str]] = {}
        where = steps(seen, task)
        for what, place in where.items():
            if place.startswith("in iteration") and place != where["endpoint"]:
                place = "in a later iteration"
            by_place.setdefault(place, []).append(what)
        lines += [f"{', '.join(what)}: {place}" for place, what in by_place.items()]
    return lines


def steps(seen: Seen, task: str) -> dict[str, str]:
    """Where the parts of the call with this task ran."""
    call = ("async task", "sync task").index(task)  # the order in which the client asks
    before = {
        what: seen.mark(what, call) for what in ("endpoint", "response.start", "response.body")
    }
    return {**before, task: seen.mark(task), "return": seen.mark("return", call)}

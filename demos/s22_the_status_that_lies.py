"""Question: a table says "running", and the server is killed with -9. What does it say then?

Each application keeps the state of its mails in a file: by hand around a background task, as many
do who want a status page; or it has a queue, which keeps it anyway. The server is killed in
mid-work and comes back; with a queue its own worker looks for what the dead one has left.

Lesson: Only what was committed before the answer, by something that looks for it again, survives;
and then it is done at least once. A status that is written by the one who may die says "running"
for ever. What Celery loses here as it comes needs a Redis, and has a scenario of its own.
"""

import json
import os
from pathlib import Path

from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import ADDRESS, deliver
from demos.scenario import Seen, Unforeseen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

TRUE = "begun again and done, and the status says so"
LIES = "the status says running, for ever, and nobody works"
outcomes = {TRUE: 1, LIES: 2}
expected = {
    "miniasgi": TRUE,
    "starlette": LIES,
    "fastapi": LIES,
    "starlette_queue": TRUE,
    "fastapi_queue": TRUE,
}
warm_up = ("/ping",)
card = Card(
    answers=(
        Answer("It says running, and somebody does the work again.", TRUE),
        Answer("It says running, and nobody works.", LIES),
        Answer("It says failed: the next server sees what became of it."),
    ),
    part="4.3",
    threads=("fastapi/fastapi#3",),
    decisive={
        "miniasgi": ("miniasgi.queue.promises:Promise.accept", "miniasgi.queue.store:recover"),
        "starlette": ("starlette.background:BackgroundTask.__call__",),
        "queue": ("miniasgi.queue.promises:Promise.accept", "miniasgi.queue.store:recover"),
    },
    lit=("background=", "add_task(", "accept(", "lifespan", "status"),
)

queue = Queue("mail")


class Table:
    """The state of each mail, in a file that outlives the process."""

    def __init__(self) -> None:
        self.path = Path(os.environ.get(ADDRESS, "mail")).with_name("states.json")

    def read(self) -> dict[str, str]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def write(self, to: str, state: str) -> None:
        self.path.write_text(json.dumps({**self.read(), to: state}))


@told
async def tracked_mail(to: str) -> None:
    table = Table()
    table.write(to, "running")
    await deliver(f"mail to {to}")
    table.write(to, "done")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


def status_of(job: str) -> str:
    return queue.AsyncResult(job).state


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request

    app = MiniASGI(lifespan=queue.lifespan)

    @app.get("/ping")
    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    @app.get("/signup/{to}")
    async def signup(request: Request) -> JSONResponse:
        tasks = BackgroundTasks()
        result = tasks.add_task(send_mail, request.path_params["to"])
        return JSONResponse(result.id, background=tasks)

    @app.get("/status/{id}")
    def status(request: Request) -> JSONResponse:
        return JSONResponse(status_of(request.path_params["id"]))

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

    async def signup(request: Request) -> JSONResponse:
        to = request.path_params["to"]
        return JSONResponse(to, background=BackgroundTask(tracked_mail, to))

    def status(request: Request) -> JSONResponse:
        return JSONResponse(Table().read()[request.path_params["id"]])

    routes = [Route("/ping", ping), Route("/signup/{to}", signup), Route("/status/{id}", status)]
    return Starlette(routes=routes)


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/signup/{to}")
    async def signup(to: str, tasks: BackgroundTasks) -> str:
        tasks.add_task(tracked_mail, to)
        return to

    @app.get("/status/{id}")
    def status(id: str) -> str:
        return Table().read()[id]

    return app


@application
def starlette_queue_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def ping(request: Request) -> JSONResponse:
        return JSONResponse("pong")

    async def signup(request: Request) -> JSONResponse:
        job = await send_mail.accept(request.path_params["to"])
        return JSONResponse(job.result.id, background=BackgroundTask(job))

    def status(request: Request) -> JSONResponse:
        return JSONResponse(status_of(request.path_params["id"]))

    routes = [Route("/ping", ping), Route("/signup/{to}", signup), Route("/status/{id}", status)]
    return Starlette(routes=routes, lifespan=queue.lifespan)


@application
def fastapi_queue_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI(lifespan=queue.lifespan)

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/signup/{to}")
    async def signup(to: str, tasks: BackgroundTasks) -> str:
        job = await send_mail.accept(to)
        tasks.add_task(job)
        return job.result.id

    @app.get("/status/{id}")
    def status(id: str) -> str:
        return status_of(id)

    return app


def client(visitor: MachineVisitor) -> None:
    mail = json.loads(visitor.visit("/signup/Ada"))
    visitor.next_delivery("mail to Ada")
    visitor.kill_server()
    visitor.start_server()
    if visitor.has_queue:
        visitor.take_deliveries("mail to Ada")
        visitor.wait_until(
            lambda: visitor.visit(f"/status/{mail}", noted=False) == '"SUCCESS"', "the mail is done"
        )
    else:
        visitor.visit("/signup/Bob")  # so that it is seen to work, and to find nothing of before
        visitor.take_deliveries("mail to Bob")
    visitor.say(f"the status: {json.loads(visitor.visit(f'/status/{mail}', noted=False))}")


def observe(seen: Seen) -> str:
    mails = [moment.name for moment in seen.moments if moment.place == "mail server"]
    status = seen.mark("the status:")
    seen.must_be_in_order("mail to Ada", "kill -9 server", "server is back")
    if (mails, status) == (["mail to Ada", "mail to Ada"], "SUCCESS"):
        return TRUE
    if (mails, status) == (["mail to Ada", "mail to Bob"], "running"):
        return LIES
    raise Unforeseen(f"these mails: {mails}; the status {status!r}")

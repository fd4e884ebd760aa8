"""Question: can one mail be sent later, and another one before those that wait?

One request leaves three mails in this order: a reminder for later, a newsletter, and a password
reset that somebody waits for. Then the worker is started.

Lesson: Delay and priority are columns of the job's row, so they outlive every process and cost no
memory. BackgroundTasks run in the order in which they were added, and at once.
"""

import time

from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

LATER = 0.4  #: seconds

CHOSEN = "the reset first, the newsletter after it, the reminder not before its time"
AS_ADDED = "as they were added, all at once"
outcomes = {CHOSEN: 1, AS_ADDED: 2}
expected = {
    "miniasgi": CHOSEN,
    "starlette": AS_ADDED,
    "fastapi": AS_ADDED,
    "starlette_queue": CHOSEN,
    "fastapi_queue": CHOSEN,
}
warm_up = ("/nothing",)
card = Card(
    answers=(
        Answer("No: they run as they were added, and at once.", AS_ADDED),
        Answer("Yes: `add_task` takes a delay."),
        Answer("Yes: the file knows when, and what comes first.", CHOSEN),
    ),
    part="4.2",
    decisive={
        "starlette": ("starlette.background:BackgroundTasks.add_task",),
        "miniasgi": ("miniasgi.queue.store:claim", "miniasgi.queue.store:promote"),
        "queue": ("miniasgi.queue.store:claim", "miniasgi.queue.store:promote"),
    },
    lit=("add_task(", "enqueue()"),
)

queue = Queue("mail")


@told
async def plain_mail(what: str) -> None:
    await deliver(f"mail: {what}")


@queue.task
async def send_mail(what: str) -> None:
    await deliver(f"mail: {what}")


async def enqueue() -> None:
    await send_mail.options(countdown=LATER).adelay("reminder")
    await send_mail.adelay("newsletter")
    await send_mail.options(priority=9).adelay("reset")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/mails")
    async def mails(request: Request) -> JSONResponse:
        await enqueue()
        return JSONResponse({})

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTasks
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def mails(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        for what in ("reminder", "newsletter", "reset"):
            background.add_task(plain_mail, what)
        return JSONResponse({}, background=background)

    return Starlette(routes=[Route("/mails", mails)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/mails")
    async def mails(tasks: BackgroundTasks) -> dict[str, str]:
        for what in ("reminder", "newsletter", "reset"):
            tasks.add_task(plain_mail, what)
        return {}

    return app


@application
def starlette_queue_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def mails(request: Request) -> JSONResponse:
        await enqueue()
        return JSONResponse({})

    return Starlette(routes=[Route("/mails", mails)])


@application
def fastapi_queue_app() -> ASGIApp:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/mails")
    async def mails() -> dict[str, str]:
        await enqueue()
        return {}

    return app


def client(visitor: MachineVisitor) -> None:
    asked_at = time.monotonic_ns()
    visitor.visit("/mails")
    if visitor.has_queue:
        visitor.start_worker()
    for _ in range(3):
        visitor.next_delivery("mail: ").answer()
    if visitor.has_queue:
        visitor.note(asked_at + int(LATER * 1e9), "mark", "the reminder's time")


def observe(seen: Seen) -> str:
    if "the reminder's time" in seen:
        seen.must_be_in_order("mail: reset", "mail: newsletter")
        seen.must_be_in_order("the reminder's time", "mail: reminder")
        return CHOSEN
    seen.must_be_in_order("mail: reminder", "mail: newsletter", "mail: reset")
    return AS_ADDED

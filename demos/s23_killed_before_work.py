"""Question: the client has its answer, and before the task begins the server is killed. And then?

The server is slow to return from taking the last byte; the client has read its answer, and kills
the server there, with SIGKILL. Then it starts a worker; or where there is no queue the server
again, and orders a mail to Bob.

Lesson: A 202 is a promise only if it was on disk before it was sent. What BackgroundTasks holds is
gone with its process, and nothing says so.
"""

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import ANSWERED, deliver, meeting
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

KEPT = "answered, killed before the work; another process does the work"
LOST = "answered, killed before the work; the work is never done"
outcomes = {KEPT: 1, LOST: 2}
expected = {
    "miniasgi": KEPT,
    "starlette": LOST,
    "fastapi": LOST,
    "starlette_queue": KEPT,
    "fastapi_queue": KEPT,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("The work is done when the server is back."),
        Answer("The work is never done, and nobody is told.", LOST),
        Answer("The work is done by another process.", KEPT),
    ),
    part="2.1",
    decisive={
        "miniasgi": (
            "miniasgi.responses:Response.__call__",
            "miniasgi.queue.promises:Promise.accept",
        ),
        "starlette": ("starlette.responses:Response.__call__",),
        "queue": ("miniasgi.queue.tasks:Task.accept", "miniasgi.queue.promises:Promise.accept"),
    },
)

queue = Queue("mail")


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@application
def miniasgi_app() -> ASGIApp:
    return meeting(signup.on_miniasgi(send_mail), "/signup", ANSWERED)


@application
def starlette_app() -> ASGIApp:
    return meeting(signup.on_starlette(plain_mail), "/signup", ANSWERED)


@application
def fastapi_app() -> ASGIApp:
    return meeting(signup.on_fastapi(plain_mail), "/signup", ANSWERED)


@application
def starlette_queue_app() -> ASGIApp:
    return meeting(signup.on_starlette_with_queue(send_mail), "/signup", ANSWERED)


@application
def fastapi_queue_app() -> ASGIApp:
    return meeting(signup.on_fastapi_with_queue(send_mail), "/signup", ANSWERED)


def client(visitor: MachineVisitor) -> None:
    visitor.visit("/signup/Ada")
    visitor.next_delivery(ANSWERED)
    visitor.kill_server()
    signup.take_over(visitor, "mail to Ada")


def observe(seen: Seen) -> str:
    seen.must_be_in_order("response.end GET /signup/Ada", ANSWERED, "kill -9 server")
    seen.must_be_in_order("request.end GET /signup/Ada", "kill -9 server")
    if "mail to Ada" in seen:
        seen.must_be_in_order("kill -9 server", "start queue worker", "mail to Ada")
        return KEPT
    seen.must_be_in_order("kill -9 server", "server is back", "mail to Bob")
    return LOST

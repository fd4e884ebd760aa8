"""Question: the server is killed while the task works. Is the work done?

The task waits for its mail server, which is the client. That kills the server with SIGKILL, and
starts a worker; or where there is no queue the server again, and orders a mail to Bob.

Lesson: At least once: what was begun and not finished is begun again, as attempt 2. So a task that
must not do its work twice looks at its attempt, or at its id.
"""

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.queue.store import Job
from miniasgi.types import ASGIApp

AGAIN = "begun, killed in mid-work, and begun again as attempt 2"
LOST = "begun, killed in mid-work, and never finished"
outcomes = {AGAIN: 1, LOST: 2}
expected = {
    "miniasgi": AGAIN,
    "starlette": LOST,
    "fastapi": LOST,
    "starlette_queue": AGAIN,
    "fastapi_queue": AGAIN,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("Yes: a signal waits for the work."),
        Answer("No: it was begun, and is never finished.", LOST),
        Answer("Yes: another process begins it again.", AGAIN),
    ),
    part="2.1",
    decisive={
        "starlette": ("starlette.background:BackgroundTask.__call__",),
        "miniasgi": ("miniasgi.queue.store:recover",),
        "queue": ("miniasgi.queue.store:recover",),
    },
)

queue = Queue("mail")


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task(bind=True)
async def send_mail(job: Job, to: str) -> None:
    await deliver(f"mail to {to}, attempt {job.attempt}")


@application
def miniasgi_app() -> ASGIApp:
    return signup.on_miniasgi(send_mail)


@application
def starlette_app() -> ASGIApp:
    return signup.on_starlette(plain_mail)


@application
def fastapi_app() -> ASGIApp:
    return signup.on_fastapi(plain_mail)


@application
def starlette_queue_app() -> ASGIApp:
    return signup.on_starlette_with_queue(send_mail)


@application
def fastapi_queue_app() -> ASGIApp:
    return signup.on_fastapi_with_queue(send_mail)


def client(visitor: MachineVisitor) -> None:
    visitor.visit("/signup/Ada")
    visitor.next_delivery("mail to Ada")
    visitor.kill_server()
    signup.take_over(visitor, "mail to Ada")


def observe(seen: Seen) -> str:
    if "mail to Ada, attempt 1" in seen:
        seen.must_be_in_order("mail to Ada, attempt 1", "kill -9 server", "mail to Ada, attempt 2")
        return AGAIN
    seen.must_be_in_order("mail to Ada", "kill -9 server", "server is back", "mail to Bob")
    return LOST

"""Question: a process is asked to stop while a task works. What becomes of the work?

The task waits for its mail server. The worker gets SIGTERM and a tenth of a second of grace, then
another worker is started. Where there is no queue the web server gets SIGTERM, waits for its task,
is killed when the patience of whoever deploys is over, and is started again.

Lesson: A worker that is asked to stop takes nothing new, gives back what it cannot finish, and
ends. A web server can only wait for its tasks, or lose them.
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

GIVEN_BACK = "the worker ends by itself and gives the job back; the next one does it as attempt 2"
LOST = "the server waits for its task; killed then, it loses it"
outcomes = {GIVEN_BACK: 1, LOST: 2}
expected = {
    "miniasgi": GIVEN_BACK,
    "starlette": LOST,
    "fastapi": LOST,
    "starlette_queue": GIVEN_BACK,
    "fastapi_queue": GIVEN_BACK,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("The process waits for it, for as long as it takes."),
        Answer("It is waited for, and lost when the patience ends.", LOST),
        Answer("It is given back, and another process does it.", GIVEN_BACK),
    ),
    part="4.2",
    threads=("encode/uvicorn#451", "encode/uvicorn#1950"),
    decisive={
        "starlette": ("uvicorn.server:Server.shutdown",),
        "miniasgi": ("miniasgi.queue.worker:Worker.__aexit__",),
        "queue": ("miniasgi.queue.worker:Worker.__aexit__",),
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
    worker = visitor.start_worker("--grace", "0.1") if visitor.has_queue else None
    visitor.visit("/enqueue/Ada")
    visitor.next_delivery("mail to Ada")
    if worker is not None:
        visitor.stop(worker)
    else:
        visitor.stop_server()
        visitor.kill_server()
    signup.take_over(visitor, "mail to Ada")


def observe(seen: Seen) -> str:
    if "SIGTERM queue worker" in seen:
        seen.must_be_in_order("mail to Ada, attempt 1", "SIGTERM queue worker")
        seen.must_be_in_order("queue worker has ended", "mail to Ada, attempt 2")
        return GIVEN_BACK
    seen.must_be_in_order("mail to Ada", "SIGTERM server", "kill -9 server", "mail to Bob")
    return LOST

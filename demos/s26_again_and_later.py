"""Question: the mail server is busy when the task calls. Who calls again?

The mail server refuses Ada's mail. Where a worker tries again it is refused again, and while it
waits for its third attempt the worker's only slot is free for Bob.

Lesson: A BackgroundTask is tried once. A job of the queue waits for its next attempt in the file,
with exponential backoff and jitter, and keeps nobody waiting.
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

THIRD = "refused twice, sent at the third attempt; who waits for an attempt holds no slot"
ONCE = "refused once, and never tried again"
outcomes = {THIRD: 1, ONCE: 2}
expected = {
    "miniasgi": THIRD,
    "starlette": ONCE,
    "fastapi": ONCE,
    "starlette_queue": THIRD,
    "fastapi_queue": THIRD,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("Nobody: it was tried once.", ONCE),
        Answer("The framework, at once and for ever."),
        Answer("The worker, later, and others go first meanwhile.", THIRD),
    ),
    part="4.2",
    threads=("encode/starlette#739",),
    decisive={
        "starlette": ("starlette.background:BackgroundTask.__call__",),
        "miniasgi": ("miniasgi.queue.retry:backoff", "miniasgi.queue.store:settle"),
        "queue": ("miniasgi.queue.retry:backoff", "miniasgi.queue.store:settle"),
    },
)

queue = Queue("mail")


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task(bind=True, max_retries=2, retry_backoff=0.1)
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
    if visitor.has_queue:
        visitor.start_worker()
    visitor.visit("/signup/Ada")
    delivery = visitor.next_delivery("mail to Ada")
    if visitor.has_queue:
        delivery.answer("refuse")
        delivery = visitor.next_delivery("mail to Ada")
        visitor.visit("/enqueue/Bob")
    delivery.answer("refuse")
    if visitor.has_queue:
        visitor.take_deliveries("mail to Ada, attempt 3")
    else:
        visitor.visit("/enqueue/Bob")
        visitor.take_deliveries("mail to Bob")


def observe(seen: Seen) -> str:
    if "mail to Ada, attempt 1" in seen:
        seen.must_be_in_order(
            "mail to Ada, attempt 1",
            "mail to Ada, attempt 2",
            "mail to Bob, attempt 1",
            "mail to Ada, attempt 3",
        )
        return THIRD
    seen.must_be_in_order("mail to Ada", "task.failed plain_mail", "mail to Bob")
    return ONCE

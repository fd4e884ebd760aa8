"""Question: one machine is not enough, the jobs go to a broker. What changes in the application?

A sign-up leaves a mail to Ada behind it. The mail server refuses it once, and then takes it; the
client asks what has become of the job. miniasgi has its queue in a file. ``miniasgi on Redis`` is
the same application, started with another ``MINIASGI_BROKER``: a Celery worker does the work.

Lesson: The URL chooses the engine, and no line of the application changes. A BackgroundTask has
nothing to change: no id to ask for, no second try, no other process.
"""

import json

from demos import signup
from demos.broker_machine import BrokerMachine, BrokerVisitor, if_there_is_a_redis
from demos.card import Answer, Card
from demos.post import deliver
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.queue.store import Job
from miniasgi.types import ASGIApp

AGAIN = "refused once, tried again by another process; its id tells that it was done"
ONCE = "refused once and not tried again; there is no id to ask for"
outcomes = {AGAIN: 1, ONCE: 2}
expected = {
    "miniasgi": AGAIN,
    "starlette": ONCE,
    "fastapi": ONCE,
    "starlette_queue": AGAIN,
    "fastapi_queue": AGAIN,
    "miniasgi_redis": if_there_is_a_redis(AGAIN),
}
warm_up = ("/signup/Eve",)
place = BrokerMachine
card = Card(
    answers=(
        Answer("Every call: each engine has its own way to put a job in."),
        Answer("Nothing but a URL that it is started with.", AGAIN),
        Answer("There is nothing to move: the work is done where it was asked for, once.", ONCE),
    ),
    part="2.1",
    lit=("background=", "add_task(", "accept("),
    decisive={
        "miniasgi": ("miniasgi.queue.tasks:Queue.__init__",),
        "starlette": ("starlette.background:BackgroundTask.__call__",),
        "queue": ("miniasgi.queue.tasks:Task.accept",),
    },
)

queue = Queue("mail")


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task(bind=True, max_retries=2, retry_backoff=0.1)
async def send_mail(job: Job, to: str) -> str:
    await deliver(f"mail to {to}, attempt {job.attempt}")
    return f"sent at attempt {job.attempt}"


@application
def miniasgi_app() -> ASGIApp:
    return signup.on_miniasgi(send_mail)


miniasgi_redis_app = miniasgi_app  # the URL of the broker is its environment's


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


def client(visitor: BrokerVisitor) -> None:
    if visitor.has_queue:
        worker = visitor.start_worker()
    job = json.loads(visitor.visit("/signup/Ada")).get("job")
    visitor.next_delivery("mail to Ada").answer("refuse")
    if job is None:
        visitor.visit("/enqueue/Bob")
        visitor.take_deliveries("mail to Bob")
    else:
        visitor.take_deliveries("mail to Ada, attempt 2")
        visitor.stop(worker)
        visitor.look_up(job)


def observe(seen: Seen) -> str:
    if "mail to Ada, attempt 1" in seen:
        seen.must_be_in_order(
            "mail to Ada, attempt 1", "mail to Ada, attempt 2", "SUCCESS: sent at attempt 2"
        )
        return AGAIN
    seen.must_be_in_order("mail to Ada", "task.failed plain_mail", "mail to Bob")
    return ONCE

"""Question: a Celery worker is killed while a task works. Is the work done?

The task waits for its mail server, which is the client. That kills the worker and its children with
SIGKILL, and starts another. FastAPI has Celery with the settings that it comes with: there the
client first sees the broker empty, and orders a mail to Bob at last. miniasgi has its queue in a
file, and then on a Redis, where the worker is Celery's too.

Lesson: By default Celery acknowledges a job before it begins it, so a worker that dies takes its
jobs along. Acknowledged late, a job is handed out again: set `task_acks_late` and
`task_reject_on_worker_lost`, or let the queue set them.
"""

from demos import signup
from demos.broker_machine import VISIBLE, BrokerMachine, BrokerVisitor, if_there_is_a_redis
from demos.card import Answer, Card
from demos.post import deliver
from demos.scenario import Seen, no_such_thing
from demos.stage import application
from miniasgi.queue import Queue
from miniasgi.queue.store import Job
from miniasgi.types import ASGIApp

AGAIN = "begun, its worker killed, and begun again by the next as attempt 2"
LOST = "begun, its worker killed; the broker holds nothing, the next worker does other work"
outcomes = {AGAIN: 1, LOST: 2}
expected = {
    "miniasgi": AGAIN,
    "starlette": no_such_thing("Celery is the same beside Starlette as beside FastAPI"),
    "fastapi": if_there_is_a_redis(LOST),
    "miniasgi_redis": if_there_is_a_redis(AGAIN),
}
warm_up = ("/enqueue/Eve",)
place = BrokerMachine
card = Card(
    answers=(
        Answer("Yes: the broker keeps a job until it is done.", AGAIN),
        Answer("No: the broker has forgotten it when it begins.", LOST),
        Answer("The parent process of the worker does it."),
    ),
    part="2.3",
    threads=("celery/celery#1628", "celery/celery#7924"),
    lit=(".delay(", ".adelay("),
    decisive={
        "miniasgi": ("miniasgi.queue.store:recover",),
        "miniasgi_redis": ("miniasgi.queue.celery_application:application",),
        "fastapi": ("celery.worker.request:Request.execute_using_pool",),
    },
)

queue = Queue("mail", visibility_timeout=VISIBLE)


@queue.task(bind=True)
async def send_mail(job: Job, to: str) -> None:
    await deliver(f"mail to {to}, attempt {job.attempt}")


@application
def miniasgi_app() -> ASGIApp:
    return signup.on_miniasgi(send_mail)


miniasgi_redis_app = miniasgi_app  # the URL of the broker is its environment's


@application
def fastapi_app() -> ASGIApp:
    from fastapi import FastAPI

    from demos.celery_as_it_comes import send_mail

    app = FastAPI()

    @app.get("/enqueue/{to}")
    def enqueue(to: str) -> dict[str, str]:
        job = send_mail.delay(to)
        return {"job": job.id}

    return app


def client(visitor: BrokerVisitor) -> None:
    worker = visitor.start_worker()
    visitor.visit("/enqueue/Ada")
    visitor.next_delivery("mail to Ada")
    if visitor.framework == "fastapi":
        visitor.wait_until_the_broker_holds(0)
    visitor.kill(worker)
    if visitor.framework == "fastapi":
        visitor.start_worker()
        visitor.visit("/enqueue/Bob")
        visitor.take_deliveries("mail to Bob")
    else:
        visitor.start_worker()
        visitor.take_deliveries("mail to Ada")


def observe(seen: Seen) -> str:
    if "mail to Ada, attempt 1" in seen:
        worker = "kill -9 queue worker"
        seen.must_be_in_order("mail to Ada, attempt 1", worker, "mail to Ada, attempt 2")
        return AGAIN
    seen.must_be_in_order(
        "mail to Ada", "the broker holds 0", "kill -9 queue worker", "mail to Bob"
    )
    return LOST

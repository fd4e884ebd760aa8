"""Question: a job is due later than the broker waits for a worker. How often does it run?

That time is Celery's visibility timeout: an hour, here a second. When a mail to Eve has shown that
the worker works, a mail to Ada is ordered for three seconds later. It is delivered; then it comes
again, or a mail to Bob does, ordered for a second later. The queue on a Redis has an outbox.

Lesson: A job that waits in a worker's memory has been taken and not acknowledged, so Redis hands it
out again, and again. Let a job wait where time is not counted against it: in a file of jobs, or in
an outbox. Without an outbox the queue refuses such a call.
"""

import os

from demos.broker_machine import (
    OUTBOX,
    VISIBLE,
    BrokerMachine,
    BrokerVisitor,
    if_there_is_a_redis,
)
from demos.card import Answer, Card
from demos.post import deliver
from demos.scenario import Seen, no_such_thing
from demos.stage import application
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

ONCE = "the job runs once, when it is due"
SEVERAL = "the job is run again, by whoever was handed it again"
outcomes = {ONCE: 1, SEVERAL: 2}
expected = {
    "miniasgi": ONCE,
    "starlette": no_such_thing("BackgroundTasks run at once; Celery is the same as on FastAPI"),
    "fastapi": if_there_is_a_redis(SEVERAL),
    "miniasgi_redis": if_there_is_a_redis(ONCE),
}
warm_up = ("/later/0/Eve",)
place = BrokerMachine
card = Card(
    answers=(
        Answer("Once, when it is due.", ONCE),
        Answer("Several times, at once.", SEVERAL),
        Answer("Once, but when the broker's time is over: too early."),
    ),
    part="2.3",
    threads=("celery/kombu#337", "celery/celery#2599"),
    lit=("countdown=",),
    decisive={
        "miniasgi": ("miniasgi.queue.store:claim",),
        "miniasgi_redis": ("miniasgi.queue.outbox:OutboxEngine.aput",),
        "fastapi": ("kombu.transport.redis:QoS.restore_visible",),
    },
)
LATER = 3 * VISIBLE

queue = Queue("mail", visibility_timeout=VISIBLE, outbox=os.environ.get(OUTBOX))


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/later/{seconds:int}/{to}")
    async def later(request: Request) -> JSONResponse:
        options = send_mail.options(countdown=request.path_params["seconds"])
        job = await options.adelay(request.path_params["to"])
        return JSONResponse({"job": job.id})

    return app


miniasgi_redis_app = miniasgi_app  # the URL of the broker is its environment's


@application
def fastapi_app() -> ASGIApp:
    from fastapi import FastAPI

    from demos.celery_as_it_comes import send_mail

    app = FastAPI()

    @app.get("/later/{seconds}/{to}")
    def later(seconds: int, to: str) -> dict[str, str]:
        job = send_mail.apply_async((to,), countdown=seconds)
        return {"job": job.id}

    return app


def client(visitor: BrokerVisitor) -> None:
    visitor.start_worker()
    visitor.take_deliveries("mail to Eve")
    visitor.visit(f"/later/{LATER:.0f}/Ada")
    if visitor.framework == "fastapi":
        visitor.take_deliveries("mail to Ada")
        visitor.take_deliveries("mail to Ada")
    else:
        visitor.visit(f"/later/{LATER + 1:.0f}/Bob")
        visitor.take_deliveries("mail to Bob")


def observe(seen: Seen) -> str:
    times = [moment.name for moment in seen.moments].count("mail to Ada")
    if times > 1:
        return SEVERAL
    seen.must_be_in_order("request.end GET /later/3/Ada", "mail to Ada", "mail to Bob")
    return ONCE

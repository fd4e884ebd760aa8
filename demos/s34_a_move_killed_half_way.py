"""Question: eight jobs are moved to another broker, and the mover is killed half-way. And then?

The mover is killed with SIGKILL when it has published four, and started again. miniasgi moves from
a file to a Redis, with `miniasgi move`; FastAPI has Celery, and `celery migrate` from one Redis to
another. When the second mover has ended a worker at the new broker does what it finds, and it is
counted what the old one still holds.

Lesson: A move is safe if it can be killed at any moment and run again: each job under its own id,
taken out of the old place only when the new one has it, and skipped where it is found twice.
"""

import json

from demos.broker_machine import BrokerMachine, BrokerVisitor, if_there_is_a_redis
from demos.card import Answer, Card
from demos.mover import MEETING
from demos.post import deliver
from demos.scenario import Seen, no_such_thing
from demos.stage import application
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

JOBS = 8
MOVED = "all jobs are done at the new broker, none twice; the old place holds none"
COPIED = "all jobs are done at the new broker; the old one holds them all, to be done again"
outcomes = {MOVED: 1, COPIED: 2}
expected = {
    "miniasgi": if_there_is_a_redis(MOVED),
    "starlette": no_such_thing("BackgroundTasks hold nothing that could be moved"),
    "fastapi": if_there_is_a_redis(COPIED),
}
warm_up = ()
place = BrokerMachine
card = Card(
    answers=(
        Answer("All are done, none twice, and nothing is left behind.", MOVED),
        Answer("Those that the dead mover held are lost."),
        Answer("All are done, and the old broker still has them all.", COPIED),
    ),
    part="2.1",
    threads=("celery/celery#6347",),
    lit=("delay(",),
    decisive={
        "miniasgi": ("miniasgi.queue.move:move", "miniasgi.queue.celery:CeleryEngine.publish"),
        "fastapi": ("celery.contrib.migrate:migrate_task",),
    },
)

queue = Queue("mail")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/letters/{number:int}")
    async def letters(request: Request) -> JSONResponse:
        jobs = [await send_mail.adelay(str(n + 1)) for n in range(request.path_params["number"])]
        return JSONResponse({"jobs": [job.id for job in jobs]})

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import FastAPI

    from demos.celery_as_it_comes import send_mail

    app = FastAPI()

    @app.get("/letters/{number}")
    def letters(number: int) -> dict[str, list[str]]:
        jobs = [send_mail.delay(str(n + 1)) for n in range(number)]
        return {"jobs": [job.id for job in jobs]}

    return app


def client(visitor: BrokerVisitor) -> None:
    jobs = json.loads(visitor.visit(f"/letters/{JOBS}"))["jobs"]
    first = visitor.start_mover("--meet", str(JOBS // 2))
    visitor.next_delivery(MEETING)
    visitor.kill(first)
    visitor.wait_for_end(visitor.start_mover())
    visitor.say(f"left at the old place: {visitor.left(jobs)}")
    worker = visitor.work_at_the_new_broker()
    for number in range(JOBS):
        visitor.take_deliveries(f"mail to {number + 1}")
    visitor.stop(worker)


def observe(seen: Seen) -> str:
    seen.must_be_in_order(
        MEETING, "kill -9 mover", "start mover 2", "mover 2 has ended", "mail to 1"
    )
    mails = [moment.name for moment in seen.moments if moment.name.startswith("mail to ")]
    if sorted(mails) != [f"mail to {number + 1}" for number in range(JOBS)]:
        return f"unforeseen: {mails}"
    left = seen.mark("left at the old place:")
    return {"0": MOVED, str(JOBS): COPIED}.get(left, f"unforeseen: {left} are left")

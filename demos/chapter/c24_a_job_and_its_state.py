"""Question: a letter and a list go to the queue. Who takes them, and what is said of them later?

The tutorial's second part, on FastAPI with Celery and a Redis as it has it, on miniasgi with its
own queue, in a file and on such a Redis. The client posts a letter, asks for its state while it is
written and when it has been sent, posts a list of numbers as JSON, and asks for a job that nobody
knows.

Lesson: FastAPI takes a bare `list` for uploaded files, and its check of what is returned makes a
500 of every job that has a result. Celery calls a job pending that does not exist.
"""

import time

from demos.card import Answer, Card
from demos.chapter import NOT_TYPED, must_be_answered, post
from demos.chapter.tutorial_machine import TutorialMachine
from demos.machine import MachineVisitor
from demos.post import PATIENCE
from demos.redis_server import why_not
from demos.scenario import Seen, no_such_thing
from demos.stage import application
from miniasgi.types import ASGIApp

WORKS = "letter and list are queued; each job tells its result; an unknown one is UNKNOWN"
FAILS = "the letter is queued, the list a 422; a job with a result is a 500; an unknown one PENDING"
RUNNING = ("200 STARTED None", "200 PENDING None")  # Celery's say so only if told to
outcomes = {WORKS: 1, FAILS: 2}
expected = {
    "miniasgi": WORKS,
    "starlette": NOT_TYPED,
    "fastapi": no_such_thing(why_not()) if why_not() else FAILS,
    "miniasgi_redis": no_such_thing(why_not()) if why_not() else WORKS,
}
warm_up = ("/jobs/warm-up",)
needs = ("celery", "redis")
place = TutorialMachine
card = Card(
    answers=(
        Answer("Both are taken, and both tell their result.", WORKS),
        Answer("Only the letter is taken; when it has been sent its state cannot be read.", FAILS),
        Answer("Both are taken; no result can be read before the client waits for it."),
    ),
    part="2.4",
    order=24,
    lit=("numbers: list", "str | None]", ".delay("),
    decisive={
        "miniasgi": ("miniasgi.queue.results:AsyncResult.result", "miniasgi.inputs:guessed"),
        "fastapi": (
            "fastapi.routing:serialize_response",
            "fastapi.dependencies.utils:analyze_param",
        ),
    },
)


@application
def miniasgi_app() -> ASGIApp:
    from demos.chapter.jobs import add_up, post_letter, queue
    from miniasgi import MiniASGI as FastAPI

    app: FastAPI = FastAPI()

    @app.post("/letters")
    async def letters(to: str, subject: str, text: str) -> dict[str, str]:
        job = post_letter.delay(to, subject, text)
        return {"job": job.id, "status": "queued"}

    @app.post("/sums")
    async def sums(numbers: list) -> dict[str, str]:
        job = add_up.delay(numbers)
        return {"job": job.id, "status": "queued"}

    @app.get("/jobs/{job_id}")
    async def state(job_id: str) -> dict[str, str | None]:
        job = queue.AsyncResult(job_id)
        return {
            "job": job.id,
            "status": job.state,
            "result": job.result if job.ready() else None,
        }

    return app


miniasgi_redis_app = miniasgi_app  # the broker's URL is the worker's and the server's environment


@application
def fastapi_app() -> ASGIApp:
    from fastapi import FastAPI

    from demos.chapter.celery_jobs import add_up, post_letter, queue

    app: FastAPI = FastAPI()

    @app.post("/letters")
    async def letters(to: str, subject: str, text: str) -> dict[str, str]:
        job = post_letter.delay(to, subject, text)
        return {"job": job.id, "status": "queued"}

    @app.post("/sums")
    async def sums(numbers: list) -> dict[str, str]:
        job = add_up.delay(numbers)
        return {"job": job.id, "status": "queued"}

    @app.get("/jobs/{job_id}")
    async def state(job_id: str) -> dict[str, str | None]:
        job = queue.AsyncResult(job_id)
        return {
            "job": job.id,
            "status": job.state,
            "result": job.result if job.ready() else None,
        }

    return app


def client(visitor: MachineVisitor) -> None:
    letter = post(visitor, "/letters?to=Ada&subject=Engines&text=...").json()["job"]
    visitor.start_worker()
    delivery = visitor.next_delivery("a letter to Ada")
    visitor.say(f"while it runs: {asked(visitor, letter)}")
    delivery.answer()
    visitor.say(f"after its end: {asked_at_its_end(visitor, letter)}")
    sums = post(visitor, "/sums", [1, 2, 3])
    visitor.say(f"the list: {sums.status}")
    if sums.status == 200:
        visitor.say(f"the sum: {asked_at_its_end(visitor, sums.json()['job'])}")
    visitor.say(f"of no job: {asked(visitor, 'no-such-job')}")


def asked(visitor: MachineVisitor, job: str, *, noted: bool = True) -> str:
    """What is said of a job: status, state and result."""
    with visitor.connect(noted=noted) as connection:
        reply = connection.get(f"/jobs/{job}")
    if reply is None or reply.status != 200:
        return "no reply" if reply is None else str(reply.status)
    said = reply.json()
    return f"200 {said['status']} {said['result']}"


def asked_at_its_end(visitor: MachineVisitor, job: str) -> str:
    """The same, as soon as it is not that the job waits or runs."""
    until = time.monotonic() + PATIENCE
    while asked(visitor, job, noted=False) in RUNNING and time.monotonic() < until:
        visitor.rest(0.002)
    return asked(visitor, job)


def observe(seen: Seen) -> str:
    must_be_answered(seen, "POST /letters", 200)
    seen.must_be_in_order("request.end POST /letters", "a letter to Ada")
    if seen.mark("while it runs:") not in RUNNING:
        return f"unforeseen: while it runs, {seen.mark('while it runs:')}"
    said = [seen.mark(words) for words in ("after its end:", "the list:", "of no job:")]
    if said == ["200 SUCCESS {'status': 'sent', 'to': 'Ada'}", "200", "200 UNKNOWN None"]:
        if seen.mark("the sum:") == "200 SUCCESS {'sum': 6, 'count': 3}":
            return WORKS
    elif said == ["500", "422", "200 PENDING None"]:
        return FAILS
    return f"unforeseen: {said}"

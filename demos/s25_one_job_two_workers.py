"""Question: a worker is frozen in mid-work. Does another one take its job?

One worker takes job 1 and is stopped with SIGSTOP, as a debugger or a full memory does. Another
worker starts, looks for the jobs of dead owners, and does jobs 2 to 5. Then the first goes on, and
both share jobs 6 to 9.

Lesson: The kernel knows who is dead, so no lease runs out and nothing runs twice because somebody
was slow. Not the wall clock decides, but a lock that falls with its process.
"""

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen, Unforeseen
from demos.stage import application
from miniasgi.queue import Queue
from miniasgi.queue.store import Job
from miniasgi.types import ASGIApp

ONCE = "the frozen worker keeps its job; nine jobs begin once each, on two workers"
outcomes = {ONCE: 1}
expected = {"miniasgi": ONCE, "starlette": ONCE, "fastapi": ONCE}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("Yes: it has not been heard of for too long."),
        Answer("No: the job stays its own until it is dead.", ONCE),
        Answer("Yes, and the job is done twice."),
    ),
    part="4.2",
    decisive={
        "miniasgi": ("miniasgi.queue.owners:is_alive", "miniasgi.queue.store:recover"),
        "starlette": ("miniasgi.queue.owners:is_alive", "miniasgi.queue.store:recover"),
    },
)

queue = Queue("mail")


@queue.task(bind=True)
async def send_mail(job: Job, to: str) -> None:
    await deliver(f"mail to {to}, attempt {job.attempt}")


@application
def miniasgi_app() -> ASGIApp:
    return signup.on_miniasgi(send_mail)


@application
def starlette_app() -> ASGIApp:
    return signup.on_starlette_with_queue(send_mail)


@application
def fastapi_app() -> ASGIApp:
    return signup.on_fastapi_with_queue(send_mail)


def client(visitor: MachineVisitor) -> None:
    frozen = visitor.start_worker()
    visitor.visit("/enqueue/1")
    first = visitor.next_delivery("mail to 1")
    visitor.freeze(frozen)
    visitor.start_worker()
    for job in range(2, 6):
        visitor.visit(f"/enqueue/{job}")
        visitor.take_deliveries(f"mail to {job}")
    visitor.thaw(frozen)
    first.answer()
    for job in range(6, 10):
        visitor.visit(f"/enqueue/{job}")
    for _ in range(6, 10):
        visitor.take_deliveries("mail")


def observe(seen: Seen) -> str:
    mails = sorted(moment.name for moment in seen.moments if moment.place == "mail server")
    if mails != [f"mail to {job}, attempt 1" for job in range(1, 10)]:
        raise Unforeseen(f"these mails: {'; '.join(mails)}")
    seen.must_be_in_order("mail to 1, attempt 1", "SIGSTOP queue worker", "mail to 5, attempt 1")
    seen.must_be_in_order("mail to 5, attempt 1", "SIGCONT queue worker", "mail to 9, attempt 1")
    return ONCE

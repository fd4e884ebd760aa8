"""Question: a job kills every process that touches it. Does that end?

Ada's mail makes its process kill itself, as a bug in a C library would. Bob's mail stands beside
it. Then workers are started until the job is at its end, which here is after two crashes; or where
there is no queue the server again, which gets a mail to Cid.

Lesson: Crashes are counted apart from failures. After ``max_crashes`` the job is a failure that is
listed with its reason, and its neighbours go on.
"""

import json

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

ENDS = "two processes die, then the job is a failure with a reason; its neighbour's work is done"
FORGOTTEN = "the server dies, and with it the neighbour's work; nothing is known of either"
outcomes = {ENDS: 1, FORGOTTEN: 2}
expected = {
    "miniasgi": ENDS,
    "starlette": FORGOTTEN,
    "fastapi": FORGOTTEN,
    "starlette_queue": ENDS,
    "fastapi_queue": ENDS,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("No: it is begun again for ever, and kills for ever."),
        Answer("Yes: with the first crash, which takes its neighbours along.", FORGOTTEN),
        Answer("Yes: after some crashes it is a failure with a reason.", ENDS),
    ),
    part="4.2",
    decisive={
        "starlette": ("starlette.background:BackgroundTask.__call__",),
        "miniasgi": ("miniasgi.queue.store:recover",),
        "queue": ("miniasgi.queue.store:recover",),
    },
)

queue = Queue("mail", max_crashes=2)


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


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
    answer = visitor.visit("/signup/Ada")
    poison = visitor.next_delivery("mail to Ada")
    visitor.visit("/enqueue/Bob")
    if not visitor.has_queue:
        visitor.next_delivery("mail to Bob")
    poison.answer("die")
    visitor.wait_for_death()
    if visitor.has_queue:
        worker = visitor.start_worker()
        visitor.next_delivery("mail to Ada").answer("die")
        visitor.wait_for_death(worker)
        visitor.start_worker()
        visitor.take_deliveries("mail to Bob")
        visitor.look_up(json.loads(answer)["job"])
    else:
        visitor.start_server()
        visitor.visit("/enqueue/Cid")
        visitor.take_deliveries("mail to Cid")


def observe(seen: Seen) -> str:
    if "queue worker is dead" in seen:
        failure = "FAILURE: worker died, 2 times so far"
        seen.must_be_in_order("server is dead", "queue worker is dead", "mail to Bob", failure)
        return ENDS
    seen.must_be_in_order("mail to Bob", "server is dead", "server is back", "mail to Cid")
    return FORGOTTEN

"""Question: the server may handle four requests at a time. When does it refuse the fifth?

uvicorn runs with ``--limit-concurrency 4``. Four sign-ups are answered one after the other, each
leaves a mail behind it, and its client hangs up. While the four mails wait for their mail server a
fifth client asks for something small.

Lesson: Background tasks occupy the slots of requests: four answered clients are enough to refuse a
fifth. A job that is handed to a worker occupies none, be it in the same process.
"""

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import deliver
from demos.scenario import Seen, Unforeseen
from demos.stage import application, told
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

FREE = "the fifth is answered while four mails wait"
TAKEN = "the fifth gets a 503 while four mails wait for clients that are gone"
outcomes = {FREE: 1, TAKEN: 2}
expected = {
    "miniasgi": FREE,
    "starlette": TAKEN,
    "fastapi": TAKEN,
    "starlette_queue": FREE,
    "fastapi_queue": FREE,
}
warm_up = ("/signup/Eve",)
options = {"limit_concurrency": 4}
card = Card(
    answers=(
        Answer("Only while four are being answered.", FREE),
        Answer("Also while the tasks of four that were answered still run.", TAKEN),
        Answer("Never: it has to wait."),
    ),
    part="4.2",
    threads=("encode/uvicorn#3029", "encode/uvicorn#1811"),
    decisive={
        "miniasgi": ("miniasgi.queue.promises:Promise.__call__",),
        "starlette": (
            "starlette.responses:Response.__call__",
            "uvicorn.protocols.http.h11_impl:H11Protocol.handle_events",
        ),
        "queue": ("miniasgi.queue.promises:Promise.__call__",),
    },
    lit=("background=", "add_task(", "lifespan"),
)

queue = Queue("mail")


@told
async def plain_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


@application
def miniasgi_app() -> ASGIApp:
    return signup.on_miniasgi(send_mail, lifespan=queue.lifespan)


@application
def starlette_app() -> ASGIApp:
    return signup.on_starlette(plain_mail)


@application
def fastapi_app() -> ASGIApp:
    return signup.on_fastapi(plain_mail)


@application
def starlette_queue_app() -> ASGIApp:
    return signup.on_starlette_with_queue(send_mail, lifespan=queue.lifespan)


@application
def fastapi_queue_app() -> ASGIApp:
    return signup.on_fastapi_with_queue(send_mail, lifespan=queue.lifespan)


def client(visitor: MachineVisitor) -> None:
    mails = []
    for name in ("Ada", "Bob", "Cid", "Dan"):
        visitor.visit(f"/signup/{name}")
        mails.append(visitor.next_delivery(f"mail to {name}"))
    with visitor.connect() as connection:
        connection.get("/nothing")  # a 404 is an answer of the application, a 503 is the server's
    visitor.say("the mails are answered")
    for mail in mails:
        mail.answer()


def observe(seen: Seen) -> str:
    seen.must_be_in_order("mail to Dan", "request.start GET /nothing", "the mails are answered")
    status = seen["request.end GET /nothing"].detail
    if status not in ("404", "503"):
        raise Unforeseen(f"status {status}")
    return FREE if status == "404" else TAKEN

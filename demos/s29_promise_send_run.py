"""Question: when is a job put into the queue: before the answer, or after it?

Three ways, one queue. miniasgi promises: ``background.add_task(send_mail, ...)``. Starlette calls
``delay`` before it returns the response, FastAPI in a background task; beside them both promise
too, with ``accept``. First the answer to Ada is held back before its first byte, while a worker
takes what it can get, and a mail to Bob that is ordered then. Then the answer to Cid is sent, a
mail to Dan is ordered, and the server is killed before the background begins.

Lesson: Put in before the answer, a job may start before the answer. Put in after it, the job may be
lost. A promise is on disk before the first byte and starts after the last.
"""

from demos import signup
from demos.card import Answer, Card
from demos.machine import MachineVisitor
from demos.post import ANSWERED, ANSWERING, deliver, meeting
from demos.scenario import Seen
from demos.stage import application
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp

NEITHER = "neither before its answer nor lost"
EARLY = "the work is done before the answer is sent"
LOST = "answered, killed, and the work is lost"
outcomes = {NEITHER: 1, EARLY: 2, LOST: 2}
expected = {
    "miniasgi": NEITHER,
    "starlette": EARLY,
    "fastapi": LOST,
    "starlette_queue": NEITHER,
    "fastapi_queue": NEITHER,
}
warm_up = ("/signup/Eve",)
card = Card(
    answers=(
        Answer("Before it: the work may be done before the answer is sent.", EARLY),
        Answer("After it: a server that is killed in between loses the work.", LOST),
        Answer("Promised before it, begun after it.", NEITHER),
    ),
    part="2.4",
    decisive={
        "miniasgi": (
            "miniasgi.responses:Response.__call__",
            "miniasgi.queue.promises:Promise.accept",
        ),
        "starlette": ("miniasgi.queue.tasks:Task.adelay",),
        "fastapi": ("miniasgi.queue.tasks:Task.adelay", "starlette.responses:Response.__call__"),
        "queue": ("miniasgi.queue.tasks:Task.accept", "miniasgi.queue.promises:Promise.accept"),
    },
    lit=("background=", "add_task(", "adelay(", "accept("),
)

queue = Queue("mail")


@queue.task
async def send_mail(to: str) -> None:
    await deliver(f"mail to {to}")


def slow(app: ASGIApp) -> ASGIApp:
    return meeting(meeting(app, "/signup/Ada", ANSWERING), "/signup/Cid", ANSWERED)


@application
def miniasgi_app() -> ASGIApp:
    return slow(signup.on_miniasgi(send_mail))


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def enqueue(request: Request) -> JSONResponse:
        result = await send_mail.adelay(request.path_params["to"])
        return JSONResponse({"job": result.id})

    return slow(Starlette(routes=[Route("/signup/{to}", enqueue), Route("/enqueue/{to}", enqueue)]))


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup/{to}")
    async def sign_up(to: str, tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(send_mail.adelay, to)
        return {}

    @app.get("/enqueue/{to}")
    async def enqueue(to: str) -> dict[str, str]:
        result = await send_mail.adelay(to)
        return {"job": result.id}

    return slow(app)


@application
def starlette_queue_app() -> ASGIApp:
    return slow(signup.on_starlette_with_queue(send_mail))


@application
def fastapi_queue_app() -> ASGIApp:
    return slow(signup.on_fastapi_with_queue(send_mail))


def client(visitor: MachineVisitor) -> None:
    worker = visitor.start_worker()
    with visitor.connect() as connection:
        connection.ask("/signup/Ada")
        answer = visitor.next_delivery(ANSWERING)
        visitor.visit("/enqueue/Bob", noted=False)
        visitor.take_deliveries("mail to Bob")
        answer.answer()
        connection.read()
    if not visitor.has_taken("mail to Ada"):
        visitor.take_deliveries("mail to Ada")
    visitor.stop(worker)

    visitor.visit("/signup/Cid")
    visitor.next_delivery(ANSWERED)
    visitor.visit("/enqueue/Dan", noted=False)
    visitor.kill_server()
    visitor.start_worker()
    visitor.take_deliveries("mail to Dan")


def observe(seen: Seen) -> str:
    seen.must_be_in_order(ANSWERING, "mail to Bob", "response.start GET /signup/Ada")
    seen.must_be_in_order("request.end GET /signup/Cid", "kill -9 server", "mail to Dan")
    is_early = seen.in_order("mail to Ada", "mail to Bob")
    is_lost = "mail to Cid" not in seen
    if is_early:
        return "both" if is_lost else EARLY
    seen.must_be_in_order("response.end GET /signup/Ada", "mail to Ada")
    return LOST if is_lost else NEITHER

"""Question: does the client wait for a background task?

One request, answered with a task behind it. The task waits for its mail server, which is the
client: it lets the task go on after it has read its answer. So if the answer had to wait for
the task, both would wait for ever.

Lesson: The task is the rest of the same call: response, then task, then the app returns.
"""

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.types import ASGIApp

ANSWERED = "the answer, then the task, then the app returns"
outcomes = {ANSWERED: 1}
expected = {"miniasgi": ANSWERED, "starlette": ANSWERED, "fastapi": ANSWERED}
warm_up = ("/signup",)
card = Card(
    answers=(
        Answer("No: the answer is sent, and then the task runs.", ANSWERED),
        Answer("Yes: the task runs first, and its result decides the answer."),
        Answer("The two run at the same time, and the quicker one wins."),
        Answer("The task runs in a process of its own."),
    ),
    part="1.1",
    threads=("encode/starlette#59",),
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__",),
        "starlette": ("starlette.responses:Response.__call__",),
    },
)


@told
async def send_mail() -> None:
    await gate.wait()


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request

    app = MiniASGI()

    @app.get("/signup")
    async def signup(request: Request) -> JSONResponse:
        return JSONResponse({"welcome": "Ada"}, background=BackgroundTask(send_mail))

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        return JSONResponse({"welcome": "Ada"}, background=BackgroundTask(send_mail))

    return Starlette(routes=[Route("/signup", signup)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup")
    async def signup(tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(send_mail)
        return {"welcome": "Ada"}

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/signup")
        visitor.rest(0.05)  # for the picture only
        visitor.open_gate()


def observe(seen: Seen) -> str:
    seen.must_be_in_order(
        "response.end GET /signup",
        "task.start send_mail",
        "task.end send_mail",
        "app.end GET /signup",
    )
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.end send_mail")
    return ANSWERED

"""Question: a Response that does what the tutorial's sketch of Starlette does. What happens?

The sketch calls its background with scope, receive and send. Here it is, as a response of one's
own; a task is added, and the client asks.

Lesson: A background is called without arguments. As the sketch has it the client gets its 200, and
then the call fails: the task never runs, and only the log knows.
"""

from typing import Any

from demos.card import Answer, Card
from demos.chapter import must_be_answered
from demos.scenario import Seen, Visitor, no_such_thing
from demos.stage import application, told
from miniasgi.types import ASGIApp

NEVER = "200, then a TypeError in the log; the task never runs"
outcomes = {NEVER: 1}
expected = {
    "miniasgi": NEVER,
    "starlette": no_such_thing("its responses are FastAPI's"),
    "fastapi": NEVER,
}
warm_up = ()
card = Card(
    answers=(
        Answer("It runs the task after the response."),
        Answer("200, and the task never runs.", NEVER),
        Answer("500, and the task never runs."),
    ),
    part="4.1, the sketch",
    lit=("background(",),
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__",),
        "starlette": ("starlette.responses:Response.__call__",),
    },
)


@told
def write_down() -> None: ...


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, Response
    from miniasgi import MiniASGI as FastAPI

    class Sketch(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            background, self.background = self.background, None
            await super().__call__(scope, receive, send)
            if background:
                await background(scope, receive, send)

    app: FastAPI = FastAPI()

    @app.get("/")
    async def give():
        return Sketch("as sketched", background=BackgroundTask(write_down))

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import FastAPI, Response
    from starlette.background import BackgroundTask

    class Sketch(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            background, self.background = self.background, None
            await super().__call__(scope, receive, send)
            if background:
                await background(scope, receive, send)

    app: FastAPI = FastAPI()

    @app.get("/")
    async def give():
        return Sketch("as sketched", background=BackgroundTask(write_down))

    return app


def client(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.get("/")


def observe(seen: Seen) -> str:
    must_be_answered(seen, "GET /", 200)
    if "task.start write_down" in seen or not seen.has_log("TypeError"):
        return "the task runs"
    return NEVER

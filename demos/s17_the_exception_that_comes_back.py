"""Question: a task fails. Does the endpoint's dependency hear of it?

Two sign-ups, each with a session from a dependency with ``yield``, each with a task that fails. The
first dependency lets exceptions pass. The second swallows them, as one does that rolls back and
is content with that.

Lesson: Since FastAPI 0.118 a task's exception is thrown into the dependency, long after the answer:
what swallows it there hides it, and the log speaks of something else. It was so before 0.106 too,
but in the log. On miniasgi a task's exception is the task's.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from demos.card import Answer, Card
from demos.scenario import Seen, Unforeseen, Visitor, no_such_thing
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

KEPT = "it does not; the log has both failures"
LOGGED = "it does; swallowed there, the failure is in the log all the same"
BACK = "it does; swallowed there, the failure is gone and the log speaks of something else"
outcomes = {KEPT: 1, LOGGED: 2, BACK: 3}
expected = {
    "miniasgi": KEPT,
    "starlette": no_such_thing("Starlette has no dependencies"),
    "fastapi": BACK,
}
warm_up = ("/ping",)
card = Card(
    answers=(
        Answer("No: the session was the endpoint's, and that had succeeded.", KEPT),
        Answer("Yes: it is thrown in at the yield, and may be swallowed.", BACK),
        Answer("Yes, but only to look at: it goes on in any case."),
    ),
    part="4.1, the diagram",
    threads=("fastapi/fastapi#10831", "fastapi/fastapi#981", "fastapi/fastapi#14262"),
    decisive={
        "miniasgi": ("miniasgi.dependencies:Exits.__call__", "miniasgi.dependencies:enter"),
        "fastapi": ("fastapi.routing:request_response",),
    },
    lit=("Depends(", "add_task("),
)


async def get_passing() -> AsyncIterator[str]:
    try:
        yield "session"
    except ValueError:
        mark("the dependency hears of it")
        raise


async def get_swallowing() -> AsyncIterator[str]:
    try:
        yield "session"
    except ValueError:
        mark("the dependency swallows it")


@told
async def send_mail(session: str) -> None:
    raise ValueError("no such address")


@told
async def send_parcel(session: str) -> None:
    raise ValueError("no such street")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks, Depends, MiniASGI

    app = MiniASGI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/mail")
    async def mail(session: Annotated[str, Depends(get_passing)], tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail, session)
        return "welcome"

    @app.get("/parcel")
    async def parcel(
        session: Annotated[str, Depends(get_swallowing)], tasks: BackgroundTasks
    ) -> str:
        tasks.add_task(send_parcel, session)
        return "welcome"

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, Depends, FastAPI

    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/mail")
    async def mail(session: Annotated[str, Depends(get_passing)], tasks: BackgroundTasks) -> str:
        tasks.add_task(send_mail, session)
        return "welcome"

    @app.get("/parcel")
    async def parcel(
        session: Annotated[str, Depends(get_swallowing)], tasks: BackgroundTasks
    ) -> str:
        tasks.add_task(send_parcel, session)
        return "welcome"

    return app


def client(visitor: Visitor) -> None:
    for path in ("/mail", "/parcel"):
        with visitor.connect() as connection:
            connection.get(path)
        visitor.rest(0.02)  # for the picture only


def observe(seen: Seen) -> str:
    seen.must_be_in_order("response.end GET /mail", "task.failed send_mail")
    seen.must_be_in_order("response.end GET /parcel", "task.failed send_parcel")
    if not seen.has_log("no such address"):
        raise Unforeseen("the first failure is nowhere in the log")
    if seen.in_order("task.failed send_mail", "the dependency hears of it"):
        seen.must_be_in_order("task.failed send_parcel", "the dependency swallows it")
        if seen.has_log("no such street"):
            return LOGGED
        return BACK
    if not seen.has_log("no such street"):
        raise Unforeseen("the second failure is nowhere in the log")
    return KEPT

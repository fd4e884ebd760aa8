"""Question: a dependency gives the endpoint a session and closes it. Does the task still have it?

The pool holds a single connection, and the session takes it. The task waits, and looks at the
session when it goes on. Meanwhile another client asks for an endpoint that needs a session too; the
task goes on when that one is answered, or when the server says that it waits for the pool.

Lesson: On FastAPI from 0.118 on the task has its session, and everybody else waits for the
connection; from 0.106 to 0.117 it was closed before the answer. miniasgi closes it after the last
byte and before the task, unless ``Depends(..., scope="request")`` asks for FastAPI's way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from demos.card import Answer, Card
from demos.scenario import Seen, Unforeseen, Visitor, no_such_thing
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

FREE = "closed after the last byte, before the task; the next request has the connection"
HELD = "open in the task; the next request waits for the connection until the task has ended"
EARLY = "closed before the answer is sent; the next request has the connection"
outcomes = {FREE: 1, HELD: 2, EARLY: 2}
expected = {
    "miniasgi": FREE,
    "starlette": no_such_thing("Starlette has no dependencies"),
    "fastapi": HELD,
}
warm_up = ("/other", "/waiting")
card = Card(
    answers=(
        Answer("Yes: it is closed when the task has ended, and others wait for it.", HELD),
        Answer("No: it is closed before the answer is sent.", EARLY),
        Answer("No: it is closed after the answer and before the task.", FREE),
    ),
    part="4.1, the diagram",
    threads=("fastapi/fastapi#10831", "fastapi/fastapi#11143", "fastapi/fastapi#14262"),
    decisive={
        "miniasgi": ("miniasgi.dependencies:Exits.__call__",),
        "fastapi": ("fastapi.routing:request_response",),
    },
    lit=("Depends(", "add_task("),
)


class Pool:
    """One connection; ``waiting`` says how many want it in vain."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self.waiting = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        self.waiting += 1
        async with self._free:
            self.waiting -= 1
            yield


class Session:
    is_open = True


pool = Pool()


async def get_session() -> AsyncIterator[Session]:
    async with pool.connection():
        session = Session()
        yield session
        session.is_open = False
        mark("the session is closed")


@told
async def send_mail(session: Session) -> None:
    await gate.wait()
    mark(f"in the task the session is {'open' if session.is_open else 'closed'}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks, Depends, MiniASGI

    app = MiniASGI()

    @app.get("/signup")
    async def signup(
        session: Annotated[Session, Depends(get_session)], tasks: BackgroundTasks
    ) -> str:
        tasks.add_task(send_mail, session)
        return "welcome"

    @app.get("/other")
    async def other(session: Annotated[Session, Depends(get_session)]) -> str:
        return "hello"

    @app.get("/waiting")
    async def waiting() -> int:
        return pool.waiting

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, Depends, FastAPI

    app = FastAPI()

    @app.get("/signup")
    async def signup(
        session: Annotated[Session, Depends(get_session)], tasks: BackgroundTasks
    ) -> str:
        tasks.add_task(send_mail, session)
        return "welcome"

    @app.get("/other")
    async def other(session: Annotated[Session, Depends(get_session)]) -> str:
        return "hello"

    @app.get("/waiting")
    async def waiting() -> int:
        return pool.waiting

    return app


def client(visitor: Visitor) -> None:
    with (
        visitor.connect() as connection,
        visitor.connect() as another,
        visitor.connect(noted=False) as observer,
    ):
        connection.get("/signup")
        another.ask("/other")
        while not another.wait_first_byte(within=0.01):
            if observer.must_get("/waiting").json():
                visitor.say("it waits for the pool")
                visitor.rest(0.05)  # for the picture only
                break
        visitor.open_gate()
        another.read()


def observe(seen: Seen) -> str:
    state = seen.mark("in the task the session is")
    seen.must_be_in_order("request.end GET /signup", "gate opens", "task.end send_mail")
    if state == "open":
        seen.must_be_in_order("it waits for the pool", "gate opens", "task.end send_mail")
        seen.must_be_in_order("task.end send_mail", "the session is closed")
        seen.must_be_in_order("the session is closed", "request.end GET /other")
        return HELD
    seen.must_be_in_order("first byte GET /other", "gate opens")
    if seen.in_order("the session is closed", "response.start GET /signup"):
        return EARLY
    if not seen.in_order(
        "response.end GET /signup", "the session is closed", "task.start send_mail"
    ):
        raise Unforeseen("the session is closed in the middle of something")
    return FREE

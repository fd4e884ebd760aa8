"""Question: a task is put on record as it runs. What does the GET of its state say meanwhile?

The tutorial's last sample: the task gets a coroutine object to await, and writes down how that
went. The endpoint that is asked for the state answers the same to everybody. The client asks it
while the work runs, and about work that nobody began.

Lesson: The record is right, and nobody reads it: the GET is a constant. And as it is printed this
sample runs nowhere, for it names `asyncio.Coroutine`, which no Python has.
"""

import asyncio
from collections.abc import Coroutine

from demos.card import Answer, Card
from demos.chapter import NOT_TYPED, must_be_answered, post
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

MADE_UP = "the record says running, then completed or failed; the GET says completed from the start"
outcomes = {MADE_UP: 1}
expected = {"miniasgi": MADE_UP, "starlette": NOT_TYPED, "fastapi": MADE_UP}
warm_up = ("/works/0",)
card = Card(
    answers=(
        Answer("That it is running."),
        Answer("That it is completed; and so is what nobody began.", MADE_UP),
        Answer("404, for what nobody began."),
    ),
    part="4.3",
    lit=("add_task(", '"completed"'),
    decisive={
        "miniasgi": ("miniasgi.background:BackgroundTasks.add_task",),
        "starlette": ("starlette.background:BackgroundTasks.add_task",),
    },
)


async def work(fails: bool) -> str:
    await gate.wait()
    if fails:
        raise ValueError("no paper left")
    return "done"


@told
async def run_on_record(number: int, coroutine: Coroutine) -> None:
    mark(f"record of {number}: running")
    try:
        result = await coroutine
        mark(f"record of {number}: completed, {result}")
    except Exception as exc:
        mark(f"record of {number}: failed, {exc}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks
    from miniasgi import MiniASGI as FastAPI

    app: FastAPI = FastAPI()

    @app.post("/works/{number}")
    async def begin(
        number: int, background_tasks: BackgroundTasks, fails: bool = False
    ) -> dict[str, int | str]:
        background_tasks.add_task(run_on_record, number, work(fails))
        return {"number": number, "status": "pending"}

    @app.get("/works/{number}")
    async def read(number: int) -> dict[str, int | str]:
        return {"number": number, "status": "completed", "result": "done"}

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app: FastAPI = FastAPI()

    @app.post("/works/{number}")
    async def begin(
        number: int, background_tasks: BackgroundTasks, fails: bool = False
    ) -> dict[str, int | str]:
        background_tasks.add_task(run_on_record, number, work(fails))
        return {"number": number, "status": "pending"}

    @app.get("/works/{number}")
    async def read(number: int) -> dict[str, int | str]:
        return {"number": number, "status": "completed", "result": "done"}

    return app


def client(visitor: Visitor) -> None:
    for path in ("/works/7", "/works/8?fails=yes"):
        visitor.say(f"said: {post(visitor, path).json()['status']}")
    for number in (7, 999):
        with visitor.connect() as connection:
            state = connection.must_get(f"/works/{number}").json()["status"]
        visitor.say(f"of {number}: {state}")
    visitor.open_gate()


def observe(seen: Seen) -> str:
    must_be_answered(seen, "POST /works/7", 200)
    must_be_answered(seen, "POST /works/8", 200)
    seen.must_be_in_order("record of 7: running", "gate opens", "record of 7: completed, done")
    if seen.mark("record of 7:") != "running":  # the answer said pending, the record never does
        return f"the record begins with {seen.mark('record of 7:')}"
    seen.must_be_in_order("record of 8: running", "record of 8: failed, no paper left")
    seen.must_be_in_order("said: pending", "of 7: completed", "of 999: completed", "gate opens")
    return MADE_UP


def details(seen: Seen) -> list[str]:
    """What becomes of the sample as it is printed, on whatever framework."""
    try:
        asyncio.Coroutine  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as exc:
        return [f"as it is printed the sample cannot be imported: {exc}"] if seen.moments else []
    return []

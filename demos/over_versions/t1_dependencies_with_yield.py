"""Question: which versions of FastAPI close a dependency before the task, and which after it?

The two scenarios on dependencies with ``yield`` in one application, `demos.s16_whose_session` and
`demos.s17_the_exception_that_comes_back`, and two questions more: a dependency that adds a task
after its ``yield``, and one that is asked for with ``scope="function"``.

Lesson: Before 0.106 and from 0.118 on the task has its session, and everybody else waits for the
connection; in between the session was closed before the answer.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from demos import s16_whose_session as s16
from demos import s17_the_exception_that_comes_back as s17
from demos.scenario import Seen, Visitor, no_such_thing
from demos.stage import application, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

FRAMEWORK = "fastapi"
VERSIONS = ("0.105.0", "0.106.0", "0.117.1", "0.118.0", "0.121.0")  #: and today's

#: What is looked up, and what it says of the FastAPI of today.
COLUMNS = {
    "the code after `yield` runs": "after the task",
    "in the task the session is": "open",
    "the next one who needs the connection": "waits for the task",
    "an exception of the task reaches it": "yes",
    "where it is swallowed, the log has": "something else",
    "a task that is added after `yield`": "never runs",
    'with `scope="function"` the session is': "closed before the answer",
}
outcomes = {"; ".join(f"{column}: {cell}" for column, cell in COLUMNS.items()): 1}
expected = {
    "miniasgi": no_such_thing("this is about FastAPI's versions"),
    "starlette": no_such_thing("Starlette has no dependencies"),
    "fastapi": next(iter(outcomes)),
}
warm_up = ("/other", "/waiting", "/ping")


@told
async def send_late_mail() -> None:
    pass


@told
async def send_last_mail(session: s16.Session) -> None:
    mark(f"in the last task the session is {'open' if session.is_open else 'closed'}")


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, Depends, FastAPI

    app = FastAPI()
    for scenario in (s16, s17):
        app.include_router(scenario.fastapi_app.build().router)

    async def get_and_tell(tasks: BackgroundTasks) -> AsyncIterator[None]:
        yield
        tasks.add_task(send_late_mail)

    @app.get("/late", dependencies=[Depends(get_and_tell)])
    async def late() -> str:
        return "welcome"

    async def get_own_session() -> AsyncIterator[s16.Session]:
        session = s16.Session()
        yield session
        session.is_open = False
        mark("the last session is closed")

    try:
        for_function = Depends(get_own_session, scope="function")
    except TypeError:  # before 0.121
        return app

    @app.get("/last")
    async def last(session: Annotated[s16.Session, for_function], tasks: BackgroundTasks) -> str:
        tasks.add_task(send_last_mail, session)
        return "welcome"

    return app


def client(visitor: Visitor) -> None:
    s16.client(visitor)
    s17.client(visitor)
    for path in ("/late", "/last"):
        with visitor.connect() as connection:
            connection.get(path)


def cells(seen: Seen) -> dict[str, str]:
    """What was seen, a cell for each column."""
    session, failure = s16.observe(seen), s17.observe(seen)
    is_back = "the dependency hears of it" in seen
    is_late = "task.start send_late_mail" in seen
    own = "no such parameter"
    if "task.start send_last_mail" in seen:
        seen.must_be_in_order("the last session is closed", "response.start GET /last")
        own = "closed before the answer"
    row = (
        {s16.HELD: "after the task", s16.EARLY: "before the answer"}.get(session, session),
        seen.mark("in the task the session is"),
        "waits for the task" if session == s16.HELD else "is answered meanwhile",
        "yes" if is_back else "no",
        ("something else" if failure == s17.BACK else "the task's exception") if is_back else "-",
        "runs" if is_late else "never runs",
        own,
    )
    return dict(zip(COLUMNS, row, strict=True))


def observe(seen: Seen) -> str:
    return "; ".join(f"{column}: {cell}" for column, cell in cells(seen).items())

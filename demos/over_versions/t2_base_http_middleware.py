"""Question: what did a BaseHTTPMiddleware that does nothing change, and in which Starlette?

The same application twice in one server: ``/plain`` bare, ``/through`` behind a BaseHTTPMiddleware
that only hands on. A task waits, and the next request is sent on the same connection; a task waits,
and the client leaves; a task fails. Whoever waits is known by the order of answers: another
connection is answered twenty times meanwhile.

Lesson: Whether the middleware keeps the connection, cancels the task or swallows its exception has
changed with almost every version; without it, nothing has.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from demos.scenario import Seen, Unforeseen, Visitor, VisitorConnection, no_such_thing
from demos.stage import application, told
from miniasgi.types import ASGIApp, Receive, Scope, Send

FRAMEWORK = "starlette"
VERSIONS = ("0.13.8", "0.20.4", "0.27.0", "0.37.2", "0.45.0")  #: and today's

#: What is looked up, and what it says of the Starlette of today.
COLUMNS = {
    "the next request on the connection": "is answered meanwhile",
    "the client stays: its task": "completes",
    "the client leaves: its task": "completes",
    "a task fails: the client has": "200",
    "... and the log has": "the exception",
    "without the middleware": "is answered meanwhile, completes, completes, 200, the exception",
}
outcomes = {"; ".join(f"{column}: {cell}" for column, cell in COLUMNS.items()): 1}
expected = {
    "miniasgi": no_such_thing("it has no BaseHTTPMiddleware"),
    "starlette": next(iter(outcomes)),
    "fastapi": no_such_thing("it has Starlette's"),
}
warm_up = ("/plain/ping", "/through/ping")
WAYS = ("through", "plain")

#: Each task waits at a gate of its own: the one of the stage opens for all at once.
gates: dict[str, asyncio.Event] = {}


def gate_of(name: str) -> asyncio.Event:
    return gates.setdefault(name, asyncio.Event())


def waits_at(name: str) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        await asyncio.wait_for(gate_of(name).wait(), 5)

    task.__name__ = f"task_of_{name}"
    return told(task)


def fails(name: str) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        raise ValueError(f"no such address: {name}")

    task.__name__ = f"failing_{name}"
    return told(task)


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def ping(request: Request) -> PlainTextResponse:
        return PlainTextResponse("pong")

    async def wait(request: Request) -> PlainTextResponse:
        task = waits_at(request.path_params["name"])
        return PlainTextResponse("welcome", background=BackgroundTask(task))

    async def go(request: Request) -> PlainTextResponse:
        gate_of(request.path_params["name"]).set()
        return PlainTextResponse("gone")

    async def fail(request: Request) -> PlainTextResponse:
        task = fails(request.path_params["name"])
        return PlainTextResponse("welcome", background=BackgroundTask(task))

    async def hand_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    def routes(way: str) -> list[Route]:
        return [
            Route(f"/{way}/ping", ping),
            Route(f"/{way}/wait/{{name}}", wait),
            Route(f"/{way}/go/{{name}}", go),
            Route(f"/{way}/fail/{{name}}", fail),
        ]

    plain = Starlette(routes=routes("plain"))
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=hand_on)]
    through = Starlette(routes=routes("through"), middleware=middleware)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        app = through if scope.get("path", "").startswith("/through/") else plain
        await app(scope, receive, send)

    return either


def client(visitor: Visitor) -> None:
    for way in WAYS:
        with visitor.connect(noted=False) as observer:
            _ask_for_the_next(visitor, observer, way)
            _leave(visitor, observer, way)
        with visitor.connect() as connection:
            connection.get(f"/{way}/fail/{way}_failure")


def _ask_for_the_next(visitor: Visitor, observer: VisitorConnection, way: str) -> None:
    """On the same connection, while the task of the request before it waits."""
    with visitor.connect() as connection:
        connection.get(f"/{way}/wait/{way}_next")
        try:
            connection.ask(f"/{way}/ping")
            connection.is_kept_waiting(lambda: observer.must_get("/plain/go/nobody"))
            visitor.say(f"{way}: the gate opens")
            observer.must_get(f"/plain/go/{way}_next")
            connection.read()
        except OSError:
            visitor.say(f"{way}: the connection is closed")
            observer.must_get(f"/plain/go/{way}_next")


def _leave(visitor: Visitor, observer: VisitorConnection, way: str) -> None:
    """Close the connection while the task waits."""
    with visitor.connect() as connection:
        connection.get(f"/{way}/wait/{way}_gone")
    for _ in range(20):  # by then the server has noticed
        observer.must_get("/plain/go/nobody")
    observer.must_get(f"/plain/go/{way}_gone")


def _row(seen: Seen, way: str) -> tuple[str, ...]:
    if seen[f"request.end GET /{way}/wait/{way}_next"].detail != "200":
        errors = [moment.name for moment in seen.moments if moment.place == "log"]
        raise Unforeseen(f"does not run on this Python: {', '.join(errors[:1])}")
    failure = seen[f"request.end GET /{way}/fail/{way}_failure"].detail
    is_logged = seen.has_log(f"no such address: {way}_failure")
    return (
        _following(seen, way),
        _end_of(seen, f"task_of_{way}_next"),
        _end_of(seen, f"task_of_{way}_gone"),
        failure,
        "the exception" if is_logged else "nothing",
    )


def _following(seen: Seen, way: str) -> str:
    opened, answered = f"{way}: the gate opens", f"request.end GET /{way}/ping"
    if f"request.failed GET /{way}/ping" in seen or f"{way}: the connection is closed" in seen:
        return "finds the connection closed"
    if seen.in_order(f"first byte GET /{way}/ping", opened):
        return "is answered meanwhile"
    seen.must_be_in_order(opened, f"task.end task_of_{way}_next", answered)
    return "waits for the task"


def _end_of(seen: Seen, task: str) -> str:
    return "completes" if f"task.end {task}" in seen else "is cancelled"


def cells(seen: Seen) -> dict[str, str]:
    """What was seen, a cell for each column."""
    row = (*_row(seen, "through"), ", ".join(_row(seen, "plain")))
    return dict(zip(COLUMNS, row, strict=True))


def observe(seen: Seen) -> str:
    return "; ".join(f"{column}: {cell}" for column, cell in cells(seen).items())

"""The same five endpoints among the same 20 routes, once for each framework, with its defaults.

A case is one request and the only right answer to it. Each module here serves all five cases as
that framework's users would write them, and `demos.benchmarks.driver.check` holds every one to the
same status, body and content-type before anything is measured: all do the same work or none is
timed. A background task leaves a mark in `ran`, which is how it is seen to have run.
"""

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# Not taken from miniasgi.types: the process that serves one framework imports no other.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Everything is measured against the first.
FRAMEWORKS = ("bare", "miniasgi", "starlette", "fastapi", "blacksheep")


@dataclass(frozen=True)
class Case:
    """One request, and the answer that is expected of it (always with status 200)."""

    name: str
    method: str
    path: str
    reply: bytes
    content_type: str = "application/json"
    body: bytes = b""
    background: bool = False


_PERSON = b'{"name":"Ada Lovelace","email":"ada@example.org","tags":["a","b"]}'

PLAINTEXT = Case("plaintext", "GET", "/", b"Hello, world!", "text/plain; charset=utf-8")
JSON = Case("json", "GET", "/items/42", b'{"id":42,"name":"item 42"}')
ECHO = Case("echo", "POST", "/echo", _PERSON, body=_PERSON)
AFTER_ASYNC = Case("after-async", "GET", "/after/async", b'{"accepted":true}', background=True)
AFTER_SYNC = Case("after-sync", "GET", "/after/sync", b'{"accepted":true}', background=True)
CASES = (PLAINTEXT, JSON, ECHO, AFTER_ASYNC, AFTER_SYNC)

#: In the order in which they are registered. All that have an id share one endpoint.
ROUTES: tuple[tuple[str, str], ...] = (
    ("GET", "/"),
    ("GET", "/users/{id}"),
    ("GET", "/after/async"),
    ("POST", "/echo"),
    ("GET", "/after/sync"),
    ("GET", "/teams/{id}"),
    ("GET", "/files/{id}"),
    ("GET", "/notes/{id}"),
    ("GET", "/tags/{id}"),
    ("GET", "/orders/{id}"),
    ("GET", "/carts/{id}"),
    ("GET", "/shops/{id}"),
    ("GET", "/items/{id}"),  # the thirteenth: a router that scans has most of its way behind it
    ("GET", "/prices/{id}"),
    ("GET", "/stocks/{id}"),
    ("GET", "/events/{id}"),
    ("GET", "/rooms/{id}"),
    ("GET", "/maps/{id}"),
    ("GET", "/photos/{id}"),
    ("GET", "/songs/{id}"),
)

#: A mark for each background task that has run. Bounded, so that a long run does not grow.
ran: deque[None] = deque(maxlen=10_000)


async def after_async() -> None:
    ran.append(None)


def after_sync() -> None:
    ran.append(None)


def load(framework: str) -> ASGIApp:
    """The application of one framework. SystemExit, in one sentence, if it is not installed."""
    if framework not in FRAMEWORKS:
        raise SystemExit(f"no framework {framework!r} here; known: {', '.join(FRAMEWORKS)}")
    try:
        module = import_module(f"{__name__}.{framework}_app")
    except ModuleNotFoundError as exc:
        if exc.name != framework:
            raise
        raise SystemExit(
            f"{framework} is not installed: pip install '.[bench]', or choose others with --only"
        ) from exc
    app: ASGIApp = module.app
    return app


def load_all(only: Sequence[str]) -> dict[str, ASGIApp]:
    """The chosen applications; the bare one is always among them, for all ratios are to it."""
    return {name: load(name) for name in dict.fromkeys((FRAMEWORKS[0], *only))}

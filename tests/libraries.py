"""Starlette and miniasgi behind the same names, and what a call on either has as its outcome.

A case is a function of a library: ``lambda lib: lib.PlainTextResponse("hi")`` makes a response of
Starlette or one of ours.
"""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import starlette.applications
import starlette.background
import starlette.datastructures
import starlette.exceptions
import starlette.middleware
import starlette.requests
import starlette.responses
import starlette.routing

import miniasgi
import miniasgi.datastructures
import miniasgi.routing
from miniasgi.types import ASGIApp, Message, Scope
from tests.asgi import body_of, http, receiving, request, words

Lib: TypeAlias = SimpleNamespace
Make: TypeAlias = Callable[[Lib], ASGIApp]

STARLETTE: Lib = SimpleNamespace(App=starlette.applications.Starlette)
for _module in (
    starlette.background,
    starlette.exceptions,
    starlette.middleware,
    starlette.requests,
    starlette.responses,
    starlette.routing,
    starlette.datastructures,
):
    vars(STARLETTE).update(
        {name: value for name, value in vars(_module).items() if isinstance(value, type)}
    )

MINIASGI: Lib = SimpleNamespace(App=miniasgi.MiniASGI, NoMatchFound=miniasgi.routing.NoMatchFound)
vars(MINIASGI).update({name: getattr(miniasgi, name) for name in miniasgi.__all__})
for _name in ("URL", "Address", "Headers", "MutableHeaders", "QueryParams", "State"):
    setattr(MINIASGI, _name, getattr(miniasgi.datastructures, _name))


async def outcome(app: ASGIApp, scope: Scope, *incoming: Message) -> tuple[list[Message], str]:
    """The messages, and what was raised in the end, in words."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receiving(*(incoming or [request()])), send)
    except Exception as exc:
        return sent, f"raises {type(exc).__name__}: {exc}"
    return sent, "returns"


async def said(app: ASGIApp, scope: Scope, *incoming: Message) -> Any:
    """What a client can see of an outcome, and what the server is left with."""
    messages, end = await outcome(app, scope, *incoming)
    if not messages:
        return end
    start = messages[0]
    headers = [
        # Starlette's is a set of words, in no order.
        (name, b", ".join(sorted(value.split(b", "))) if name == b"allow" else value)
        for name, value in start["headers"]
    ]
    is_complete = len(messages) > 1 and not messages[-1].get("more_body", False)
    return start["status"], headers, body_of(messages), is_complete, end


async def told(app: ASGIApp, scope: Scope | None = None, *incoming: Message) -> str:
    """An outcome message by message: ``start 200, body 'hi', returns``."""
    messages, end = await outcome(app, scope or http(), *incoming)
    return "; ".join([*map(words, messages), end])


# What several cases ask of both


def show(lib: Lib) -> Callable[[Any], Awaitable[Any]]:
    async def show(asked: Any) -> Any:
        return lib.PlainTextResponse(
            f"{asked.method} {asked.path_params} {asked.scope.get('root_path')}"
        )

    return show


def show_plain(lib: Lib) -> Callable[[Any], Any]:
    def show_plain(asked: Any) -> Any:
        return lib.JSONResponse({"path": asked.scope["path"]})

    return show_plain


class Teapot(Exception):
    pass


class SmallTeapot(Teapot):
    pass


def failing(lib: Lib, exc: Exception, **options: Any) -> Any:
    async def fail(asked: Any) -> Any:
        raise exc

    return lib.App(routes=[lib.Route("/", fail)], **options)


def handler(lib: Lib, text: str, kind: str = "async") -> Any:
    async def handle(asked: Any, exc: Exception) -> Any:
        return lib.PlainTextResponse(f"{text} {exc} {asked.scope['path']}", 418)

    def handle_plain(asked: Any, exc: Exception) -> Any:
        return lib.PlainTextResponse(f"{text} {exc} {asked.scope['path']}", 418)

    return {"async": handle, "plain": handle_plain}[kind]

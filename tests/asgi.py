"""The server's end of an ASGI call, by hand: a scope, messages in, messages out.

`miniasgi.testing.Client` plays a whole server. Here is less, for tests that hold a message back,
fail in ``send``, or compare two frameworks message by message.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

DISCONNECT: Message = {"type": "http.disconnect"}
#: Seconds after which a wait that should have ended is a failure, and no test hangs for ever.
PATIENCE = 10.0


def http(
    path: str = "/",
    method: str = "GET",
    *,
    headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]] = (),
    spec_version: str = "2.3",
    **more: Any,
) -> dict[str, Any]:
    """A scope as uvicorn makes it; ``more`` adds keys or takes the place of some."""
    path, _, query = path.partition("?")
    if isinstance(headers, Mapping):
        headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 8000),
        **more,
    }


def request(body: bytes = b"", more_body: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


def receiving(*messages: Message) -> Receive:
    """A ``receive`` that gives these messages, then waits as a server does while nobody leaves."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    return receive


def sending(order: list[str]) -> Send:
    """A ``send`` that writes what it takes, in words, into the one list that a test asserts."""

    async def send(message: Message) -> None:
        order.append(words(message))

    return send


def words(message: Message) -> str:
    """``start 200``, ``body 'Hello'``, ``body 'Hel', more``; a long body as its length."""
    if message["type"] == "http.response.start":
        return f"start {message['status']}"
    if message["type"] != "http.response.body":
        return str(message["type"])
    body = bytes(message.get("body", b""))
    shown = f"{len(body)} bytes" if len(body) > 100 else repr(body.decode())
    return f"body {shown}{', more' if message.get('more_body') else ''}"


async def serve(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Await the application to its end. Raises what it raises, TimeoutError if it has no end."""
    with anyio.fail_after(PATIENCE):
        await app(scope, receive, send)


async def call(app: ASGIApp, scope: Scope | None = None, *incoming: Message) -> list[Message]:
    """`serve` the application, with these messages to receive: what it has sent.

    Without messages the request is one without a body.
    """
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await serve(app, scope or http(), receiving(*(incoming or [request()])), send)
    return sent


def body_of(messages: list[Message]) -> bytes:
    return b"".join(bytes(message.get("body", b"")) for message in messages)


def headers_of(messages: list[Message]) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in messages[0]["headers"]}

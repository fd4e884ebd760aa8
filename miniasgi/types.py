"""The shapes that everything else speaks: one ASGI call, and the two moments of a background.

An ASGI application is one coroutine function, called once for each request::

    async def app(scope, receive, send): ...

``scope`` says what was asked, ``receive`` brings the body, ``send`` takes the answer. All three are
the server's. Source: ASGI 3.0, "Applications" and "HTTP & WebSocket ASGI Message Format".

``Background`` is the whole seam between the web and a queue. Rule of this file: no behaviour.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

#: What was asked: ``{"type": "http", "method": "GET", "path": "/", "headers": [...], ...}``.
Scope: TypeAlias = MutableMapping[str, Any]
#: One event in either direction: ``{"type": "http.response.body", "body": b"...", ...}``.
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Background(Protocol):
    """Work that belongs to a response: promised before its first byte, run after its last.

    A response awaits ``accept()``, sends, and awaits the background itself. If it could not be sent
    to the end, it awaits ``abandon()`` in the place of the run. Every accept is followed by exactly
    one of the two.
    """

    async def accept(self, *others: "Background") -> None:
        """Promise this work, and the ``others`` of the same response: all of them or none.

        Whatever it raises reaches the client as an error, because nothing has been sent yet. An
        exception with a ``status_code`` is answered with that status.
        """

    async def __call__(self) -> None:
        """Run the work, or hand it to whoever will. The last byte has been handed to the server."""

    async def abandon(self, because: BaseException) -> None:
        """The response failed: say what will not run, and let go of what was promised."""


#: What a response takes: a background, or nothing.
Later: TypeAlias = Background | None

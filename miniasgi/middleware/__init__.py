"""What stands around the endpoints, from the outside in::

    errors -> your ASGI middleware -> your functions -> exceptions -> endpoint

- *ASGI middleware* is a class (or function) that takes an application and returns one. It sees
  messages, and anything that speaks ASGI fits.
- *A function* ``async def f(request, call_next)`` gets the response as an object, its background
  still on it: nothing was sent yet, and nothing is delayed, reordered or lost.

Both are registered with ``Middleware(cls, *args, **kwargs)`` and composed once, at the first call.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from miniasgi.concurrency import is_async_callable
from miniasgi.requests import Request
from miniasgi.responses import Response
from miniasgi.types import ASGIApp, Receive, Scope, Send


class Middleware:
    """One middleware with its arguments, made when the stack is built."""

    def __init__(self, cls: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs

    @property
    def is_function(self) -> bool:
        """Is it the form ``async def f(request, call_next)``?"""
        return is_async_callable(self.cls)

    def around(self, inner: Any) -> Any:
        """Wrap an application, or for a function the next ``request -> response``."""
        if not self.is_function:
            return self.cls(inner, *self.args, **self.kwargs)

        async def call_next(request: Request) -> Response:
            response = await inner(request)
            return response if isinstance(response, Response) else ForeignResponse(response)

        async def respond(request: Request) -> ASGIApp:
            return await self.cls(request, call_next, *self.args, **self.kwargs)  # type: ignore[no-any-return]

        return respond

    def __repr__(self) -> str:
        return f"Middleware({getattr(self.cls, '__name__', self.cls)})"


class ForeignResponse(Response):
    """What a mounted application will answer: not known yet, but headers can be added to it."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self.app = app
        self.raw_headers = []

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.raw_headers]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
        return True


CallNext = Callable[[Request], Awaitable[Response]]

"""What stands around the endpoints, from the outside in::

    errors -> your ASGI middleware -> your functions -> exceptions -> endpoint

- *ASGI middleware* is a class (or function) that takes an application and returns one. It sees
  messages, and anything that speaks ASGI fits.
- *A function* ``async def f(request, call_next)`` gets the response as an object, its background
  still on it: nothing was sent yet, and nothing is delayed, reordered or lost. Below a `Mount` the
  object is the mounted application: what it will answer is not known yet.

Both are registered with ``Middleware(cls, *args, **kwargs)`` and composed once, at the first call.
"""

from collections.abc import Callable
from typing import Any

from miniasgi.background import BackgroundTasks
from miniasgi.concurrency import is_async_callable, shielded
from miniasgi.requests import Request
from miniasgi.responses import Response, checked


class Middleware:
    """One middleware with its arguments, made when the stack is built."""

    def __init__(self, cls: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.cls, self.args, self.kwargs = cls, args, kwargs
        self.is_function = is_async_callable(cls)
        names = getattr(getattr(cls, "__code__", None), "co_varnames", ())
        if names[:2] == ("request", "call_next") and not self.is_function:
            raise TypeError(f"{cls.__qualname__} has to await call_next: make it an `async def`")

    def around(self, inner: Any) -> Any:
        """Wrap an application, or for a function the next ``request -> response``."""
        if not self.is_function:
            return self.cls(inner, *self.args, **self.kwargs)

        async def respond(request: Request) -> Any:
            given: list[Any] = []

            async def call_next(request: Request) -> Any:
                given.append(await inner(request))
                return given[-1]

            try:
                response = await self.cls(request, call_next, *self.args, **self.kwargs)
                checked(response, self.cls)
            except BaseException as because:
                await _abandon(given, because)
                raise
            # Whatever else is returned may still hold the background: another application, or a
            # response with a background around it.
            if isinstance(response, Response) and not response.background:
                dropped = [one for one in given if one is not response]
                reason = RuntimeError(f"{self.cls.__qualname__} returned another response")
                await _abandon(dropped, reason)
            return response

        return respond


async def _abandon(responses: list[Any], because: BaseException) -> None:
    backgrounds: list[Any] = [getattr(response, "background", None) for response in responses]
    dropped = [background for background in backgrounds if hasattr(background, "abandon")]
    # As one row, of which nothing was accepted: a promise by itself would not say so.
    await shielded(BackgroundTasks(dropped).abandon, because)

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

from miniasgi.concurrency import is_async_callable
from miniasgi.requests import Request
from miniasgi.responses import checked


class Middleware:
    """One middleware with its arguments, made when the stack is built."""

    def __init__(self, cls: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.cls, self.args, self.kwargs = cls, args, kwargs
        self.is_function = is_async_callable(cls)

    def around(self, inner: Any) -> Any:
        """Wrap an application, or for a function the next ``request -> response``."""
        if not self.is_function:
            return self.cls(inner, *self.args, **self.kwargs)

        async def respond(request: Request) -> Any:
            response = await self.cls(request, inner, *self.args, **self.kwargs)
            return checked(response, self.cls)

        return respond

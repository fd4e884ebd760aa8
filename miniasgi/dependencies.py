"""What dependencies leave to be done: exits, in their place around a response and its tasks.

::

    endpoint -> "function" exits -> accept -> send -> "response" exits -> tasks -> "request" exits

The exits after the endpoint are a background (`Exits`): a response accepts it, and then either runs
or abandons it, so they run in any case. They see an exception of the endpoint, the last also one of
the tasks; one of accept, of a send or of the stream is not theirs. A function middleware that
throws the response away throws its exits away with it: they run when Python collects them.
"""

import math
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from copy import copy
from functools import partial
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from miniasgi.background import BackgroundTask, BackgroundTasks
from miniasgi.concurrency import run_in_threadpool
from miniasgi.responses import Response
from miniasgi.types import Background, Receive, Scope, Send


def has_exit(func: Any) -> bool:
    """Does it yield its value? A function, or an object by its ``__call__``."""
    return _is(isasyncgenfunction, func) or _is(isgeneratorfunction, func)


def _is(kind: Callable[[Any], bool], func: Any) -> bool:
    return kind(func) or kind(type(func).__call__)


async def enter(func: Callable[..., Any], arguments: dict[str, Any], exits: AsyncExitStack) -> Any:
    """What ``func`` yields; the rest of it is left to ``exits``."""
    import anyio.to_thread

    is_async = _is(isasyncgenfunction, func)
    context: Any = (asynccontextmanager if is_async else contextmanager)(func)(**arguments)

    async def leave(*raised: Any) -> None:
        # Returns None: an exception goes on, even if the dependency has swallowed it. Shielded only
        # where it is cancelled: a scope of ours would stand inside those that it has left open.
        is_cancelled = anyio.current_effective_deadline() == -math.inf
        with anyio.CancelScope(shield=True) if is_cancelled or not is_async else nullcontext():
            if is_async:
                await context.__aexit__(*raised)
                return
            # A limiter of its own: all 40 threads may be waiting for what this one gives back.
            close = partial(context.__exit__, *raised)
            await anyio.to_thread.run_sync(close, limiter=anyio.CapacityLimiter(1))

    value = await (context.__aenter__() if is_async else run_in_threadpool(context.__enter__))
    exits.push_async_exit(leave)
    return value


class Exits:
    """A background between the exits of dependencies: those before it, and those after it."""

    def __init__(
        self, before: AsyncExitStack, tasks: BackgroundTasks, after: AsyncExitStack
    ) -> None:
        self.before, self.tasks, self.after = before, tasks, after

    async def accept(self, *others: Background) -> None:
        try:
            await self.tasks.accept(*others)
        except BaseException:
            async with self.after, self.before:
                pass
            raise

    async def __call__(self) -> None:
        async with self.after:
            try:
                await self.before.aclose()
            except BaseException as because:
                await self.tasks.abandon(because)
                raise
            await self.tasks()
            begun = len(self.tasks.tasks)
        late = RuntimeError("an exit added it when the others had run")
        await self.tasks.abandon(late, after=begun)

    async def abandon(self, because: BaseException) -> None:
        async with self.after, self.before:
            await self.tasks.abandon(because)


def with_tasks(response: Any, tasks: BackgroundTasks) -> Response:
    """The response with these tasks; its own background is the last of them."""
    own = getattr(response, "background", None)
    if own is not None and own is not tasks:
        # Starlette's cannot accept or abandon; a task around it can.
        tasks.tasks.append(own if hasattr(own, "accept") else BackgroundTask(own))
    if own is not None or isinstance(response, Response):
        response = copy(response)  # an endpoint may return the same object every time
        response.background = None
    followed = response if isinstance(response, Response) else _Foreign(response)
    followed.background = tasks
    return followed


class _Foreign(Response):
    """An ASGI application that is no response of ours, as one that ours can follow."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        await self.app(scope, receive, send)
        return True

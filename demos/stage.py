"""The stage on which a scenario plays: a gate, tasks that tell, three applications.

A real task waits for a mail server. Here the client is that mail server too: the task waits at the
`gate`, and goes on when somebody asks for ``/gate/open``. So the order of events is forced by cause
and effect, on a slow machine as on a fast one; no sleep has to be long enough.

`application` turns a function that builds an ASGI application into one that a server can import,
answers for the gate in front of it, and keeps a missing framework from breaking the other two.
By hand, with ``uvicorn demos.s01_order:miniasgi_app``, it shows the lanes of each call.
`told` tells when a task begins and ends, where the framework does not do so itself.
"""

import asyncio
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from miniasgi.events import listeners, tell
from miniasgi.timeline import Recorder, TimelineMiddleware, text
from miniasgi.types import ASGIApp, Receive, Scope, Send

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE = 5.0  #: seconds after which a gate that nobody opens lets everybody through


class Gate:
    """Closed at first. Waited at on the event loop or in a thread; opened for both at once."""

    def __init__(self) -> None:
        self._threads = threading.Event()
        self._loop = asyncio.Event()

    async def wait(self) -> None:
        """Wait on the event loop, for an ``async def`` task."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._loop.wait()

    def wait_in_thread(self) -> None:
        """Block this thread, for a plain ``def`` task."""
        self._threads.wait(PATIENCE)

    def open(self) -> None:
        """Let through who waits and who comes. Call it on the event loop."""
        self._threads.set()
        self._loop.set()

    def close(self) -> None:
        """Make who comes from now on wait. A new event, because one belongs to one event loop."""
        self._threads.clear()
        self._loop = asyncio.Event()


#: One process serves one application, so one gate is enough.
gate = Gate()


class application:
    """Decorates ``def miniasgi_app() -> ASGIApp``, which imports its framework and builds.

    The building waits for the first call. Where the framework is missing, start-up fails with a
    sentence instead of an import that breaks the whole file.
    """

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/gate/"):
            await _move_gate(scope["path"], send)
            return
        _framework_tells.set(self._build.__name__ == "miniasgi_app")
        try:
            app = self.build()
        except ModuleNotFoundError as exc:
            if scope["type"] != "lifespan":
                raise
            await receive()  # the server's lifespan.startup, always its first call
            message = f"{exc.name} is not installed; try: pip install {exc.name}"
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        if scope["type"] == "http" and not listeners.get():
            app = _shown(app)
        await app(scope, receive, send)

    def build(self) -> ASGIApp:
        """The application itself, imported and built once."""
        if self._app is None:
            self._app = self._build()
        return self._app


def _shown(app: ASGIApp) -> ASGIApp:
    """Served by hand, nobody listens: show each call on the terminal when it has returned."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        recorder = Recorder()
        try:
            await TimelineMiddleware(app, recorder)(scope, receive, send)
        finally:
            print(text(recorder.recording(), width=100), file=sys.stderr)

    return call


async def _move_gate(path: str, send: Send) -> None:
    if path == "/gate/open":
        gate.open()
    else:
        gate.close()
    length = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204, "headers": length})
    await send({"type": "http.response.body"})


#: Does the framework that runs the task tell when it begins and ends? miniasgi does.
_framework_tells: ContextVar[bool] = ContextVar("demos.framework_tells", default=False)


def told(func: F) -> F:
    """Decorates a task: tell when it begins, ends or fails, as `miniasgi.events` has it."""
    run: Any
    if iscoroutinefunction(func):

        @functools.wraps(func)
        async def run(*args: Any) -> None:
            with _telling(func.__name__):
                await func(*args)

    else:

        @functools.wraps(func)
        def run(*args: Any) -> None:
            with _telling(func.__name__):
                func(*args)

    told_func: F = run
    return told_func


@contextmanager
def _telling(name: str) -> Iterator[None]:
    if _framework_tells.get():
        yield
        return
    tell("task.start", name)
    try:
        yield
    except BaseException:
        tell("task.failed", name)
        raise
    tell("task.end", name)

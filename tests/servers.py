"""Real servers on loopback ports, and one list on which the server's and the client's end write.

A test has the story, the application and the client in one function::

    story = Story()
    with serving(app, "uvicorn-h11", story) as port, Connection(port) as client:
        client.get("/")
        story.wait("task begins")
        story.say("the client has its answer")

Servers run in a thread of this process, so that one list can hold both ends, in the order of the
things themselves; what they speak is bytes over a socket. Nothing sleeps: the socket listens
before its server is started, so a client waits in the kernel's queue, and whoever must come second
waits for the first one's words.

Rule of this file: every wait ends, after `PATIENCE` at the latest, and every server is stopped.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, Protocol

import anyio
import anyio.to_thread
import hypercorn.asyncio
import hypercorn.trio
import uvicorn

from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 20.0  #: seconds until a wait for somebody's words is given up


class Story:
    """One list of what was sent and done. Both ends write on it, and wait for the other's words."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = threading.Condition()

    def say(self, event: str) -> None:
        """Write it down, from any thread."""
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, event: str) -> None:
        """Block until somebody says it. Raises TimeoutError with the list as it is then."""
        with self._changed:
            if not self._changed.wait_for(lambda: event in self.events, PATIENCE):
                raise TimeoutError(f"nobody said {event!r}: {self.events}")

    async def heard(self, event: str) -> None:
        """`wait` without blocking the event loop."""
        await anyio.to_thread.run_sync(self.wait, event)

    def told_by(self, app: ASGIApp) -> ASGIApp:
        """The application, with each message and its return written down by the request's path.

        A message is written when the server has taken it, that is when ``send`` has returned.
        """

        async def telling(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            path = scope["path"]

            async def send_and_say(message: Message) -> None:
                await send(message)
                self.say(f"{path} {_spoken(message)}")

            try:
                await app(scope, receive, send_and_say)
            except BaseException as exc:
                self.say(f"{path} raised {type(exc).__name__}")
                raise
            self.say(f"{path} returned")

        return telling


def _spoken(message: Message) -> str:
    if message["type"] == "http.response.start":
        return f"start {message['status']}"
    return "body" if message.get("more_body") else "last body"


@contextmanager
def serving(app: ASGIApp, server: str, story: Story) -> Iterator[int]:
    """The port on which one of `SERVERS` serves the application until the block is left."""
    failures: list[BaseException] = []
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    run, stop = SERVERS[server](story.told_by(app), listener)

    def serve() -> None:
        try:
            run()
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=serve, name=server, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop()
        thread.join(PATIENCE)
        listener.close()
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise TimeoutError(f"{server} did not stop: {story.events}")


#: How to run a server, which returns when it has stopped, and how to tell it to stop.
RunAndStop = tuple[Callable[[], object], Callable[[], object]]


def _uvicorn(http: Any, loop: Any, app: ASGIApp, listener: socket.socket) -> RunAndStop:
    server = uvicorn.Server(uvicorn.Config(app, http=http, loop=loop, log_config=None))

    def stop() -> None:
        server.should_exit = True

    return partial(server.run, sockets=[listener]), stop


def _hypercorn(backend: str, app: Any, listener: socket.socket) -> RunAndStop:
    serve = hypercorn.trio.serve if backend == "trio" else hypercorn.asyncio.serve
    asked_to_stop = threading.Event()
    config = hypercorn.Config()
    config.bind = f"fd://{listener.detach()}"
    config.errorlog = None
    config.keep_alive_timeout = PATIENCE
    config.graceful_timeout = 0.5  # how long it waits for connections that nobody closes

    async def wait_until_asked() -> None:
        await anyio.to_thread.run_sync(asked_to_stop.wait)

    async def run() -> None:
        await serve(app, config, shutdown_trigger=wait_until_asked, mode="asgi")

    return partial(anyio.run, run, backend=backend), asked_to_stop.set


#: Two parsers, two event loops and two libraries of them: what an order must not depend on.
SERVERS: dict[str, Callable[[ASGIApp, socket.socket], RunAndStop]] = {
    "uvicorn-h11": partial(_uvicorn, "h11", "asyncio"),
    "uvicorn-httptools": partial(_uvicorn, "httptools", "uvloop"),
    "hypercorn-asyncio": partial(_hypercorn, "asyncio"),
    "hypercorn-trio": partial(_hypercorn, "trio"),
}


class Pipes(Protocol):
    """A process with three pipes of text."""

    stdin: IO[str]
    stdout: IO[str]
    stderr: IO[str]

    def terminate(self) -> None:
        """Send SIGTERM."""


@contextmanager
def uvicorn_process(factory: str, http: str) -> Iterator[tuple[int, Pipes]]:
    """A port and the process behind it: uvicorn by its command line, for what signals do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], str(listener.fileno())
        options = ["--factory", "--http", http, "--fd", fd, "--no-access-log"]
        process: Any = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", factory, *options],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    last_resort = threading.Timer(PATIENCE, process.kill)  # ends every read of its pipes too
    last_resort.start()
    try:
        yield port, process
    finally:
        last_resort.cancel()
        process.kill()
        process.communicate()

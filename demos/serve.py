"""The child process of the runner: uvicorn with a recorder around one application.

``python -m demos.serve demos.s01_order:miniasgi_app --fd 3 --http auto --loop auto``. It stops when
its standard input ends, as uvicorn does on a signal: it waits for background tasks. Then it prints
the recording as JSON on standard output.
"""

import argparse
import json
import logging
import os
import socket
import sys
import threading
import time

import anyio.to_thread
import uvicorn
from uvicorn.importer import import_from_string

from demos.journal import Journal
from miniasgi.timeline import Moment, Recorder, Recording, TimelineMiddleware
from miniasgi.types import ASGIApp, Receive, Scope, Send


class LoggedErrors(logging.Handler):
    """Puts each error that is logged into the recording, in a lane of its own."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.WARNING)
        self.recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage().strip() if error is None else f"{type(error).__name__}: {error}"
        self.recorder.add(Moment.now("log", "mark", text))


class Recorded:
    """Records the calls of an application, from the moment when its gate was closed."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self.app = app
        self.recorder = recorder
        self.recorded_app = TimelineMiddleware(app, recorder)
        self.running = 0  #: calls that have not returned
        self.began_at = 0  #: nanoseconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await anyio.to_thread.run_sync(_nothing)  # the first hop to a thread costs most
            await self.app(scope, receive, send)
        elif scope["path"].startswith("/gate/"):
            await self._move_gate(scope, receive, send)
        else:
            self.running += 1
            try:
                await self.recorded_app(scope, receive, send)
            finally:
                self.running -= 1

    async def _move_gate(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_closing = scope["path"] == "/gate/close"
        while is_closing and self.running:  # a task of the warm-up must not be locked in
            await anyio.sleep(0.001)
        if is_closing:
            self.began_at = time.monotonic_ns()
        await self.app(scope, receive, send)

    def recording(self) -> Recording:
        """What was recorded, without the warm-up."""
        moments = self.recorder.recording().moments
        return Recording(moment for moment in moments if moment.at >= self.began_at)


def _nothing() -> None:
    pass


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m demos.serve", description=__doc__)
    parser.add_argument("target", help="module:application")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--http", default="auto")
    parser.add_argument("--loop", default="auto")
    parser.add_argument("--options", type=json.loads, default={}, help="more of uvicorn's, as JSON")
    options = parser.parse_args()

    logging.basicConfig(format="%(message)s")
    recorder = Journal(keep=10_000)
    for name in ("miniasgi", "uvicorn.error"):
        logging.getLogger(name).addHandler(LoggedErrors(recorder))
    app = Recorded(import_from_string(options.target), recorder)
    config = uvicorn.Config(
        app,
        http=options.http,
        loop=options.loop,
        lifespan="on",
        log_config=None,
        **{"access_log": False, "timeout_graceful_shutdown": 10, **options.options},
    )
    server = uvicorn.Server(config)

    def stop_at_the_end() -> None:
        while os.read(sys.stdin.fileno(), 1024):  # unbuffered: no lock is held at exit
            pass
        server.should_exit = True

    threading.Thread(target=stop_at_the_end, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=options.fd)])
    if not server.started:
        return 1
    print(app.recording().to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Recording: a listener for what happens inside, and a middleware for the messages.

The middleware adds no task, changes no order and passes every exception on. It may stay in a live
application: the newest ``keep`` requests are held, each with at most `MOST` moments and whatever
begins or ends something.

Rule of this file: a moment is stamped before it is handed on, so that a cause never stands behind
its effect; only ``response.end`` is stamped after, when the server has taken the last byte.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from time import monotonic_ns

from miniasgi.events import listening
from miniasgi.timeline.recording import Moment, Recording
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

#: Moments kept of one request: a stream may send messages for days.
MOST = 1000


class Recorder:
    """Holds what was recorded. ``place`` names the lane of its process, if that is one lane."""

    def __init__(self, place: str | None = None, *, keep: int = 100) -> None:
        self.place = place
        self.keep = keep
        self._count = 0
        # What belongs to no request has no end either: there the newest moments stay.
        self._requests: dict[int, deque[Moment]] = {0: deque(maxlen=MOST)}

    def recording(self) -> Recording:
        """What was recorded so far; also from another thread, and while it goes on."""
        return Recording(chain.from_iterable(map(list, list(self._requests.values()))))

    @contextmanager
    def listening(self, request: int = 0) -> Iterator[None]:
        """Record what `miniasgi.events` tells inside the block, tasks and threads included."""
        here = _listeners.get()
        token = _listeners.set({**here, self: (request, threading.get_native_id())})
        try:
            if self in here:  # already a listener: once is enough
                yield
            else:
                with listening(self._hear):
                    yield
        finally:
            _listeners.reset(token)

    def begin(self) -> int:
        """Number a new request, and forget the oldest if that makes one too many."""
        self._count += 1
        self._requests[self._count] = deque()
        if self._count > self.keep:
            self._requests.pop(self._count - self.keep, None)
        return self._count

    def add(self, moment: Moment) -> None:
        """Keep a moment; that of a request already forgotten is forgotten too."""
        kept = self._requests.get(moment.request)
        if kept is not None and (kept.maxlen or len(kept) < MOST or moment.kind.endswith(_ENDS)):
            kept.append(moment)

    def _hear(self, kind: str, name: str) -> None:
        request, loop_thread = _listeners.get()[self]
        is_loop = threading.get_native_id() == loop_thread
        place = self.place or ("event loop" if is_loop else "worker thread")
        self.add(Moment.now(place, kind, name, request=request))


_ENDS = (".start", ".end", ".failed", ".cancelled")

#: Who records here: for which request, and in which thread its event loop runs.
_listeners: ContextVar[Mapping[Recorder, tuple[int, int]]] = ContextVar(
    "miniasgi.timeline",
    default={},  # noqa: B039 (never changed, only replaced)
)


class TimelineMiddleware:
    """Wraps any ASGI application; records its HTTP calls and leaves the rest alone.

    ``server_timing=True`` adds a Server-Timing header to every response: the milliseconds from the
    call to its first byte. Everybody can read them.
    """

    def __init__(
        self, app: ASGIApp, recorder: Recorder | None = None, *, server_timing: bool = False
    ) -> None:
        self.app = app
        self.recorder = recorder or Recorder()
        self.server_timing = server_timing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = self.recorder.begin()
        began_at = monotonic_ns()

        def note(kind: str, name: str = "", detail: str = "") -> None:
            place = self.recorder.place or "server"
            self.recorder.add(Moment.now(place, kind, name, detail, request))

        async def noting_receive() -> Message:
            message = await receive()
            size = f"{len(message['body'])} bytes" if message.get("body") else ""
            note("receive", message["type"].removeprefix("http."), size)
            return message

        async def noting_send(message: Message) -> None:
            kind = message["type"].removeprefix("http.")
            if kind == "response.start":
                note(kind, detail=str(message["status"]))
                if self.server_timing:
                    message = _with_timing(message, monotonic_ns() - began_at)
                await send(message)
            elif kind == "response.body":
                note(kind, detail=f"{len(message.get('body', b''))} bytes")
                await send(message)
                if not message.get("more_body", False):
                    note("response.end")
            else:
                note(kind)
                await send(message)
                if kind == "response.pathsend":  # the server sends the file, and that is all
                    note("response.end")

        call = f"{scope['method']} {scope['path']}"
        note("app.start", call)
        try:
            with self.recorder.listening(request):
                await self.app(scope, noting_receive, noting_send)
        except Exception as exc:
            note("app.failed", call, type(exc).__name__)
            raise
        except BaseException:
            note("app.cancelled", call)
            raise
        note("app.end", call)


def _with_timing(message: Message, elapsed: int) -> Message:
    field = (b"server-timing", b"app;dur=%.1f" % (elapsed / 1e6))
    return {**message, "headers": [*message.get("headers", ()), field]}

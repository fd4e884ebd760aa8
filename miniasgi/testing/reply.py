"""The server's end of one call: it calls the application and shows what it does, as it does it.

The request's body goes through one stream to ``receive``, and what ``send`` is given becomes a
`Reply`. A client may be slow (a streamed reply takes a chunk when its reader asks) and may leave at
any moment: then ``receive`` says http.disconnect and messages go nowhere, silently, or from ASGI
spec version 2.4 on with an OSError.

Rule of this file: `Reply.events` is one list, appended to at the moment itself, from any thread.
"""

import asyncio
import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from miniasgi.events import listening
from miniasgi.types import ASGIApp, Message, Scope

Chunks: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]

#: How `miniasgi.events` reads in `Reply.events`; a task's end is not shown: the next event is.
_HEARD = {
    "accept": "accept",
    "task.start": "task: {}",
    "task.failed": "task failed: {}",
    "task.cancelled": "task cancelled: {}",
    "mark": "{}",
}


class Reply:
    """One call and its answer so far; background work adds to it while you look.

    ``content`` is what the client received; ``messages`` is what the application sent, also to a
    client that had left. ``events`` holds, in order: "accept", each message ("response.start",
    "response.body"), "task: NAME", "task failed: NAME", "task cancelled: NAME", the texts of
    `mark`, "disconnect", and at last "app returned", "app raised: ValueError" or "app cancelled".
    """

    def __init__(self, scope: Scope, *, disconnect: str = "", streamed: bool = False) -> None:
        self.scope = scope
        self.status = 0  #: until response.start
        self.headers = ReplyHeaders(())
        self.events: list[str] = []
        self.messages: list[Message] = []
        self.exception: Exception | None = None  #: what the application raised
        self.is_complete = False  #: the last body message was sent
        self.is_left = False  #: the client left before that
        self.is_seen = False  #: somebody was told the exception, or waited for it in vain
        self._disconnect_after = disconnect
        self._is_streamed = streamed
        # For the client: the head is there; there is no more. From it: the reply is in its hands.
        self._begun, self._over, self._taken = anyio.Event(), anyio.Event(), anyio.Event()
        # For the application: nobody listens any more. From it: it has returned.
        self._gone, self._returned = anyio.Event(), anyio.Event()
        self._upload = anyio.CancelScope()
        self._on_loop = _loop_callback()
        self._content: list[bytes] = []
        # No buffers: a chunk is asked for when the other side takes it.
        self._requests_in, self._requests = anyio.create_memory_object_stream[Message]()
        self._chunks_in, self._chunks = anyio.create_memory_object_stream[bytes]()
        if disconnect == "request":
            self.disconnect()

    @property
    def status_code(self) -> int:
        return self.status

    @property
    def content(self) -> bytes:
        return b"".join(self._content)

    @property
    def text(self) -> str:
        charset = self.headers.get("content-type", "").lower().partition("charset=")[2]
        return self.content.decode(charset.partition(";")[0].strip(' "') or "utf-8")

    def json(self) -> Any:
        return json.loads(self.content)

    async def finished(self) -> None:
        """Wait until the application has returned, background work included.

        Raises what the application raised, unless the client was told ``raise_background=False``.
        """
        await self._returned.wait()
        self.is_seen = True
        if self.exception is not None and self.scope["miniasgi.raise_background"]:
            raise self.exception

    async def wait_begun(self) -> None:
        """Wait for response.start. Raises what the application raised before it."""
        await self._begun.wait()
        self._check(self.status > 0)

    async def wait_complete(self) -> None:
        """Wait for the last body message. Raises what the application raised before it."""
        try:
            await self._over.wait()
        finally:
            self._taken.set()
        self._check(self.is_complete)

    def _check(self, is_answered: bool) -> None:
        if not (is_answered or self.is_left):
            self.is_seen = True
            raise self.exception or RuntimeError(f"the response has no end: {self.events}")

    def chunks(self) -> AsyncIterator[bytes]:
        """The body of a streamed reply, chunk by chunk; ``send`` waits until one is asked for."""
        if not self._is_streamed:
            raise RuntimeError("this reply is whole: read .content, or ask with client.stream()")
        return _Chunks(self, self._chunks)

    def disconnect(self) -> None:
        """Leave now, from any thread; a reply that is complete or failed stays as it is."""
        if not (self.is_left or self._over.is_set()):
            self.is_left = True
            self.events.append("disconnect")
            self._on_loop(self._leave)

    def _leave(self) -> None:
        self._chunks.close()  # wakes a `send` that waits for the reader
        self._upload.cancel()
        self._settle()

    def _settle(self) -> None:
        for event in (self._begun, self._over, self._taken, self._gone):
            event.set()
        self._chunks_in.close()

    # The application's side.

    async def run(self, app: ASGIApp, body: bytes | Chunks) -> None:
        """Call the application once. Its exception is kept, a cancel is raised on."""
        try:
            with listening(self._hear):
                async with task_group() as helpers:
                    helpers.start_soon(self._send_request, body)
                    await app(self.scope, self._receive, self._send)
                    helpers.cancel_scope.cancel()
        except Exception as exc:
            self.exception = exc
            self.events.append(f"app raised: {type(exc).__name__}")
        except BaseException:
            self.events.append("app cancelled")
            raise
        else:
            self.events.append("app returned")
        finally:
            self._requests.close()
            self._leave()
            self._returned.set()

    async def _send_request(self, body: bytes | Chunks) -> None:
        with self._upload, self._requests_in:
            try:
                async with aclosing(_messages(body)) as messages:
                    async for message in messages:
                        await self._requests_in.send(message)
            except ConnectionError:
                self.disconnect()

    async def _receive(self) -> Message:
        if not (self.is_left or self._gone.is_set()):
            with suppress(anyio.EndOfStream):
                return await self._requests.receive()
        if not self.is_left:  # else at once, as on uvicorn: who asks in passing cannot wait
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        event = message["type"].removeprefix("http.")
        if not self.is_left:
            self._expect(event)
        self.events.append(event)
        self.messages.append(message)
        if self.is_left or not await self._take(event, message):
            if tuple(map(int, self.scope["asgi"]["spec_version"].split("."))) >= (2, 4):
                raise OSError("the client has left")
        elif event == self._disconnect_after:
            self.disconnect()

    def _expect(self, event: str) -> None:
        expected = "response.body" if self._begun.is_set() else "response.start"
        if self._over.is_set() or event != expected:
            raise RuntimeError(f"unexpected ASGI message 'http.{event}' after {self.events}")

    async def _take(self, event: str, message: Message) -> bool:
        """Bring a message to the client. False: it left while this chunk waited for it."""
        if event == "response.start":
            self.status = message["status"]
            self.headers = ReplyHeaders(message.get("headers", ()))
            self._begun.set()
            return True
        chunk = bytes(message.get("body", b""))
        if chunk and self.scope["method"] != "HEAD":
            if self._is_streamed:
                try:
                    await self._chunks_in.send(chunk)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return False
            self._content.append(chunk)
        if not message.get("more_body", False):
            self.is_complete = True
            self._over.set()
            if not self._is_streamed:
                # The caller of `Client.get` looks at its reply before anything else happens.
                await self._taken.wait()
            self._settle()
        return True

    def _hear(self, kind: str, name: str) -> None:
        if kind in _HEARD:
            event = _HEARD[kind].format(name)
            self.events.append(event)
            if event == self._disconnect_after:
                self.disconnect()


async def _messages(body: bytes | Chunks) -> AsyncGenerator[Message, None]:
    if isinstance(body, bytes):
        yield {"type": "http.request", "body": body, "more_body": False}
        return
    try:
        if isinstance(body, AsyncIterable):
            async for chunk in body:
                yield {"type": "http.request", "body": chunk, "more_body": True}
        else:
            for chunk in body:
                yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()


class _Chunks(AsyncIterator[bytes]):
    def __init__(self, reply: Reply, stream: MemoryObjectReceiveStream[bytes]) -> None:
        self._reply, self._stream = reply, stream

    async def __anext__(self) -> bytes:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._reply._check(self._reply.is_complete)
            raise StopAsyncIteration from None


class ReplyHeaders(Mapping[str, str]):
    """Header fields by name in any case; ``[name]`` joins repeated ones, `getlist` does not."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self.raw = [(bytes(name), bytes(value)) for name, value in raw]

    def getlist(self, name: str) -> list[str]:
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def __getitem__(self, name: str) -> str:
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter({key.decode("latin-1").lower(): None for key, _ in self.raw})

    def __len__(self) -> int:
        return len({key.lower() for key, _ in self.raw})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """anyio's, but what the block raises cancels the group and comes out bare, not in a group."""
    left_by = None
    async with anyio.create_task_group() as group:
        try:
            yield group
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:
            left_by = exc
            group.cancel_scope.cancel()
    if left_by is not None:
        raise left_by


def _loop_callback() -> Callable[[Callable[[], object]], object]:
    """How to have a function called on this event loop, from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon

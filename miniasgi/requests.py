"""A request: a scope and a receive, read once.

Messages in (ASGI 3.0 HTTP spec, "Request" and "Disconnect")::

    {"type": "http.request", "body": b"...", "more_body": True}
    {"type": "http.disconnect"}

Rules of this file: nothing is parsed before it is asked for; the body is read from the server once,
in order, and never put back; what the client sent wrongly is a 4xx, with a sentence.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cached_property
from typing import Any

from miniasgi.concurrency import run_in_threadpool
from miniasgi.datastructures import URL, Address, Headers, QueryParams, State
from miniasgi.exceptions import ClientDisconnect, HTTPException
from miniasgi.types import Message, Receive, Scope

#: The most that `Request.body`, ``json`` and ``form`` read, in bytes, if nobody says otherwise.
MAX_BODY_SIZE = 64 * 1024 * 1024

MAX_EARLY = 64 * 1024

_decode_json = json.JSONDecoder().decode  # built once: json.loads looks at its arguments each time


async def _no_receive() -> Message:
    raise RuntimeError("this Request was made without a receive, so it has no body")


class _Body:
    """The body of one request, read once, whoever asks: an endpoint, a handler, a middleware."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.early: list[Message] = []  # taken by is_disconnected, before their time
        # By body(), which may be cancelled and go on: bytes once it is whole.
        self.read: bytes | bytearray = bytearray()
        self.is_streamed = False  # stream() has given some of it away
        self.is_consumed = False  # the last http.request was taken
        self.is_disconnected = False

    async def next_chunk(self) -> bytes:
        message = self.early.pop(0) if self.early else await self.receive()
        if message["type"] == "http.disconnect":
            self.is_disconnected = True
            raise ClientDisconnect
        self.is_consumed = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]


class Request(Mapping[str, Any]):
    """What was asked. As a mapping it is the scope; the properties are views on it."""

    # Left out: session, auth and user (other middleware's), server push, early hints.

    __eq__ = object.__eq__  # two requests are never the same because they ask for the same
    __hash__ = object.__hash__

    def __init__(self, scope: Scope, receive: Receive = _no_receive) -> None:
        self.scope = scope
        self.receive = receive

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    #: The innermost application that was called with this request.
    app = property(lambda self: self.scope["app"])
    method = property(lambda self: self.scope["method"])
    path_params = property(lambda self: self.scope.get("path_params", {}))
    url = property(lambda self: URL.of(self.scope))
    headers = cached_property(lambda self: Headers(scope=self.scope))
    query_params = cached_property(lambda self: QueryParams(self.scope.get("query_string", b"")))
    #: What the lifespan gave, and whatever is put here for this request alone.
    state = cached_property(lambda self: State(self.scope.setdefault("state", {})))

    @property
    def client(self) -> Address | None:
        client = self.scope.get("client")
        return Address(*client) if client else None

    @cached_property
    def cookies(self) -> dict[str, str]:
        """Names and values. Tolerant, as browsers are: RFC 6265 is not what they send."""
        return dict(_parse_cookies(";".join(self.headers.getlist("cookie"))))

    def _body(self) -> _Body:
        # In the scope, so that every Request made of it shares what was read; but a middleware
        # that passes a receive of its own on means another body.
        reader: _Body | None = self.scope.get("miniasgi.body")
        if reader is None or reader.receive != self.receive:
            reader = self.scope["miniasgi.body"] = _Body(self.receive)
        return reader

    async def stream(self) -> AsyncIterator[bytes]:
        """The body's chunks as they come, of any total size, ending with an empty one.

        Raises ClientDisconnect if the client leaves first, RuntimeError if it was read before.
        """
        reader = self._body()
        if reader.is_consumed and reader.is_streamed:
            raise RuntimeError("the request's body was already read as a stream")
        reader.is_streamed = not reader.is_consumed
        if reader.read or reader.is_consumed:  # the whole, though it be empty
            yield bytes(reader.read)
        while not reader.is_consumed:
            chunk = await reader.next_chunk()
            if chunk:
                yield chunk
        yield b""

    async def body(self) -> bytes:
        """The whole body. Raises HTTPException 413 above the application's ``max_body_size``."""
        reader = self._body()
        if reader.is_streamed:
            raise RuntimeError("the request's body was already read as a stream")
        limit = getattr(self.scope.get("app"), "max_body_size", MAX_BODY_SIZE)
        while not reader.is_consumed:
            reader.read += await reader.next_chunk()
            if limit is not None and len(reader.read) > limit:
                reader.is_streamed = True  # nobody shall take the rest for the whole
                raise HTTPException(413, f"The body is longer than {limit} bytes.")
        reader.read = bytes(reader.read)  # a copy the first time only
        return reader.read

    async def json(self) -> Any:
        """The body as JSON. Raises HTTPException 400 where it is not."""
        if "_json" not in self.__dict__:
            body = await self.body()
            try:
                self._json = _parse_json(body)
            except (ValueError, RecursionError) as exc:
                raise HTTPException(400, f"The body is not JSON: {exc}") from exc
        return self._json

    async def form(self, *, max_fields: int = 1000) -> Any:
        """The body as a `miniasgi.forms.FormData`. Raises HTTPException 400 and 413.

        ``max_fields`` counts files as well; for files python-multipart must be installed.
        """
        from miniasgi.forms import MULTIPART, URLENCODED, parse_form

        if "_form" not in self.__dict__:
            content_type = self.headers.get("content-type", "")
            is_form = content_type.lower().startswith((URLENCODED, MULTIPART))
            body = await self.body() if is_form else b""
            self._form = await run_in_threadpool(parse_form, content_type, body, max_fields)
        return self._form

    async def is_disconnected(self) -> bool:
        """Has the client left? True as well once the response is complete: then nobody listens.

        False as long as more than 64 KiB of an upload are unread: its chunks come first.
        """
        reader = self._body()
        # What was taken early is kept, so it must stay small: not the body of a long upload.
        taken = sum(len(message.get("body", b"")) for message in reader.early)
        may_take = taken <= MAX_EARLY and len(reader.early) < 16
        if may_take and not reader.is_disconnected:
            import anyio

            with anyio.CancelScope() as scope:
                scope.cancel()  # take what is there, wait for nothing
                reader.early.append(await self.receive())
                reader.is_disconnected = reader.early[-1]["type"] == "http.disconnect"
        return reader.is_disconnected


def _parse_json(body: bytes) -> Any:
    try:
        return _decode_json(body.decode())
    except ValueError:
        return json.loads(body)  # UTF-16, UTF-32, a byte order mark; or the error that says where


def _parse_cookies(header: str) -> Iterator[tuple[str, str]]:
    from http.cookies import _unquote

    for chunk in header.split(";"):
        name, equals, value = chunk.partition("=")
        if not equals:
            name, value = "", name  # a bare value has no name: what browsers do
        if name.strip() or value.strip():
            yield name.strip(), _unquote(value.strip())

"""A request: a scope and a receive, read once.

Messages in (ASGI 3.0 HTTP spec, "Request" and "Disconnect")::

    {"type": "http.request", "body": b"...", "more_body": True}
    {"type": "http.disconnect"}

Rules of this file: nothing is parsed before it is asked for; the body is read from the server once,
in order, and never put back; what the client sent wrongly is a 4xx, with a sentence.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from typing import Any

from miniasgi.concurrency import run_in_threadpool
from miniasgi.datastructures import URL, Address, Headers, QueryParams, State
from miniasgi.exceptions import ClientDisconnect, HTTPException
from miniasgi.types import Message, Receive, Scope

#: The most that `Request.body`, ``json`` and ``form`` read, in bytes, if nobody says otherwise.
MAX_BODY_SIZE = 64 * 1024 * 1024

_decode_json = json.JSONDecoder().decode  # built once: json.loads looks at its arguments each time


class Request:
    """What was asked. ``request["path"]`` reads the scope; the properties are views on it."""

    # Left out: session, auth and user (other middleware's), server push, early hints.

    _consumed = False  # the last http.request was taken
    _disconnected = False
    _body: bytes | None = None
    _early: Sequence[Message] = ()  # what is_disconnected took before its time

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

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

    async def stream(self) -> AsyncIterator[bytes]:
        """The body's chunks as they come, of any total size, ending with an empty one.

        Raises ClientDisconnect if the client leaves first, RuntimeError if it was read before.
        """
        if self._body is not None:
            yield self._body
        elif self._consumed:
            raise RuntimeError("the request's body was already read as a stream")
        while not self._consumed:
            chunk = await self._next_chunk()
            if chunk:
                yield chunk
        yield b""

    async def body(self) -> bytes:
        """The whole body. Raises HTTPException 413 above the application's ``max_body_size``."""
        if self._body is None:
            if self._consumed:
                raise RuntimeError("the request's body was already read as a stream")
            limit = getattr(self.scope.get("app"), "max_body_size", MAX_BODY_SIZE)
            chunks, size = [], 0
            while not self._consumed:
                chunks.append(await self._next_chunk())
                size += len(chunks[-1])
                if limit is not None and size > limit:
                    raise HTTPException(413, f"The body is longer than {limit} bytes.")
            self._body = b"".join(chunks)
        return self._body

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

        ``max_fields`` counts files as well. Needs python-multipart.
        """
        from miniasgi.forms import FORM_TYPES, parse_form

        if "_form" not in self.__dict__:
            content_type = self.headers.get("content-type", "")
            body = await self.body() if content_type.lower().startswith(FORM_TYPES) else b""
            self._form = await run_in_threadpool(parse_form, content_type, body, max_fields)
        return self._form

    async def is_disconnected(self) -> bool:
        """Has the client left? True as well once the response is complete: then nobody listens."""
        # What was taken early is kept, so it must stay small: not the body of a long upload.
        if not self._disconnected and not (self._early and self._early[-1].get("more_body")):
            import anyio

            with anyio.CancelScope() as scope:
                scope.cancel()  # take what is there, wait for nothing
                message = await self.receive()
                self._early = [*self._early, message]
                self._disconnected = message["type"] == "http.disconnect"
        return self._disconnected

    async def _next_chunk(self) -> bytes:
        if self._early:
            message, *self._early = self._early
        else:
            message = await self.receive()
        if message["type"] == "http.disconnect":
            self._disconnected = True
            raise ClientDisconnect
        self._consumed = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]


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

"""A request: a scope and a receive, read once.

Messages in (ASGI 3.0 HTTP spec, "Request" and "Disconnect")::

    {"type": "http.request", "body": b"...", "more_body": True}
    {"type": "http.disconnect"}

Rules of this file: nothing is parsed before it is asked for; the body is read from the server once,
in order, and never put back; what the client sent wrongly is a 4xx, with a sentence.
"""

import json
from collections.abc import AsyncIterator, Generator, Iterator
from functools import cached_property
from typing import Any

from miniasgi.datastructures import URL, Address, Headers, QueryParams, State
from miniasgi.exceptions import ClientDisconnect, HTTPException
from miniasgi.forms import FormData, parse_form
from miniasgi.types import Message, Receive, Scope

#: The most that `Request.body`, ``json`` and ``form`` read, in bytes, if nobody says otherwise.
MAX_BODY_SIZE = 64 * 1024 * 1024

_decode_json = json.JSONDecoder().decode  # built once: json.loads looks at its arguments each time


async def _no_receive() -> Message:
    raise RuntimeError("this Request was made without a receive, so it has no body")


class Request:
    """What was asked. ``request["path"]`` reads the scope; the properties are views on it."""

    # Left out: session, auth and user (other middleware's), server push, early hints.

    _consumed = False  # the last http.request was taken
    _disconnected = False
    _body: bytes | None = None
    _form: FormData | None = None
    _early: Message | None = None  # a message that is_disconnected took before its time

    def __init__(self, scope: Scope, receive: Receive = _no_receive) -> None:
        self.scope = scope
        self._receive = receive

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    @property
    def app(self) -> Any:
        """The innermost application that was called with this request."""
        return self.scope["app"]

    @property
    def method(self) -> str:
        return self.scope["method"]  # type: ignore[no-any-return]

    @property
    def receive(self) -> Receive:
        return self._receive

    @property
    def path_params(self) -> dict[str, Any]:
        return self.scope.get("path_params", {})  # type: ignore[no-any-return]

    @property
    def client(self) -> Address | None:
        client = self.scope.get("client")
        return None if client is None else Address(*client)

    @cached_property
    def headers(self) -> Headers:
        return Headers(scope=self.scope)

    @cached_property
    def query_params(self) -> QueryParams:
        return QueryParams(self.scope.get("query_string", b""))

    @cached_property
    def cookies(self) -> dict[str, str]:
        """Names and values. Tolerant, as browsers are: RFC 6265 is not what they send."""
        cookies: dict[str, str] = {}
        for header in self.headers.getlist("cookie"):
            cookies.update(_parse_cookies(header))
        return cookies

    @cached_property
    def state(self) -> State:
        """What the lifespan gave, and whatever is put here for this request alone."""
        return State(self.scope.setdefault("state", {}))

    @cached_property
    def url(self) -> URL:
        return URL(scope=self.scope)

    @cached_property
    def base_url(self) -> URL:
        root_path = self.scope.get("app_root_path", self.scope.get("root_path", ""))
        base = {"path": root_path.rstrip("/") + "/", "query_string": b""}
        return URL(scope={**self.scope, **base})

    def url_for(self, name: str, /, **path_params: Any) -> URL:
        """An absolute URL of a named route. Raises NoMatchFound."""
        router = self.scope.get("router") or self.scope["app"]
        path = router.url_path_for(name, **path_params)
        return self.base_url.replace(path=self.base_url.path.rstrip("/") + path)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body's chunks as they come, of any total size, ending with an empty one.

        Raises ClientDisconnect if the client leaves first, RuntimeError if it was read before.
        """
        if self._body is not None:
            yield self._body
        elif self._consumed:
            raise RuntimeError("the request's body was already read as a stream")
        else:
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
            chunks, size = [], 0
            while not self._consumed:
                chunk = await self._next_chunk()
                size += len(chunk)
                self._check_size(size)
                chunks.append(chunk)
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

    def form(
        self,
        *,
        max_files: int = 1000,
        max_fields: int = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> "_Form":
        """The body as a form: ``await request.form()``, or ``async with`` to close its files.

        Needs python-multipart. Raises HTTPException 400 and 413.
        """
        limits = {"max_files": max_files, "max_fields": max_fields, "max_part_size": max_part_size}
        return _Form(self, limits)

    async def close(self) -> None:
        """Close the form's files, if a form was read."""
        if self._form is not None:
            await self._form.close()

    async def is_disconnected(self) -> bool:
        """Has the client left? True as well once the response is complete: then nobody listens."""
        if not self._disconnected and self._early is None:
            import anyio

            with anyio.CancelScope() as scope:
                scope.cancel()  # take what is there, wait for nothing
                self._early = await self._receive()
        if self._early is not None and self._early["type"] == "http.disconnect":
            self._disconnected = True
        return self._disconnected

    async def _next_chunk(self) -> bytes:
        message = self._early or await self._receive()
        self._early = None
        if message["type"] == "http.disconnect":
            self._disconnected = True
            raise ClientDisconnect
        self._consumed = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]

    def _check_size(self, size: int) -> None:
        limit = getattr(self.scope.get("app"), "max_body_size", MAX_BODY_SIZE)
        if limit is not None and size > limit:
            raise HTTPException(413, f"The body is longer than {limit} bytes.")

    async def _limited_stream(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            self._check_size(size)
            yield chunk


class _Form:
    """What ``request.form()`` returns: await it, or enter it."""

    def __init__(self, request: Request, limits: dict[str, int]) -> None:
        self._request = request
        self._limits = limits

    async def _read(self) -> FormData:
        request = self._request
        if request._form is None:
            content_type = request.headers.get("content-type", "")
            chunks = request._limited_stream()
            request._form = await parse_form(content_type, chunks, **self._limits)
        return request._form

    def __await__(self) -> Generator[Any, None, FormData]:
        return self._read().__await__()

    async def __aenter__(self) -> FormData:
        return await self._read()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._request.close()


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
        name, value = name.strip(), value.strip()
        if name or value:
            yield name, _unquote(value)

"""The answer, and what comes after: accept, send, then run.

Messages out (ASGI 3.0 HTTP spec, "Response Start" and "Response Body")::

    {"type": "http.response.start", "status": 200, "headers": [(b"name", b"value"), ...]}
    {"type": "http.response.body", "body": b"...", "more_body": False}

A response is itself an ASGI application. Rules of this file: a background is accepted before the
first message and called after the last, never between; every background that was accepted is
called or abandoned; "sent" means handed to the server, which is not yet "received".
"""

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

from miniasgi.concurrency import iterate_in_threadpool
from miniasgi.datastructures import URL, MutableHeaders, RawHeaders
from miniasgi.events import tell
from miniasgi.exceptions import ClientDisconnect
from miniasgi.types import Background, Message, Receive, Scope, Send

#: A body longer than this, in bytes, ends with an empty message when a background follows: a server
#: takes that one only once its write buffer has drained, so that "sent" comes nearer to "received".
DRAIN_OVER = 64 * 1024


class Response:
    """Status, headers, and a body that is known before it is sent."""

    # Left out: WebSocket denial responses (Starlette: Response). WebSockets are refused.

    media_type: str | None = None
    charset = "utf-8"
    #: How long a reader that stalls may delay the background, in seconds.
    drain_timeout = 30.0
    #: Does it send as `Response` does? Once such a one is made, only the server can fail.
    is_plain: ClassVar[bool] = True
    _content_type_header: ClassVar[RawHeaders] = []

    def __init_subclass__(cls) -> None:
        # Looked at once a class, not once a response.
        cls._content_type_header = _content_type(cls.media_type, cls.charset)
        own = (cls.__call__, cls.transmit)
        cls.is_plain = own == (Response.__call__, Response.transmit)

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = background
        self.body = body = self.render(content)
        if headers is None and media_type is None and status_code == 200:
            # The usual case, in one list: half a microsecond less than below.
            self.raw_headers = [(b"content-length", b"%d" % len(body)), *self._content_type_header]
        else:
            self.init_headers(headers, media_type, len(body))

    def render(self, content: Any) -> bytes | memoryview:
        """The body's bytes. Override it for another encoder (orjson, msgspec)."""
        if isinstance(content, str):
            return content.encode(self.charset)
        if content is None:
            return b""
        if isinstance(content, memoryview):
            return content.cast("B") if content.c_contiguous else content.tobytes()
        return bytes(content)

    def init_headers(
        self, headers: Mapping[str, str] | None, media_type: str | None, length: int | None
    ) -> None:
        """Set ``raw_headers``: what was given, then length and type of the content if they miss."""
        content_type = self._content_type_header
        if media_type is not None:
            self.media_type = media_type
            content_type = _content_type(media_type, self.charset)
        raw = MutableHeaders(headers or {}).raw
        names = [name for name, _ in raw]
        # RFC 9110, 8.6: a 1xx or 204 has no content-length; a 304 has none for Starlette's sake.
        has_length = self.status_code >= 200 and self.status_code not in (204, 304)
        if length is not None and has_length and b"content-length" not in names:
            raw.append((b"content-length", b"%d" % length))
        if b"content-type" not in names:
            raw += content_type
        self.raw_headers = raw

    @cached_property
    def headers(self) -> MutableHeaders:
        """A view on ``raw_headers``: writing here changes what is sent."""
        return MutableHeaders(raw=self.raw_headers)

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: Any = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Literal["lax", "strict", "none"] | None = "lax",
    ) -> None:
        """Add a ``set-cookie`` header; ``max_age`` in seconds, ``expires`` a datetime or seconds."""
        # Left out: partitioned cookies (Starlette: set_cookie). Python knows them from 3.14 on.
        from datetime import datetime
        from email.utils import format_datetime
        from http.cookies import SimpleCookie

        if samesite is not None and samesite.lower() not in ("lax", "strict", "none"):
            raise ValueError(f"samesite is 'lax', 'strict' or 'none', not {samesite!r}")
        if isinstance(expires, datetime):
            expires = format_datetime(expires, usegmt=True)
        options = {
            "max-age": max_age,
            "expires": expires,
            "path": path,
            "domain": domain,
            "secure": secure or None,
            "httponly": httponly or None,
            "samesite": samesite,
        }
        cookie: SimpleCookie = SimpleCookie({key: value})
        cookie[key].update({name: given for name, given in options.items() if given is not None})
        self.headers.append("set-cookie", cookie.output(header="").strip())

    def delete_cookie(self, key: str, path: str = "/", domain: str | None = None) -> None:
        self.set_cookie(key, max_age=0, expires=0, path=path, domain=domain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept, send, then run.

        Raises what accept raises, before anything is sent; what sending raises, after abandoning
        the background; what the background raises, after the last byte.
        """
        background = self.background
        if background is None:
            await self.transmit(scope, receive, send)
            return
        await background.accept()
        tell("accept")
        try:
            drained = await self.transmit(scope, receive, send)
        except BaseException as because:
            await background.abandon(because)
            raise
        try:
            await background()
        finally:
            if not drained:
                await send(_last())

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Send every message. False if a stalled reader kept the server from taking the last."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        if self.background is None or len(self.body) <= DRAIN_OVER:
            # No more_body: this is the last message, and servers write the final bytes now.
            await send({"type": "http.response.body", "body": self.body})
            return True
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        return await self._send_last(send)

    async def _send_last(self, send: Send) -> bool:
        if self.background is None:
            await send(_last())
            return True
        import anyio

        with anyio.move_on_after(self.drain_timeout):
            await send(_last())
            return True
        return False

    async def _send_stream(
        self, scope: Scope, receive: Receive, send: Send, start: Message, chunks: AsyncIterable[Any]
    ) -> bool:
        """Send chunks until they end or the client leaves: either way the background follows."""

        async def send_all() -> None:
            await _send_or_leave(send, start)
            async for chunk in chunks:
                body = chunk.encode(self.charset) if isinstance(chunk, str) else chunk
                message = {"type": "http.response.body", "body": body, "more_body": True}
                await _send_or_leave(send, message)

        try:
            if _raises_when_gone(scope):
                await send_all()
            else:
                await _until_disconnect(send_all, receive)
        except ClientDisconnect:
            return True
        finally:
            await _close(chunks)
        return await self._send_last(send)


def _content_type(media_type: str | None, charset: str) -> RawHeaders:
    if media_type is None:
        return []
    if media_type.startswith("text/") and "charset=" not in media_type.lower():
        media_type = f"{media_type}; charset={charset}"
    return [(b"content-type", media_type.encode("latin-1"))]


def _last() -> Message:
    return {"type": "http.response.body", "body": b"", "more_body": False}


def _raises_when_gone(scope: Scope) -> bool:
    # From spec version 2.4 on, send raises an OSError when the client has left.
    version = scope.get("asgi", {}).get("spec_version", "2.0")
    return tuple(map(int, version.split("."))) >= (2, 4)


async def _send_or_leave(send: Send, message: Message) -> None:
    try:
        await send(message)
    except OSError as exc:  # only around send: the same error from a generator is a failure
        raise ClientDisconnect from exc


async def _until_disconnect(send_all: Callable[[], Awaitable[None]], receive: Receive) -> None:
    """Below spec version 2.4 only ``receive`` tells that the client has left: listen beside."""
    import anyio

    failure: Exception | None = None
    left = False

    async with anyio.create_task_group() as group:

        async def listen() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            group.cancel_scope.cancel()

        group.start_soon(listen)
        try:
            await send_all()
        except Exception as exc:
            failure = exc  # raised below: the task group would wrap it in an ExceptionGroup
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if left:
        raise ClientDisconnect


async def _close(chunks: AsyncIterable[Any]) -> None:
    aclose = getattr(chunks, "aclose", None)
    if aclose is not None:
        import anyio

        with anyio.CancelScope(shield=True):
            await aclose()


class PlainTextResponse(Response):
    media_type = "text/plain"


class HTMLResponse(Response):
    media_type = "text/html"


# Built once: json.dumps makes an encoder for each call, 1.2 us.
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JSONResponse(Response):
    """Any JSON value. NaN and infinity raise ValueError: JSON has no words for them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encode_json(content).encode()


class RedirectResponse(Response):
    """Go there instead: 307 keeps the method, 303 turns a POST into a GET."""

    def __init__(
        self,
        url: str | URL,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: Background | None = None,
    ) -> None:
        super().__init__(b"", status_code, headers, background=background)
        from urllib.parse import quote

        self.headers["location"] = quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response):
    """Chunks as they come, str or bytes, from an async iterator or (in threads) a plain one.

    The background runs when the stream has ended and when the client has left, on every server; it
    does not when the iterator raised.
    """

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        self.body_iterator: AsyncIterable[Any] = (
            content if isinstance(content, AsyncIterable) else iterate_in_threadpool(content)
        )
        self.status_code = status_code
        self.background = background
        self.init_headers(headers, media_type, None)

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        status, headers = self.status_code, self.raw_headers
        start = {"type": "http.response.start", "status": status, "headers": headers}
        return await self._send_stream(scope, receive, send, start, self.body_iterator)

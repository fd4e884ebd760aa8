"""The answer, and what comes after: accept, send, then run.

Messages out (ASGI 3.0 HTTP spec, "Response Start" and "Response Body")::

    {"type": "http.response.start", "status": 200, "headers": [(b"name", b"value"), ...]}
    {"type": "http.response.body", "body": b"...", "more_body": False}

A response is itself an ASGI application. Rules of this file: a background is accepted before the
first message and called after the last, never between; every background that was accepted is
called or abandoned; "sent" means handed to the server, which is not yet "received".
"""

import json
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

from miniasgi.concurrency import iterate_in_threadpool, shielded
from miniasgi.datastructures import Given, Headers, MutableHeaders, RawHeaders
from miniasgi.events import listeners, tell
from miniasgi.exceptions import ClientDisconnect
from miniasgi.types import ASGIApp, Later, Message, Receive, Scope, Send

#: A body longer than this, in bytes, ends with an empty message when a background follows: a server
#: takes that one only once its write buffer has drained, so that "sent" comes nearer to "received".
DRAIN_OVER = 64 * 1024
#: What is noted on an exception that came before the background could be called.
NOT_SENT = "while the response was being sent"


class Response:
    """Status, headers, and a body that is known before it is sent."""

    # Left out: WebSocket denial responses (Starlette: Response). WebSockets are refused.

    media_type: str | None = None
    charset = "utf-8"
    #: How long a reader that stalls may delay the background once all is handed over, in seconds.
    #: A stream waits for its reader as it goes, and some servers (hypercorn) do in each send.
    drain_timeout = 30.0
    #: Does it send as `Response` does? Once such a one is made, only the server can fail.
    is_plain: ClassVar[bool] = True
    _content_type: ClassVar[RawHeaders] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Looked at once a class, not once a response.
        super().__init_subclass__(**kwargs)
        cls._content_type = _content_type(cls.media_type, cls.charset)
        cls.is_plain = (cls.__call__, cls.transmit) == (Response.__call__, Response.transmit)

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Given = None,
        media_type: str | None = None,
        background: Later = None,
    ) -> None:
        self.status_code = status_code
        self.background = background
        self.body = body = self.render(content)
        if headers is None and media_type is None and status_code == 200 and self.is_plain:
            # The usual case, in one list: half a microsecond less than below.
            self.raw_headers = [(b"content-length", b"%d" % len(body)), *self._content_type]
        else:
            self.init_headers(headers, media_type)

    def render(self, content: Any) -> Any:
        """The body's bytes. Override it for another encoder (orjson, msgspec)."""
        if isinstance(content, str):
            return content.encode(self.charset)
        if content is None:
            return b""
        return content if isinstance(content, bytes) else bytes(memoryview(content))

    def init_headers(self, headers: Given, media_type: str | None) -> None:
        """Set ``raw_headers``: what is given, and the length and type of the content."""
        raw = Headers(headers).raw
        names = {name for name, _ in raw}
        # RFC 9110, 8.6: a 1xx or 204 has no content-length; a 304 has none for Starlette's sake.
        has_length = self.status_code >= 200 and self.status_code not in (204, 304)
        if isinstance(self.body, bytes) and has_length and b"content-length" not in names:
            raw.append((b"content-length", b"%d" % len(self.body)))
        if b"content-type" not in names:
            self.media_type = media_type or self.media_type
            raw += _content_type(self.media_type, self.charset)
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
        samesite: str | None = "lax",
    ) -> None:
        """Add a ``set-cookie`` header; ``max_age`` in seconds, ``expires`` too, or a datetime."""
        # Left out: partitioned cookies (Starlette: set_cookie). Python knows them from 3.14 on.
        from email.utils import format_datetime
        from http.cookies import SimpleCookie

        if samesite is not None and samesite.lower() not in ("strict", "lax", "none"):
            raise ValueError(f"samesite is 'strict', 'lax' or 'none', not {samesite!r}")
        if hasattr(expires, "utcoffset"):
            expires = format_datetime(expires, usegmt=True)
        names = ("max-age", "expires", "path", "domain", "secure", "httponly", "samesite")
        values = (max_age, expires, path, domain, secure, httponly, samesite)
        cookie: SimpleCookie = SimpleCookie({key: value})
        cookie[key].update({n: v for n, v in zip(names, values, strict=True) if v is not None})
        self.headers.append("set-cookie", cookie.output(header="").strip())

    def delete_cookie(
        self, key: str, path: str = "/", domain: str | None = None, **options: Any
    ) -> None:
        """Let it expire. ``options`` as for `set_cookie`: path and domain must be the cookie's."""
        self.set_cookie(key, "", 0, 0, path, domain, **options)

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
        if listeners.get():
            tell("accept")
        try:
            drained = await self.transmit(scope, receive, send)
        except BaseException as because:
            # Where the body is known, only the server's send can raise an OSError.
            gone = (ClientDisconnect, OSError) if self.is_plain else ClientDisconnect
            if not isinstance(because, gone):
                because.add_note(NOT_SENT)
                await shielded(background.abandon, because)
                raise
            drained = True  # nobody reads any more, and the work is still due
        try:
            await background()
        finally:
            if not drained:
                with suppress(OSError):  # it may have left by now
                    await send(_last())

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Send every message. False if a stalled reader kept the server from taking the last."""
        status, headers = self.status_code, self.raw_headers
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if self.background is None or len(self.body) <= DRAIN_OVER:
            # No more_body: this is the last message, and servers write the final bytes now.
            await send({"type": "http.response.body", "body": self.body})
            return True
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        return await self._send_last(send)

    async def _send_last(self, send: Send) -> bool:
        import anyio

        patience = float("inf") if self.background is None else self.drain_timeout
        with anyio.move_on_after(patience):
            await send_or_leave(send, _last())
            return True
        return False


def checked(response: Any, function: Any) -> ASGIApp:
    """What a function returned, if it can be sent. Raises TypeError naming the function."""
    if callable(response) and not isinstance(response, type):
        return response  # type: ignore[no-any-return]
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"{name} returned {response!r}; return a Response, such as PlainTextResponse")


def answer_of(exc: Any) -> Response:
    """What an exception with a ``status_code`` and a ``detail`` says, which is its own answer."""
    headers = getattr(exc, "headers", None)
    if exc.status_code in (204, 304):
        return Response(None, exc.status_code, headers)
    if isinstance(exc.detail, str):
        return PlainTextResponse(exc.detail, exc.status_code, headers)
    return JSONResponse({"detail": exc.detail}, exc.status_code, headers)


def _content_type(media_type: str | None, charset: str) -> RawHeaders:
    if media_type is None:
        return []
    if media_type.startswith("text/") and "charset=" not in media_type.lower():
        media_type = f"{media_type}; charset={charset}"
    return [(b"content-type", media_type.encode("latin-1"))]


def _last() -> Message:
    return {"type": "http.response.body", "body": b"", "more_body": False}


async def send_or_leave(send: Send, message: Message) -> None:
    """Send; an OSError says that the client has left, which is raised as ClientDisconnect."""
    try:
        await send(message)
    except OSError as exc:  # only around send: the same error from a generator is a failure
        raise ClientDisconnect from exc


class PlainTextResponse(Response):
    media_type = "text/plain"


class HTMLResponse(Response):
    media_type = "text/html"


class JSONResponse(Response):
    """Any JSON value. NaN and infinity raise ValueError: JSON has no words for them."""

    media_type = "application/json"
    # Built once: json.dumps makes an encoder for each call, 1.2 us.
    _encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def render(self, content: Any) -> bytes:
        # Half of a surrogate pair has no bytes in UTF-8: the escape of Python is also that of JSON.
        return self._encoder.encode(content).encode(errors="backslashreplace")


class RedirectResponse(Response):
    """Go there instead: 307 keeps the method, 303 turns a POST into a GET."""

    def __init__(
        self, url: str, status_code: int = 307, headers: Given = None, background: Later = None
    ) -> None:
        from urllib.parse import quote

        super().__init__(b"", status_code, headers, None, background)
        self.headers["location"] = quote(url, safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response):
    """Chunks as they come, str or bytes, from an async iterator or (in threads) a plain one.

    The background runs when the stream has ended and when the client has left, on every server; it
    does not when the iterator raised.
    """

    def render(self, content: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterable[Any]:
        if not isinstance(content, AsyncIterable):
            content = iterate_in_threadpool(content)
        self.body_iterator = content
        return content

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Send chunks until they end or the client leaves: either way the background follows."""
        # From spec version 2.4 on send raises when the client has left; before, receive tells.
        version = scope.get("asgi", {}).get("spec_version", "2.0")
        try:
            if tuple(map(int, version.split("."))) >= (2, 4):
                await self._send_chunks(send)
            else:
                await self._send_until_disconnect(receive, send)
            return await self._send_last(send)
        except ClientDisconnect:
            return True
        finally:
            if hasattr(self.body_iterator, "aclose"):
                await shielded(self.body_iterator.aclose)

    async def _send_chunks(self, send: Send) -> None:
        import anyio.lowlevel

        start = {"type": "http.response.start", "status": self.status_code}
        await send_or_leave(send, {**start, "headers": self.raw_headers})
        async for chunk in self.body_iterator:
            body = chunk.encode(self.charset) if isinstance(chunk, str) else chunk
            message = {"type": "http.response.body", "body": body, "more_body": True}
            await send_or_leave(send, message)
            # Let others run: send to a client that has left returns at once, and a stream that
            # never waits would keep the loop from hearing of it, and from everything else.
            await anyio.lowlevel.checkpoint()

    async def _send_until_disconnect(self, receive: Receive, send: Send) -> None:
        import anyio

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ClientDisconnect

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await self._send_chunks(send)
                group.cancel_scope.cancel()
        except ExceptionGroup as wrapped:
            # If it failed in the turn in which the client left, it is a failure.
            failures = [one for one in wrapped.exceptions if not isinstance(one, ClientDisconnect)]
            failure = (failures or wrapped.exceptions)[-1]
            raise failure from failure.__cause__

"""The answer, and what comes after: accept, send, then run.

Messages out (ASGI 3.0 HTTP spec, "Response Start" and "Response Body")::

    {"type": "http.response.start", "status": 200, "headers": [(b"name", b"value"), ...]}
    {"type": "http.response.body", "body": b"...", "more_body": False}

A response is itself an ASGI application. Rules of this file: a background is accepted before the
first message and called after the last, never between; every background that was accepted is
called or abandoned; "sent" means handed to the server, which is not yet "received".
"""

import json
import os
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, ClassVar

from miniasgi.concurrency import iterate_in_threadpool, run_in_threadpool
from miniasgi.datastructures import Given, Headers, MutableHeaders, RawHeaders
from miniasgi.events import listener, tell
from miniasgi.exceptions import ClientDisconnect, HTTPException
from miniasgi.types import Later, Message, Receive, Scope, Send

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
    _content_type: ClassVar[RawHeaders] = []

    def __init_subclass__(cls) -> None:
        # Looked at once a class, not once a response.
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
        return content if isinstance(content, bytes) else bytes(memoryview(content or b""))

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

        if hasattr(expires, "utcoffset"):
            expires = format_datetime(expires, usegmt=True)
        names = ("max-age", "expires", "path", "domain", "secure", "httponly", "samesite")
        values = (max_age, expires, path, domain, secure or None, httponly or None, samesite)
        cookie: SimpleCookie = SimpleCookie({key: value})
        cookie[key].update({n: v for n, v in zip(names, values, strict=True) if v is not None})
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
        if listener.get() is not None:
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
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
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
            await send(_last())
            return True
        return False

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, start: Message, chunks: Any
    ) -> bool:
        """Send chunks until they end or the client leaves: either way the background follows."""

        async def send_all() -> None:
            await _send_or_leave(send, start)
            async for chunk in chunks:
                body = chunk.encode(self.charset) if isinstance(chunk, str) else chunk
                message = {"type": "http.response.body", "body": body, "more_body": True}
                await _send_or_leave(send, message)

        # From spec version 2.4 on send raises when the client has left; before, receive tells.
        version = scope.get("asgi", {}).get("spec_version", "2.0")
        try:
            if tuple(map(int, version.split("."))) >= (2, 4):
                await send_all()
            else:
                await _until_disconnect(send_all, receive)
        except ClientDisconnect:
            return True
        finally:
            if hasattr(chunks, "aclose"):
                await _shielded(chunks.aclose)
        return await self._send_last(send)


def _content_type(media_type: str | None, charset: str) -> RawHeaders:
    if media_type is None:
        return []
    if media_type.startswith("text/") and "charset=" not in media_type.lower():
        media_type = f"{media_type}; charset={charset}"
    return [(b"content-type", media_type.encode("latin-1"))]


def _start(status: int, raw_headers: RawHeaders) -> Message:
    return {"type": "http.response.start", "status": status, "headers": raw_headers}


def _last() -> Message:
    return {"type": "http.response.body", "body": b"", "more_body": False}


async def _send_or_leave(send: Send, message: Message) -> None:
    try:
        await send(message)
    except OSError as exc:  # only around send: the same error from a generator is a failure
        raise ClientDisconnect from exc


async def _until_disconnect(send_all: Callable[[], Awaitable[None]], receive: Receive) -> None:
    import anyio

    failure: Exception | None = None
    async with anyio.create_task_group() as group:

        async def listen() -> None:
            nonlocal failure
            while (await receive())["type"] != "http.disconnect":
                pass
            failure = ClientDisconnect()
            group.cancel_scope.cancel()

        group.start_soon(listen)
        try:
            await send_all()
        except Exception as exc:
            failure = exc  # raised below: the task group would wrap it in an ExceptionGroup
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _shielded(close: Callable[[], Awaitable[None]]) -> None:
    import anyio

    with anyio.CancelScope(shield=True):
        await close()


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
        return self._encoder.encode(content).encode()


class RedirectResponse(Response):
    """Go there instead: 307 keeps the method, 303 turns a POST into a GET."""

    def __init__(
        self,
        url: str,
        status_code: int = 307,
        headers: Given = None,
        background: Later = None,
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
        start = _start(self.status_code, self.raw_headers)
        return await self._stream(scope, receive, send, start, self.body_iterator)


class FileResponse(Response):
    """The file at ``path``, read in threads, 64 KiB at a time; or one range of it, with a 206.

    A range that cannot be read is a 400, one outside the file a 416 (RFC 9110, 14); whatever the
    status, the background runs: it is the usual place to delete a temporary file. Raises
    RuntimeError before the first byte if there is no such file.
    """

    # Left out: ranges of several parts (Starlette: FileResponse): the whole file is sent.
    # Left out: the http.response.pathsend extension. No server that we test has it.

    chunk_size = 64 * 1024

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Given = None,
        media_type: str | None = None,
        background: Later = None,
        filename: str | None = None,
        content_disposition_type: str = "attachment",
    ) -> None:
        from mimetypes import guess_type
        from urllib.parse import quote

        self.path = path
        media_type = media_type or guess_type(filename or path)[0] or "application/octet-stream"
        super().__init__(None, status_code, headers, media_type, background)
        self.headers.setdefault("accept-ranges", "bytes")
        if filename is not None:
            quoted = quote(filename)
            name = f'filename="{filename}"' if quoted == filename else f"filename*=utf-8''{quoted}"
            self.headers.setdefault("content-disposition", f"{content_disposition_type}; {name}")

    def render(self, content: None) -> None:
        return None

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        if not await run_in_threadpool(os.path.isfile, self.path):
            raise RuntimeError(f"there is no file at {os.fspath(self.path)!r}")
        size = self._set_stat_headers(await run_in_threadpool(os.stat, self.path))
        status, headers = self.status_code, MutableHeaders(raw=list(self.raw_headers))
        try:
            start, stop = self._asked_range(scope, size) or (0, size)
        except HTTPException as refused:
            answer = (refused.detail, refused.status_code, refused.headers)
            return await PlainTextResponse(*answer).transmit(scope, receive, send)
        if (start, stop) != (0, size):
            status, headers["content-length"] = 206, str(stop - start)
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        chunks = iterate_in_threadpool(
            self._read(stop if scope["method"] == "HEAD" else start, stop)
        )
        return await self._stream(scope, receive, send, _start(status, headers.raw), chunks)

    def _set_stat_headers(self, stat_result: os.stat_result) -> int:
        from email.utils import formatdate
        from hashlib import md5

        identity = f"{stat_result.st_mtime}-{stat_result.st_size}".encode()
        etag = md5(identity, usedforsecurity=False).hexdigest()
        self.headers.setdefault("content-length", str(stat_result.st_size))
        self.headers.setdefault("last-modified", formatdate(stat_result.st_mtime, usegmt=True))
        self.headers.setdefault("etag", f'"{etag}"')
        return stat_result.st_size

    def _asked_range(self, scope: Scope, size: int) -> tuple[int, int] | None:
        """``bytes=2-5`` as the half-open (2, 6); None where the whole file is the answer."""
        headers = Headers(scope=scope)
        units, _, ranges = headers.get("range", "").partition("=")
        # With If-Range the client says which version it has a part of: of another, it needs all.
        is_same = headers.get("if-range") in (
            None,
            *map(self.headers.get, ("last-modified", "etag")),
        )
        is_get = self.status_code == 200 and scope["method"] in ("GET", "HEAD")
        if not units or "," in ranges or not is_same or not is_get:
            return None
        found = re.fullmatch(r"\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", ranges)
        if units.strip().lower() != "bytes" or found is None or not any(found.groups()):
            raise HTTPException(400, "Range header: one range of bytes must be requested")
        first, last = found.groups()
        start = int(first) if first else max(size - int(last), 0)
        stop = min(int(last) + 1, size) if first and last else size
        if start >= size:
            raise HTTPException(416, "", {"content-range": f"bytes */{size}"})
        if start >= stop:
            raise HTTPException(400, "Range header: start must be less than end")
        return start, stop

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(self.chunk_size, stop - start))
                if not chunk:
                    raise RuntimeError(f"{os.fspath(self.path)!r} became shorter while it was sent")
                start += len(chunk)
                yield chunk

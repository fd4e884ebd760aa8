"""A file as the answer: its size and age as headers, its bytes in chunks, or one range of them.

Status 200, or 206 with ``content-range`` for a range; 400 for a range that cannot be read and 416
for one that lies outside (RFC 9110, 14). Whatever the status, the background runs: it is the usual
place to delete a temporary file.
"""

import os
import re
from collections.abc import Iterator, Mapping

from miniasgi.concurrency import iterate_in_threadpool, run_in_threadpool
from miniasgi.datastructures import Headers, MutableHeaders
from miniasgi.responses import PlainTextResponse, Response
from miniasgi.types import Background, Message, Receive, Scope, Send

_RANGE = re.compile(r"\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII)


class FileResponse(Response):
    """Send the file at ``path``, read in threads, 64 KiB at a time.

    Raises RuntimeError before the first byte if there is no such file. ``filename`` makes it a
    download (``content-disposition``); ``stat_result`` saves the look at the disk.
    """

    # Left out: byte ranges over several parts (Starlette: FileResponse): the whole file is sent.
    # Left out: the http.response.pathsend extension. No server that we test has it.

    chunk_size = 64 * 1024

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
        filename: str | None = None,
        stat_result: os.stat_result | None = None,
        content_disposition_type: str = "attachment",
    ) -> None:
        from mimetypes import guess_type
        from urllib.parse import quote

        self.path = path
        self.filename = filename
        self.status_code = status_code
        self.background = background
        guessed = guess_type(filename or path)[0] or "application/octet-stream"
        self.init_headers(headers, media_type or guessed, None)
        self.headers.setdefault("accept-ranges", "bytes")
        if filename is not None:
            quoted = quote(filename)
            name = f'filename="{filename}"' if quoted == filename else f"filename*=utf-8''{quoted}"
            self.headers.setdefault("content-disposition", f"{content_disposition_type}; {name}")
        self.stat_result = stat_result
        if stat_result is not None:
            self.set_stat_headers(stat_result)

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """``content-length``, ``last-modified`` and ``etag``, where they are not given."""
        from email.utils import formatdate
        from hashlib import md5

        identity = f"{stat_result.st_mtime}-{stat_result.st_size}".encode()
        etag = md5(identity, usedforsecurity=False).hexdigest()
        self.headers.setdefault("content-length", str(stat_result.st_size))
        self.headers.setdefault("last-modified", formatdate(stat_result.st_mtime, usegmt=True))
        self.headers.setdefault("etag", f'"{etag}"')

    async def transmit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        size = await self._size()
        try:
            span = self._asked_range(scope, size)
        except _RefusedRange as refused:
            return await refused.response(self.background).transmit(scope, receive, send)
        start, stop = span or (0, size)
        message = self._start(span, size)
        if scope["method"] == "HEAD":
            start = stop
        chunks = iterate_in_threadpool(self._read(start, stop))
        return await self._send_stream(scope, receive, send, message, chunks)

    async def _size(self) -> int:
        if self.stat_result is not None:
            return self.stat_result.st_size
        if not await run_in_threadpool(os.path.isfile, self.path):
            raise RuntimeError(f"there is no file at {os.fspath(self.path)!r}")
        stat_result = await run_in_threadpool(os.stat, self.path)
        self.set_stat_headers(stat_result)
        return stat_result.st_size

    def _asked_range(self, scope: Scope, size: int) -> tuple[int, int] | None:
        headers = Headers(scope=scope)
        asked = headers.get("range")
        if asked is None or self.status_code != 200 or scope["method"] not in ("GET", "HEAD"):
            return None
        validator = headers.get("if-range")
        if validator not in (None, self.headers["last-modified"], self.headers["etag"]):
            return None  # the client's copy is of another version: it needs the whole file
        return _parse_range(asked, size)

    def _start(self, span: tuple[int, int] | None, size: int) -> Message:
        headers = MutableHeaders(raw=list(self.raw_headers))
        if span is not None:
            headers["content-range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
            headers["content-length"] = str(span[1] - span[0])
        status = self.status_code if span is None else 206
        return {"type": "http.response.start", "status": status, "headers": headers.raw}

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(self.chunk_size, stop - start))
                if not chunk:
                    raise RuntimeError(f"{os.fspath(self.path)!r} became shorter while it was sent")
                start += len(chunk)
                yield chunk


class _RefusedRange(Exception):
    def __init__(self, status_code: int, detail: str, headers: Mapping[str, str] | None = None):
        self.answer = (detail, status_code, headers)

    def response(self, background: Background | None) -> Response:
        return PlainTextResponse(*self.answer, background=background)


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """``bytes=2-5`` as the half-open (2, 6); None for several ranges, which are not served."""
    units, _, ranges = header.partition("=")
    if units.strip().lower() != "bytes":
        raise _RefusedRange(400, "Only support bytes range")
    if "," in ranges:
        return None
    found = _RANGE.fullmatch(ranges)
    if found is None or not any(found.groups()):
        raise _RefusedRange(400, "Range header: range must be requested")
    first, last = found.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size:
        raise _RefusedRange(416, "", {"Content-Range": f"bytes */{size}"})
    if start >= stop:
        raise _RefusedRange(400, "Range header: start must be less than end")
    return start, stop

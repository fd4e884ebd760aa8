"""A file as the answer: its size and age as headers, its bytes in chunks, or one range of them.

Status 200, or 206 with ``content-range``. A range that cannot be read is a 400, one that lies
outside the file a 416 (RFC 9110, 14). Whatever the status, the background runs: it is the usual
place to delete a temporary file.
"""

import os
import re
from collections.abc import Iterator
from functools import partial

from miniasgi.concurrency import run_in_threadpool
from miniasgi.datastructures import Given, Headers, MutableHeaders
from miniasgi.exceptions import HTTPException
from miniasgi.responses import Response, StreamingResponse, answer_of, send_or_leave
from miniasgi.types import Later, Receive, Scope, Send


class FileResponse(Response):
    """Send the file at ``path``, read in threads, 64 KiB at a time.

    Raises RuntimeError before the first byte if there is no such file. ``filename`` is the name
    under which a browser saves it.
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
        status, headers = self.status_code, MutableHeaders(raw=list(self.raw_headers))
        size = await run_in_threadpool(self._set_stat_headers, headers)
        try:
            span = self._asked_range(scope, headers, size)
        except HTTPException as refused:
            return await answer_of(refused).transmit(scope, receive, partial(send_or_leave, send))
        start, stop = span or (0, size)
        if span is not None:
            status, headers["content-length"] = 206, str(stop - start)
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        part = self._read(start, start if scope["method"] == "HEAD" else stop)
        answer = StreamingResponse(part, status, background=self.background)
        answer.raw_headers, answer.drain_timeout = headers.raw, self.drain_timeout
        return await answer.transmit(scope, receive, send)

    def _set_stat_headers(self, headers: MutableHeaders) -> int:
        from email.utils import formatdate
        from hashlib import md5

        if not os.path.isfile(self.path):
            raise RuntimeError(f"there is no file at {os.fspath(self.path)!r}")
        found = os.stat(self.path)
        identity = f"{found.st_mtime}-{found.st_size}".encode()
        headers.setdefault("content-length", str(found.st_size))
        headers.setdefault("last-modified", formatdate(found.st_mtime, usegmt=True))
        headers.setdefault("etag", f'"{md5(identity, usedforsecurity=False).hexdigest()}"')
        return found.st_size

    def _asked_range(self, scope: Scope, own: Headers, size: int) -> tuple[int, int] | None:
        """``bytes=2-5`` as the half-open (2, 6); None where the whole file is the answer."""
        headers = Headers(scope=scope)
        units, _, ranges = headers.get("range", "").partition("=")
        # With If-Range the client says which version it has a part of: of another, it needs all.
        # RFC 9110, 13.1.5: a weak one says nothing about bytes.
        version = headers.get("if-range", own["last-modified"])
        is_same = version in (own["last-modified"], own["etag"]) and not version.startswith("W/")
        is_get = self.status_code == 200 and scope["method"] in ("GET", "HEAD")
        if "range" not in headers or "," in ranges or not is_same or not is_get:
            return None
        # As many digits as int() reads at most, and no more.
        found = re.fullmatch(r"\s*([0-9]{0,4000})\s*-\s*([0-9]{0,4000})\s*", ranges)
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

"""HTML forms: python-multipart parses, here its parts become text and files.

``application/x-www-form-urlencoded`` and ``multipart/form-data``; any other content type is an
empty form, as in Starlette. Limits are on counts and on the size of a text field; the size of the
whole body is the request's to limit. A form that cannot be parsed is the client's mistake: a 400.

Source: python-multipart, ``FormParser``; RFC 7578.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from miniasgi.concurrency import run_in_threadpool
from miniasgi.datastructures import ImmutableMultiDict
from miniasgi.exceptions import HTTPException

if TYPE_CHECKING:
    from python_multipart import multipart


class UploadFile:
    """An uploaded file: in memory up to 1 MiB, then in a temporary file that goes at `close`.

    Reading and seeking happen in a thread. ``file`` is the plain file object, ``size`` in bytes.
    """

    def __init__(
        self, file: Any, *, size: int, filename: str | None, content_type: str | None
    ) -> None:
        self.file = file
        self.size = size
        self.filename = filename
        self.content_type = content_type

    async def read(self, size: int = -1) -> bytes:
        data: bytes = await run_in_threadpool(self.file.read, size)
        return data

    async def seek(self, offset: int) -> None:
        await run_in_threadpool(self.file.seek, offset)

    async def close(self) -> None:
        await run_in_threadpool(self.file.close)


class FormData(ImmutableMultiDict[str | UploadFile]):
    """A form's fields by name: text, or `UploadFile`."""

    async def close(self) -> None:
        """Close the files. Needed where they were kept; a request's own form closes itself."""
        for _, value in self.multi_items():
            if isinstance(value, UploadFile):
                await value.close()


async def parse_form(
    content_type: str,
    chunks: AsyncIterator[bytes],
    *,
    max_files: int,
    max_fields: int,
    max_part_size: int,
) -> FormData:
    """Read the chunks to their end. Raises HTTPException 400 naming what was wrong."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import FormParser, parse_options_header

    kind, options = parse_options_header(content_type)
    if kind not in (b"multipart/form-data", b"application/x-www-form-urlencoded"):
        return FormData()
    parts = _Parts(kind == b"multipart/form-data", max_files, max_fields, max_part_size)
    try:
        limits = {"MAX_FIELD_SIZE": max_part_size, "MAX_FIELDS": max_fields}
        parser = FormParser(
            kind.decode(),
            parts.add_field,
            parts.add_file,
            boundary=options.get(b"boundary"),
            config=limits,
        )
        async for chunk in chunks:
            # A large chunk may go to disk: not on the loop. A small one is not worth the hop.
            if len(chunk) < 4096:
                parser.write(chunk)
            else:
                await run_in_threadpool(parser.write, chunk)
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        await FormData(parts.items).close()
        raise HTTPException(400, f"The form cannot be parsed: {exc}") from exc
    return FormData(parts.items)


class _Parts:
    def __init__(
        self, is_multipart: bool, max_files: int, max_fields: int, max_part_size: int
    ) -> None:
        self.items: list[tuple[str, str | UploadFile]] = []
        self.is_multipart = is_multipart
        self.left = {"files": max_files, "fields": max_fields}
        self.max_part_size = max_part_size

    def add_field(self, field: "multipart.Field") -> None:
        self._count("fields")
        value = field.value or b""
        if len(value) > self.max_part_size:
            raise ValueError(f"a field is longer than {self.max_part_size} bytes")
        self.items.append((self._text(field.field_name or b""), self._text(value)))

    def add_file(self, file: "multipart.File") -> None:
        self._count("files")
        file.file_object.seek(0)
        upload = UploadFile(
            file.file_object,
            size=file.size,
            filename=_decode(file.file_name or b""),
            content_type=file.content_type,
        )
        self.items.append((_decode(file.field_name or b""), upload))

    def _count(self, kind: str) -> None:
        self.left[kind] -= 1
        if self.left[kind] < 0:
            raise ValueError(f"too many {kind}")

    def _text(self, raw: bytes) -> str:
        if self.is_multipart:
            return _decode(raw)
        from urllib.parse import unquote_plus

        return unquote_plus(raw.decode("latin-1"))


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")

"""HTML forms: python-multipart parses, here its parts become text and files.

``application/x-www-form-urlencoded`` and ``multipart/form-data``; any other content type is an
empty form, as in Starlette. A form that cannot be parsed is the client's mistake: a 400.

Source: python-multipart, ``FormParser``; RFC 7578.
"""

from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from miniasgi.datastructures import MultiDict
from miniasgi.exceptions import HTTPException

# Left out: uploads on disk (Starlette: UploadFile). A form is in memory, below max_body_size; read
# what is larger with request.stream().

FORM_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


class UploadFile:
    """An uploaded file, in memory; ``size`` in bytes, the rest is what the client said."""

    def __init__(self, part: Any) -> None:
        self.file: BytesIO = part.file_object
        self.size: int = part.size
        self.filename = _decode(part.file_name)
        self.content_type: str | None = part.content_type
        self.file.seek(0)

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    async def seek(self, offset: int) -> None:
        self.file.seek(offset)


class FormData(MultiDict[str | UploadFile]):
    """A form's fields by name: text, or `UploadFile`."""


def parse_form(content_type: str, body: bytes, max_fields: int) -> FormData:
    """The form in ``body``. Raises HTTPException 400, saying what is wrong."""
    try:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import FormParser, parse_options_header
    except ModuleNotFoundError:
        raise RuntimeError("forms need python-multipart: pip install 'miniasgi[forms]'") from None

    items: list[tuple[str, str | UploadFile]] = []

    def count(fields: int) -> None:
        if fields > max_fields:
            raise FormParserError(f"more than {max_fields} fields")

    def add(part: Any) -> None:
        count(len(items) + 1)
        value = UploadFile(part) if hasattr(part, "file_object") else _decode(part.value)
        items.append((_decode(part.field_name), value))

    kind, options = parse_options_header(content_type)
    in_memory = {"MAX_MEMORY_FILE_SIZE": float("inf")}
    try:
        if kind == b"application/x-www-form-urlencoded":
            count(body.count(b"&") + 1)
            return FormData(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        if kind == b"multipart/form-data":
            boundary = options.get(b"boundary")
            parser = FormParser(kind.decode(), add, add, None, boundary, None, in_memory)
            parser.write(body)
            parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise HTTPException(400, f"The form cannot be parsed: {exc}") from exc
    return FormData(items)


def _decode(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")

"""HTML forms: names and values, taken from the body as it was sent.

``application/x-www-form-urlencoded`` is read by the standard library, ``multipart/form-data``
(forms with files) by python-multipart; any other content type is an empty form, as in Starlette.
A form that cannot be parsed is the client's mistake: a 400.

Source: python-multipart, ``FormParser``; RFC 7578.
"""

import codecs
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from miniasgi.datastructures import MultiDict
from miniasgi.exceptions import HTTPException

# Left out: uploads on disk (Starlette: UploadFile). A form is in memory, below max_body_size; read
# what is larger with request.stream().
# Left out: a form as a context manager, a limit of files, headers of a file (Starlette: Request).

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class UploadFile:
    """An uploaded file, in memory; ``size`` in bytes, the rest is what the client said."""

    def __init__(self, part: Any, charset: str) -> None:
        self.file: BytesIO = part.file_object
        self.size: int = part.size
        self.filename = _decode(part.file_name, charset)
        self.content_type: str | None = part.content_type
        self.file.seek(0)

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    async def seek(self, offset: int) -> None:
        self.file.seek(offset)

    async def close(self) -> None:
        self.file.close()


class FormData(MultiDict[str | UploadFile]):
    """A form's fields by name: text, or `UploadFile`."""

    async def close(self) -> None:
        """Starlette's, which has files to close: here is nothing to do."""


def parse_form(content_type: str, body: bytes, max_fields: int) -> FormData:
    """The form in ``body``. Raises HTTPException 400, saying what is wrong."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == URLENCODED:
            if body.count(b"&") >= max_fields:
                raise ValueError(f"more than {max_fields} fields")
            return FormData(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        if kind == MULTIPART:
            return FormData(_parts(content_type, body, max_fields))
    except ValueError as exc:  # python-multipart's errors are such, too
        raise HTTPException(400, f"The form cannot be parsed: {exc}") from exc
    return FormData()


def _parts(content_type: str, body: bytes, max_fields: int) -> list[tuple[str, str | UploadFile]]:
    try:
        from python_multipart.multipart import FormParser, parse_options_header
    except ModuleNotFoundError:
        hint = "forms with files need python-multipart: pip install 'miniasgi[forms]'"
        raise RuntimeError(hint) from None

    items: list[tuple[str, str | UploadFile]] = []

    def add(part: Any) -> None:
        if len(items) == max_fields:
            raise ValueError(f"more than {max_fields} fields")
        is_file = hasattr(part, "file_object")
        value = UploadFile(part, charset) if is_file else _decode(part.value, charset)
        items.append((_decode(part.field_name, charset), value))

    options = parse_options_header(content_type)[1]
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    in_memory = {"MAX_MEMORY_FILE_SIZE": float("inf")}
    parser = FormParser(MULTIPART, add, add, boundary=options.get(b"boundary"), config=in_memory)
    parser.write(body)
    parser.finalize()
    return items


def _decode(raw: bytes | None, charset: str) -> str:
    try:
        if codecs.lookup(charset).name in ("punycode", "idna"):  # for names: quadratic in time
            charset = "utf-8"
        return (raw or b"").decode(charset, "replace")
    except (LookupError, ValueError):  # there is no such charset
        return (raw or b"").decode("utf-8", "replace")

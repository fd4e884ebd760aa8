"""What is around a page: its template, its style and script, and the headers of every answer.

Rule of this file: a page loads nothing from elsewhere, and runs no script but ours.
"""

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from miniasgi.monitor import rows, words
from miniasgi.requests import Request
from miniasgi.responses import Response
from miniasgi.timeline.svg import STYLE

_PAGES = Path(__file__).parent / "pages"
FILES = {
    name: ((_PAGES / name).read_bytes(), kind)
    for name, kind in (("style.css", "text/css"), ("live.js", "text/javascript"))
}
_VERSION = sha256(b"".join(content for content, _ in FILES.values())).hexdigest()[:12]
_PICTURE = b64encode(sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; "
        f"style-src 'self' 'sha256-{_PICTURE}'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


@cache
def templates() -> Environment:
    """Compiled when the first monitor is made, so that no request waits for it."""
    found = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= words.FILTERS
    found.globals |= {"states": rows.STATES, "version": _VERSION}
    for name in found.list_templates(extensions=["html"]):
        found.get_template(name)
    return found


def file(name: str) -> Callable[..., Any]:
    content, kind = FILES[name]

    async def answer(request: Request) -> Response:
        return Response(content, headers={"cache-control": "max-age=31536000"}, media_type=kind)

    return answer


async def with_headers(request: Request, call_next: Callable[..., Any]) -> Any:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response

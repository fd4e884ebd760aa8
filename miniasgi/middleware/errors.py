"""The outermost layer: what becomes of an exception that no handler answered.

- *Nothing was sent*: the handlers get one more chance (a promise that could not be kept, a mounted
  application); then 500, and the exception is raised on, so that the server logs it, as
  Starlette does.
- *The response is partly sent*: raised on. The server closes the connection, the only honest sign.
- *The response is complete*: it is background work that failed. Logged and contained: the client
  has its answer, and its connection lives on, with the next request on it. Raised on only if the
  caller asked for it by a true ``scope["miniasgi.raise_background"]``, as `miniasgi.testing` does.
"""

import logging
from collections.abc import Awaitable

from miniasgi.middleware.exceptions import ExceptionHandlers, Handler
from miniasgi.requests import Request
from miniasgi.responses import HTMLResponse, PlainTextResponse, Response
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("miniasgi")


class ServerErrors:
    """``handler`` answers instead of the plain 500; with ``debug`` the traceback is the answer."""

    def __init__(
        self, handlers: ExceptionHandlers, handler: Handler | None = None, debug: bool = False
    ) -> None:
        self.handlers = handlers
        self.last_resort = ExceptionHandlers(
            {Exception: _debug_response if debug else handler or _error_response}
        )

    async def guard(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Call an application, or a response, and decide what becomes of its exception."""
        last: Message | None = None

        def send_and_note(message: Message) -> Awaitable[None]:
            # Not a coroutine of its own: it hands on the server's, which saves 0.1 us a message.
            nonlocal last
            last = message
            return send(message)

        try:
            await app(scope, receive, send_and_note)
        except Exception as exc:
            await self.answer(exc, last, scope, receive, send)

    async def answer(
        self, exc: Exception, last: Message | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Decide by ``last``, the last message that was sent before the exception came."""
        if _is_complete(last):
            _contain(exc, scope)
            return
        if last is not None or scope["type"] != "http":
            raise exc
        request = Request(scope, receive)
        response = await self.handlers.response(request, exc)
        is_expected = response is not None
        if response is None:
            response = await self.last_resort.response(request, exc)
        if response is not None:
            await ServerErrors(ExceptionHandlers({})).guard(response, scope, receive, send)
        if not is_expected:
            raise exc


def _is_complete(last: Message | None) -> bool:
    """Was this the last message of a response?"""
    if last is None or last["type"] != "http.response.body":
        return False
    return not last.get("more_body", False)


def _contain(exc: Exception, scope: Scope) -> None:
    """Log an exception that came after the response, with its task's name."""
    if scope.get("miniasgi.raise_background"):
        raise exc
    where = "; ".join(getattr(exc, "__notes__", ())) or "in an application that is not ours"
    logger.error("an exception after the response, %s: %r", where, exc, exc_info=exc)


async def _error_response(request: Request, exc: Exception) -> Response:
    return PlainTextResponse("Internal Server Error", status_code=500)


async def _debug_response(request: Request, exc: Exception) -> Response:
    from html import escape
    from traceback import format_exception

    text = "".join(format_exception(exc))
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(text, status_code=500)
    title = escape(f"{type(exc).__name__}: {exc}")
    page = f"<!doctype html><title>{title}</title><h1>{title}</h1><pre>{escape(text)}</pre>"
    return HTMLResponse(page, status_code=500)

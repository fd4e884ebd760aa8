"""The outermost layer: what becomes of an exception that no handler answered.

- *Nothing was sent*: the handlers get one more chance (a promise that could not be kept, a mounted
  application); then 500, and the exception is raised on, so that the server logs it, as
  Starlette does.
- *The response is partly sent*: raised on. The server closes the connection, the only honest sign.
- *The response is complete*: it is background work that failed. Logged and contained: the client
  has its answer, and its connection lives on, with the next request on it. Raised on only if the
  caller asked for it by a true ``scope["miniasgi.raise_background"]``, as `miniasgi.testing` does.
"""

from miniasgi.middleware.exceptions import ExceptionMiddleware, Handler, Handlers, response_to
from miniasgi.requests import Request
from miniasgi.responses import NOT_SENT, PlainTextResponse, Response
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send


class ServerErrorMiddleware(ExceptionMiddleware):
    """``handler`` answers instead of the plain 500; with ``debug`` the traceback is the answer."""

    def __init__(
        self, app: ASGIApp, handlers: Handlers, handler: Handler | None = None, debug: bool = False
    ) -> None:
        super().__init__(app, handlers)
        self.last_resort = {Exception: _debug_response if debug else handler or _error_response}

    async def answer(
        self, exc: Exception, last: Message | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if last is not None and last["type"] == "http.response.body" and not last.get("more_body"):
            _contain(exc, scope)
            return
        if last is not None or scope["type"] != "http":
            raise exc
        # The body is with whoever read it, be it through a middleware's own receive.
        reader = scope.get("miniasgi.body")
        request = Request(scope, reader.receive if reader else receive)
        try:
            response = await response_to(exc, request, self.handlers)
        except Exception as unanswered:
            response = await response_to(unanswered, request, self.last_resort)
            await ServerErrorMiddleware(response, {})(scope, receive, send)
            raise
        # Guarded again, without handlers: the answer to an error may fail too, but not for ever.
        await ServerErrorMiddleware(response, {})(scope, receive, send)


def _contain(exc: Exception, scope: Scope) -> None:
    notes = getattr(exc, "__notes__", ())
    if scope.get("miniasgi.raise_background") or NOT_SENT in notes:
        raise exc  # NOT_SENT: it was the last message itself that failed
    import logging

    logger = logging.getLogger("miniasgi")
    where = "; ".join(notes) or "in an application that is not ours"
    logger.error("an exception after the response, %s: %r", where, exc, exc_info=exc)


async def _error_response(request: Request, exc: Exception) -> Response:
    return PlainTextResponse("Internal Server Error", 500)


async def _debug_response(request: Request, exc: Exception) -> Response:
    from traceback import format_exception

    return PlainTextResponse("".join(format_exception(exc)), 500)

"""What becomes of an exception: one layer, which stands in two places.

*Innermost*, around the endpoints, an exception becomes a response, so that your middleware sees it
as one. Handlers are found by status code first, then by class, nearest base first. An exception
without a handler that carries a ``status_code`` is answered with it: HTTPException, Starlette's
own, or a queue that cannot promise (503). *Outermost*, with a last resort, it decides the rest:

- *Nothing was sent*: the handlers get one more chance (a promise that could not be kept, a mounted
  application); then 500, and the exception is raised on, so that the server logs it.
- *The response is partly sent*: raised on. The server closes the connection, the only honest sign.
- *The response is complete*: it is background work that failed. Logged and contained: the client
  has its answer, and its connection lives on, with the next request on it. Raised on only if the
  caller asked for it by a true ``scope["miniasgi.raise_background"]``, as `miniasgi.testing` does.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from miniasgi.concurrency import call
from miniasgi.exceptions import HTTPException
from miniasgi.requests import Request
from miniasgi.responses import NOT_SENT, PlainTextResponse, Response, answer_of, checked
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

#: ``handler(request, exception) -> response``, plain or ``async``.
Handler: TypeAlias = Callable[[Request, Any], Any]
#: Handlers by status code or exception class.
Handlers: TypeAlias = Mapping[Any, Handler]
#: What is noted on an exception whose answer is the 500 that was sent.
ANSWERED = "it was answered with 500"


async def response_to(exc: Exception, request: Request, handlers: Handlers) -> Any:
    """What the handlers answer to an exception. Raises it where they have no answer."""
    status_code = getattr(exc, "status_code", None)
    keys = (status_code, *type(exc).__mro__)
    handler = next((handlers[key] for key in keys if key in handlers), None)
    if handler is not None:
        return checked(await call(handler, request, exc), handler)
    if not isinstance(status_code, int) or not 200 <= status_code <= 599:
        raise exc
    if not hasattr(exc, "detail"):
        # Its text may hold what is not the client's business: it goes to the log.
        _logger().warning("answered with %s: %r", status_code, exc)
        exc = HTTPException(status_code, None, getattr(exc, "headers", None))
    return answer_of(exc)


async def last_resort(request: Request, exc: Exception) -> Response:
    """What answers if the application has no last resort of its own."""
    return PlainTextResponse("Internal Server Error", 500)


async def explain(request: Request, exc: Exception) -> Response:
    """The last resort of an application with ``debug``: for its developer, nobody else."""
    from traceback import format_exception

    return PlainTextResponse("".join(format_exception(exc)), 500)


class ErrorMiddleware:
    """The layer itself, around whatever may raise: an application, or a response being sent."""

    def __init__(self, app: Any, handlers: Handlers, last_resort: Handler | None = None) -> None:
        self.app, self.handlers, self.last_resort = app, handlers, last_resort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.guard(self.app, scope, receive, send)

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
        if self.last_resort and _is_complete(last):
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
            if self.last_resort:
                response = await response_to(unanswered, request, {Exception: self.last_resort})
                await self._guarded(response)(scope, receive, send)
                unanswered.add_note(ANSWERED)
            raise
        await self._guarded(response)(scope, receive, send)

    def _guarded(self, response: ASGIApp) -> ASGIApp:
        # Again, without handlers: the answer to an error may fail too, but not for ever.
        return ErrorMiddleware(response, {}, last_resort) if self.last_resort else response


def _is_complete(last: Message | None) -> bool:
    kinds = ("http.response.body", "http.response.pathsend")
    return last is not None and last["type"] in kinds and not last.get("more_body")


def _contain(exc: Exception, scope: Scope) -> None:
    notes = getattr(exc, "__notes__", ())
    if scope.get("miniasgi.raise_background") or NOT_SENT in notes or ANSWERED in notes:
        raise exc  # the last message itself failed, or it is the answer to this very exception
    where = "; ".join(notes) or "in an application that is not ours"
    _logger().error("an exception after the response, %s: %r", where, exc, exc_info=exc)


def _logger() -> Any:
    import logging  # on use: 7 ms of import

    return logging.getLogger("miniasgi")

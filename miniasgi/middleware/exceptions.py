"""The innermost layer: an exception becomes a response, as long as nothing was sent.

Handlers are found by status code first, then by class, nearest base first. An exception without a
handler that carries a ``status_code`` is answered with it: HTTPException, Starlette's own, or a
queue that cannot promise (503). Everything else is left to the outermost layer.
"""

from collections.abc import Callable, Mapping
from typing import Any

from miniasgi.concurrency import is_async_callable, run_in_threadpool
from miniasgi.requests import Request
from miniasgi.responses import PlainTextResponse, Response
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send

#: ``handler(request, exception) -> response``, plain or ``async``.
Handler = Callable[[Request, Any], Any]


class ExceptionHandlers:
    """The application's handlers, by status code or exception class."""

    def __init__(self, handlers: Mapping[int | type[Exception], Handler]) -> None:
        self._handlers: dict[Any, Handler] = dict(handlers)

    async def response(self, request: Request, exc: Exception) -> ASGIApp | None:
        """The answer to an exception, or None if nobody has one."""
        handler = self._find(exc)
        if handler is None:
            return None
        if is_async_callable(handler):
            return await handler(request, exc)  # type: ignore[no-any-return]
        return await run_in_threadpool(handler, request, exc)

    def _find(self, exc: Exception) -> Handler | None:
        status_code = getattr(exc, "status_code", None)
        handler = self._handlers.get(status_code)
        for cls in type(exc).__mro__:
            handler = handler or self._handlers.get(cls)
        if handler is None and isinstance(status_code, int):
            return _answer_with_status
        return handler


async def _answer_with_status(request: Request, exc: Any) -> Response:
    headers = getattr(exc, "headers", None)
    if exc.status_code in (204, 304):
        return Response(status_code=exc.status_code, headers=headers)
    detail = getattr(exc, "detail", str(exc))
    return PlainTextResponse(str(detail), status_code=exc.status_code, headers=headers)


class ExceptionMiddleware:
    """The layer itself, needed only where ASGI middleware stands between it and the outermost."""

    def __init__(self, app: ASGIApp, handlers: ExceptionHandlers) -> None:
        self.app = app
        self.handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as exc:
            if started:
                raise
            response = await self.handlers.response(Request(scope, receive), exc)
            if response is None:
                raise
            await response(scope, receive, send)

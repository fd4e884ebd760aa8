"""The application: routes, middleware and handlers, built once into one ASGI callable.

    app = MiniASGI()

    @app.get("/hello/{name}")
    async def hello(request):
        return PlainTextResponse(f"Hello, {request.path_params['name']}")

Rules of this file: nothing is decided in a request that can be decided before the first one. The
stack is built at the first call; adding middleware or handlers after that raises RuntimeError.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

from miniasgi.concurrency import BackgroundThreads, threads_here
from miniasgi.datastructures import State
from miniasgi.middleware import Middleware
from miniasgi.middleware.errors import ErrorMiddleware, Handlers, explain, last_resort, response_to
from miniasgi.requests import MAX_BODY_SIZE, Request
from miniasgi.responses import checked
from miniasgi.routing import Find, Lifespan, Methods, Mount, Route, Router, Routes
from miniasgi.types import ASGIApp, Receive, Scope, Send

F = TypeVar("F", bound=Callable[..., Any])


class RouteOptions(TypedDict, total=False):
    """What every decorator takes beside the path."""

    # Left out: `dependencies=[Depends(f)]` (FastAPI's decorators, its application and its routers).
    # Name one as a parameter, `_: Annotated[None, Depends(f)]`; for all routes write middleware.

    name: str | None  #: for `url_path_for`; the endpoint's own if none is given
    status_code: int | None  #: of what the endpoint returns, unless that is a response


class MiniASGI(Router):
    """An ASGI application: a router, and what stands around it.

    - ``exception_handlers``: by status code or class, ``handler(request, exc) -> response``.
    - ``lifespan``: ``lifespan(app)``, an async context manager; it yields ``request.state``.
    - ``max_body_size``: bytes that ``request.body()``, ``json()`` and ``form()`` read at most, else
      the answer is 413; None reads on.
    - ``background_threads``: how many plain functions run after responses at one time.
    """

    def __init__(
        self,
        debug: bool = False,
        routes: Routes = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Handlers | None = None,
        lifespan: Lifespan | None = None,
        *,
        max_body_size: int | None = MAX_BODY_SIZE,
        background_threads: int = 40,
    ) -> None:
        super().__init__(routes, lifespan=lifespan)
        self.debug = debug
        self.state = State()
        self.user_middleware = list(middleware or ())
        self.exception_handlers = dict(exception_handlers or {})
        self.max_body_size = max_body_size
        is_usual = background_threads == threads_here.get().limit
        self._threads = None if is_usual else BackgroundThreads(background_threads)
        self._errors: ErrorMiddleware | None = None  # the stack, once it is built

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request: find the endpoint, await its response, send it, run what comes after."""
        errors = self._errors or self._build()
        scope["app"] = self
        if self._is_wrapped or scope["type"] != "http":
            token = threads_here.set(self._threads or threads_here.get())
            try:
                await errors(scope, receive, send)
            finally:
                threads_here.reset(token)
            return
        try:
            response = await self.find(scope)(Request(scope, receive))
            try:
                cannot_fail = response.is_plain and response.background is None
            except AttributeError:  # not one of ours: an ASGI application, or nothing to send
                checked(response, scope.get("endpoint"))
                cannot_fail = False
        except Exception as exc:
            await errors.answer(exc, None, scope, receive, send)
            return
        if cannot_fail:  # nothing of ours: the guard, a third of a microsecond, is not needed
            await response.transmit(scope, receive, send)
            return
        await errors.guard(response, scope, receive, send)

    def route(
        self, path: str, methods: Methods = None, **options: Unpack[RouteOptions]
    ) -> Callable[[F], F]:
        """Register the decorated function for these methods; GET if none are named."""

        def register(endpoint: F) -> F:
            self.add(Route(path, endpoint, methods=methods, **options))
            return endpoint

        return register

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        return self.route(path, ("GET",), **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        return self.route(path, ("DELETE",), **options)

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        """Give everything below ``path`` to another ASGI application."""
        self.add(Mount(path, app, name=name))

    def add_middleware(self, cls: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Put a middleware around those that are there: an ASGI class, or a function.

        A function is ``async def f(request, call_next)``. Functions stand inside all ASGI
        middleware, and keep their order among themselves.
        """
        self._must_not_have_started()
        self.user_middleware.insert(0, Middleware(cls, *args, **kwargs))

    def exception_handler(
        self, exc_class_or_status_code: int | type[Exception]
    ) -> Callable[[F], F]:
        """Register the decorated ``handler(request, exc)``."""

        def register(handler: F) -> F:
            self._must_not_have_started()
            self.exception_handlers[exc_class_or_status_code] = handler
            return handler

        return register

    def _must_not_have_started(self) -> None:
        if self._errors is not None:
            raise RuntimeError("the application has answered a request; register before that")

    def _build(self) -> ErrorMiddleware:
        """From the inside: endpoint, exceptions, functions, ASGI middleware, errors."""
        handlers = dict(self.exception_handlers)
        by_status, by_class = handlers.pop(500, None), handlers.pop(Exception, None)
        functions = [one for one in self.user_middleware if one.is_function]
        wrappers = [one for one in self.user_middleware if not one.is_function]

        self.find = _composed(self.find_route, handlers, functions)
        app: ASGIApp = ErrorMiddleware(super().__call__, handlers)
        for middleware in reversed(wrappers):
            app = middleware.around(app)
        self._is_wrapped = bool(wrappers or self._threads)
        own = explain if self.debug else by_status or by_class or last_resort
        self._errors = ErrorMiddleware(app, handlers, own)
        return self._errors


def _composed(find: Find, handlers: Handlers, functions: list[Middleware]) -> Find:
    """The functions around the endpoint; ``call_next`` gives them its exceptions as answered."""
    if not functions:
        return find

    async def respond(request: Request) -> Any:
        try:
            return checked(await find(request.scope)(request), request.scope.get("endpoint"))
        except Exception as exc:
            return await response_to(exc, request, handlers)

    outermost = respond
    for function in reversed(functions):
        outermost = function.around(outermost)
    return lambda scope: outermost

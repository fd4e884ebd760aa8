"""The application: routes, middleware and handlers, built once into one ASGI callable.

    app = MiniASGI()

    @app.get("/hello/{name}")
    async def hello(request):
        return PlainTextResponse(f"Hello, {request.path_params['name']}")

Rules of this file: nothing is decided in a request that can be decided before the first one. The
stack is built at the first call; registering after that raises RuntimeError.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from miniasgi.concurrency import DEFAULT_THREADS, BackgroundThreads, background_threads
from miniasgi.datastructures import State
from miniasgi.middleware import Middleware
from miniasgi.middleware.errors import ServerErrors
from miniasgi.middleware.exceptions import ExceptionHandlers, ExceptionMiddleware, Handler
from miniasgi.requests import MAX_BODY_SIZE, Request
from miniasgi.routing import Find, Lifespan, Mount, Respond, Route, Router, checked
from miniasgi.types import ASGIApp, Receive, Scope, Send

F = TypeVar("F", bound=Callable[..., Any])


class MiniASGI:
    """An ASGI application.

    - ``exception_handlers``: by status code or class, ``handler(request, exc) -> response``.
    - ``lifespan``: ``lifespan(app)``, an async context manager; it yields ``request.state``.
    - ``max_body_size``: bytes that ``request.body()``, ``json()`` and ``form()`` read at most, else
      the answer is 413; None reads on.
    - ``background_threads``: how many plain functions run after responses at one time.
    """

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[Route | Mount] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[int | type[Exception], Handler] | None = None,
        lifespan: Lifespan | None = None,
        *,
        max_body_size: int | None = MAX_BODY_SIZE,
        background_threads: int = DEFAULT_THREADS,
    ) -> None:
        self.debug = debug
        self.state = State()
        self.router = Router(routes, lifespan=lifespan)
        self.user_middleware = list(middleware or ())
        self.exception_handlers = dict(exception_handlers or {})
        self.max_body_size = max_body_size
        self.background_threads = background_threads
        self._is_built = False
        self._wrapped: ASGIApp | None = None  # the ASGI middleware around all, if there is any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request: find the endpoint, await its response, send it, run what comes after."""
        if not self._is_built:
            self._build()
        scope["app"] = self
        if self._wrapped is not None or scope["type"] != "http":
            await self._errors.guard(self._wrapped or self.router, scope, receive, send)
            return
        try:
            response = await self._find(scope)(Request(scope, receive))
        except Exception as exc:
            await self._errors.answer(exc, None, scope, receive, send)
            return
        is_plain = getattr(response, "is_plain", None)
        if is_plain and response.background is None:
            # Nothing of ours can fail any more: the guard, a third of a microsecond, is not needed.
            await response.transmit(scope, receive, send)
            return
        if is_plain is None:
            response = checked(response, scope)  # not one of ours: an ASGI application, or nothing
        await self._errors.guard(response, scope, receive, send)

    @property
    def routes(self) -> list[Route | Mount]:
        return self.router.routes

    def route(
        self, path: str, methods: Sequence[str] | None = None, *, name: str | None = None
    ) -> Callable[[F], F]:
        """Register the decorated function for these methods; GET if none are named."""

        def register(endpoint: F) -> F:
            self.router.add(Route(path, endpoint, methods=methods, name=name))
            return endpoint

        return register

    def get(self, path: str, *, name: str | None = None) -> Callable[[F], F]:
        return self.route(path, ["GET"], name=name)

    def post(self, path: str, *, name: str | None = None) -> Callable[[F], F]:
        return self.route(path, ["POST"], name=name)

    def put(self, path: str, *, name: str | None = None) -> Callable[[F], F]:
        return self.route(path, ["PUT"], name=name)

    def patch(self, path: str, *, name: str | None = None) -> Callable[[F], F]:
        return self.route(path, ["PATCH"], name=name)

    def delete(self, path: str, *, name: str | None = None) -> Callable[[F], F]:
        return self.route(path, ["DELETE"], name=name)

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        """Give everything below ``path`` to another ASGI application."""
        self.router.add(Mount(path, app, name=name))

    def add_middleware(
        self, middleware_class: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Put a middleware around those that are there: an ASGI class, or a function.

        A function is ``async def f(request, call_next)``. Functions stand inside all ASGI
        middleware, and keep their order among themselves.
        """
        self._must_not_have_started()
        self.user_middleware.insert(0, Middleware(middleware_class, *args, **kwargs))

    def exception_handler(
        self, exc_class_or_status_code: int | type[Exception]
    ) -> Callable[[F], F]:
        """Register the decorated ``handler(request, exc)``."""
        self._must_not_have_started()

        def register(handler: F) -> F:
            self.exception_handlers[exc_class_or_status_code] = handler
            return handler

        return register

    def _must_not_have_started(self) -> None:
        if self._is_built:
            raise RuntimeError("the application has answered a request; register before that")

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path of a named route. Raises NoMatchFound."""
        return self.router.url_path_for(name, **path_params)

    def _build(self) -> None:
        """From the inside: endpoint, exceptions, functions, ASGI middleware, errors."""
        answers = dict(self.exception_handlers)
        last_resort = answers.pop(500, None) or answers.pop(Exception, None)
        handlers = ExceptionHandlers(answers)
        functions = [one for one in self.user_middleware if one.is_function]
        wrappers = [one for one in self.user_middleware if not one.is_function]

        self._errors = ServerErrors(handlers, last_resort, self.debug)
        self._find = _composed(self.router.find, handlers, functions)
        if self.background_threads != DEFAULT_THREADS:
            wrappers.append(Middleware(_with_threads, BackgroundThreads(self.background_threads)))
        if wrappers:
            app = ExceptionMiddleware(_serve(self.router, self._find), handlers)
            for middleware in reversed(wrappers):
                app = middleware.around(app)
            self._wrapped = app
        self._is_built = True


def _composed(find: Find, handlers: ExceptionHandlers, functions: list[Middleware]) -> Find:
    """The functions around the endpoint; ``call_next`` gives them its exceptions as answered."""
    if not functions:
        return find

    async def innermost(request: Request) -> Any:
        try:
            return checked(await find(request.scope)(request), request.scope)
        except Exception as exc:
            response = await handlers.response(request, exc)
            if response is None:
                raise
            return response

    respond: Respond = innermost
    for function in reversed(functions):
        respond = function.around(respond)
    return lambda scope: respond


def _serve(router: Router, find: Find) -> ASGIApp:
    """The innermost ASGI application, below ASGI middleware."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await router(scope, receive, send)
            return
        response = await find(scope)(Request(scope, receive))
        await checked(response, scope)(scope, receive, send)

    return serve


def _with_threads(app: ASGIApp, threads: BackgroundThreads) -> ASGIApp:
    async def with_threads(scope: Scope, receive: Receive, send: Send) -> None:
        token = background_threads.set(threads)
        try:
            await app(scope, receive, send)
        finally:
            background_threads.reset(token)

    return with_threads

"""Finding the way: from a path and a method to the endpoint that answers.

The route that was registered first wins where two match, as in a scan from the top; but nothing is
scanned that cannot match. Static paths stand in a dictionary. The others stand in a table by their
literal beginning, cut at its last slash: ``/users/{id}/mail`` under ``/users/``. A path is looked
up by its longest known beginning, and only the few routes below it are tried, in order. So lookup
does not grow with the number of routes, except where routes *begin* with a parameter.

``find`` writes into the scope what it found: ``route``, ``endpoint``, ``path_params``, and for a
`Mount` ``root_path``, as ASGI 3.0 defines it: the path stays whole, ``root_path`` grows.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

from miniasgi.concurrency import is_async_callable, run_in_threadpool
from miniasgi.exceptions import HTTPException
from miniasgi.requests import Request
from miniasgi.responses import RedirectResponse
from miniasgi.types import ASGIApp, Receive, Scope, Send

#: Every endpoint, plain or ``async``, becomes one of these at registration. What it returns should
#: be a response, that is an ASGI application; `checked` looks.
Respond = Callable[[Request], Awaitable[Any]]
#: What `Router.find` does: from a scope to the endpoint.
Find = Callable[[Scope], Respond]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


class Convertor(NamedTuple):
    """``regex`` says what matches, ``convert`` may raise ValueError, ``to_string`` goes back."""

    regex: str
    convert: Callable[[str], Any]
    to_string: Callable[[Any], str]


def _segment(value: Any) -> str:
    if not str(value) or "/" in str(value):
        raise ValueError(f"a path segment is not empty and has no slash: {str(value)!r}")
    return str(value)


def _number(value: Any) -> str:
    if not 0 <= value < float("inf"):
        raise ValueError(f"a number in a path is finite and not negative: {value!r}")
    return str(int(value)) if isinstance(value, int) else f"{value:.20f}".rstrip("0").rstrip(".")


def _convertors() -> dict[str, Convertor]:
    hexadecimal = "[0-9a-fA-F]"
    uuid_regex = "-?".join(f"{hexadecimal}{{{length}}}" for length in (8, 4, 4, 4, 12))
    return {
        "str": Convertor("[^/]+", str, _segment),
        "path": Convertor(".*", str, str),
        "int": Convertor("[0-9]+", int, _number),
        "float": Convertor(r"[0-9]+(?:\.[0-9]+)?", float, _number),
        "uuid": Convertor(uuid_regex, _uuid, str),
    }


def _uuid(text: str) -> Any:
    from uuid import UUID  # on use: 4 ms of import

    return UUID(text)


#: The convertors by the name that follows the colon in ``{name:convertor}``. Add your own here.
CONVERTOR_TYPES: dict[str, Convertor] = _convertors()

_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")


class NoMatchFound(Exception):
    """No route has this name with these parameters."""

    def __init__(self, name: str, path_params: dict[str, Any]) -> None:
        super().__init__(f"no route is named {name!r} with parameters {sorted(path_params)}")


class _Path:
    """A path with parameters, compiled once: matched against paths, and made into paths."""

    def __init__(self, path: str) -> None:
        self.convertors: dict[str, Convertor] = {}
        regex, end = "", 0
        for found in _PARAMETER.finditer(path):
            name, kind = found[1], found[2] or "str"
            if kind not in CONVERTOR_TYPES:
                known = ", ".join(CONVERTOR_TYPES)
                raise ValueError(f"no convertor named {kind!r} for {path!r}; known: {known}")
            if name in self.convertors:
                raise ValueError(f"the parameter {name!r} stands twice in {path!r}")
            self.convertors[name] = CONVERTOR_TYPES[kind]
            literal = re.escape(path[end : found.start()])
            regex += f"{literal}(?P<{name}>{CONVERTOR_TYPES[kind].regex})"
            end = found.end()
        self._fullmatch = re.compile(regex + re.escape(path[end:]), re.DOTALL).fullmatch
        self._format = _PARAMETER.sub(r"{\1}", path)
        self._conversions = [
            (name, convertor.convert)
            for name, convertor in self.convertors.items()
            if convertor.convert is not str
        ]

    def match(self, path: str) -> dict[str, Any] | None:
        found = self._fullmatch(path)
        if found is None:
            return None
        params: dict[str, Any] = found.groupdict()
        try:
            for name, convert in self._conversions:
                params[name] = convert(params[name])
        except ValueError:
            return None  # it looks like one and is none, such as a number of 5,000 digits
        return params

    def fill(self, params: dict[str, Any]) -> str:
        path = self._format
        for name, convertor in self.convertors.items():
            path = path.replace("{" + name + "}", convertor.to_string(params[name]), 1)
        return path


class Route:
    """One path, some methods, one endpoint: a function from a request to a response.

    The endpoint may be ``async def`` (on the loop) or ``def`` (in a thread). GET brings HEAD.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError(f"a path begins with a slash, {path!r} does not")
        self.path = path
        self.endpoint = endpoint
        self.name = name or getattr(endpoint, "__name__", type(endpoint).__name__)
        self.methods = {method.upper() for method in methods or ("GET",)}
        if "GET" in self.methods:
            self.methods.add("HEAD")
        self.respond = _respond(endpoint)
        self._compiled = _Path(path)
        self.is_static = not self._compiled.convertors
        self.match = self._compiled.match

    def enter(self, scope: Scope, params: dict[str, Any]) -> None:
        scope["endpoint"] = self.endpoint
        if params:
            outer = scope.get("path_params")
            scope["path_params"] = {**outer, **params} if outer else params

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        if name != self.name or path_params.keys() != self._compiled.convertors.keys():
            raise NoMatchFound(name, path_params)
        return self._compiled.fill(path_params)

    def __repr__(self) -> str:
        return f"Route({self.path!r}, {self.name}, methods={sorted(self.methods)})"


def _respond(endpoint: Callable[..., Any]) -> Respond:
    if is_async_callable(endpoint):
        return endpoint

    async def respond_in_thread(request: Request) -> Any:
        response = await run_in_threadpool(endpoint, request)
        # A lambda around a coroutine function is a plain function, and gives an awaitable.
        return await response if hasattr(response, "__await__") else response

    return respond_in_thread


class Mount:
    """Everything below a path goes to another ASGI application, or to a list of routes."""

    methods = None
    is_static = False

    def __init__(
        self,
        path: str,
        app: ASGIApp | None = None,
        routes: "Sequence[Route | Mount] | None" = None,
        name: str | None = None,
    ) -> None:
        if path and not path.startswith("/"):
            raise ValueError(f"a path begins with a slash, {path!r} does not")
        if (app is None) == (routes is None):
            raise ValueError("a Mount takes either app= or routes=")
        self.path = path.rstrip("/")
        self.name = name
        self.app: ASGIApp = Router(routes) if app is None else app
        self._compiled = _Path(self.path + "/{path:path}")
        self._prefix = _Path(self.path)
        self.match = self._compiled.match

    async def respond(self, request: Request) -> Any:
        return self.app

    def enter(self, scope: Scope, params: dict[str, Any]) -> None:
        below = params.pop("path")
        root_path = scope.get("root_path", "")
        scope.setdefault("router", scope.get("app"))  # url_for looks from the top
        scope.setdefault("app_root_path", root_path)
        scope["root_path"] = scope["path"][: -len(below) - 1]
        scope["endpoint"] = self.app
        scope["path_params"] = {**scope.get("path_params", {}), **params}

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """``"mount:child"``, or ``"mount"`` with ``path=``; a mount without a name adds none."""
        if name == self.name and path_params.keys() == self._compiled.convertors.keys():
            return self._compiled.fill({**path_params, "path": path_params["path"].lstrip("/")})
        own = self._prefix.convertors.keys()
        prefix = "" if self.name is None else self.name + ":"
        if not name.startswith(prefix) or not own <= path_params.keys():
            raise NoMatchFound(name, path_params)
        rest = {key: value for key, value in path_params.items() if key not in own}
        for route in getattr(self.app, "routes", ()):
            try:
                below = route.url_path_for(name[len(prefix) :], **rest)
            except NoMatchFound:
                continue
            return self._prefix.fill(path_params) + str(below)
        raise NoMatchFound(name, path_params)

    def __repr__(self) -> str:
        return f"Mount({self.path!r}, {self.app!r})"


class _Table:
    """The routes, arranged so that `Router.find` asks few of them. Built once, then only read."""

    def __init__(self, routes: Sequence[Route | Mount]) -> None:
        self.static: dict[str, dict[str, Route]] = {}
        self._own: dict[str, list[tuple[int, Route | Mount]]] = {}
        self._merged: dict[str, list[Route | Mount]] = {}
        for number, route in enumerate(routes):
            # A static path that an earlier pattern also matches must keep its turn.
            if isinstance(route, Route) and route.is_static and not self._any_matches(route.path):
                by_method = self.static.setdefault(route.path, {})
                for method in route.methods:
                    by_method.setdefault(method, route)
            else:
                literal = route.path.partition("{")[0] + ("/" if isinstance(route, Mount) else "")
                beginning = literal[: literal.rindex("/") + 1]
                self._own.setdefault(beginning, []).append((number, route))
        self._longest = max(map(len, self._own), default=0)

    def _any_matches(self, path: str) -> bool:
        return any(
            route.match(path) is not None
            for beginning in _beginnings(path, len(path))
            for _, route in self._own.get(beginning, ())
        )

    def candidates(self, path: str) -> list[Route | Mount]:
        """Those that may match, in the order of registration."""
        for beginning in _beginnings(path, self._longest):
            if beginning in self._merged:
                return self._merged[beginning]
            if beginning in self._own:
                return self._merged.setdefault(beginning, self._merge(beginning))
        return []

    def _merge(self, beginning: str) -> list[Route | Mount]:
        above = _beginnings(beginning, len(beginning))
        numbered = [pair for key in above for pair in self._own.get(key, ())]
        return [route for _, route in sorted(numbered, key=lambda pair: pair[0])]


def _beginnings(path: str, longest: int) -> Iterator[str]:
    # Bounded by the longest known one: a path of a thousand slashes costs no more than another.
    end = path.rfind("/", 0, longest)
    while end >= 0:
        yield path[: end + 1]
        end = path.rfind("/", 0, end)


class Router:
    """Routes in the order of their registration; an ASGI application of its own.

    Inside an application a path that is not found raises HTTPException 404, for its handlers.
    """

    def __init__(
        self,
        routes: Sequence[Route | Mount] | None = None,
        redirect_slashes: bool = True,
        lifespan: Lifespan | None = None,
    ) -> None:
        self.routes: list[Route | Mount] = list(routes or ())
        self.redirect_slashes = redirect_slashes
        self.lifespan_context = lifespan
        self._table: _Table | None = None

    def add(self, route: Route | Mount) -> None:
        """Append a route. One put into ``routes`` by hand counts only before the first request."""
        self.routes.append(route)
        self._table = None

    def find(self, scope: Scope) -> Respond:
        """The endpoint for this scope, which learns what was found.

        Raises HTTPException 404, or 405 with ``Allow`` where only the method does not match.
        """
        table = self._table
        if table is None:
            table = self._table = _Table(self.routes)
        path = scope["path"]
        if scope.get("root_path"):
            path = _below_root(scope["root_path"], path)
        by_method = table.static.get(path)
        if by_method is not None and scope["method"] in by_method:
            route = scope["route"] = by_method[scope["method"]]
            scope["endpoint"] = route.endpoint
            return route.respond
        for candidate in table.candidates(path):
            if candidate.methods is None or scope["method"] in candidate.methods:
                params = candidate.match(path)
                if params is not None:
                    scope["route"] = candidate
                    candidate.enter(scope, params)
                    return candidate.respond
        return self._miss(table, path, scope)

    def _miss(self, table: _Table, path: str, scope: Scope) -> Respond:
        allowed = self._allowed(table, path)
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        if self.redirect_slashes and path.strip("/"):
            slash = scope["path"].endswith("/")
            there = scope["path"].rstrip("/") if slash else scope["path"] + "/"
            if self._allowed(table, path.rstrip("/") if slash else path + "/"):
                return _redirect_to(there)
        raise HTTPException(404)

    def _allowed(self, table: _Table, path: str) -> set[str]:
        methods = set(table.static.get(path, ()))
        for route in table.candidates(path):
            if route.match(path) is not None:
                methods |= route.methods or {"*"}
        return methods

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path of the first route of that name. Raises NoMatchFound."""
        for route in self.routes:
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve HTTP, run the lifespan, refuse WebSockets."""
        if scope["type"] == "lifespan":
            await run_lifespan(self.lifespan_context, scope, receive, send)
        elif scope["type"] == "websocket":
            # Left out: WebSockets. Closed before it was accepted: the server answers 403.
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            response = await self.find(scope)(Request(scope, receive))
            await checked(response, scope)(scope, receive, send)


def checked(response: Any, scope: Scope) -> ASGIApp:
    """What an endpoint returned, if it can be sent. Raises TypeError naming the endpoint."""
    if callable(response):
        return response  # type: ignore[no-any-return]
    name = getattr(scope.get("endpoint"), "__qualname__", "the endpoint")
    raise TypeError(f"{name} returned {response!r}; return a Response, such as PlainTextResponse")


def _below_root(root_path: str, path: str) -> str:
    below = path[len(root_path) :]
    return below if path.startswith(root_path) and below[:1] in ("", "/") else path


def _redirect_to(path: str) -> Respond:
    async def redirect(request: Request) -> Any:
        return RedirectResponse(request.url.replace(path=path))

    return redirect


async def run_lifespan(
    lifespan: Lifespan | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Start up, wait for shutdown, end. What the lifespan yields becomes each request's state.

    Messages: ``lifespan.startup.complete`` and ``lifespan.shutdown.complete``, or ``.failed`` with
    the traceback as ``message``, and the exception is raised on.
    Source: ASGI 3.0, "Lifespan Protocol".
    """
    phase = "startup"
    await receive()
    try:
        if lifespan is None:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            async with lifespan(scope.get("app")) as state:
                if state is not None:
                    if "state" not in scope:
                        raise RuntimeError("this server's lifespan has no state to put it into")
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
    except BaseException:
        from traceback import format_exc

        await send({"type": f"lifespan.{phase}.failed", "message": format_exc()})
        raise
    await send({"type": "lifespan.shutdown.complete"})

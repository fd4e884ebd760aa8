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
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, TypeAlias

from miniasgi.datastructures import URL
from miniasgi.endpoints import Endpoint, Respond, responder
from miniasgi.exceptions import HTTPException
from miniasgi.requests import Request
from miniasgi.responses import RedirectResponse, answer_of, checked
from miniasgi.types import ASGIApp, Receive, Scope, Send

#: What `Router.find` does: from a scope to the endpoint.
Find: TypeAlias = Callable[[Scope], Respond]
Methods: TypeAlias = Collection[str] | None
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]


def _uuid(text: str) -> Any:
    from uuid import UUID  # on use: 4 ms of import

    return UUID(text)


#: What may follow the colon in ``{name:int}``: a regex, and a function that may raise ValueError.
CONVERTOR_TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "str": ("[^/]+", str),
    "path": (".*", str),
    "int": ("[0-9]+", int),
    "float": (r"[0-9]{1,300}(?:\.[0-9]+)?", float),
    "uuid": ("-?".join(f"[0-9a-fA-F]{{{length}}}" for length in (8, 4, 4, 4, 12)), _uuid),
}
_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")


def _text(value: Any) -> str:
    # A float in the form that the convertor reads: never 1e-07.
    is_tiny = isinstance(value, float) and "e" in str(value)
    return f"{value:.20f}".rstrip("0") if is_tiny else str(value)


class NoMatchFound(Exception):
    """No route has this name with these parameters."""


class BaseRoute:
    """A path with parameters, compiled once: matched against paths, and made into paths."""

    methods: Collection[str] = ()  # of a Mount: any
    respond: Respond
    endpoint: Any

    def __init__(self, path: str, name: str | None) -> None:
        if path and not path.startswith("/"):
            raise ValueError(f"a path begins with a slash, {path!r} does not")
        self.path = path
        self.name = name
        self.convertors: dict[str, Callable[[str], Any]] = {}
        regex, end = "", 0
        for found in _PARAMETER.finditer(path):
            name, kind = found[1], found[2] or "str"
            if kind not in CONVERTOR_TYPES or name in self.convertors:
                known = ", ".join(CONVERTOR_TYPES)
                raise ValueError(f"{path!r}: {found[0]} stands twice, or is none of: {known}")
            pattern, self.convertors[name] = CONVERTOR_TYPES[kind]
            regex += f"{re.escape(path[end : found.start()])}(?P<{name}>{pattern})"
            end = found.end()
        self._fullmatch = re.compile(regex + re.escape(path[end:]), re.DOTALL).fullmatch
        self._conversions = [pair for pair in self.convertors.items() if pair[1] is not str]

    def match(self, path: str) -> dict[str, Any] | None:
        """The parameters in this path, converted; None if it is not of this form."""
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

    def enter(self, scope: Scope, params: dict[str, Any]) -> None:
        """Tell the scope what was found here."""
        scope["route"] = self
        scope["endpoint"] = self.endpoint
        if params:
            outer = scope.get("path_params")
            scope["path_params"] = {**outer, **params} if outer else params

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path with these parameters filled in. Raises NoMatchFound."""
        if name != self.name or path_params.keys() != self.convertors.keys():
            raise NoMatchFound(f"no route is named {name!r} with the parameters {path_params}")
        return self._fill(path_params)

    def _fill(self, params: dict[str, Any]) -> str:
        path = _PARAMETER.sub(lambda found: _text(params[found[1]]), self.path)
        if self.match(path) is None:
            raise ValueError(f"{params} cannot stand in {self.path!r}")
        return path


Routes: TypeAlias = Sequence[BaseRoute] | None


class Route(BaseRoute):
    """One path, some methods, one endpoint: a function from a request to a response.

    GET brings HEAD. ``status_code`` is for what the endpoint returns that is not a response.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Methods = None,
        name: str | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(path, name or getattr(endpoint, "__name__", type(endpoint).__name__))
        self.endpoint = endpoint
        self.methods = {method.upper() for method in methods or ("GET",)}
        if "GET" in self.methods:
            self.methods.add("HEAD")
        self.respond = responder(endpoint, self.convertors, status_code)


class Mount(BaseRoute):
    """Everything below a path goes to another ASGI application, or to a list of routes.

    ``url_path_for("mount:child")`` looks into the mounted application's ``routes``.
    """

    def __init__(
        self, path: str, app: ASGIApp | None = None, routes: Routes = None, name: str | None = None
    ) -> None:
        super().__init__(path.rstrip("/") + "/{path:path}", name)
        self.app: ASGIApp = app or Router(routes)
        self.endpoint = self.app

    async def respond(self, request: Request) -> Any:
        if type(self.app) is Router:  # routes of ours: function middleware gets their response
            return await self.app.find(request.scope)(request)
        return self.app

    def enter(self, scope: Scope, params: dict[str, Any]) -> None:
        root_path = scope.get("root_path", "")
        if root_path and _below_root(root_path, scope["path"]) == scope["path"]:
            # Whole again: not every server gives it so.
            scope["path"] = root_path.rstrip("/") + scope["path"]
        scope["root_path"] = scope["path"][: -len(params.pop("path")) - 1]
        super().enter(scope, params)

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        prefix = f"{self.name}:" if self.name else ""
        own = self.convertors.keys() - {"path"}
        rest = {key: value for key, value in path_params.items() if key not in own}
        is_below = name.startswith(prefix) and own <= path_params.keys()
        for route in getattr(self.app, "routes", ()) if is_below else ():
            with suppress(NoMatchFound):
                below = route.url_path_for(name[len(prefix) :], **rest)
                return self._fill({**path_params, "path": below[1:]})
        if "path" in path_params:
            path_params["path"] = path_params["path"].lstrip("/")
        return super().url_path_for(name, **path_params)


class _Table:
    """The routes, arranged so that `Router.find` asks few of them. Built once, then only read."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.static: dict[str, dict[str, BaseRoute]] = {}
        self._own: dict[str, list[tuple[int, BaseRoute]]] = {}
        for number, route in enumerate(routes):
            # A static path that an earlier pattern also matches must wait for its turn.
            earlier = self._above(route.path)
            if not route.convertors and all(one.match(route.path) is None for one in earlier):
                for method in route.methods:
                    self.static.setdefault(route.path, {}).setdefault(method, route)
            else:
                beginning = route.path.partition("{")[0].rpartition("/")[0] + "/"
                self._own.setdefault(beginning, []).append((number, route))
        self._below = {beginning: self._above(beginning) for beginning in self._own}
        self._longest = max(map(len, self._own), default=0)

    def candidates(self, path: str) -> list[BaseRoute]:
        """Those that may match, in the order of registration."""
        # Bounded by the longest known one: a path of a thousand slashes costs no more than another.
        end = path.rfind("/", 0, self._longest) + 1
        while end > 0 and path[:end] not in self._below:
            end = path.rfind("/", 0, end - 1) + 1
        return self._below.get(path[:end], [])

    def allowed(self, path: str) -> set[str]:
        """The methods that this path answers; a `Mount` answers any, told as ``*``."""
        matching = [route for route in self.candidates(path) if route.match(path) is not None]
        return set(self.static.get(path, ())).union(*(route.methods or "*" for route in matching))

    def _above(self, path: str) -> list[BaseRoute]:
        ends = [i + 1 for i, character in enumerate(path) if character == "/"]
        pairs = [pair for end in ends for pair in self._own.get(path[:end], ())]
        return [route for _, route in sorted(pairs, key=lambda pair: pair[0])]


class Router:
    """Routes in the order of their registration; an ASGI application of its own.

    What is not found is a 404 or 405: inside an application raised, for its handlers.
    """

    def __init__(
        self, routes: Routes = None, redirect_slashes: bool = True, lifespan: Lifespan | None = None
    ) -> None:
        self.routes = list(routes or ())
        self.redirect_slashes = redirect_slashes
        self.lifespan = lifespan
        #: From a scope to the endpoint. An application puts its function middleware around it.
        self.find: Find = self.find_route
        self._table: _Table | None = None

    def add(self, route: BaseRoute) -> None:
        """Append a route. One put into ``routes`` by hand counts only before the first request."""
        self.routes.append(route)
        self._table = None

    def find_route(self, scope: Scope) -> Respond:
        """The endpoint for this scope, which learns what was found.

        Raises HTTPException 404, or 405 with ``Allow`` where only the method does not match.
        """
        table = self._table
        if table is None:
            table = self._table = _Table(self.routes)
        path, method = scope["path"], scope["method"]
        if scope.get("root_path"):
            path = _below_root(scope["root_path"], path)
        by_method = table.static.get(path)
        if by_method is not None and method in by_method:
            route = scope["route"] = by_method[method]
            scope["endpoint"] = route.endpoint
            return route.respond
        for route in table.candidates(path):
            if method in route.methods or not route.methods:
                params = route.match(path)
                if params is not None:
                    route.enter(scope, params)
                    return route.respond
        return self._miss(table, path, scope)

    def _miss(self, table: _Table, path: str, scope: Scope) -> Respond:
        allowed = table.allowed(path)
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        other = path.rstrip("/") if path.endswith("/") else path + "/"
        if not self.redirect_slashes or not other or not table.allowed(other):
            raise HTTPException(404)

        async def redirect(request: Request) -> Any:
            whole = scope["path"].removesuffix(path) + other
            return RedirectResponse(URL.of({**scope, "path": whole}))

        return redirect

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path of the first route of that name. Raises NoMatchFound."""
        for route in self.routes:
            with suppress(NoMatchFound):
                return route.url_path_for(name, **path_params)
        raise NoMatchFound(f"no route is named {name!r} with the parameters {path_params}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve HTTP, run the lifespan, refuse WebSockets."""
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        elif scope["type"] == "websocket":
            # Left out: WebSockets. Closed before it was accepted: the server answers 403.
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            try:
                response = await self.find(scope)(Request(scope, receive))
            except HTTPException as exc:
                if isinstance(scope.get("app"), Router):  # an application, which has handlers
                    raise
                response = answer_of(exc)
            await checked(response, scope.get("endpoint"))(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start up, wait for shutdown, end. What the lifespan yields becomes each request's state.

        Messages: ``lifespan.startup.complete`` and ``lifespan.shutdown.complete``, or ``.failed``
        with the traceback as ``message``, and the exception is raised on.
        Source: ASGI 3.0, "Lifespan Protocol".
        """
        phase = "startup"
        await receive()
        try:
            async with self.lifespan(scope.get("app")) if self.lifespan else nullcontext() as state:
                if state is not None:
                    if "state" not in scope:
                        raise RuntimeError("this server has no state for what the lifespan yields")
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
        except BaseException:
            from traceback import format_exc

            await send({"type": f"lifespan.{phase}.failed", "message": format_exc()})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def _below_root(root_path: str, path: str) -> str:
    below = path.removeprefix(root_path)
    return below if below[:1] in ("", "/") else path

"""Endpoints: every function that is registered becomes one of one shape, ``request -> response``.

*Untyped*: its only parameter is the request: unannotated, ``Any``, or a class of the name
``Request``, for it may be written for Starlette too. It is called as it is.

*Typed*: any other signature. It becomes a plan, once (`miniasgi.plans`), and what the function
returns becomes JSON, unless it is a response::

    @app.post("/orders/{number}", status_code=202)
    async def order(number: int, basket: Basket, tasks: BackgroundTasks, rush: bool = False): ...

Either may be ``async def`` (on the loop) or ``def`` (in a thread). Rule of this file: an untyped
endpoint pays nothing for typed ones, neither in a request nor at start-up.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, TypeAlias

from miniasgi.concurrency import call, is_async_callable
from miniasgi.requests import Request

#: What it returns should be a response, that is an ASGI application; `miniasgi.routing` looks.
Respond: TypeAlias = Callable[[Request], Awaitable[Any]]
Endpoint: TypeAlias = Callable[..., Any]


def responder(
    endpoint: Endpoint, path_params: Collection[str] = (), status_code: int | None = None
) -> Respond:
    """The endpoint in that shape. ``status_code`` is for what is not a response already.

    Raises TypeError for a signature that cannot be served, naming the function and the parameter.
    """
    # On use: 16 ms of import, unless asyncio has paid them.
    from inspect import isasyncgenfunction, isgeneratorfunction, signature

    name = getattr(endpoint, "__qualname__", repr(endpoint))
    if isgeneratorfunction(endpoint) or isasyncgenfunction(endpoint):
        raise TypeError(f"{name} yields: return a StreamingResponse of what it yields")
    parameters = signature(endpoint).parameters
    if list(parameters) == ["scope", "receive", "send"]:
        # Left out: ASGI applications as endpoints (Starlette: Route, HTTPEndpoint). Mount them.
        raise TypeError(f"{name} is an ASGI application: mount it, or return it from an endpoint")
    if status_code is not None or not _is_request_alone(parameters.values(), path_params):
        from miniasgi.plans import typed  # on use: pydantic

        return typed(endpoint, path_params, status_code or 200)
    return endpoint if is_async_callable(endpoint) else partial(call, endpoint)


def _is_request_alone(parameters: Iterable[Any], path_params: Collection[str]) -> bool:
    wanted = [one for one in parameters if one.kind.name != "VAR_KEYWORD"]  # as in old decorators
    if len(wanted) != 1 or wanted[0].name in path_params or wanted[0].kind.name == "KEYWORD_ONLY":
        return False
    if wanted[0].default is not wanted[0].empty:  # it is a value, or what a Depends brings
        return False
    annotation = wanted[0].annotation
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    said = said.partition("[")[0].rpartition(".")[2]
    is_model = hasattr(annotation, "__pydantic_core_schema__")
    return said in ("_empty", "Any", "Request") and not is_model

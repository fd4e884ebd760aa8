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

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeAlias

from miniasgi.concurrency import call, is_async_callable
from miniasgi.requests import Request

#: What it returns should be a response, that is an ASGI application; `miniasgi.routing` looks.
Respond: TypeAlias = Callable[[Request], Awaitable[Any]]
Endpoint: TypeAlias = Callable[..., Any]

_CO_VARARGS = 0x04  # inspect.CO_VARARGS; inspect itself takes 16 ms to import


def responder(
    endpoint: Endpoint, path_params: Collection[str] = (), status_code: int | None = None
) -> Respond:
    """The endpoint in that shape. ``status_code`` is for what is not a response already.

    Raises TypeError for a signature that cannot be served, naming the function and the parameter.
    """
    if status_code is not None or not _takes_request_alone(endpoint, path_params):
        from miniasgi.plans import typed  # on use: pydantic

        return typed(endpoint, path_params, status_code or 200)
    return endpoint if is_async_callable(endpoint) else partial(call, endpoint)


def _takes_request_alone(endpoint: Endpoint, path_params: Collection[str]) -> bool:
    parameters = _parameters(endpoint)
    name, annotation = next(iter(parameters.items()), ("", ""))
    is_request = getattr(annotation, "__name__", annotation) in (None, "Any", "Request")
    return len(parameters) == 1 and is_request and name not in path_params


def _parameters(endpoint: Endpoint) -> dict[str, Any]:
    """Annotations by name, or None; ``*args``, which old decorators have, goes by no name."""
    code = getattr(endpoint, "__code__", None)
    if code is not None and not hasattr(endpoint, "__wrapped__"):
        end = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[hasattr(endpoint, "__self__") : end]
        names += ("",) * bool(code.co_flags & _CO_VARARGS)
        return {name: endpoint.__annotations__.get(name) for name in names}
    from inspect import Parameter, signature

    found: dict[str, Any] = {}
    for name, one in signature(endpoint).parameters.items():
        if one.kind is Parameter.VAR_POSITIONAL:
            found[""] = None
        elif one.kind is not Parameter.VAR_KEYWORD:
            found[name] = None if one.annotation is Parameter.empty else one.annotation
    return found

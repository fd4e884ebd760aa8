"""Plans: a signature, compiled once into where each argument comes from.

A parameter is, by the first of these that fits: what its mark says (`miniasgi.parameters`); the
`Request` or the `BackgroundTasks`, by its annotation; a path parameter, if the path names it; the
JSON body, if JSON alone can hold it (a model, a dataclass, a list, a dict); a query parameter.

Rules of this file: no signature is looked at in a request; one that cannot be served raises
TypeError at registration, naming function and parameter.
"""

# Left out: OpenAPI, and what exists for its sake (response models, security schemes).
# Left out: `response: Response` as a parameter. Return a response of your own.
# Left out: replacing a dependency in a test (FastAPI: dependency_overrides). Let it read what tests
# may set, such as `request.app.state`; or call the endpoint itself: a decorator leaves it as it is.

import inspect
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Any, get_args, get_origin

from miniasgi.background import BackgroundTasks
from miniasgi.concurrency import call
from miniasgi.dependencies import Exits, enter, has_exit, with_tasks
from miniasgi.exceptions import RequestValidationError
from miniasgi.inputs import Errors, Input, guessed, read_body, to_json
from miniasgi.parameters import LIFETIMES, PLACES, Body, Depends, Lifetime, Parameter, Path
from miniasgi.requests import Request
from miniasgi.responses import JSONResponse, Response


def typed(
    endpoint: Callable[..., Any], path_params: Collection[str], status_code: int
) -> Callable[[Request], Any]:
    """``request -> response``. What the endpoint returns is a response if it can be called."""
    plan = Plan(endpoint, path_params)
    bodies = plan.bodies
    is_whole = len({one.name for one in bodies}) == 1 and not any(one.mark.embed for one in bodies)
    for one in bodies:
        one.is_whole = is_whole
    has_content = status_code >= 200 and status_code not in (204, 205, 304)

    async def answer(asked: Call) -> Any:
        if bodies:
            asked.body = await read_body(asked.request, bodies, is_whole)
        arguments = await plan.arguments(asked)
        if asked.errors:
            raise RequestValidationError(asked.errors)
        result = await call(plan.func, **arguments)
        if not callable(result):
            result = _JSON(result, status_code) if has_content else Response(None, status_code)
        # An exit may still add a task.
        return with_tasks(result, asked.tasks) if asked.tasks.tasks or plan.has_exits else result

    async def answer_and_exit(asked: Call) -> Any:
        async with AsyncExitStack() as last, AsyncExitStack() as middle:
            async with AsyncExitStack() as first:
                asked.exits = dict(zip(LIFETIMES, (first, middle, last), strict=True))
                response = await answer(asked)
            response.background = Exits(middle.pop_all(), asked.tasks, last.pop_all())
            return response

    async def respond(request: Request) -> Any:
        asked = Call(request)
        try:
            return await (answer_and_exit if plan.has_exits else answer)(asked)
        except BaseException as because:
            await asked.tasks.abandon(because)  # nobody will run them
            raise

    return respond


class _JSON(JSONResponse):
    """Whatever pydantic can write: models, dataclasses, dates. NaN and infinity become null."""

    def render(self, content: Any) -> bytes:
        try:
            return to_json(content, inf_nan_mode="null")
        except ValueError:  # half of a surrogate pair, or deeper than pydantic goes
            with suppress(TypeError):
                return super().render(content)
            raise


class Call:
    """One request on its way through a plan."""

    __slots__ = ("body", "errors", "exits", "request", "returned", "tasks")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.body: Any = None
        self.errors: Errors = []
        self.returned: dict[Any, Any] = {}  # by dependencies
        self.exits: dict[Lifetime, AsyncExitStack] = {}  # of dependencies
        self.tasks = BackgroundTasks()  # the same for all who ask


class Plan:
    """A function, and where each of its arguments comes from.

    ``user`` is the plan that needs its value, ``root`` the endpoint's, which has none: it alone
    knows all bodies, and whether a dependency has exits.
    """

    has_exits: bool  #: does it, or what it depends on, yield?
    lifetime: Lifetime = "function"  #: how long what it depends on must live

    def __init__(self, func: Any, path_params: Collection[str], user: "Plan | None" = None) -> None:
        self.func, self.path_params = func, path_params
        self.root: Plan = user.root if user else self
        self.bodies: list[Input] = []
        self.given: dict[str, str] = {}  # to attributes of the call
        self.dependencies: list[Dependency] = []
        self.inputs: list[Input] = []
        name = getattr(func, "__qualname__", repr(func))
        try:
            parameters = _signature(func).parameters.values()
        except (TypeError, ValueError, NameError) as exc:
            raise TypeError(f"the signature of {name} cannot be read: {exc}") from exc
        for parameter in parameters:
            try:
                self._add(parameter)
            except Exception as exc:  # pydantic has many
                raise TypeError(f"{name}, parameter {parameter.name!r}: {exc}") from exc
        self.inputs.sort(key=lambda one: PLACES.index(type(one.mark)))  # the order of errors
        self.has_exits = has_exit(func) or any(one.has_exits for one in self.dependencies)

    def _add(self, parameter: inspect.Parameter) -> None:
        name, default = parameter.name, parameter.default
        if parameter.kind.name not in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"):
            raise TypeError("arguments are passed by name, one to a parameter")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        if hasattr(annotation, "__value__"):  # type Pages = list[int], and Pages[T], of an argument
            arguments = get_args(annotation)
            annotation = annotation.__value__[arguments] if arguments else annotation.__value__
        is_annotated = get_origin(annotation) is Annotated
        bare, *metadata = get_args(annotation) if is_annotated else (annotation,)
        marks = [one for one in (*metadata, default) if isinstance(one, Depends | Parameter)]
        mark = marks[-1] if marks else None
        if type(default).__name__ == "FieldInfo":
            raise TypeError("as a default write Query(...) or Body(...) in the place of Field(...)")
        if isinstance(mark, Depends):
            self.dependencies.append(Dependency(name, mark, bare, self))
        elif mark is None and (bare is Request or self._is_named_request(parameter)):
            self.given[name] = "request"
        elif bare is BackgroundTasks or BackgroundTasks in get_args(bare):
            self.given[name] = "tasks"
        else:
            if mark is None:
                mark = Path() if name in self.path_params else guessed(annotation)
            there = (isinstance(mark, Path) and mark.alias) or name
            if isinstance(mark, Path) != (there in self.path_params):
                raise TypeError("what the path names is a Path parameter, and nothing else is")
            is_own = default is not mark and default is not parameter.empty
            self.inputs.append(Input(name, annotation, mark, default if is_own else mark.default))
            self.root.bodies += self.inputs[-1:] if isinstance(mark, Body) else ()

    def _is_named_request(self, parameter: inspect.Parameter) -> bool:
        is_bare = parameter.annotation is parameter.empty and parameter.default is parameter.empty
        return is_bare and parameter.name == "request" and "request" not in self.path_params

    async def arguments(self, asked: Call) -> dict[str, Any]:
        """By name. What is missing or wrong is added to the call's errors."""
        values: dict[str, Any] = {name: getattr(asked, it) for name, it in self.given.items()}
        for dependency in self.dependencies:
            values[dependency.name] = await dependency.value(asked)
        for one in self.inputs:
            values[one.name] = one.value(asked.request, asked.body, asked.errors)
        return values


def _signature(func: Any) -> inspect.Signature:
    try:
        return inspect.signature(func, eval_str=True)
    except NameError:  # perhaps of what it returns, which nobody asks here
        names = getattr(inspect.unwrap(func), "__globals__", {})
        signature = inspect.signature(func)
        parameters = [
            one.replace(annotation=eval(said, names))
            if isinstance(said := one.annotation, str)
            else one
            for one in signature.parameters.values()
        ]
        return signature.replace(parameters=parameters)


class Dependency(Plan):
    """The plan of a function that is called before ``user``, which needs its value as ``name``."""

    def __init__(self, name: str, mark: Depends, annotation: Any, user: Plan) -> None:
        func: Any = annotation if mark.dependency is None else mark.dependency
        least: Lifetime = max("response", user.lifetime, key=LIFETIMES.index)
        own = mark.scope or least
        self.name = name
        self.has_exit = has_exit(func)
        if self.has_exit and LIFETIMES.index(own) < LIFETIMES.index(user.lifetime):
            raise TypeError(f"scope {own!r} ends before that of what depends on it")
        self.lifetime = own if self.has_exit else user.lifetime
        super().__init__(func, user.path_params, user)
        self.key: Any = self  # by what its value is known to others
        if mark.use_cache:  # with exits, one for each lifetime
            self.key = (func, own) if self.has_exits else func

    async def value(self, asked: Call) -> Any:
        """What it returns or yields; None, and it is not called, if its arguments are wrong."""
        if self.key in asked.returned:
            return asked.returned[self.key]
        known = len(asked.errors)
        arguments = await self.arguments(asked)
        if len(asked.errors) > known:
            return None
        if self.has_exit:
            value = await enter(self.func, arguments, asked.exits[self.lifetime])
        else:
            value = await call(self.func, **arguments)
            if isinstance(value, Generator | AsyncGenerator):
                raise TypeError(f"what {self.name!r} depends on yields inside a plain function")
        asked.returned[self.key] = value
        return value

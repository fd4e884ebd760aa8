"""Where a parameter of a typed endpoint comes from, where its name and type alone do not say it.

    async def search(session: Annotated[str, Cookie()], tags: Annotated[list[str], Query()]): ...

Also in FastAPI's older form, as the default value: ``session: str = Cookie()``. Rule of this file:
it says, and `miniasgi.plans` does; nothing here imports pydantic.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

#: How long a dependency with ``yield`` lives: each outlives those before it.
Lifetime: TypeAlias = Literal["function", "response", "request"]
LIFETIMES = get_args(Lifetime)
#: What a value is: one text, several under one name, or what JSON alone can hold.
ONE, MANY, OBJECT = range(3)


#: What a mark may say of its value, in pydantic's words.
CONSTRAINTS = (
    "gt ge lt le multiple_of strict min_length max_length pattern allow_inf_nan max_digits "
    "decimal_places coerce_numbers_to_str union_mode discriminator"
)
#: And to readers of an application that has come from FastAPI: nothing is made of it here.
FOR_READERS = (
    "title description examples deprecated json_schema_extra include_in_schema openapi_examples"
)


class Depends(NamedTuple):
    """The parameter is what ``dependency`` returns or yields; by default its annotation is called.

    It is called once a request, whoever asks, unless ``use_cache`` is false; what has exits, or
    depends on what has, once for each ``scope``. What follows a
    ``yield`` runs in any case, sees what the endpoint raised, and cannot swallow it. When it runs
    is the ``scope``; by default "response", or as long as what depends on it:

    - ``"function"``: before the background is accepted and the first byte is sent;
    - ``"response"``: after the last byte, before background work: no connection is held meanwhile;
    - ``"request"``: after background work, whose exceptions it sees too (FastAPI's default).
    """

    dependency: Callable[..., Any] | None = None
    use_cache: bool = True
    scope: Lifetime | None = None


class Parameter:
    """A place in the request; ``alias`` is the name there.

    Constraints are those of pydantic's Field: ``Query(ge=1)``; what is for readers, such as a
    ``description``, is taken too. Raises TypeError for another keyword.
    """

    source: ClassVar[str]  # the attribute of the request
    holds: ClassVar[int]  # the most that it can hold
    embed = False

    def __init__(self, default: Any = ..., *, alias: str | None = None, **constraints: Any) -> None:
        for name in constraints:
            if name not in (*CONSTRAINTS.split(), *FOR_READERS.split()):
                raise TypeError(f"{type(self).__name__} knows no {name!r}; it knows {CONSTRAINTS}")
        self.default = default
        self.alias = alias
        self.constraints = {n: it for n, it in constraints.items() if n not in FOR_READERS.split()}


class Path(Parameter):
    source, holds = "path_params", ONE


class Query(Parameter):
    source, holds = "query_params", MANY


class Header(Parameter):
    """``user_agent`` is the header ``user-agent``."""

    source, holds = "headers", MANY


class Cookie(Parameter):
    source, holds = "cookies", ONE


class Body(Parameter):
    """The JSON body; or, where there are several, its member of this name. ``embed`` for one."""

    source, holds = "", OBJECT

    def __init__(self, default: Any = ..., *, embed: bool = False, **others: Any) -> None:
        super().__init__(default, **others)
        self.embed = embed


#: In the order of FastAPI's errors.
PLACES = (Path, Query, Header, Cookie, Body)

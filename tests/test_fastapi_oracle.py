"""FastAPI is the oracle: the same signature and the same request, and the same is understood.

A case is a signature and a request, both generated. Each framework's endpoint answers with the repr
of its arguments, so a 200 has to agree in every value and type; a 422 has to agree in where and
what, in the same order. What differs on purpose is not generated: it stands, with its reason, in
`tests.fastapi_differences`.
"""

import asyncio
import contextlib
import enum
import inspect
import json
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Any, Literal
from urllib.parse import quote

import fastapi
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # typing has one for pydantic from 3.12 on

import miniasgi
from miniasgi.testing import Client, Reply
from tests.fastapi_differences import DIFFERENCES, PAGE, Difference, ask, page


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Size(BaseModel):
    width: int
    height: float = 1.0


class Item(BaseModel):
    name: str = Field(min_length=2)
    sizes: list[Size] = []
    owner: str | None = None

    @pydantic.field_validator("owner")
    @classmethod
    def is_not_nobody(cls, owner: str | None) -> str | None:
        if owner == "nobody":
            raise ValueError("nobody owns nothing")
        return owner


class Strict(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    count: int = Field(ge=0)


@dataclass
class Point:
    x: int
    y: int = 0


class Person(TypedDict):
    name: str


SCALARS: list[Any] = [
    int,
    str,
    float,
    bool,
    Decimal,
    date,
    datetime,
    timedelta,
    uuid.UUID,
    Colour,
    Any,
    Literal["a", "b"],
    int | str,
    Annotated[int, Field(ge=1, le=9)],
    Annotated[str, Field(min_length=2, pattern="^[a-z]+$")],
]
OPTIONAL: list[Any] = [int | None, Colour | None, Annotated[int | None, Field(gt=3)]]
MANY: list[Any] = [list[int], list[str], set[int], tuple[int, str], list[Colour], list[int] | None]
OBJECTS: list[Any] = [
    Item,
    Size,
    Strict,
    Point,
    Person,
    Item | None,
    list[Item],
    list[int],
    set[str],
    dict[str, int],
    dict[str, Size],
    Item | Size,
    dict,
]
TEXTS = [
    "1",
    "0",
    "-3",
    "7",
    "2.5",
    "x",
    "red",
    "a",
    "abc",
    "",
    "true",
    "off",
    "nan",
    "é",
    "2024-02-29",
    "2024-02-30",
    "2024-02-29T10:00:00Z",
    "PT5M",
    "12345678-1234-5678-1234-567812345678",
    "1_000",
    " 5 ",
    "9" * 30,
    "null",
    "[1, 2]",
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 3, -1, 2.5, "", "ab", "nobody", "5", "red"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["name", "sizes", "owner", "width", "height", "x", "count", "one", "two"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
VALUES: list[Any] = [
    *TEXTS,
    None,
    5,
    True,
    [],
    [1, "2"],
    {},
    {"a": 1},
    {"a": {"width": 1}},
    {"width": "2"},
    {"width": 1, "height": 2},
    {"name": "Ada"},
    {"name": "Ada", "owner": None, "sizes": [{"width": 1}, {"width": 2}]},
    {"x": 1},
    {"x": 1, "y": "2"},
    {"count": 1},
    [{"name": "Ada"}],
]
RAW = [b"", b"{", b"nul", b"[1,]", b'{"a": 1}x', b"5"]
CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/vnd.api+json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "json",
    "",
]


@dataclass(frozen=True)
class Part:
    """One parameter: ``place`` is the name of a mark, or empty where the type alone decides."""

    name: str
    place: str
    annotation: Any
    default: Any = inspect.Parameter.empty
    options: tuple[tuple[str, Any], ...] = ()
    in_dependency: bool = False

    def parameter(self, framework: ModuleType) -> inspect.Parameter:
        annotation = self.annotation
        if self.place:
            mark = getattr(framework, self.place)(**dict(self.options))
            annotation = Annotated[annotation, mark]
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, kind, default=self.default, annotation=annotation)


@dataclass(frozen=True)
class Case:
    parts: tuple[Part, ...]
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def application(self, framework: ModuleType) -> Any:
        app = framework.FastAPI() if framework is fastapi else framework.MiniASGI()
        own = [part.parameter(framework) for part in self.parts if not part.in_dependency]
        theirs = [part.parameter(framework) for part in self.parts if part.in_dependency]
        if theirs:
            mark = Annotated[Any, framework.Depends(function(theirs))]
            kind = inspect.Parameter.KEYWORD_ONLY
            own.append(inspect.Parameter("dependency", kind, annotation=mark))
        path = "/" + "/".join(f"{{{name}}}" for name in path_names(self.parts))
        app.post(path)(function(own))
        return app


def path_names(parts: tuple[Part, ...]) -> list[str]:
    return [part.name for part in parts if part.name.startswith("path")]


def function(parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    async def endpoint(**arguments: Any) -> str:
        return repr(sorted(arguments.items()))

    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


@st.composite
def parts_of(draw: st.DrawFn) -> tuple[Part, ...]:
    def scalars(prefix: str, place: str, most: int, kinds: list[Any]) -> Iterator[Part]:
        for number in range(draw(st.integers(0, most))):
            annotation = draw(st.sampled_from(kinds))
            default: Any = inspect.Parameter.empty
            if prefix != "path" and draw(st.booleans()):
                default = draw(st.sampled_from([None, 5, "given"]))
            options: tuple[tuple[str, Any], ...] = ()
            if place in ("Query", "Header") and draw(st.booleans()):
                options = (("alias", f"{prefix}-alias-{number}"),)
            in_dependency = prefix != "path" and draw(st.booleans())
            yield Part(f"{prefix}_{number}", place, annotation, default, options, in_dependency)

    parts = [
        *scalars("path", "", 2, SCALARS),
        *scalars("plain", "", 2, SCALARS + OPTIONAL),
        *scalars("query", "Query", 2, SCALARS + OPTIONAL + MANY),
        *scalars("header", "Header", 1, SCALARS + OPTIONAL + MANY),
        *scalars("cookie", "Cookie", 1, SCALARS + OPTIONAL),
    ]
    for name in draw(st.sampled_from([(), ("one",), ("one",), ("one", "two")])):
        default: Any = draw(st.sampled_from([inspect.Parameter.empty, None]))
        in_dependency = draw(st.integers(0, 4)) == 0
        if draw(st.integers(0, 3)) == 0:
            annotation = draw(st.sampled_from(SCALARS + OBJECTS))
            options = (("embed", draw(st.booleans())),)
            parts.append(Part(name, "Body", annotation, default, options, in_dependency))
        else:
            annotation = draw(st.sampled_from(OBJECTS))
            parts.append(Part(name, "", annotation, default, (), in_dependency))
    return tuple(parts)


def fitting(annotation: Any, values: list[Any]) -> list[Any]:
    """Those of the values that the type takes; all of them if it takes none."""
    validate = pydantic.TypeAdapter(annotation).validate_python
    good = []
    for value in values:
        with contextlib.suppress(pydantic.ValidationError):
            validate([value] if annotation in MANY else value, from_attributes=True)
            good.append(value)
    return good or values


@st.composite
def cases(draw: st.DrawFn) -> Case:
    parts = draw(parts_of())

    def texts(part: Part) -> st.SearchStrategy[str]:
        is_good = draw(st.integers(0, 19)) > 0
        return st.sampled_from(fitting(part.annotation, TEXTS) if is_good else TEXTS)

    path, query, headers, bodies = [], [], [], {}
    for part in parts:
        alias = str(dict(part.options).get("alias", part.name))
        is_many = part.annotation in MANY
        least = draw(st.sampled_from([0] + [1] * 9))
        if part.name.startswith("path"):
            path.append(quote(draw(texts(part).filter(bool)), safe=""))
            continue
        if part.name in ("one", "two"):
            bodies[part.name] = draw(st.sampled_from(fitting(part.annotation, VALUES)))
            continue
        values = draw(st.lists(texts(part), min_size=least, max_size=3 if is_many else least))
        if part.name.startswith(("plain", "query")):
            query += [(alias, value) for value in values]
        elif part.name.startswith("header"):
            name = alias.replace("_", "-")
            headers += [(name, value) for value in values if value.isascii()]
        elif values and values[0].isalnum():
            headers.append(("cookie", f"{part.name}={quote(values[0])}"))
    content_type = draw(st.sampled_from(CONTENT_TYPES[:1] * 40 + CONTENT_TYPES))
    if content_type:
        headers.append(("content-type", content_type))
    is_part = len(bodies) > 1 or any(dict(part.options).get("embed") for part in parts)
    fit = st.just(bodies if is_part else bodies.get("one"))
    values = st.one_of(*[fit] * 7, JSON, st.builds(dict, one=JSON, two=JSON))
    written = values.map(lambda value: json.dumps(value).encode())
    body = draw(st.one_of(*[written] * 7, st.sampled_from(RAW)))
    return Case(parts, "/" + "/".join(path), tuple(query), tuple(headers), body)


def understood(case: Case, framework: ModuleType) -> Any:
    """What the framework makes of it: the arguments, or where and what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FastAPI's own, about our odd signatures
        app = case.application(framework)

    async def answer() -> Reply:
        async with Client(app) as client:
            params, headers = list(case.query), list(case.headers)
            return await client.post(case.path, params=params, headers=headers, content=case.body)

    reply = asyncio.run(answer())
    if reply.status == 422:
        return 422, [(one["type"], one["loc"]) for one in reply.json()["detail"]]
    return reply.status, reply.text if reply.status == 200 else ""


@settings(max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True)
@given(cases())
def test_the_same_request_is_understood_as_fastapi_understands_it(case: Case) -> None:
    assert understood(case, miniasgi) == understood(case, fastapi)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.ask.__name__)
def test_what_differs_on_purpose_differs_as_it_is_told(difference: Difference) -> None:
    assert asyncio.run(ask(difference, fastapi)) == difference.fastapi
    assert asyncio.run(ask(difference, miniasgi)) == difference.miniasgi


def test_the_page_of_differences_is_made_from_them() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.fastapi_differences"

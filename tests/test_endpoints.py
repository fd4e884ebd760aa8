"""Typed endpoints: what a signature promises, one promise a test.

Whatever order is promised, dependencies, messages and tasks tell of themselves on one list:
`miniasgi.testing` puts the words of `mark` among the messages.
"""

import functools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from http import HTTPStatus
from inspect import Parameter, Signature
from pathlib import Path as FilePath
from threading import current_thread, main_thread
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from starlette.background import BackgroundTask as StarletteTask
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse as StarletteText
from starlette.responses import StreamingResponse as StarletteStream
from typing_extensions import TypeAliasType

from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPException,
    JSONResponse,
    Middleware,
    MiniASGI,
    Path,
    PlainTextResponse,
    Query,
    Request,
    RequestValidationError,
    Response,
    StreamingResponse,
)
from miniasgi.datastructures import QueryParams
from miniasgi.endpoints import responder
from miniasgi.events import mark
from miniasgi.testing import Client, Reply
from miniasgi.types import Background, Receive, Scope, Send

pytestmark = pytest.mark.anyio

ROOT = FilePath(__file__).parent.parent


class Item(BaseModel):
    name: str
    price: float = 1.0


@dataclass
class Point:
    x: int
    y: int = 0


class Colour(Enum):
    red = "red"


async def ask(
    endpoint: Callable[..., Any], path: str = "/", *, at: str | None = None, **options: Any
) -> Reply:
    """The whole answer of an application with this one endpoint, at ``at``, for any method."""
    app = MiniASGI()
    app.route(at or path.partition("?")[0], ["GET", "POST"])(endpoint)
    return await ask_app(app, path, **options)


async def ask_app(app: MiniASGI, path: str = "/", **options: Any) -> Reply:
    is_post = "json" in options or "content" in options
    async with Client(app, raise_background=False) as client:
        reply = await client.request("POST" if is_post else "GET", path, **options)
        await reply.finished()
    return reply


def wrong(reply: Reply) -> list[tuple[str, list[Any]]]:
    """What is wrong and where, of a 422."""
    assert reply.status == 422
    return [(error["type"], error["loc"]) for error in reply.json()["detail"]]


# Where a parameter comes from


async def test_what_the_path_names_is_a_path_parameter_of_its_type() -> None:
    async def order(number: int, part: Colour) -> Any:
        return [number, type(part).__name__]

    reply = await ask(order, "/orders/5/red", at="/orders/{number}/{part}")

    assert reply.json() == [5, "Colour"]


async def test_a_convertor_in_the_path_converts_first() -> None:
    async def order(number: int) -> Any:
        return number

    assert (await ask(order, "/orders/5", at="/orders/{number:int}")).json() == 5
    assert (await ask(order, "/orders/x", at="/orders/{number:int}")).status == 404


async def test_a_scalar_is_a_query_parameter_and_may_have_a_default() -> None:
    async def search(text: str, page: int = 1, day: date | None = None) -> Any:
        return [text, page, day]

    assert (await ask(search, "/?text=a&page=3&day=2024-02-29")).json() == ["a", 3, "2024-02-29"]
    assert (await ask(search, "/?text=a")).json() == ["a", 1, None]


async def test_a_default_that_can_change_is_new_for_every_request() -> None:
    app = MiniASGI()

    @app.get("/")
    async def search(tags: Annotated[list[str], Query()] = []) -> Any:  # noqa: B006
        tags.append("seen")
        return tags

    assert (await ask_app(app)).json() == (await ask_app(app)).json() == ["seen"]


async def test_marks_say_where_else_a_parameter_comes_from() -> None:
    async def read(
        user_agent: Annotated[str, Header()],
        session: Annotated[str, Cookie(alias="sid")],
        tags: Annotated[list[int], Query(alias="tag")],
        wanted: Annotated[list[str], Header(alias="accept")],
    ) -> Any:
        return [user_agent, session, tags, wanted]

    headers = [("user-agent", "cat"), ("cookie", "sid=s"), ("accept", "a"), ("accept", "b")]
    reply = await ask(read, "/?tag=1&tag=2", headers=headers)

    assert reply.json() == ["cat", "s", [1, 2], ["a", "b"]]


async def test_a_mark_may_stand_in_the_place_of_the_default_as_in_fastapi() -> None:
    async def read(page: int = Query(7, ge=1), token: str = Header(...)) -> Any:  # type: ignore[assignment]
        return [page, token]

    assert (await ask(read, headers={"token": "t"})).json() == [7, "t"]
    assert wrong(await ask(read, "/?page=0")) == [
        ("greater_than_equal", ["query", "page"]),
        ("missing", ["header", "token"]),
    ]


@pytest.mark.parametrize(
    ("annotation", "sent", "got"),
    [
        (Item, {"name": "cup", "price": "2"}, "Item(name='cup', price=2.0)"),
        (Point, {"x": "1"}, "Point(x=1, y=0)"),
        (list[int], ["1", 2], "[1, 2]"),
        (list, [1, "a"], "[1, 'a']"),
        (dict, {"a": 1}, "{'a': 1}"),
        (dict[str, Point], {"a": {"x": 1}}, "{'a': Point(x=1, y=0)}"),
        (list[Item], [{"name": "cup"}], "[Item(name='cup', price=1.0)]"),
        (Item | None, None, "None"),
    ],
    ids=str,
)
async def test_what_json_alone_can_hold_is_the_body(annotation: Any, sent: Any, got: str) -> None:
    async def read(value: Any) -> Any:
        return repr(value)

    read.__annotations__["value"] = annotation

    assert (await ask(read, json=sent)).json() == got


async def test_several_bodies_are_members_of_one_object() -> None:
    async def read(item: Item, point: Point, count: Annotated[int, Body()] = 1) -> Any:
        return [item.name, point.x, count]

    reply = await ask(read, json={"item": {"name": "cup"}, "point": {"x": 1}})

    assert reply.json() == ["cup", 1, 1]
    assert wrong(await ask(read, json=[])) == [
        ("missing", ["body", "item"]),
        ("missing", ["body", "point"]),
        ("missing", ["body", "count"]),
    ]


async def test_embed_makes_a_member_of_a_single_body() -> None:
    async def read(item: Annotated[Item, Body(embed=True)]) -> Any:
        return item.name

    assert (await ask(read, json={"item": {"name": "cup"}})).json() == "cup"


async def test_a_body_may_be_left_away_if_it_has_a_default() -> None:
    async def read(item: Item | None = None) -> Any:
        return item

    assert (await ask(read, content=b"")).json() is None


async def test_json_that_does_not_call_itself_json_is_not_read_as_json() -> None:
    async def read(item: Item) -> Any:
        return item.name

    content = b'{"name": "cup"}'
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/a+json"):
        assert (await ask(read, content=content, headers={"content-type": kind})).json() == "cup"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        reply = await ask(read, content=content, headers={"content-type": kind})
        assert wrong(reply) == [("model_attributes_type", ["body"])]


async def test_the_request_comes_by_its_annotation_or_its_name() -> None:
    async def by_annotation(this: Request, page: int = 1) -> Any:
        return this.method

    async def by_name(request, page: int = 1) -> Any:  # type: ignore[no-untyped-def]
        return request.method

    assert (await ask(by_annotation)).json() == (await ask(by_name)).json() == "GET"


async def test_background_tasks_come_by_their_annotation_also_with_a_default_of_none() -> None:
    async def plain(tasks: BackgroundTasks) -> None:
        tasks.add_task(mark, "plain")

    async def with_none(tasks: BackgroundTasks = None) -> None:  # type: ignore[assignment]
        tasks.add_task(mark, "none")

    async def or_none(tasks: BackgroundTasks | None = None) -> None:
        assert tasks is not None
        tasks.add_task(mark, "or none")

    for endpoint, words in ((plain, "plain"), (with_none, "none"), (or_none, "or none")):
        reply = await ask(endpoint)
        assert reply.events == [
            "accept",
            "response.start",
            "response.body",
            "task: mark",
            words,
            "app returned",
        ]


async def test_other_metadata_is_tolerated_and_constraints_are_kept() -> None:
    async def read(number: Annotated[int, "a note", Field(ge=1, description="how many")]) -> Any:
        return number

    assert (await ask(read, "/?number=1")).json() == 1
    assert wrong(await ask(read, "/?number=0")) == [("greater_than_equal", ["query", "number"])]


async def test_annotations_may_be_strings() -> None:
    async def read(number: "int", item: "Item | None" = None) -> Any:
        return number

    assert (await ask(read, "/?number=1")).json() == 1


async def test_a_type_alias_is_what_it_stands_for() -> None:
    Pages = TypeAliasType("Pages", Annotated[list[int], Query()])  # from 3.12 on: type Pages = ...

    async def read(page: Pages) -> Any:
        return page

    assert (await ask(read, "/?page=1&page=2")).json() == [1, 2]


async def test_an_endpoint_without_parameters_is_called_without_any() -> None:
    async def ping() -> Any:
        return "pong"

    assert (await ask(ping)).json() == "pong"


async def test_a_plain_endpoint_runs_in_a_thread() -> None:
    def where(number: int = 1) -> Any:
        return current_thread() is main_thread()

    async def on_the_loop(number: int = 1) -> Any:
        return current_thread() is main_thread()

    assert (await ask(where)).json() is False
    assert (await ask(on_the_loop)).json() is True


async def test_an_awaitable_that_a_plain_endpoint_returns_is_awaited() -> None:
    async def twice(number: int) -> Any:
        return 2 * number

    reply = await ask(lambda request, number=2: twice(number))

    assert reply.json() == 4


@pytest.mark.parametrize("kind", ["partial", "object", "method", "wrapped"])
async def test_any_callable_can_be_a_typed_endpoint(kind: str) -> None:
    async def add(number: int, other: int = 1) -> Any:
        return number + other

    class Adding:
        async def __call__(self, number: int, other: int = 1) -> Any:
            return number + other

        async def add(self, number: int, other: int = 1) -> Any:
            return number + other

    @functools.wraps(add)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        return await add(*args, **kwargs)

    one = {
        "partial": functools.partial(add, other=1),
        "object": Adding(),
        "method": Adding().add,
        "wrapped": wrapped,
    }[kind]

    assert (await ask(one, "/?number=2")).json() == 3


# What is wrong is told


async def test_everything_that_is_wrong_is_told_at_once_in_fastapis_shape() -> None:
    async def read(
        item: Item, number: int, page: Annotated[int, Field(gt=0)], token: Annotated[str, Header()]
    ) -> None: ...

    reply = await ask(read, "/x?page=0", at="/{number}", json={"price": "dear"})

    assert reply.status == 422
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["detail"][0] == {
        "type": "int_parsing",
        "loc": ["path", "number"],
        "msg": "Input should be a valid integer, unable to parse string as an integer",
        "input": "x",
    }
    assert wrong(reply) == [
        ("int_parsing", ["path", "number"]),
        ("greater_than", ["query", "page"]),
        ("missing", ["header", "token"]),
        ("missing", ["body", "name"]),
        ("float_parsing", ["body", "price"]),
    ]


async def test_malformed_json_is_a_422_here_and_a_400_in_an_untyped_endpoint() -> None:
    async def typed(item: Item) -> None: ...

    async def untyped(request: Request) -> Response:
        return JSONResponse(await request.json())

    json_type = {"content-type": "application/json"}
    reply = await ask(typed, content=b'{"name"', headers=json_type)

    assert reply.json()["detail"] == [
        {
            "type": "json_invalid",
            "loc": ["body", 7],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": "Expecting ':' delimiter"},
        }
    ]
    assert (await ask(untyped, content=b'{"name"', headers=json_type)).status == 400


async def test_a_body_that_is_no_text_at_all_is_a_400() -> None:
    async def read(item: Item) -> None: ...

    reply = await ask(read, content=b'"\xff"', headers={"content-type": "application/json"})

    assert reply.status == 400


async def test_an_error_can_be_written_whatever_was_sent() -> None:
    async def read(point: Point) -> None: ...

    json_type = {"content-type": "application/json"}
    sent: list[tuple[bytes, dict[str, str]]] = [
        (b'{"x": "\\ud800"}', json_type),
        (b'{"x": NaN}', json_type),
        (b"\xff\xfe", {"content-type": "text/plain"}),
    ]
    for content, headers in sent:
        assert (await ask(read, content=content, headers=headers)).status == 422


async def test_an_exception_of_a_validator_is_told_in_words() -> None:
    class Picky(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def is_never_right(cls, name: str) -> str:
            raise ValueError(f"not {name}")

    async def read(item: Picky) -> None: ...

    reply = await ask(read, json={"name": "Ada"})

    assert reply.json()["detail"][0]["ctx"] == {"error": "not Ada"}


async def test_a_handler_may_answer_instead() -> None:
    app = MiniASGI()

    @app.get("/")
    async def read(number: int) -> None: ...

    @app.exception_handler(RequestValidationError)
    async def answer(request: Request, exc: RequestValidationError) -> Response:
        return PlainTextResponse(exc.detail[0]["loc"][1], 400)

    reply = await ask_app(app)

    assert (reply.status, reply.text) == (400, "number")


async def test_an_endpoint_is_not_called_with_what_is_wrong_and_tasks_are_not_run() -> None:
    def dependency(tasks: BackgroundTasks) -> None:
        tasks.add_task(mark, "task")

    async def read(number: int, needed: Annotated[None, Depends(dependency)]) -> None:
        mark("endpoint")

    reply = await ask(read)

    assert reply.status == 422
    assert reply.events == ["response.start", "response.body", "app returned"]


# A signature that cannot be served


class Unknown:
    pass


def yields() -> Iterator[None]:
    yield


def needs_unknown(value: Unknown) -> None: ...


def of(annotation: Any, name: str = "value") -> Callable[..., Any]:
    """An endpoint with one parameter."""

    async def endpoint(**values: Any) -> None: ...

    kind = Parameter.POSITIONAL_ONLY if name == "by_position" else Parameter.KEYWORD_ONLY
    endpoint.__signature__ = Signature([Parameter(name, kind, annotation=annotation)])  # type: ignore[attr-defined]
    return endpoint


async def takes_any_name(page: int, **endpoint: int) -> None: ...


@pytest.mark.parametrize(
    ("endpoint", "parameter"),
    [
        (takes_any_name, "endpoint"),
        (of(int, "by_position"), "by_position"),
        (of(Unknown), "value"),
        (of("Nowhere"), "Nowhere"),
        (of(Annotated[Item, Query()]), "value"),
        (of(Annotated[list[Item], Header()]), "value"),
        (of(Annotated[list[str], Cookie()]), "value"),
        (of(Annotated[int, Path()]), "value"),
        (of(Annotated[int, Query()], "in_path"), "in_path"),
        (of(list[int], "in_path"), "in_path"),
        (of(Annotated[int, Depends(5)]), "value"),  # type: ignore[arg-type]
        (of(Annotated[None, Depends(needs_unknown)]), "value"),
        (of(Annotated[None, Depends(yields, scope="ever")]), "value"),  # type: ignore[arg-type]
    ],
    ids=range(13),
)
async def test_an_impossible_signature_fails_at_registration_with_both_names(
    endpoint: Callable[..., Any], parameter: str
) -> None:
    with pytest.raises(TypeError) as caught:
        MiniASGI().get("/{in_path}")(endpoint)

    assert endpoint.__name__ in str(caught.value) and parameter in str(caught.value)


def test_a_mark_refuses_what_it_would_ignore_but_not_what_is_for_readers() -> None:
    for unknown in ("minimum", "default_factory", "validation_alias", "convert_underscores"):
        with pytest.raises(TypeError, match=f"Query knows no '{unknown}'; it knows gt ge"):
            Query(**{unknown: 5})

    assert Query(1, ge=0, description="of the page", include_in_schema=False).constraints == {
        "ge": 0
    }


async def test_a_field_of_pydantic_is_no_default() -> None:
    async def give(n: int = Field(3, ge=2)) -> int:
        return n

    with pytest.raises(TypeError, match=r"give, parameter 'n': as a default write Query"):
        MiniASGI().get("/")(give)


async def test_a_path_parameter_may_have_another_name_in_the_path() -> None:
    async def give(number: Annotated[int, Path(alias="item_id")]) -> int:
        return number

    async def misspelt(item: Annotated[int, Path(alias="other")]) -> None: ...

    assert (await ask(give, "/3", at="/{item_id}")).json() == 3
    with pytest.raises(TypeError, match="misspelt, parameter 'item'"):
        MiniASGI().get("/{item}")(misspelt)


async def test_what_a_mark_says_counts_before_the_name_request() -> None:
    async def marked(request: Annotated[str, Query()], page: int = 1) -> str:
        return request

    async def in_path(request, page: int = 1):  # type: ignore[no-untyped-def]
        return request

    replies = [await ask(marked, "/?request=x"), await ask(in_path, "/x", at="/{request}")]

    assert [reply.json() for reply in replies] == ["x", "x"]


async def test_a_generic_alias_is_validated_with_its_argument() -> None:
    T = TypeVar("T")
    Pages: Any = TypeAliasType("Pages", list[T], type_params=(T,))  # type: ignore[valid-type]

    async def give(pages: Pages[int]) -> Any:
        return pages

    assert (await ask(give, json=["1"])).json() == [1]
    assert wrong(await ask(give, json=["one"])) == [("int_parsing", ["body", 0])]


POSTPONED = """
from __future__ import annotations
import starlette.requests
from typing import TYPE_CHECKING, Annotated
from miniasgi import Depends, PlainTextResponse
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

async def session() -> AsyncIterator[str]:
    yield "session"

async def typed(value: Annotated[str, Depends(session)]) -> Nobody:
    return value

async def untyped(request: starlette.requests.Request):
    return PlainTextResponse(request.method)
"""


async def test_what_is_returned_may_be_known_to_type_checkers_alone() -> None:
    there: dict[str, Any] = {}
    exec(POSTPONED, there)

    assert (await ask(there["typed"])).json() == "session"
    assert (await ask(there["untyped"])).text == "GET"


async def test_a_dependency_cannot_end_before_another_that_needs_it() -> None:
    def session() -> Iterator[None]:
        yield

    def service(session: Annotated[None, Depends(session, scope="function")]) -> Iterator[None]:
        yield

    async def read(service: Annotated[None, Depends(service)]) -> None: ...

    with pytest.raises(TypeError, match=r"service.*'session'.*'function' ends before"):
        MiniASGI().get("/")(read)


# What an endpoint returns


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, '{"a":1}'),
        (Item(name="cup"), '{"name":"cup","price":1.0}'),
        ([Point(1)], '[{"x":1,"y":0}]'),
        (datetime(2024, 2, 29, tzinfo=UTC), '"2024-02-29T00:00:00Z"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Colour.red, '"red"'),
        ({"é"}, '["é"]'),
        (float("nan"), "null"),
        (None, "null"),
    ],
    ids=str,
)
async def test_what_is_not_a_response_is_sent_as_json(value: Any, text: str) -> None:
    async def give(request: Request, page: int = 1) -> Any:
        return value

    reply = await ask(give)

    assert (reply.status, reply.text) == (200, text)
    assert reply.headers["content-type"] == "application/json"


async def test_a_response_is_sent_as_it_is_ours_or_any_asgi_application() -> None:
    inner = MiniASGI()
    inner.get("/")(lambda request: PlainTextResponse("inner"))

    async def give(which: Literal["ours", "starlette", "application"]) -> Any:
        answers = {"ours": PlainTextResponse("a", 201), "starlette": StarletteText("b", 202)}
        return answers.get(which, inner)

    for which, status, text in (("ours", 201, "a"), ("starlette", 202, "b"), ("app", 422, None)):
        reply = await ask(give, f"/?which={which}")
        assert reply.status == status and text in (None, reply.text)
    assert (await ask(give, "/?which=application")).text == "inner"


async def test_the_decorators_status_is_for_what_is_not_a_response() -> None:
    app = MiniASGI()

    @app.post("/made", status_code=HTTPStatus.CREATED)
    async def made(request: Request) -> Any:
        return {"id": 1}

    @app.post("/own", status_code=201)
    async def own(page: int = 1) -> Any:
        return JSONResponse("own", 202)

    @app.delete("/gone", status_code=204)
    async def gone() -> None: ...

    async with Client(app) as client:
        assert (await client.post("/made")).status == 201
        assert (await client.post("/own")).status == 202
        reply = await client.delete("/gone")
        assert (reply.status, reply.content) == (204, b"")


async def test_a_status_without_content_has_none() -> None:
    app = MiniASGI()
    for status in (204, 205, 304):
        app.get(f"/{status}", status_code=status)(lambda: None)

    assert [(await ask_app(app, f"/{status}")).content for status in (204, 205, 304)] == [b""] * 3


@pytest.mark.parametrize(
    "sent", [b'{"a":"\\ud800"}', b'{"a":' * 260 + b"1" + b"}" * 260], ids=["half a pair", "deep"]
)
async def test_what_could_be_read_can_be_sent_back(sent: bytes) -> None:
    async def echo(data: dict[str, Any]) -> Any:
        return data

    reply = await ask(echo, content=sent, headers={"content-type": "application/json"})

    assert (reply.status, reply.content) == (200, sent)


async def test_a_function_that_yields_is_no_endpoint() -> None:
    async def rows() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="rows yields: return a StreamingResponse"):
        MiniASGI().get("/")(rows)


async def test_return_annotations_are_not_enforced() -> None:
    async def give(page: int = 1) -> dict[str, int]:
        return {"a": "text"}  # type: ignore[dict-item]

    assert (await ask(give)).json() == {"a": "text"}


async def test_what_pydantic_cannot_write_is_a_500_whose_error_names_the_type() -> None:
    async def give(page: int = 1) -> Any:
        return object()

    app = MiniASGI()
    app.get("/")(give)
    async with Client(app) as client:
        with pytest.raises(ValueError, match="object"):
            await (await client.get("/")).finished()


# Background work


async def test_injected_and_own_background_are_merged_in_order() -> None:
    def dependency(tasks: BackgroundTasks) -> None:
        tasks.add_task(mark, "one")

    async def give(tasks: BackgroundTasks, _: Annotated[None, Depends(dependency)]) -> Response:
        tasks.add_task(mark, "two")
        return PlainTextResponse("", background=BackgroundTask(mark, "three"))

    reply = await ask(give)

    words = [event for event in reply.events if event in ("one", "two", "three")]
    assert words == ["one", "two", "three"]


async def test_the_injected_tasks_as_the_responses_own_run_once() -> None:
    async def give(tasks: BackgroundTasks) -> Response:
        tasks.add_task(mark, "once")
        return PlainTextResponse("", background=tasks)

    assert (await ask(give)).events.count("once") == 1


async def test_a_response_object_that_is_returned_again_carries_no_tasks_of_before() -> None:
    shared = PlainTextResponse("", background=BackgroundTask(mark, "own"))
    app = MiniASGI()

    @app.get("/")
    async def give(tasks: BackgroundTasks, word: str) -> Response:
        tasks.add_task(mark, word)
        return shared

    first, second = await ask_app(app, "/?word=a"), await ask_app(app, "/?word=b")

    assert [event for event in first.events if event in ("a", "own")] == ["a", "own"]
    assert [event for event in second.events if event in ("a", "b", "own")] == ["b", "own"]


async def test_tasks_follow_a_response_that_is_not_ours_and_its_own_is_last() -> None:
    async def give(tasks: BackgroundTasks) -> Any:
        tasks.add_task(mark, "injected")
        return StarletteText("", background=StarletteTask(mark, "own"))

    reply = await ask(give)

    assert reply.events == [
        "accept",
        "response.start",
        "response.body",
        "task: mark",
        "injected",
        "task: mark",
        "own",
        "app returned",
    ]


async def test_tasks_follow_any_asgi_application() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("theirs")(scope, receive, send)

    async def give(tasks: BackgroundTasks) -> Any:
        tasks.add_task(mark, "after")
        return application

    reply = await ask(give)

    assert reply.text == "theirs"
    assert reply.events.index("response.body") < reply.events.index("after")


async def test_tasks_that_were_added_before_an_exception_are_logged_by_name_as_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def send_mail() -> None: ...

    async def give(tasks: BackgroundTasks) -> None:
        tasks.add_task(send_mail)
        raise HTTPException(409)

    with caplog.at_level(logging.WARNING, "miniasgi"):
        reply = await ask(give)

    assert reply.status == 409
    assert ["'send_mail' will not run" in message for message in caplog.messages] == [True]


class Promise:
    """A background of a queue's task, in short: it is asked before the first byte."""

    result = "handle"

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    async def accept(self, *others: Background) -> None:
        if self.fails:
            raise QueueIsFull("no room")
        mark("promised")
        if others:
            await others[0].accept(*others[1:])

    async def __call__(self) -> None:
        mark("run")

    async def abandon(self, because: BaseException) -> None:
        mark("abandoned")


class QueueIsFull(Exception):
    status_code = 503


class Durable:
    """A queue's task, in short."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def __call__(self) -> None: ...

    def __background__(self) -> Promise:
        return Promise(self.fails)


async def test_a_durable_task_is_promised_before_the_first_byte() -> None:
    async def give(tasks: BackgroundTasks) -> Any:
        return tasks.add_task(Durable())

    reply = await ask(give)

    assert reply.json() == "handle"
    assert reply.events == [
        "promised",
        "accept",
        "response.start",
        "response.body",
        "run",
        "app returned",
    ]


# Dependencies


def told(name: str, **more: Any) -> Callable[..., AsyncIterator[str]]:
    """A dependency that tells when it is entered, what is raised into it, and when it is left."""

    async def dependency() -> AsyncIterator[str]:
        mark(f"{name} opens")
        try:
            yield name
        except Exception as exc:
            mark(f"{name} sees {type(exc).__name__}")
            raise
        finally:
            mark(f"{name} closes")

    return dependency


def told_in_thread() -> Iterator[str]:
    mark("sync opens")
    try:
        yield "sync"
    except Exception as exc:
        mark(f"sync sees {type(exc).__name__}")
        raise
    finally:
        mark("sync closes")


async def test_a_dependency_may_be_plain_async_a_class_or_an_object() -> None:
    class Paging:
        def __init__(self, page: int = 1) -> None:
            self.page = page

    class Adding:
        async def __call__(self, page: int = 1) -> int:
            return page + 1

    def plain(page: int = 1) -> Any:
        return [page, current_thread() is main_thread()]

    async def asynchronous(page: int = 1) -> Any:
        return [page, current_thread() is main_thread()]

    async def give(
        a: Annotated[Any, Depends(plain)],
        b: Annotated[Any, Depends(asynchronous)],
        c: Annotated[Paging, Depends()],
        d: Annotated[int, Depends(Adding())],
        e: Any = Depends(plain),  # noqa: B008
    ) -> Any:
        return [a, b, c.page, d, e]

    reply = await ask(give, "/?page=3")

    assert reply.json() == [[3, False], [3, True], 3, 4, [3, False]]


async def test_a_dependency_is_called_once_a_request_whoever_asks() -> None:
    def session() -> object:
        mark("session")
        return object()

    def users(session: Annotated[object, Depends(session)]) -> object:
        return session

    async def give(
        users: Annotated[object, Depends(users)],
        session: Annotated[object, Depends(session)],
        other: Annotated[object, Depends(session, use_cache=False)],
    ) -> Any:
        return [users is session, session is other]

    reply = await ask(give)

    assert reply.json() == [True, False]
    assert reply.events.count("session") == 2


async def test_a_dependency_without_exits_is_called_once_for_all_scopes() -> None:
    calls = []

    def user() -> int:
        calls.append("user")
        return len(calls)

    async def session() -> AsyncIterator[int]:
        calls.append("session")
        yield len(calls)

    OneUser, OneSession = Annotated[int, Depends(user)], Annotated[int, Depends(session)]

    async def audit(user: OneUser, session: OneSession) -> AsyncIterator[int]:
        yield user

    async def give(
        audited: Annotated[int, Depends(audit, scope="request")], user: OneUser, session: OneSession
    ) -> bool:
        return audited == user

    assert (await ask(give)).json() is True
    assert calls == ["user", "session", "session"]


async def test_dependencies_and_endpoint_share_one_object_of_background_tasks() -> None:
    def first(tasks: BackgroundTasks) -> BackgroundTasks:
        return tasks

    async def give(tasks: BackgroundTasks, other: Annotated[Any, Depends(first)]) -> Any:
        return tasks is other

    assert (await ask(give)).json() is True


async def test_bodies_of_dependencies_count_when_bodies_are_embedded() -> None:
    def named(item: Item) -> str:
        return item.name

    async def give(name: Annotated[str, Depends(named)], point: Point) -> Any:
        return [name, point.x]

    reply = await ask(give, json={"item": {"name": "cup"}, "point": {"x": 1}})

    assert reply.json() == ["cup", 1]


async def test_the_three_scopes_close_before_accept_before_the_tasks_and_after_them() -> None:
    async def give(
        tasks: BackgroundTasks,
        one: Annotated[str, Depends(told("function"), scope="function")],
        two: Annotated[str, Depends(told("response"))],
        three: Annotated[str, Depends(told("request"), scope="request")],
    ) -> Any:
        mark("endpoint")
        tasks.add_task(mark, "task")
        return [one, two, three]

    reply = await ask(give)

    assert reply.json() == ["function", "response", "request"]
    assert reply.events == [
        "function opens",
        "response opens",
        "request opens",
        "endpoint",
        "function closes",
        "accept",
        "response.start",
        "response.body",
        "response closes",
        "task: mark",
        "task",
        "request closes",
        "app returned",
    ]


async def test_a_plain_generator_is_entered_and_left_in_threads() -> None:
    async def give(value: Annotated[str, Depends(told_in_thread)], tasks: BackgroundTasks) -> Any:
        tasks.add_task(mark, "task")
        return value

    reply = await ask(give)

    assert reply.json() == "sync"
    assert [event for event in reply.events if "task:" not in event] == [
        "sync opens",
        "accept",
        "response.start",
        "response.body",
        "sync closes",
        "task",
        "app returned",
    ]


async def test_what_a_longer_lived_dependency_needs_lives_as_long() -> None:
    session = told("session")

    async def service(session: Annotated[str, Depends(session)]) -> AsyncIterator[str]:
        yield session
        mark("service closes")

    async def give(
        service: Annotated[str, Depends(service, scope="request")], tasks: BackgroundTasks
    ) -> Any:
        tasks.add_task(mark, "task")
        return service

    reply = await ask(give)

    assert reply.events[-4:] == ["task", "service closes", "session closes", "app returned"]


async def test_what_the_endpoint_raises_is_seen_by_dependencies_of_every_scope() -> None:
    async def give(
        one: Annotated[str, Depends(told("function"), scope="function")],
        two: Annotated[str, Depends(told_in_thread)],
        three: Annotated[str, Depends(told("request"), scope="request")],
    ) -> None:
        raise HTTPException(409)

    reply = await ask(give)

    assert reply.status == 409
    assert reply.events == [
        "function opens",
        "sync opens",
        "request opens",
        "function sees HTTPException",
        "function closes",
        "sync sees HTTPException",
        "sync closes",
        "request sees HTTPException",
        "request closes",
        "response.start",
        "response.body",
        "app returned",
    ]


async def test_a_dependency_can_answer_with_another_exception_but_not_swallow_one() -> None:
    async def swallows() -> AsyncIterator[None]:
        with suppress(KeyError):
            yield

    async def answers() -> AsyncIterator[None]:
        try:
            yield
        except KeyError as exc:
            raise HTTPException(404) from exc

    def raising(dependency: Any) -> Callable[..., Any]:
        async def give(value: Annotated[None, Depends(dependency)]) -> None:
            raise KeyError("no such order")

        return give

    assert (await ask(raising(answers))).status == 404
    app = MiniASGI()
    app.get("/")(raising(swallows))
    async with Client(app) as client:
        with pytest.raises(KeyError, match="no such order"):
            await (await client.get("/")).finished()


@pytest.mark.parametrize("scope", ["function", "response", "request"])
async def test_what_a_task_raises_is_seen_by_scope_request_alone(scope: Any) -> None:
    async def fail() -> None:
        raise KeyError("no such address")

    async def give(
        tasks: BackgroundTasks, value: Annotated[str, Depends(told("it"), scope=scope)]
    ) -> None:
        tasks.add_task(fail)

    reply = await ask(give)

    assert ("it sees KeyError" in reply.events) is (scope == "request")
    assert reply.events.count("it closes") == 1


async def test_exits_run_when_accept_fails_and_the_client_gets_the_error() -> None:
    async def give(
        tasks: BackgroundTasks,
        two: Annotated[str, Depends(told("response"))],
        three: Annotated[str, Depends(told("request"), scope="request")],
    ) -> None:
        tasks.add_task(Durable(fails=True))

    reply = await ask(give)

    assert reply.status == 503
    assert reply.events == [
        "response opens",
        "request opens",
        "response closes",
        "request closes",
        "response.start",
        "response.body",
        "app returned",
    ]


async def test_exits_run_when_the_stream_fails_and_do_not_see_it() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("torn")

    async def give(
        tasks: BackgroundTasks,
        two: Annotated[str, Depends(told("response"))],
        three: Annotated[str, Depends(told("request"), scope="request")],
    ) -> Response:
        tasks.add_task(Durable())
        return StreamingResponse(chunks())

    app = MiniASGI()
    app.get("/")(give)
    async with Client(app) as client:
        with pytest.raises(KeyError):
            await client.get("/")
    [reply] = client.replies

    assert reply.events[-4:] == ["abandoned", "response closes", "request closes", reply.events[-1]]


@pytest.mark.parametrize("response", [StarletteStream, StreamingResponse], ids=["theirs", "ours"])
async def test_a_dependency_is_open_while_the_response_streams(response: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        mark("chunk")
        yield b"a"

    async def give(value: Annotated[str, Depends(told("it"))], tasks: BackgroundTasks) -> Any:
        tasks.add_task(mark, "task")
        return response(chunks())

    reply = await ask(give)

    order = ["it opens", "chunk", "response.body", "it closes", "task"]
    assert [event for event in dict.fromkeys(reply.events) if event in order] == order


async def test_exits_run_when_a_later_dependency_fails() -> None:
    def refuses() -> None:
        raise HTTPException(401)

    async def give(
        one: Annotated[str, Depends(told("it"))], two: Annotated[None, Depends(refuses)]
    ) -> None: ...

    reply = await ask(give)

    assert reply.status == 401
    assert reply.events[:3] == ["it opens", "it sees HTTPException", "it closes"]


async def test_exits_run_when_the_request_is_cancelled() -> None:
    events: list[str] = []

    async def slow() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await anyio.lowlevel.checkpoint()  # a cancel would strike here, were it not shielded
            events.append("closed")

    async def give(value: Annotated[None, Depends(slow)]) -> None:
        scope.cancel()
        await anyio.sleep_forever()

    respond = responder(give)
    with anyio.CancelScope() as scope:
        await respond(Request({"type": "http", "headers": []}, anyio.sleep_forever))

    assert events == ["closed"]


@pytest.mark.parametrize("scope", ["function", "response", "request"])
async def test_a_dependency_may_yield_inside_a_cancel_scope_of_its_own(scope: Any) -> None:
    async def limited() -> AsyncIterator[None]:
        with anyio.fail_after(5.0):
            async with anyio.create_task_group():
                yield
        mark("left")

    async def give(
        value: Annotated[None, Depends(limited, scope=scope)], tasks: BackgroundTasks
    ) -> None:
        tasks.add_task(mark, "work")

    reply = await ask(give)

    assert reply.status == 200
    marks = [event for event in reply.events if event in ("left", "work")]
    assert marks == (["work", "left"] if scope == "request" else ["left", "work"])


async def test_a_task_that_is_added_when_the_others_have_run_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def dependency(tasks: BackgroundTasks) -> AsyncIterator[None]:
        yield
        tasks.add_task(mark, "late")

    async def give(value: Annotated[None, Depends(dependency, scope="request")]) -> None: ...

    assert "late" not in (await ask(give)).events
    assert "background task 'mark' will not run" in caplog.text


async def test_a_generator_behind_a_plain_function_is_an_error_and_not_the_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def session() -> AsyncIterator[str]:
        yield "session"

    async def give(value: Annotated[Any, Depends(lambda: session())]) -> str:
        return type(value).__name__

    reply = await ask(give)

    assert (reply.status, str(reply.exception)) == (
        500,
        "what 'value' depends on yields inside a plain function",
    )


async def test_a_task_that_is_added_after_the_yield_runs_too() -> None:
    async def dependency(tasks: BackgroundTasks) -> AsyncIterator[None]:
        yield
        tasks.add_task(mark, "late")

    async def give(value: Annotated[None, Depends(dependency)]) -> None: ...

    assert "late" in (await ask(give)).events


async def test_an_exit_that_fails_drops_the_tasks_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def commits() -> AsyncIterator[None]:
        yield
        raise KeyError("not committed")

    async def give(value: Annotated[None, Depends(commits)], tasks: BackgroundTasks) -> None:
        tasks.add_task(mark, "task")

    with caplog.at_level(logging.WARNING, "miniasgi"):
        reply = await ask(give)

    assert reply.status == 200
    assert "task" not in reply.events
    assert any("'mark' will not run" in message for message in caplog.messages)


async def test_an_exit_that_fails_before_accept_drops_the_promise_of_the_response_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def commits() -> AsyncIterator[None]:
        yield
        raise KeyError("not committed")

    async def give(value: Annotated[None, Depends(commits, scope="function")]) -> Response:
        return Response(background=Promise())

    with caplog.at_level(logging.WARNING, "miniasgi"):
        reply = await ask(give)

    assert reply.status == 500
    assert any("will not run: KeyError('not committed')" in one for one in caplog.messages)


async def test_a_function_middleware_sees_the_response_itself() -> None:
    async def stamp(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-seen"] = "yes"
        return response

    app = MiniASGI(middleware=[Middleware(stamp)])

    @app.get("/ours")
    async def ours(value: Annotated[str, Depends(told("it"))]) -> Any:
        return value

    @app.get("/theirs")
    async def theirs(value: Annotated[str, Depends(told("it"))]) -> Any:
        return StarletteText(value)

    for path in ("/ours", "/theirs"):
        reply = await ask_app(app, path)
        assert reply.headers["x-seen"] == "yes"
        assert reply.events[-2:] == ["it closes", "app returned"]


# What untyped endpoints pay


async def untyped(request: Request) -> Response:
    return PlainTextResponse("")


async def unannotated(request) -> Response:  # type: ignore[no-untyped-def]
    return PlainTextResponse("")


async def of_any(anything: Any) -> Response:
    return PlainTextResponse("")


async def of_starlette(request: StarletteRequest) -> Response:
    return PlainTextResponse("")


async def quoted(anything: "Request") -> Response:
    return PlainTextResponse("")


class Untyped:
    async def method(self, request: Request) -> Response:
        return PlainTextResponse("")

    async def __call__(self, request: Request) -> Response:
        return PlainTextResponse("")


def passing(func: Any) -> Any:
    async def passed(*args: Any, **kwargs: Any) -> Any:
        return await func(*args, **kwargs)

    return passed


@pytest.mark.parametrize(
    "endpoint",
    [
        untyped,
        unannotated,
        quoted,
        of_any,
        of_starlette,
        Untyped().method,
        Untyped(),
        passing(untyped),
        functools.wraps(untyped)(passing(untyped)),
        functools.partial(untyped),
    ],
    ids=range(10),
)
async def test_an_endpoint_that_takes_the_request_alone_is_called_as_it_is(endpoint: Any) -> None:
    assert responder(endpoint) is endpoint
    assert (await ask(endpoint)).status == 200


async def refuse() -> None:
    raise HTTPException(401)


async def by_default(user=Depends(refuse)) -> Any: ...  # type: ignore[no-untyped-def]  # noqa: B008
async def of_any_by_default(user: Any = Depends(refuse)) -> Any: ...  # noqa: B008
async def annotated_any(user: Annotated[Any, Depends(refuse)]) -> Any: ...
async def annotated_request(user: Annotated[Request, Depends(refuse)]) -> Any: ...
async def request_by_default(request: Request = Depends(refuse)) -> Any: ...  # type: ignore[assignment]  # noqa: B008


@pytest.mark.parametrize(
    "endpoint",
    [by_default, of_any_by_default, annotated_any, annotated_request, request_by_default],
    ids=lambda endpoint: endpoint.__name__,
)
async def test_a_dependency_is_called_though_it_is_the_only_parameter(endpoint: Any) -> None:
    assert (await ask(endpoint)).status == 401


async def test_a_sole_parameter_with_a_default_is_a_query_parameter() -> None:
    async def bare(limit=10) -> Any:  # type: ignore[no-untyped-def]
        return limit

    async def of_any(limit: Any = Query(10)) -> Any:  # noqa: B008
        return limit

    assert [(await ask(one, "/?limit=3")).json() for one in (bare, of_any)] == ["3", "3"]


async def test_a_model_of_the_name_request_is_the_body() -> None:
    model: Any = type("Request", (BaseModel,), {"__annotations__": {"n": int}})

    async def give(wanted: model) -> Any:
        return wanted.n

    assert (await ask(give, json={"n": 3})).json() == 3
    assert wrong(await ask(give, json={})) == [("missing", ["body", "n"])]


async def test_a_sole_parameter_that_the_path_names_is_a_path_parameter() -> None:
    async def give(name) -> Any:  # type: ignore[no-untyped-def]
        return name

    assert (await ask(give, "/Ada", at="/{name}")).json() == "Ada"


NO_PYDANTIC = """
import sys
sys.modules["pydantic"] = None  # as if it were not installed
from miniasgi import Depends, MiniASGI, PlainTextResponse, Query, Request

app = MiniASGI()

@app.get("/")
async def untyped(request: Request):
    return PlainTextResponse("")

@app.get("/plain")
def unannotated(request):
    return PlainTextResponse("")

assert "miniasgi.plans" not in sys.modules
try:
    @app.get("/typed")
    async def typed(page: int = 1):
        return page
except ModuleNotFoundError as exc:
    print(exc)
"""


async def test_pydantic_is_imported_for_typed_endpoints_alone_and_missed_with_a_sentence() -> None:
    run = subprocess.run(
        [sys.executable, "-c", NO_PYDANTIC], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert run.stderr == ""
    assert run.stdout == "typed endpoints need: pip install 'miniasgi[typed]'\n"


@given(st.text("ab=&;#é ", max_size=12))
def test_a_query_without_quoting_is_taken_apart_as_by_the_standard_library(query: str) -> None:
    assert QueryParams(query).multi_items() == parse_qsl(query, keep_blank_values=True)


async def test_a_parameter_may_be_named_func() -> None:
    app = MiniASGI()

    @app.get("/")
    def plain(func: int, args: int = 1) -> int:
        return func + args

    async with Client(app) as client:
        reply = await client.get("/?func=2")

    assert reply.json() == 3

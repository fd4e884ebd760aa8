"""A request: parsed when asked for, read once, and a 4xx for whatever the client sent wrongly."""

import json
from typing import Any

import anyio
import pytest

from miniasgi import ClientDisconnect, HTTPException, MiniASGI, PlainTextResponse, Request
from miniasgi.testing import Client
from tests.asgi import DISCONNECT, body_of, call, http, receiving, request

pytestmark = pytest.mark.anyio


def request_with(*messages: Any, **scope: Any) -> Request:
    return Request(http(**scope), receiving(*messages))


def echo_app(**options: Any) -> MiniASGI:
    """An application whose endpoints answer with what they read, in words."""
    app = MiniASGI(**options)

    @app.post("/body")
    async def body(request):
        return PlainTextResponse(f"{len(await request.body())} bytes")

    @app.post("/json")
    async def read_json(request):
        return PlainTextResponse(repr(await request.json()))

    @app.post("/stream")
    async def stream(request):
        return PlainTextResponse(str([chunk async for chunk in request.stream()]))

    return app


# The body, read once


async def test_the_body_is_all_chunks_joined_and_can_be_asked_for_again():
    asked = request_with(request(b"one ", True), request(b"", True), request(b"two"))

    assert [await asked.body(), await asked.body()] == [b"one two", b"one two"]


async def test_a_stream_gives_chunks_as_they_come_and_ends_with_an_empty_one():
    asked = request_with(request(b"one", True), request(b"", True), request(b"two"))

    assert [chunk async for chunk in asked.stream()] == [b"one", b"two", b""]


async def test_after_body_the_stream_is_that_body():
    asked = request_with(request(b"one", True), request(b"two"))

    await asked.body()

    assert [chunk async for chunk in asked.stream()] == [b"onetwo", b""]


async def test_after_the_stream_there_is_no_body():
    asked = request_with(request(b"one"))
    async for _ in asked.stream():
        pass

    with pytest.raises(RuntimeError, match="already read as a stream"):
        await asked.body()
    with pytest.raises(RuntimeError, match="already read as a stream"):
        async for _ in asked.stream():
            pass


async def test_json_and_form_of_one_request_read_the_same_body():
    asked = request_with(
        request(b"a=1"), headers={"content-type": "application/x-www-form-urlencoded"}
    )

    form = await asked.form()

    assert (form["a"], await asked.body()) == ("1", b"a=1")
    assert await asked.form() is form


async def test_json_is_parsed_once():
    asked = request_with(request(b'{"a": 1}'))

    assert await asked.json() is await asked.json()


@pytest.mark.parametrize("read", ["body", "json", "form"])
async def test_a_client_that_leaves_in_mid_body_is_said_so(read: str):
    form = {"content-type": "application/x-www-form-urlencoded"}
    asked = request_with(request(b"one", True), DISCONNECT, headers=form)

    with pytest.raises(ClientDisconnect):
        await getattr(asked, read)()

    assert await asked.is_disconnected()


# Has the client left?


async def test_a_client_that_waits_has_not_left():
    asked = request_with(request())

    assert [await asked.is_disconnected(), await asked.is_disconnected()] == [False, False]


async def test_a_client_that_leaves_is_seen_and_has_left_for_good():
    asked = request_with(request(), DISCONNECT)
    await asked.body()

    assert [await asked.is_disconnected(), await asked.is_disconnected()] == [True, True]


async def test_a_client_that_leaves_is_seen_by_an_endpoint_that_never_reads_the_body():
    # What a stream of events does: it asks between two events, and has no use for a body.
    asked = request_with(request(), DISCONNECT)

    answers = [await asked.is_disconnected() for _ in range(3)]

    assert answers[-1] is True


async def test_asking_takes_nothing_away_from_the_body():
    asked = request_with(request(b"one ", True), request(b"two"))

    answers = [await asked.is_disconnected() for _ in range(5)]

    assert (answers, await asked.body()) == ([False] * 5, b"one two")


async def test_a_client_that_leaves_is_seen_behind_a_body_in_several_messages():
    # As hypercorn sends every body: a last message that is empty.
    asked = request_with(request(b"hello", True), request(), DISCONNECT)

    answers = [await asked.is_disconnected() for _ in range(3)]

    assert answers == [False, False, True]
    assert await asked.body() == b"hello"


@pytest.mark.parametrize(("chunk", "messages"), [(b"x" * 40_000, 2), (b"x", 16)])
async def test_asking_does_not_take_a_long_body_into_memory(chunk, messages):
    taken = []

    async def receive():
        taken.append("message")
        return request(chunk, more_body=True)

    asked = Request(http(), receive)
    for _ in range(100):
        await asked.is_disconnected()

    assert len(taken) == messages


async def test_asking_waits_for_nothing():
    async def receive():
        await anyio.sleep_forever()

    assert await Request(http(), receive).is_disconnected() is False


# Views on the scope


async def test_the_parts_of_a_request():
    asked = request_with(
        path="/users/7?q=a&q=b",
        method="PUT",
        headers=[(b"x-tag", b"1"), (b"x-tag", b"2"), (b"cookie", b'a=1; b="2 3"')],
        path_params={"id": 7},
    )

    assert (asked.method, asked.path_params, asked["path"]) == ("PUT", {"id": 7}, "/users/7")
    assert asked.headers.getlist("X-Tag") == ["1", "2"]
    assert asked.query_params.getlist("q") == ["a", "b"]
    assert asked.cookies == {"a": "1", "b": "2 3"}
    assert (asked.client.host, asked.client.port) == ("127.0.0.1", 50000)
    assert asked.url == "http://testserver:8000/users/7?q=a&q=b"


async def test_a_scope_may_lack_what_asgi_lets_it_lack():
    scope = {"type": "http", "method": "GET", "path": "/", "headers": ()}

    asked = Request(scope, receiving())

    assert (asked.client, asked.query_params.multi_items(), asked.path_params) == (None, [], {})
    assert (dict(asked.headers), asked.cookies, asked.url.path) == ({}, {}, "/")


async def test_state_is_of_this_request_over_what_the_lifespan_gave():
    scope = http(state={"db": "pool"})
    asked = Request(scope, receiving())

    asked.state.user = "Ada"

    assert (asked.state.db, Request(scope, receiving()).state.user) == ("pool", "Ada")


# Bad input is a 4xx with a sentence


@pytest.mark.parametrize("path", ["/body", "/json"])
@pytest.mark.parametrize(
    "chunks",
    [[b"12345678901"], [b"1234", b"5678", b"901"], [b"1" * 1000, b"never read"]],
    ids=["one message", "many messages", "one that is far too large"],
)
async def test_a_body_over_max_body_size_is_a_413(path: str, chunks: list[bytes]):
    app = echo_app(max_body_size=10)

    async with Client(app) as client:
        reply = await client.post(path, content=chunks)

    assert (reply.status, reply.text) == (413, "The body is longer than 10 bytes.")


async def test_a_body_that_is_too_large_is_not_read_to_its_end():
    read = []

    async def receive():
        read.append("message")
        return request(b"x" * 6, more_body=True)

    asked = Request(http(app=MiniASGI(max_body_size=10)), receive)
    with pytest.raises(HTTPException) as raised:
        await asked.body()

    assert (raised.value.status_code, len(read)) == (413, 2)


@pytest.mark.parametrize("limit", [10, None])
async def test_a_body_of_max_body_size_is_read_and_none_is_no_limit(limit: int | None):
    app = echo_app(max_body_size=limit)

    async with Client(app) as client:
        within = await client.post("/body", content=b"x" * 10)
        stream = await client.post("/stream", content=b"x" * 11)
        over = await client.post("/body", content=b"x" * 11)

    assert (within.text, stream.status) == ("10 bytes", 200)
    assert over.status == (413 if limit else 200)


async def test_the_limit_is_64_mib_if_nobody_says_otherwise():
    def messages():
        for _ in range(65):
            yield b"x" * 1024 * 1024

    async with Client(echo_app()) as client:
        reply = await client.post("/body", content=messages())

    assert (reply.status, reply.text) == (413, "The body is longer than 67108864 bytes.")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} and more',
        b"\xff\xfe\xfd",
        b'"\xff"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
        b"\xef\xbb\xbf",
    ],
    ids=lambda body: f"{body[:20]!r}, {len(body)} bytes",
)
async def test_what_is_not_json_is_a_400_with_a_sentence(body: bytes):
    async with Client(echo_app()) as client:
        reply = await client.post("/json", content=body)

    assert reply.status == 400
    assert reply.text.startswith("The body is not JSON: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
async def test_json_is_read_in_every_unicode_encoding(encoding: str):
    text = json.dumps({"name": "Größe €"}, ensure_ascii=False)

    async with Client(echo_app()) as client:
        reply = await client.post("/json", content=text.encode(encoding))

    assert reply.text == repr({"name": "Größe €"})


NOT_TEXT = bytes(range(0x80, 0x100))


async def test_bytes_that_are_not_text_are_never_a_500():
    app = MiniASGI()

    @app.get("/{rest:path}")
    async def look(request):
        seen = [request.headers["x-raw"], request.cookies, request.query_params["q"], request.url]
        return PlainTextResponse(repr(seen))

    messages = await call(
        app,
        http(
            "/�é",
            headers=[(b"x-raw", NOT_TEXT), (b"cookie", b"a=" + NOT_TEXT), (b"host", NOT_TEXT)],
            query_string=b"q=%ff&" + NOT_TEXT,
        ),
    )

    assert messages[0]["status"] == 200
    assert body_of(messages)


@pytest.mark.parametrize(
    "host",
    ["a:99999", "[::::]", "[1.2.3.4]", "[]", "a b", "a/b", "a@b", "a?b", "", "a:b", ":80", "a:"],
)
async def test_a_host_header_that_is_no_host_gives_the_servers_own_name(host: str):
    asked = request_with(headers={"host": host}, path="/p")

    url = asked.url

    assert (url.hostname, url.port, url.path) == ("testserver", 8000, "/p")

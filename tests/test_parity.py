"""Starlette is the oracle: the same call on both gives the same messages.

Compared are status, headers in their order, the body joined (we send an extra empty last message in
places), whether it was complete, and what was raised. Where we differ on purpose it is an entry of
`tests.differences`, and both sides are asked whether it is still true.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookies import CookieError
from pathlib import Path
from typing import Any

import pytest

import miniasgi
from miniasgi.types import ASGIApp, Message, Scope
from tests.asgi import DISCONNECT, body_of, http, receiving, request, words
from tests.differences import DIFFERENCES, Difference
from tests.libraries import (
    MINIASGI,
    STARLETTE,
    Lib,
    Make,
    SmallTeapot,
    Teapot,
    failing,
    handler,
    outcome,
    said,
    show,
    show_plain,
    told,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("lib", [STARLETTE, MINIASGI], ids=["Starlette", "miniasgi"])


# Responses


def text_chunks() -> Iterator[str]:
    yield from ("one ", "zwei ü", "")


async def async_chunks() -> AsyncIterator[bytes]:
    for chunk in (b"one ", b"", b"two"):
        yield chunk


async def mixed_chunks() -> AsyncIterator[Any]:
    for chunk in ("text ü ", b"bytes ", memoryview(b"view")):
        yield chunk


def with_cookies(lib: Lib, *cookies: Mapping[str, Any]) -> ASGIApp:
    response = lib.Response("hi")
    for cookie in cookies:
        response.set_cookie(**cookie)
    return response


def with_headers_changed(lib: Lib) -> ASGIApp:
    response = lib.PlainTextResponse("hi", headers={"X-A": "1", "X-B": "2"})
    response.headers["x-a"] = "3"
    response.headers["X-New"] = "4"
    response.headers.append("x-b", "5")
    response.headers.setdefault("x-b", "6")
    response.headers.setdefault("x-c", "7")
    response.headers.update({"x-d": "8"})
    del response.headers["x-none"]
    return response


def deleting_a_cookie(lib: Lib, **options: Any) -> ASGIApp:
    response = lib.Response()
    response.delete_cookie("a", **options)
    return response


def subclassed(lib: Lib) -> ASGIApp:
    class Csv(lib.Response):
        media_type = "text/csv"
        charset = "utf-16"

    return Csv("a,b")


RESPONSES: dict[str, Make] = {
    "nothing": lambda lib: lib.Response(),
    "text": lambda lib: lib.Response("hällo"),
    "bytes": lambda lib: lib.Response(b"\x00\xff"),
    "memoryview": lambda lib: lib.Response(memoryview(b"abc")),
    "memoryview with gaps": lambda lib: lib.Response(memoryview(b"abcdef")[::2]),
    "status 201": lambda lib: lib.Response("hi", 201),
    "status 204": lambda lib: lib.Response(status_code=204),
    "status 304": lambda lib: lib.Response(status_code=304),
    "status 204 of a text": lambda lib: lib.PlainTextResponse("", 204),
    "status 304 of JSON": lambda lib: lib.JSONResponse(None, 304),
    "headers": lambda lib: lib.Response("hi", headers={"X-Trace": "1", "Vary": "Accept"}),
    "no headers at all": lambda lib: lib.Response("hi", headers={}),
    "own length": lambda lib: lib.Response("hi", headers={"Content-Length": "7"}),
    "own type": lambda lib: lib.PlainTextResponse("hi", headers={"Content-Type": "a/b"}),
    "latin-1 header": lambda lib: lib.Response("hi", headers={"x-name": "Größe"}),
    "media type": lambda lib: lib.Response("hi", media_type="application/xml"),
    "text media type": lambda lib: lib.Response("hi", media_type="text/xml"),
    "media type with charset": lambda lib: lib.Response("hi", media_type="text/x; Charset=l1"),
    "media type over the class's": lambda lib: lib.HTMLResponse("hi", media_type="text/plain"),
    "subclass": subclassed,
    "plain text": lambda lib: lib.PlainTextResponse("hällo"),
    "html": lambda lib: lib.HTMLResponse("<p>ü", 404),
    "json": lambda lib: lib.JSONResponse({"a": [1, 1.5, None, True, "ü€"], "b": {}}),
    "json, status and headers": lambda lib: lib.JSONResponse([], 202, {"x-a": "1"}),
    "json of another type": lambda lib: lib.JSONResponse({}, media_type="application/x+json"),
    "redirect": lambda lib: lib.RedirectResponse("/there"),
    "redirect 303": lambda lib: lib.RedirectResponse("/there", 303, {"x-a": "1"}),
    "redirect with odd characters": lambda lib: lib.RedirectResponse("/ü ö/?q=a b&c=%20#f[1]'\"<>"),
    "redirect elsewhere": lambda lib: lib.RedirectResponse("https://[::1]:80/a@b!$&()*+,;="),
    "redirect with a line feed": lambda lib: lib.RedirectResponse("/a\r\nx-evil: 1"),
    "cookie": lambda lib: with_cookies(lib, {"key": "a"}),
    "cookies": lambda lib: with_cookies(lib, {"key": "a", "value": "1"}, {"key": "a"}),
    "cookie with everything": lambda lib: with_cookies(
        lib,
        {
            "key": "a",
            "value": 'b; "c" ü',
            "max_age": 60,
            "expires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
            "path": "/p",
            "domain": "example.org",
            "secure": True,
            "httponly": True,
            "samesite": "strict",
        },
    ),
    "cookie with nothing": lambda lib: with_cookies(
        lib, {"key": "a", "value": "b", "path": None, "samesite": None}
    ),
    "cookie, empty path and max-age 0": lambda lib: with_cookies(
        lib, {"key": "a", "path": "", "max_age": 0, "samesite": "none"}
    ),
    "cookie, expires as text": lambda lib: with_cookies(
        lib, {"key": "a", "expires": "Wed, 02 Jan 2030 03:04:05 GMT"}
    ),
    "cookie deleted": lambda lib: deleting_a_cookie(lib, path="/p", domain="example.org"),
    "headers changed": with_headers_changed,
    "stream of text": lambda lib: lib.StreamingResponse(text_chunks()),
    "stream of bytes, async": lambda lib: lib.StreamingResponse(async_chunks()),
    "stream of text, bytes, memoryview": lambda lib: lib.StreamingResponse(mixed_chunks()),
    "stream of a list": lambda lib: lib.StreamingResponse([b"a", "b"]),
    "stream of nothing": lambda lib: lib.StreamingResponse([]),
    "stream, type and status": lambda lib: lib.StreamingResponse(
        [b"a"], 201, {"x-a": "1"}, "text/csv"
    ),
    "stream with a length": lambda lib: lib.StreamingResponse(
        [b"a"], headers={"content-length": "1"}
    ),
}


@pytest.mark.parametrize("make", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_response_sends_what_starlettes_sends(make: Make, spec_version: str):
    theirs = await said(make(STARLETTE), http(spec_version=spec_version))
    ours = await said(make(MINIASGI), http(spec_version=spec_version))

    assert ours == theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.Response("hi", headers={"x-name": "€"}),
        lambda lib: lib.JSONResponse({"a": float("nan")}),
        lambda lib: lib.JSONResponse({"a": object()}),
        lambda lib: with_cookies(lib, {"key": "a b"}),
        lambda lib: with_cookies(lib, {"key": "a", "samesite": "sometimes"}),
    ],
    ids=["header not latin-1", "NaN", "object", "cookie name", "samesite"],
)
@BOTH
def test_what_starlette_refuses_is_refused(make: Make, lib: Lib):
    with pytest.raises((ValueError, TypeError, AssertionError, CookieError)):
        make(lib)


# Files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_bytes(b"abcdefghijklmnopqrstuvwxyz")
    (folder / "empty").write_bytes(b"")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "folder.d").mkdir()
    return folder


FILES: dict[str, Callable[[Lib, Path], ASGIApp]] = {
    "text": lambda lib, folder: lib.FileResponse(folder / "text.txt"),
    "as a string": lambda lib, folder: lib.FileResponse(str(folder / "text.txt")),
    "empty": lambda lib, folder: lib.FileResponse(folder / "empty"),
    "of many chunks": lambda lib, folder: lib.FileResponse(folder / "large.bin"),
    "status, headers, type": lambda lib, folder: lib.FileResponse(
        folder / "text.txt", 201, {"X-A": "1", "ETag": '"own"'}, "a/b"
    ),
    "with a name": lambda lib, folder: lib.FileResponse(folder / "empty", filename="a.json"),
    "with an odd name": lambda lib, folder: lib.FileResponse(
        folder / "empty", filename='ü "x".html', content_disposition_type="inline"
    ),
    "own length": lambda lib, folder: lib.FileResponse(
        folder / "text.txt", headers={"content-length": "3"}
    ),
    "missing": lambda lib, folder: lib.FileResponse(folder / "missing.txt"),
    "a folder": lambda lib, folder: lib.FileResponse(folder / "folder.d"),
}
RANGES = [
    None,
    "bytes=0-0",
    "bytes=5-9",
    "bytes=20-",
    "bytes=-3",
    "bytes=-1000",
    "bytes=0-1000",
    "bytes=25-25",
    "bytes=26-",
    "bytes=100-200",
    "bytes=-0",
    "Bytes = 1 - 2",
    "bytes=0-99999999999999999999",
    "bytes=99999999999999999999-",
]
REFUSED_RANGES = [
    "",
    "=",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=3-1",
    "lines=0-1",
    "=0-1",
]


def without_path(answer: Any) -> Any:
    """An error's own words differ; that it is one, and of which class, does not."""
    return answer.partition(":")[0] if isinstance(answer, str) else answer


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_file_is_sent_as_starlettes(make, method: str, spec_version: str, folder: Path):
    scope = http("/", method, spec_version=spec_version)

    theirs = await said(make(STARLETTE, folder), dict(scope))
    ours = await said(make(MINIASGI, folder), dict(scope))

    assert without_path(ours) == without_path(theirs)


@pytest.mark.parametrize("asked", RANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("name", ["text.txt", "empty"])
async def test_a_range_is_answered_as_starlettes(asked, method: str, name: str, folder: Path):
    headers = {} if asked is None else {"range": asked}

    answers = [
        await said(lib.FileResponse(folder / name), http("/", method, headers=headers))
        for lib in (STARLETTE, MINIASGI)
    ]

    assert answers[1] == answers[0]


@pytest.mark.parametrize("asked", REFUSED_RANGES)
@BOTH
async def test_a_range_that_cannot_be_read_is_refused_by_both(asked: str, lib: Lib, folder: Path):
    messages, _ = await outcome(
        lib.FileResponse(folder / "text.txt"), http(headers={"range": asked})
    )

    assert messages[0]["status"] == 400


@pytest.mark.parametrize("version", ["etag", "last-modified", '"other"', "W/etag", "W/own", "junk"])
async def test_if_range_is_understood_as_starlettes(version: str, folder: Path):
    answers = []
    for lib in (STARLETTE, MINIASGI):
        own = {"etag": 'W/"own"'} if version == "W/own" else {}
        whole, _ = await outcome(lib.FileResponse(folder / "text.txt", headers=own), http())
        known = {name.decode(): value.decode() for name, value in whole[0]["headers"]}
        known |= {"W/etag": f"W/{known['etag']}", "W/own": 'W/"own"'}
        asked = {"range": "bytes=0-1", "if-range": known.get(version, version)}
        response = lib.FileResponse(folder / "text.txt", headers=own)
        answers.append(await said(response, http(headers=asked)))

    assert answers[1] == answers[0]


# Headers, query, state


def written(lib: Lib) -> Any:
    return lib.MutableHeaders(raw=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])


OPERATIONS: dict[str, Callable[[Lib], Any]] = {
    "headers of a mapping": lambda lib: lib.Headers({"A-b": "1", "C": "ü"}).raw,
    "headers in any case": lambda lib: lib.Headers({"A-b": "1"})["a-B"],
    "headers, none": lambda lib: lib.Headers().raw,
    "headers of a scope": lambda lib: lib.Headers(scope={"headers": iter([(b"a", b"\xff")])})["a"],
    "the first of several": lambda lib: (written(lib)["A"], written(lib).getlist("A")),
    "one that is not there": lambda lib: written(lib).get("none", "default"),
    "is it there": lambda lib: ("A" in written(lib), "none" in written(lib)),
    "set the first of several": lambda lib: mutated(lib, lambda h: h.__setitem__("A", "9")),
    "set a new one": lambda lib: mutated(lib, lambda h: h.__setitem__("C", "9")),
    "delete several": lambda lib: mutated(lib, lambda h: h.__delitem__("A")),
    "delete none": lambda lib: mutated(lib, lambda h: h.__delitem__("none")),
    "append": lambda lib: mutated(lib, lambda h: h.append("A", "9")),
    "setdefault": lambda lib: mutated(lib, lambda h: h.setdefault("A", "9")),
    "setdefault of a new one": lambda lib: mutated(lib, lambda h: h.setdefault("C", "9")),
    "update": lambda lib: mutated(lib, lambda h: h.update({"A": "8", "C": "9"})),
    "equal headers": lambda lib: lib.Headers({"a": "1"}) == lib.Headers(raw=[(b"a", b"1")]),
    "equal headers in another order": lambda lib: (
        lib.Headers({"a": "1", "b": "2"}) == lib.Headers({"b": "2", "a": "1"})
    ),
    "unequal headers": lambda lib: written(lib) == lib.Headers({"a": "1", "b": "2"}),
    "query": lambda lib: lib.QueryParams("a=1&b=&a=3&c").multi_items(),
    "query of bytes": lambda lib: lib.QueryParams(b"a=%C3%BC&b=\xff&c=%ff").multi_items(),
    "the last of several": lambda lib: lib.QueryParams("a=1&a=2")["a"],
    "all of several": lambda lib: lib.QueryParams("a=1&b=2&a=3").getlist("a"),
    "query as a mapping": lambda lib: dict(lib.QueryParams("a=1&b=2&a=3")),
    "query, its length": lambda lib: len(lib.QueryParams("a=1&b=2&a=3")),
    "query, is it there": lambda lib: ("a" in lib.QueryParams("a"), "b" in lib.QueryParams("a")),
    "query, one that is not there": lambda lib: lib.QueryParams("a").get("b", "default"),
    "state": lambda lib: vars_of(lib, {"a": 1}),
    "address": lambda lib: (lib.Address("h", 1).host, tuple(lib.Address("h", 1))),
    "exception": lambda lib: (str(lib.HTTPException(404)), lib.HTTPException(404).detail),
    "exception with all": lambda lib: vars(lib.HTTPException(401, "no", {"a": "b"})),
}


def mutated(lib: Lib, change: Callable[[Any], Any]) -> Any:
    headers = written(lib)
    return change(headers), headers.raw


def vars_of(lib: Lib, values: dict[str, Any]) -> Any:
    state = lib.State(values)
    state.b = 2
    del state.a
    return values, state.b, hasattr(state, "a")


@pytest.mark.parametrize("operate", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_gives_what_starlettes_gives(operate: Callable[[Lib], Any]):
    assert operate(MINIASGI) == operate(STARLETTE)


# Requests


SCOPES: dict[str, Scope] = {
    "plain": http("/a/b?q=1&q=2&empty="),
    "bare": {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    | {"server": ("testserver", 8000)},
    "default port": http("/", server=("testserver", 80)),
    "default port of https": http("/", server=("testserver", 443), scheme="https"),
    "host": http("/", headers={"host": "example.org:8080"}, scheme="https"),
    "host in capitals": http("/", headers={"host": "EXAMPLE.org"}),
    "ipv6": http("/", headers={"host": "[::1]:8000"}),
    "ipv6 server": http("/", server=("::1", 8000)),
    "bad host": http("/p", headers={"host": "a/b"}),
    "bad port": http("/p", headers={"host": "a:99999"}),
    "bad ipv6": http("/p", headers={"host": "[::::]"}),
    "root path": http("/base/a", root_path="/base"),
    "path params": http("/", path_params={"a": 1}),
    "state": http("/", state={"a": 1}),
    "no client": http("/", client=None),
    "query that is odd": http("/") | {"query_string": b"a=%C3%BC&&=1&b+c=%2B&x=%ff"},
    "query in raw utf-8": http("/") | {"query_string": "q=ü".encode()},
    "odd path": http("/") | {"path": "/a?b#c\\d"},
    "cookies": http("/", headers=[(b"cookie", b"a=1; b=2"), (b"cookie", b"b=3; c")]),
    "odd cookies": http("/", headers=[(b"cookie", b'a="x\\"\\073y"; ;; =1; b = 2 ; c=\xff;d==')]),
    "several headers": http("/", headers=[(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"\xff")]),
}
PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "method": lambda asked: asked.method,
    "url": lambda asked: str(asked.url).replace("\\", "%5C").replace("ü", "%C3%BC"),
    "its parts": lambda asked: (
        asked.url.scheme,
        asked.url.netloc,
        asked.url.path,
        asked.url.hostname,
        asked.url.port,
    ),
    "headers": lambda asked: asked.headers.raw,
    "query": lambda asked: asked.query_params.multi_items(),
    "cookies": lambda asked: list(asked.cookies.items()),
    "path params": lambda asked: asked.path_params,
    "client": lambda asked: asked.client,
    "state": lambda asked: getattr(asked.state, "a", None),
    "scope": lambda asked: asked["path"],
}


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("look", PROPERTIES.values(), ids=PROPERTIES)
def test_a_request_shows_what_starlettes_shows(scope: Scope, look: Callable[[Any], Any]):
    theirs, ours = (
        look(lib.Request(dict(scope), receiving(request()))) for lib in (STARLETTE, MINIASGI)
    )

    assert ours == theirs


BODIES: dict[str, list[Message]] = {
    "one message": [request(b'{"a": 1}')],
    "several": [request(b'{"a"', True), request(b"", True), request(b": 1}")],
    "without keys": [{"type": "http.request"}],
    "form": [request(b"a=1&b=%C3%BC+x&a=2&c")],
    "left": [request(b"{", True), DISCONNECT],
    "left at once": [DISCONNECT],
}


async def read_stream(asked: Any) -> Any:
    return [chunk async for chunk in asked.stream()]


async def read_twice(asked: Any) -> Any:
    return await asked.body(), await asked.body(), await read_stream(asked)


async def read_stream_then_body(asked: Any) -> Any:
    return await read_stream(asked), await asked.body()


async def read_stream_twice(asked: Any) -> Any:
    return await read_stream(asked), await read_stream(asked)


async def read_form(asked: Any) -> Any:
    return (await asked.form()).multi_items()


async def read_json_if_any(asked: Any) -> Any:
    body = await asked.body()
    return await asked.json() if body[:1] == b"{" else None


async def read_and_ask(asked: Any) -> Any:
    body = await asked.body()
    return body, await asked.is_disconnected()


READS = [
    read_stream,
    read_twice,
    read_stream_then_body,
    read_stream_twice,
    read_form,
    read_json_if_any,
    read_and_ask,
]


@pytest.mark.parametrize("messages", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("read", READS)
async def test_a_body_is_read_as_starlettes(messages, read):
    answers = []
    for lib in (STARLETTE, MINIASGI):
        scope = http("/", "POST", headers={"content-type": "application/x-www-form-urlencoded"})
        asked = lib.Request(scope, receiving(*messages))
        try:
            answers.append(await read(asked))
        except Exception as exc:
            answers.append(type(exc).__name__)

    assert answers[1] == answers[0]


async def test_a_multipart_form_is_read_as_starlettes():
    body = (
        b"--cut\r\n"
        b'Content-Disposition: form-data; name="text"\r\n\r\nhi \xc3\xbc\r\n--cut\r\n'
        b'Content-Disposition: form-data; name="f"; filename="\xc3\xbc.txt"\r\n'
        b"Content-Type: text/x\r\n\r\n\x00\xff\r\n--cut\r\n"
        b'content-disposition: form-data; name="text"\r\n\r\n\r\n--cut--\r\nepilogue'
    )
    answers = []
    for lib in (STARLETTE, MINIASGI):
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        asked = lib.Request(http("/", "POST", headers=headers), receiving(request(body)))
        form = await asked.form()
        file = form["f"]
        answers.append(
            [
                form.getlist("text"),
                list(form),
                (file.filename, file.content_type, file.size, await file.read()),
            ]
        )
        await file.close()
        await form.close()

    assert answers[1] == answers[0]


# Applications: routing, handlers, middleware


def routed(lib: Lib) -> Any:
    return lib.App(
        routes=[
            lib.Route("/", show(lib)),
            lib.Route("/plain", show_plain(lib), methods=["POST", "put"]),
            lib.Route("/slash/", show(lib)),
            lib.Route("/users/me", show_plain(lib)),
            lib.Route("/users/{name}", show(lib)),
            lib.Route("/users/{name}/{id:int}", show(lib), name="user"),
            lib.Route("/floats/{x:float}", show(lib), name="float"),
            lib.Route("/uuids/{x:uuid}", show(lib)),
            lib.Route("/files/{rest:path}", show(lib)),
            lib.Route("/a-{x}.{y}", show(lib)),
            lib.Mount("/mounted", routes=[lib.Route("/", show(lib)), lib.Route("/in/", show(lib))]),
            lib.Mount(
                "/teams/{team}", name="team", routes=[lib.Route("/{who}", show(lib), name="w")]
            ),
            lib.Mount("/static", app=show_scope(lib), name="static"),
            lib.Route("/users/late", show_plain(lib)),
        ]
    )


def show_scope(lib: Lib) -> ASGIApp:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen = [scope["path"], scope["root_path"], scope.get("path_params", {})]
        await lib.JSONResponse(seen)(scope, receive, send)

    return app


PATHS = [
    "/",
    "",
    "/plain",
    "/plain/",
    "/slash",
    "/slash/",
    "/slash?q=1",
    "/users/me",
    "/users/Ada",
    "/users/late",
    "/users/",
    "/users",
    "/users/Ada/7",
    "/users/Ada/x",
    "/users/Ada/-1",
    "/users/a%20b",
    "/floats/1.5",
    "/floats/1",
    "/floats/1.",
    "/floats/x",
    "/uuids/00000000-0000-0000-0000-000000000007",
    "/uuids/7",
    "/files/",
    "/files/a/b",
    "/files",
    "/a-b.c",
    "/a-b.c.d",
    "/a-b",
    "/mounted",
    "/mounted/",
    "/mounted/in",
    "/mounted/in/",
    "/mounted/none",
    "/teams/red/Ada",
    "/teams/red",
    "/teams/red/",
    "/static/a/b",
    "/static",
    "/none",
    "/none/",
    "//",
    "//users/me",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_paths_are_routed_as_starlettes(method: str):
    theirs, ours = routed(STARLETTE), routed(MINIASGI)

    for path in PATHS:
        for root_path in ("", "/base"):
            scope = http(root_path + path, method, root_path=root_path)

            expected = await said(theirs, dict(scope))

            assert await said(ours, dict(scope)) == expected, path


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("show", {}),
        ("user", {"name": "Ada", "id": 7}),
        ("float", {"x": 0.5}),
        ("float", {"x": 1e-7}),
        ("user", {"name": "Ada"}),
        ("user", {"name": "Ada", "id": 7, "more": 1}),
        ("none", {}),
        ("team:w", {"team": "red", "who": "Ada"}),
        ("team:none", {"team": "red"}),
        ("static", {"path": "a/b.css"}),
        ("static", {"path": "/a/b.css"}),
        ("static", {}),
    ],
)
def test_a_path_is_made_from_a_name_as_starlettes(name: str, params: dict[str, Any]):
    def made(app: Any, not_found: type[Exception]) -> Any:
        try:
            return str(app.url_path_for(name, **params))
        except not_found:
            return "not found"

    ours = made(routed(MINIASGI), MINIASGI.NoMatchFound)

    assert ours == made(routed(STARLETTE), STARLETTE.NoMatchFound)


RAISED: dict[str, Callable[[Lib], Exception]] = {
    "404": lambda lib: lib.HTTPException(404, "gone"),
    "401": lambda lib: lib.HTTPException(401, headers={"WWW-Authenticate": "Basic"}),
    "204": lambda lib: lib.HTTPException(204),
    "304": lambda lib: lib.HTTPException(304, headers={"etag": "a"}),
    "500": lambda lib: lib.HTTPException(500, "on purpose"),
    "599": lambda lib: lib.HTTPException(599),
    "Teapot": lambda lib: Teapot("tea"),
    "SmallTeapot": lambda lib: SmallTeapot("tea"),
    "ValueError": lambda lib: ValueError("bad"),
}
HANDLERS: dict[str, Callable[[Lib], dict[Any, Any]]] = {
    "none": lambda lib: {},
    "by status": lambda lib: {404: handler(lib, "status"), 401: handler(lib, "status", "plain")},
    "by class": lambda lib: {
        Teapot: handler(lib, "class"),
        lib.HTTPException: handler(lib, "http", "plain"),
    },
    "both": lambda lib: {404: handler(lib, "status"), lib.HTTPException: handler(lib, "http")},
    "last resort by status": lambda lib: {500: handler(lib, "last")},
    "last resort by class": lambda lib: {Exception: handler(lib, "last", "plain")},
    "nearest base": lambda lib: {
        Teapot: handler(lib, "far"),
        SmallTeapot: handler(lib, "near"),
        Exception: handler(lib, "last"),
    },
}


@pytest.mark.parametrize("raised", RAISED.values(), ids=RAISED)
@pytest.mark.parametrize("handlers", HANDLERS.values(), ids=HANDLERS)
async def test_an_exception_is_answered_and_raised_on_as_starlettes(raised, handlers):
    theirs, ours = [
        await said(failing(lib, raised(lib), exception_handlers=handlers(lib)), http("/"))
        for lib in (STARLETTE, MINIASGI)
    ]

    assert ours == theirs


@pytest.mark.parametrize("debug", [False, True])
async def test_an_error_is_raised_on_after_the_500_as_starlettes(debug: bool):
    answers = [
        await outcome(failing(lib, ValueError("bad"), debug=debug), http("/"))
        for lib in (STARLETTE, MINIASGI)
    ]

    for messages, end in answers:
        assert messages[0]["status"] == 500
        assert (body_of(messages) == b"Internal Server Error") is not debug
        assert end == "raises ValueError: bad"


class Wrap:
    """An ASGI middleware of either library."""

    def __init__(self, app: ASGIApp, order: list[str], name: str) -> None:
        self.app, self.order, self.name = app, order, name

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        async def send_and_note(message: Message) -> None:
            self.order.append(f"{self.name}: {words(message)}")
            await send(message)

        self.order.append(f"{self.name} begins: {scope['type']}")
        await self.app(scope, receive, send_and_note)
        self.order.append(f"{self.name} ends")


@pytest.mark.parametrize("path", ["/", "/none", "/fail"])
async def test_middleware_is_entered_and_left_in_starlettes_order(path: str):
    orders = []
    for lib in (STARLETTE, MINIASGI):
        order: list[str] = []

        def home_of(lib: Lib, order: list[str]) -> Any:
            async def home(asked: Any) -> Any:
                task = lib.BackgroundTask(order.append, "background")
                return lib.PlainTextResponse("hi", background=task)

            return home

        async def fail(asked: Any) -> Any:
            raise ValueError("bad")

        app = lib.App(
            routes=[lib.Route("/", home_of(lib, order)), lib.Route("/fail", fail)],
            middleware=[
                lib.Middleware(Wrap, order, "given 1"),
                lib.Middleware(Wrap, order, "given 2"),
            ],
        )
        app.add_middleware(Wrap, order, "added 1")
        app.add_middleware(Wrap, order, name="added 2")
        order.append(str(await said(app, http(path))))
        orders.append(order)

    assert orders[1] == orders[0]


# Background


async def run_tasks(lib: Lib, *names: str) -> list[str]:
    order: list[str] = []

    async def on_the_loop(name: str) -> None:
        order.append(name)
        if name == "fail":
            raise ValueError("bad")

    def in_a_thread(name: str, *, twice: bool = False) -> None:
        order.append(f"thread {name * (1 + twice)}")

    tasks = lib.BackgroundTasks([lib.BackgroundTask(on_the_loop, "given")])
    for name in names:
        tasks.add_task(on_the_loop, name)
        tasks.add_task(in_a_thread, name, twice=True)
    order.append(await told(lib.Response("hi", background=tasks)))
    return order


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b"), ("a", "fail", "b")], ids=str)
async def test_tasks_run_in_starlettes_order_and_stop_where_it_stops(names):
    assert await run_tasks(MINIASGI, *names) == await run_tasks(STARLETTE, *names)


# Lifespan


def lifespans(lib: Lib) -> dict[str, Any]:
    @asynccontextmanager
    async def good(app: Any) -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def with_state(app: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"is_app": isinstance(app, lib.App)}

    @asynccontextmanager
    async def bad_start(app: Any) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    @asynccontextmanager
    async def bad_end(app: Any) -> AsyncIterator[None]:
        yield
        raise ValueError("database gone")

    return {"none": None, **{f.__name__: f for f in (good, with_state, bad_start, bad_end)}}


@pytest.mark.parametrize("name", lifespans(MINIASGI))
async def test_the_lifespan_says_what_starlettes_says(name: str):
    answers = []
    for lib in (STARLETTE, MINIASGI):
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {"before": 1}}
        messages, end = await outcome(
            lib.App(lifespan=lifespans(lib)[name]),
            scope,
            {"type": "lifespan.startup"},
            {"type": "lifespan.shutdown"},
        )
        for message in messages:
            # A traceback, whose last line says what it was.
            message["message"] = message.get("message", "\n").splitlines()[-1]
        answers.append((messages, end, scope["state"]))

    assert answers[1] == answers[0]


async def test_a_websocket_is_closed_as_starlettes():
    scope = http("/none") | {"type": "websocket"}

    answers = [
        await outcome(lib.App(), dict(scope), {"type": "websocket.connect"})
        for lib in (STARLETTE, MINIASGI)
    ]

    assert answers[1] == answers[0]


# Differences, each on purpose


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
async def test_a_difference_is_as_it_is_said(difference: Difference, caplog):
    assert await difference.ask(STARLETTE) == difference.starlette
    assert await difference.ask(MINIASGI) == difference.miniasgi


def test_each_difference_is_one_and_has_a_reason():
    for difference in DIFFERENCES:
        assert difference.starlette != difference.miniasgi, difference.what
        assert difference.why


@pytest.mark.parametrize(
    "call",
    [
        lambda: MINIASGI.Response().set_cookie("a", partitioned=True),
        lambda: MINIASGI.FileResponse("a", stat_result=None),
        lambda: MINIASGI.Route("/", print, include_in_schema=False),
        lambda: MINIASGI.Route("/", print, middleware=[]),
        lambda: MINIASGI.Mount("/", print, middleware=[]),
        lambda: MINIASGI.Router(default=print),
        lambda: MINIASGI.QueryParams(a="1"),
        lambda: MINIASGI.BackgroundTasks().add_task(),
    ],
)
def test_what_is_left_out_is_absent_and_never_ignored(call: Callable[[], Any]):
    with pytest.raises(TypeError):
        call()


def test_every_public_class_stands_beside_one_of_starlette():
    alone = {name for name in miniasgi.__all__ if not hasattr(STARLETTE, name)}
    typed = {"Body", "Cookie", "Depends", "Header", "Path", "Query", "RequestValidationError"}

    assert alone - typed == {"MiniASGI"}  # Starlette's is called Starlette

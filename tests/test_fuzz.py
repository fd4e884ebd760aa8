"""Whatever a client sends, the whole application answers with a 2xx, a 3xx or a 4xx.

Nothing is raised, the answer is complete, and none of the client's bytes can end a header line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miniasgi import FileResponse, JSONResponse, Mount, PlainTextResponse, Request, Route
from miniasgi.applications import MiniASGI
from miniasgi.forms import UploadFile
from miniasgi.types import Message, Scope
from tests.asgi import call, http, request

pytestmark = pytest.mark.anyio

few = settings(max_examples=100)


# An application that looks at all there is


async def look(request: Request) -> PlainTextResponse:
    """Read every view on the scope there is."""
    url = request.url
    seen: list[Any] = [url.scheme, url.netloc, url.path, url.query, url.hostname, url.port]
    seen += [request.headers.items(), request.headers.get("x"), request.cookies, request.client]
    seen += [request.query_params.multi_items(), request.path_params, request.state]
    return PlainTextResponse(repr(seen))


async def read_json(request: Request) -> PlainTextResponse:
    return PlainTextResponse(repr(await request.json()))


async def read_form(request: Request) -> JSONResponse:
    form = await request.form()
    items = [
        [name, [value.filename, value.size] if isinstance(value, UploadFile) else value]
        for name, value in form.multi_items()
    ]
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            assert len(await value.read()) == value.size
    return JSONResponse(items)


async def some_file(request: Request) -> FileResponse:
    return FileResponse(Path(__file__), filename=request.query_params.get("name"))


app = MiniASGI(
    routes=[
        Route("/str/{x}", look),
        Route("/int/{x:int}", look),
        Route("/float/{x:float}", look),
        Route("/uuid/{x:uuid}", look),
        Route("/mixed/{a}-{b:int}.{c}", look),
        Route("/slash/{x}/", look),
        Route("/json", read_json, methods=["POST"]),
        Route("/form", read_form, methods=["POST"]),
        Route("/file", some_file),
        Mount("/mount/{team}", routes=[Route("/{x:int}", look), Route("/", look)]),
        Route("/{rest:path}", look, methods=["GET", "PUT"]),
    ],
    max_body_size=10_000,
)


async def answer_to(scope: Scope, *incoming: Message) -> int:
    """The status, if all is as it must be whatever was sent."""
    messages = await call(app, scope, *incoming)

    start = messages[0]
    assert 200 <= start["status"] < 500
    assert not messages[-1].get("more_body", False)
    for name, value in start["headers"]:
        assert not {*b"\r\n\0"} & {*name, *value}, (name, value)
    return int(start["status"])


# What clients send

header_values = st.one_of(st.binary(max_size=30), st.text(max_size=20).map(str.encode))
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [b"host", b"cookie", b"range", b"if-range", b"content-type", b"x", b"\xff"]
        ),
        header_values,
    ),
    max_size=5,
)
#: What is nearly a host: the letters that mean something in one.
hosts = st.text(alphabet="a1.:[]@/?#%-_~\\ é٣", max_size=12).map(str.encode)
paths = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
segments = st.one_of(
    paths,
    st.text("0123456789abcdefABCDEF-.", max_size=40),
    st.integers().map(str),
    st.just("9" * 5000),
)
prefixes = st.sampled_from(
    ["", "str", "int", "float", "uuid", "mixed", "slash", "mount/a", "mount", "file", "json"]
)
requests = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "", "\n"])
cookie_pieces = st.sampled_from(
    ["a", "=", ";", " ", '"', "\\", "\\0", "\\073", "\\400", ",", "\xff"]
)
cookies = st.lists(cookie_pieces, max_size=20).map(lambda some: "".join(some).encode("latin-1"))
query_pieces = st.sampled_from(["a", "=", "&", ";", "+", "%", "%41", "%ff", "%", "\xff", "[]", "#"])
queries = st.lists(query_pieces, max_size=20).map(lambda some: "".join(some).encode("latin-1"))


ranges = st.lists(
    st.sampled_from([b"bytes", b"=", b"-", b",", b" ", b"0", b"9", b"9" * 20, b"9" * 5000, b"a"]),
    max_size=8,
).map(b"".join)

# Bodies, in any number of messages

json_pieces = st.sampled_from(
    [b"[", b"]", b"{", b"}", b'"', b"\\", b":", b",", b"1", b"e9", b"null"]
)
bodies = st.lists(json_pieces | st.binary(max_size=8), max_size=20)
form_pieces = st.sampled_from([b"a", b"=", b"&", b";", b"+", b"%", b"%4", b"%41", b"%ff", b"\xff"])
urlencoded = st.lists(form_pieces | st.binary(max_size=8), max_size=20)
part_heads = st.sampled_from(
    [
        b'Content-Disposition: form-data; name="a"',
        b'Content-Disposition: form-data; name="a"; filename="b"',
        b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''%ff%",
        b"Content-Disposition: form-data",
        b"Content-Disposition: attachment; filename=\xff",
        b'Content-Disposition: form-data; name="\\',
        b"Content-Type: image/x",
        b"Content-Type: \xff",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: rot13",
        b"no colon",
        b": no name",
        b"",
    ]
)
part_bodies = st.binary(max_size=20) | st.sampled_from([b"aGk=", b"=41", b"\r\n--cut", b"--cut--"])
multiparts = st.lists(
    st.builds(
        lambda heads, body: b"--cut\r\n" + b"\r\n".join([*heads, b"", body]) + b"\r\n",
        st.lists(part_heads, max_size=4),
        part_bodies,
    ),
    max_size=4,
)
content_types = st.builds(
    lambda kind, rest: kind + rest,
    st.sampled_from([b"multipart/form-data", b"application/x-www-form-urlencoded", b"a/b", b""]),
    st.sampled_from(
        [
            b"",
            b";",
            b"; boundary",
            b"; boundary=",
            b'; boundary="',
            b'; boundary="cut"',
            b"; boundary=cut; boundary=other",
            b"; boundary=" + b"x" * 300,
            b"; boundary=\xff",
            b"; charset=none; boundary=cut",
            b"\xff",
        ]
    )
    | st.binary(max_size=20),
)


def in_chunks(chunks: Sequence[bytes]) -> list[Message]:
    return [*(request(chunk, more_body=True) for chunk in chunks), request()]


# One by one, through the whole application


@few
@given(headers=headers)
async def test_headers(headers: list[tuple[bytes, bytes]]):
    for path in ("/x", "/slash/x", "/file"):
        await answer_to(http(path, headers=headers))


@few
@given(host=hosts)
@example(host=b"a:99999")
@example(host=b"[::::]")
@example(host=b"[1.2.3.4]")
async def test_hosts(host: bytes):
    await answer_to(http("/x", headers=[(b"host", host)]))
    await answer_to(http("/slash/x", headers=[(b"host", host)]))


@few
@given(cookie=cookies)
async def test_cookies(cookie: bytes):
    assert await answer_to(http("/x", headers=[(b"cookie", cookie)])) == 200


@few
@given(query=queries | st.binary(max_size=30))
async def test_queries(query: bytes):
    for path in ("/x", "/slash/x", "/file"):
        await answer_to(http(path) | {"query_string": query})


@few
@given(prefix=prefixes, rest=st.lists(segments, max_size=4), method=requests, root=prefixes)
async def test_paths_and_methods(prefix: str, rest: list[str], method: str, root: str):
    path = "/".join(["", prefix, *rest])

    await answer_to(http(method=method, root_path=f"/{root}") | {"path": path})
    await answer_to(http(method=method) | {"path": path.lstrip("/")})


@few
@given(asked=ranges)
async def test_ranges(asked: bytes):
    status = await answer_to(http("/file", headers=[(b"range", asked)]))

    assert status in (200, 206, 400, 416)


@few
@given(body=bodies)
@example(body=[b"[" * 9_000])
@example(body=[b"9" * 5_000])
@example(body=[b'"\\ud800"'])
@example(body=[b"NaN"])
@example(body=[b"x" * 10_001])
async def test_json(body: list[bytes]):
    await answer_to(http("/json", "POST"), *in_chunks(body))


@few
@given(body=urlencoded)
async def test_urlencoded_forms(body: list[bytes]):
    kind = {"content-type": "application/x-www-form-urlencoded"}

    await answer_to(http("/form", "POST", headers=kind), *in_chunks(body))


@few
@given(parts=multiparts, cut_at=st.none() | st.integers(0, 400))
async def test_multipart_forms_whole_and_truncated(parts: list[bytes], cut_at: int | None):
    body = (b"".join(parts) + b"--cut--\r\n")[:cut_at]

    kind = {"content-type": "multipart/form-data; boundary=cut"}
    await answer_to(http("/form", "POST", headers=kind), request(body))


@few
@given(kind=content_types, body=st.binary(max_size=60) | multiparts.map(b"".join))
async def test_form_content_types(kind: bytes, body: bytes):
    await answer_to(http("/form", "POST", headers=[(b"content-type", kind)]), request(body))

"""Forms: text and files by name, and a 400 with a sentence for what cannot be parsed."""

from typing import Any

import pytest

from miniasgi import HTTPException, MiniASGI, PlainTextResponse, Request
from miniasgi.forms import FormData, UploadFile
from miniasgi.testing import Client
from tests.asgi import http, receiving, request

pytestmark = pytest.mark.anyio

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=cut"


def part(content: bytes, disposition: str, *headers: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return b"--cut\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--cut--\r\n"


async def form_of(body: bytes, content_type: str, **options: Any) -> FormData:
    asked = Request(http(headers={"content-type": content_type}), receiving(request(body)))
    return await asked.form(**options)


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"name=Gr%C3%B6%C3%9Fe+%26+co", [("name", "Größe & co")]),
        (b"empty=&flag", [("empty", ""), ("flag", "")]),
        (b"bad=%ff", [("bad", "�")]),
        (b"", []),
    ],
)
async def test_an_urlencoded_form_is_its_names_and_values_in_order(body: bytes, items: list):
    assert (await form_of(body, URLENCODED)).multi_items() == items


async def test_a_multipart_form_has_text_and_files():
    body = multipart(
        part("Größe".encode(), 'name="text"'),
        part(b"\x00\xff", 'name="file"; filename="a.bin"', "Content-Type: image/x"),
    )

    form = await form_of(body, MULTIPART)

    file = form["file"]
    assert form["text"] == "Größe"
    assert isinstance(file, UploadFile)
    assert (file.filename, file.content_type, file.size) == ("a.bin", "image/x", 2)
    assert await file.read() == b"\x00\xff"


async def test_a_file_is_read_in_parts_and_from_the_start_again():
    form = await form_of(multipart(part(b"abcdef", 'name="f"; filename="f"')), MULTIPART)
    file = form["f"]

    parts = [await file.read(2), await file.read(2)]
    await file.seek(0)

    assert [*parts, await file.read()] == [b"ab", b"cd", b"abcdef"]


async def test_a_file_name_in_utf_8_is_text_and_one_that_is_not_does_no_harm():
    body = multipart(part(b"", 'name="f"; filename="Größe.txt"'))
    broken = body.replace("ö".encode(), b"\xf6")

    names = [(await form_of(raw, MULTIPART))["f"].filename for raw in (body, broken)]

    assert names == ["Größe.txt", "Gr�ße.txt"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "multipart/mixed"])
async def test_another_content_type_is_an_empty_form(content_type: str):
    assert (await form_of(b"a=1", content_type)).multi_items() == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--cut\r\n", "multipart/form-data"),
        (b"garbage", MULTIPART),
        (b"--other\r\n\r\n--other--", MULTIPART),
        (b"--cut\r\nno colon\r\n\r\nx\r\n--cut--", MULTIPART),
        (part(b"x", 'name="a"', "Content-Transfer-Encoding: base64") + b"--cut--\r\n", MULTIPART),
    ],
    ids=["no boundary", "garbage", "another boundary", "broken header", "base64 that is none"],
)
async def test_a_form_that_cannot_be_parsed_is_a_400_with_a_sentence(body: bytes, content_type):
    with pytest.raises(HTTPException) as raised:
        await form_of(body, content_type)

    assert raised.value.status_code == 400
    assert raised.value.detail.startswith("The form cannot be parsed: ")


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART])
async def test_more_than_max_fields_is_a_400(content_type: str):
    body = {
        URLENCODED: b"a=1&a=2&a=3",
        MULTIPART: multipart(*(part(b"1", 'name="a"') for _ in range(3))),
    }[content_type]

    allowed = await form_of(body, content_type, max_fields=3)
    with pytest.raises(HTTPException, match=r"400: .*more than 2 fields"):
        await form_of(body, content_type, max_fields=2)

    assert len(allowed.getlist("a")) == 3


async def test_an_application_answers_a_bad_form_and_one_that_is_too_large():
    app = MiniASGI(max_body_size=100)

    @app.post("/")
    async def save(request):
        return PlainTextResponse(repr(dict(await request.form())))

    async with Client(app) as client:
        good = await client.post("/", data={"a": "1"})
        bad = await client.post("/", content=b"garbage", headers={"content-type": MULTIPART})
        large = await client.post("/", data={"a": "x" * 100})

    assert (good.status, good.text) == (200, "{'a': '1'}")
    assert [bad.status, large.status] == [400, 413]


@pytest.mark.parametrize("charset", ["punycode", "PUNYCODE"])
async def test_a_charset_that_is_for_names_is_not_asked_of_a_whole_form(charset: str):
    """To decode punycode takes quadratic time: 250 KB kept a thread busy for 20 seconds."""
    body = multipart(part(b"a-" + b"b" * 500_000, 'name="text"'))

    form = await form_of(body, f"{MULTIPART}; charset={charset}")

    assert form["text"] == "a-" + "b" * 500_000

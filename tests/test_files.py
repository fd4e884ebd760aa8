"""A file as the answer: whole, in part, or refused; its background runs in each case."""

import os
from pathlib import Path

import anyio
import pytest

from miniasgi import BackgroundTask, FileResponse, MiniASGI
from miniasgi.testing import Client
from tests.asgi import (
    DISCONNECT,
    body_of,
    call,
    headers_of,
    http,
    receiving,
    request,
    sending,
    serve,
    words,
)

pytestmark = pytest.mark.anyio

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "alphabet.txt"
    path.write_bytes(ALPHABET)
    return path


def range_of(value: str, **more: str) -> dict[str, str]:
    return {"range": value, **more}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("bytes=0-4", (206, b"abcde", "bytes 0-4/26")),
        ("bytes=4-4", (206, b"e", "bytes 4-4/26")),
        ("bytes=23-", (206, b"xyz", "bytes 23-25/26")),
        ("bytes=-2", (206, b"yz", "bytes 24-25/26")),
        ("bytes=-100", (206, ALPHABET, "bytes 0-25/26")),
        ("bytes=20-999", (206, b"uvwxyz", "bytes 20-25/26")),
        ("BYTES = 0 - 1", (206, b"ab", "bytes 0-1/26")),
        ("bytes=26-", (416, b"", "bytes */26")),
        ("bytes=-0", (416, b"", "bytes */26")),
        ("bytes=0-1,3-4", (200, ALPHABET, None)),
    ],
)
async def test_one_range_is_answered_with_that_part(path: Path, asked: str, answer: tuple):
    messages = await call(FileResponse(path), http(headers=range_of(asked)))

    headers = headers_of(messages)
    assert (messages[0]["status"], body_of(messages), headers.get("content-range")) == answer
    assert headers["content-length"] == str(len(body_of(messages)))


@pytest.mark.parametrize("asked", ["bytes", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "=1-2"])
async def test_a_range_that_cannot_be_read_is_refused_with_a_sentence(path: Path, asked: str):
    messages = await call(FileResponse(path), http(headers=range_of(asked)))

    assert messages[0]["status"] == 400
    assert body_of(messages).startswith(b"Range header: ")


async def test_a_range_that_ends_behind_any_number_ends_with_the_file(path: Path):
    asked = range_of("bytes=24-99999999999999999999")

    messages = await call(FileResponse(path), http(headers=asked))

    assert (messages[0]["status"], body_of(messages)) == (206, b"yz")


async def test_if_range_gives_a_part_of_the_same_version_and_else_the_whole(path: Path):
    whole = headers_of(await call(FileResponse(path)))

    statuses = []
    for version in (whole["etag"], whole["last-modified"], '"other"', f"W/{whole['etag']}"):
        asked = range_of("bytes=0-4", **{"if-range": version})
        statuses.append((await call(FileResponse(path), http(headers=asked)))[0]["status"])

    assert statuses == [206, 206, 200, 200]


async def test_a_weak_etag_is_never_the_same_version(path: Path):
    # RFC 9110, 13.1.5: If-Range compares strongly.
    response = FileResponse(path, headers={"etag": 'W/"1"'})
    asked = range_of("bytes=0-4", **{"if-range": 'W/"1"'})

    messages = await call(response, http(headers=asked))

    assert messages[0]["status"] == 200


async def test_head_has_the_headers_of_get_and_no_body(path: Path):
    for headers in ({}, range_of("bytes=0-4")):
        get = await call(FileResponse(path), http(headers=headers))
        head = await call(FileResponse(path), http(method="HEAD", headers=headers))

        assert head[0] == get[0]
        assert body_of(head) == b""


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, ["start 200", f"body {ALPHABET.decode()!r}, more", "body ''"]),
        (range_of("bytes=0-1"), ["start 206", "body 'ab', more", "body ''"]),
        (
            range_of("lines=1-2"),
            ["start 400", "body 'Range header: one range of bytes must be requested'"],
        ),
        (range_of("bytes=99-"), ["start 416", "body ''"]),
    ],
    ids=["200", "206", "400", "416"],
)
async def test_the_background_runs_whatever_the_status(path: Path, headers: dict, said: list[str]):
    """Tasks do not vanish silently: a file runs its background on 400 and 416 too."""
    order = []
    response = FileResponse(path, background=BackgroundTask(order.append, "task"))

    await serve(response, http(headers=headers), receiving(request()), sending(order))

    assert order == [*said, "task"]


async def test_a_temporary_file_is_deleted_after_it_was_sent_and_after_a_refused_range(path: Path):
    app = MiniASGI()

    @app.get("/report")
    async def report(request):
        return FileResponse(path, background=BackgroundTask(path.unlink))

    async with Client(app) as client:
        refused = await client.get("/report", headers={"range": "bytes=99-"})
        await refused.finished()
        exists_after_the_refusal = path.exists()
        path.write_bytes(ALPHABET)
        reply = await client.get("/report")
        exists_when_answered = path.exists()
        await reply.finished()

    assert (refused.status, exists_after_the_refusal) == (416, False)
    assert (reply.content, exists_when_answered, path.exists()) == (ALPHABET, True, False)


@pytest.mark.parametrize("there", [None, "directory"])
async def test_no_file_is_an_error_before_the_first_byte_and_abandons_the_background(
    tmp_path: Path, there: str | None, caplog: pytest.LogCaptureFixture
):
    order = []
    path = tmp_path / "report.txt"
    if there:
        path.mkdir()

    def send_email() -> None:
        order.append("task")

    response = FileResponse(path, background=BackgroundTask(send_email))
    with pytest.raises(RuntimeError, match=r"no file at .*report\.txt"):
        await serve(response, http(), receiving(request()), sending(order))

    assert order == []
    assert [text.partition(":")[0] for text in caplog.messages] == [
        "background task 'send_email' will not run"
    ]


async def test_a_file_is_sent_in_chunks(path: Path):
    class Small(FileResponse):
        chunk_size = 10

    messages = await call(Small(path))

    assert [message["body"] for message in messages[1:]] == [
        b"abcdefghij",
        b"klmnopqrst",
        b"uvwxyz",
        b"",
    ]


async def test_a_file_that_becomes_shorter_while_it_is_sent_is_a_failure(path: Path):
    class Small(FileResponse):
        chunk_size = 10

    async def send(message):
        os.truncate(path, 5)

    with pytest.raises(RuntimeError, match="became shorter"):
        await Small(path)(http(), receiving(request()), send)


async def test_a_client_that_leaves_in_mid_file_still_has_its_background(path: Path):
    order = []
    stalled = anyio.Event()

    async def receive():
        await stalled.wait()
        return DISCONNECT

    async def send(message):
        if message["type"] == "http.response.body":
            stalled.set()
            await anyio.sleep_forever()
        order.append(words(message))

    response = FileResponse(path, background=BackgroundTask(order.append, "task"))
    await serve(response, http(spec_version="2.3"), receive, send)

    assert order == ["start 200", "task"]


@pytest.mark.parametrize(
    ("filename", "disposition"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("a b.pdf", "attachment; filename*=utf-8''a%20b.pdf"),
        ("Größe.pdf", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf"),
        ('"; x="y', "attachment; filename*=utf-8''%22%3B%20x%3D%22y"),
    ],
)
async def test_a_file_is_offered_under_a_name_that_cannot_break_the_header(
    path: Path, filename: str, disposition: str
):
    messages = await call(FileResponse(path, filename=filename))

    assert headers_of(messages)["content-disposition"] == disposition

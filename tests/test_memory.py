"""Nothing grows: not with the number of requests, not with the size of a body.

What Python allocates is traced (`tracemalloc`), never measured from outside: the numbers are the
same on a busy machine. A warm-up fills what is filled once: caches, imports, threads.
"""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest

from miniasgi import (
    BackgroundTask,
    MiniASGI,
    PlainTextResponse,
    Request,
    Response,
    Route,
    StreamingResponse,
)
from miniasgi.types import ASGIApp, Message

pytestmark = pytest.mark.anyio

KIB, MIB, GIB = 1024, 1024**2, 1024**3
CHUNK = b"x" * (64 * KIB)
CHUNKS = GIB // len(CHUNK)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def call(app: ASGIApp, chunks: int = 0) -> int:
    """Send a body of so many chunks. Returns how many bytes came back; keeps none of them."""
    received = 0

    async def receive() -> Message:
        nonlocal chunks
        chunks -= 1
        return {"type": "http.request", "body": CHUNK, "more_body": chunks > 0}

    async def send(message: Message) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    asgi = {"version": "3.0", "spec_version": "2.4"}
    scope = {"type": "http", "asgi": asgi, "method": "POST", "path": "/", "headers": []}
    await app(scope, receive, send)
    return received


def serves(endpoint: object) -> MiniASGI:
    return MiniASGI(routes=[Route("/", endpoint, methods=["POST"])])  # type: ignore[arg-type]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("kind", "requests"), [("async", 10_000), ("sync", 2_000)])
async def test_requests_with_background_tasks_leave_nothing_behind(
    kind: str, requests: int
) -> None:
    runs = 0

    def sync_task() -> None:
        nonlocal runs
        runs += 1

    async def async_task() -> None:
        sync_task()

    async def endpoint(request: Request) -> Response:
        task = BackgroundTask(async_task if kind == "async" else sync_task)
        return PlainTextResponse("hello", background=task)

    app = serves(endpoint)

    memory: list[int] = []
    objects: list[int] = []
    for _ in range(2):  # the first round is the warm-up
        for _ in range(requests):
            await call(app)
        gc.collect()
        memory.append(tracemalloc.get_traced_memory()[0])
        objects.append(len(gc.get_objects()))

    assert runs == 2 * requests
    assert objects[1] - objects[0] < 100
    assert memory[1] - memory[0] < 16 * KIB


@pytest.mark.usefixtures("traced")
async def test_a_download_of_a_gigabyte_takes_the_memory_of_a_few_chunks() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK[:-1] + b"."  # a new chunk each time

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(chunks(), background=BackgroundTask(gc.isenabled))

    app = serves(endpoint)
    await call(serves(endpoint_of_one_chunk))
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()

    received = await call(app)

    _, peak = tracemalloc.get_traced_memory()
    assert received == GIB
    assert peak - before < 2 * MIB


async def endpoint_of_one_chunk(request: Request) -> Response:
    async def chunk() -> AsyncIterator[bytes]:
        yield b"warm-up"

    return StreamingResponse(chunk(), background=BackgroundTask(gc.isenabled))


@pytest.mark.usefixtures("traced")
async def test_an_upload_of_a_gigabyte_takes_the_memory_of_a_few_chunks() -> None:
    async def endpoint(request: Request) -> Response:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return PlainTextResponse("x" * (size // GIB))

    app = serves(endpoint)
    await call(app, chunks=1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()

    received = await call(app, chunks=CHUNKS)

    _, peak = tracemalloc.get_traced_memory()
    assert received == 1
    assert peak - before < 2 * MIB

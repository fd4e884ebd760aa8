"""Does memory grow with the number of requests, or with the size of a body?

Requests: 10,000 with background tasks, of every kind, in this process; tracemalloc tells what is
still allocated afterwards that was not before, after a warm-up. Bodies: 1 GB uploaded to and 1 GB
downloaded from a uvicorn of its own, streamed on both sides, over a raw socket; what is told is by
how much the server's peak memory (RSS) rose.

``python -m demos.benchmarks.memory`` (about 10 seconds).
"""

import argparse
import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator

from demos.benchmarks import report
from demos.benchmarks.applications import Case
from demos.benchmarks.driver import calls, started
from demos.benchmarks.servers import Server, serve
from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    JSONResponse,
    MiniASGI,
    Request,
    Response,
    StreamingResponse,
)

MEGABYTE = 1_000_000
CHUNK = b"x" * 50_000
TASK_KINDS = ("async", "sync", "both")

app = MiniASGI()


async def async_task(argument: str) -> None:
    pass


def sync_task(argument: str) -> None:
    pass


@app.get("/tasks/{kind}")
async def tasks(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind == "async":
        return JSONResponse({"kind": kind}, background=BackgroundTask(async_task, kind))
    if kind == "sync":
        return JSONResponse({"kind": kind}, background=BackgroundTask(sync_task, kind))
    both = BackgroundTasks()
    both.add_task(async_task, kind)
    both.add_task(sync_task, kind)
    return JSONResponse({"kind": kind}, background=both)


@app.post("/upload")
async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"size": size})


@app.get("/download/{size:int}")
async def download(request: Request) -> Response:
    size = request.path_params["size"]

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // len(CHUNK)):
            yield CHUNK

    return StreamingResponse(chunks(), headers={"content-length": str(size)})


async def growth(requests: int) -> int:
    """Bytes still allocated after so many requests that were not before."""

    async def rounds(times: int) -> int:
        for kind in TASK_KINDS:
            await calls(app, Case(kind, "GET", f"/tasks/{kind}", b""), times)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async with started(app):
        tracemalloc.start()
        before = await rounds(1000)  # warm-up: threads, caches, free lists
        after = await rounds(requests // len(TASK_KINDS) + 1)
        tracemalloc.stop()
    return after - before


def upload_over_socket(server: Server, size: int) -> None:
    """Raises RuntimeError unless the server counted every byte."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        head = f"POST /upload HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(size // len(CHUNK)):
            connection.sendall(CHUNK)
        answer = connection.recv(65536)
        while b"}" not in answer:
            more = connection.recv(65536)
            if not more:
                break
            answer += more
    if not answer.endswith(b'{"size":%d}' % size):
        raise RuntimeError(f"the upload was answered with {answer!r}")


def download_over_socket(server: Server, size: int) -> None:
    """Raises RuntimeError unless every byte came."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        head = f"GET /download/{size} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode())
        buffer = bytearray(1 << 20)
        start = b""
        while b"\r\n\r\n" not in start:
            start += connection.recv(4096)
        received = len(start.partition(b"\r\n\r\n")[2])
        while count := connection.recv_into(buffer):
            received += count
    if received != size:
        raise RuntimeError(f"{received} of {size} bytes came")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--megabytes", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--http", choices=("httptools", "h11"), default="httptools")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()

    facts = report.environment(("uvicorn", arguments.http, arguments.loop))
    grown = asyncio.run(growth(arguments.requests))
    size = arguments.megabytes * MEGABYTE
    peaks: dict[str, tuple[int, int]] = {}
    with serve("demos.benchmarks.memory:app", http=arguments.http, loop=arguments.loop) as server:
        for name, transfer in (("upload", upload_over_socket), ("download", download_over_socket)):
            transfer(server, 20 * MEGABYTE)  # warm-up: buffers grow to their working size
            before = server.peak_rss()
            transfer(server, size)
            peaks[name] = (before, server.peak_rss())

    if arguments.json:
        transfers = {
            name: {"bytes": size, "peak_rss_before": before, "peak_rss_after": after}
            for name, (before, after) in peaks.items()
        }
        report.print_json(
            facts, requests=arguments.requests, growth_bytes=grown, transfers=transfers
        )
        return
    report.print_environment(facts)
    each = f"{grown / arguments.requests:+.2f} each"
    print(f"{arguments.requests:,} requests with background tasks: {grown:+,} bytes ({each})")
    for name, (before, after) in peaks.items():
        print(
            f"{name} of {arguments.megabytes:,} MB: peak RSS {before / MEGABYTE:.1f} MB before, "
            f"{after / MEGABYTE:.1f} MB after"
        )


if __name__ == "__main__":
    main()

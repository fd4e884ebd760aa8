"""An ASGI server without a network: what is measured is the application and nothing beside it.

`calls` awaits the application in a plain loop, so that no event loop turns between two requests
unless the application itself waits for something. Each call gets a scope, headers and state of its
own, as from a server, for it may change them; its messages are dropped. What that costs is in every
figure, bare's too; `nothing`, driven alike, says how much it is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from demos.benchmarks.applications import ASGIApp, Case, Message, Receive, Scope, Send, ran


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application that costs nothing: what is left is the driver."""


def scope_of(case: Case) -> dict[str, Any]:
    """What uvicorn passes for this request from an ordinary HTTP client."""
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"user-agent", b"miniasgi-benchmark"),
    ]
    if case.body:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", b"%d" % len(case.body)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
        "method": case.method,
        "path": case.path,
        "raw_path": case.path.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }


async def calls(app: ASGIApp, case: Case, times: int) -> None:
    """So many requests, one after the other, with their background tasks."""
    scope = scope_of(case)
    request = {"type": "http.request", "body": case.body, "more_body": False}

    async def receive() -> Message:
        return request

    async def send(message: Message) -> None:
        pass

    for _ in range(times):
        await app(
            {**scope, "headers": scope["headers"].copy(), "state": scope["state"].copy()},
            receive,
            send,
        )


async def calls_and_tasks(app: ASGIApp, case: Case, times: int) -> None:
    """The same, and wait for tasks that were started beside the answer (BlackSheep)."""
    ran.clear()
    await calls(app, case, times)
    while case.background and len(ran) < times:
        await asyncio.sleep(0)


async def check(framework: str, app: ASGIApp, cases: Iterable[Case]) -> None:
    """Raise SystemExit unless this application gives the right answer to every case."""
    for case in cases:
        seen = await _answer(app, case)
        if seen != (200, case.content_type, case.reply):
            raise SystemExit(f"{framework} answers {case.name} with {seen}")
        try:
            async with asyncio.timeout(5):
                while case.background and not ran:
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise SystemExit(f"{framework} has not run the background of {case.name}") from None


async def _answer(app: ASGIApp, case: Case) -> tuple[int, str, bytes]:
    """Status, content-type and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    ran.clear()
    await app(scope_of(case), receive, send)
    start, *rest = sent
    headers = {name.lower(): value.decode() for name, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in rest)
    return start["status"], headers.get(b"content-type", ""), body


@contextlib.asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Run the application's lifespan around the block, if it has one."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}

    async def run() -> None:
        try:
            await app(scope, inbox.get, outbox.put)
        except Exception:
            # ASGI 3.0 lifespan spec, "Scope": an application that raises goes without a lifespan.
            await outbox.put({"type": "unsupported"})

    lifespan = asyncio.create_task(run())
    await inbox.put({"type": "lifespan.startup"})
    answer = await outbox.get()
    if answer["type"] == "lifespan.startup.failed":
        raise SystemExit(f"start-up failed: {answer.get('message', '')}")
    try:
        yield
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await lifespan

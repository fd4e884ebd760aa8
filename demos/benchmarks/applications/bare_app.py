"""No framework: the least that an honest ASGI function does to give these answers.

It knows the 20 routes beforehand, tells a wrong method, path or id by a 404, builds a header list
for each answer, as a framework has to, and sends two messages. It does not know HEAD, nor what to
do with an error.
"""

import asyncio
import json

from demos.benchmarks.applications import (
    ROUTES,
    ASGIApp,
    Receive,
    Scope,
    Send,
    after_async,
    after_sync,
)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"Hello, world!", b"text/plain; charset=utf-8")


async def item(id: int, send: Send) -> None:
    await reply_json(send, {"id": id, "name": f"item {id}"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await reply_json(send, json.loads(body))


async def then_async(scope: Scope, receive: Receive, send: Send) -> None:
    await reply_json(send, {"accepted": True})
    await after_async()


async def then_sync(scope: Scope, receive: Receive, send: Send) -> None:
    await reply_json(send, {"accepted": True})
    await asyncio.get_running_loop().run_in_executor(None, after_sync)


async def reply_json(send: Send, content: object) -> None:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    await reply(send, body.encode(), b"application/json")


async def reply(send: Send, body: bytes, content_type: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", content_type)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


STATIC: dict[tuple[str, str], ASGIApp] = {
    ("GET", "/"): hello,
    ("POST", "/echo"): echo,
    ("GET", "/after/async"): then_async,
    ("GET", "/after/sync"): then_sync,
}
WITH_ID = {path.removesuffix("/{id}") for _, path in ROUTES if path.endswith("/{id}")}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        # ASGI 3.0 lifespan spec, "Scope": to raise is to say that this scope is not supported.
        raise ValueError(f"this answers requests, not {scope['type']}")
    method, path = scope["method"], scope["path"]
    endpoint = STATIC.get((method, path))
    if endpoint is not None:
        await endpoint(scope, receive, send)
        return
    prefix, _, id = path.rpartition("/")
    if method == "GET" and prefix in WITH_ID and id.isdecimal():
        await item(int(id), send)
    else:
        await reply(send, b"Not Found", b"text/plain; charset=utf-8", 404)

"""BlackSheep, as its documentation writes it.

It has no background on a response: its users start a task beside it, which does not wait for the
answer to be sent. So the two "after" cases do less here than elsewhere, and their cost is a lower
bound.
"""

import asyncio
from typing import Any

from blacksheep import Application, FromJSON, Response, json, text

from demos.benchmarks.applications import ROUTES, after_async, after_sync


async def hello() -> Response:
    return text("Hello, world!")


async def item(id: int) -> Response:
    return json({"id": id, "name": f"item {id}"})


async def echo(content: FromJSON[dict[str, Any]]) -> Response:
    return json(content.value)


#: The event loop holds tasks weakly only.
running: set[asyncio.Task[None]] = set()


async def then_async() -> Response:
    task = asyncio.create_task(after_async())
    running.add(task)
    task.add_done_callback(running.discard)
    return json({"accepted": True})


async def then_sync() -> Response:
    asyncio.get_running_loop().run_in_executor(None, after_sync)
    return json({"accepted": True})


STATIC = {"/": hello, "/echo": echo, "/after/async": then_async, "/after/sync": then_sync}

app = Application()
for method, path in ROUTES:
    app.router.add(method, path, STATIC.get(path, item))

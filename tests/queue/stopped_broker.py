"""An application whose broker stands still: who is answered meanwhile, and who waits."""

import asyncio
import signal
from collections.abc import Callable

from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request
from miniasgi.queue import Queue
from miniasgi.testing import Client


async def answers_while_stopped(queue: Queue, send_signal: Callable[[int], object]) -> list[str]:
    """The answers in their order: one before, one while the broker is stopped, two that need it."""
    app, order = MiniASGI(), list[str]()

    @queue.task
    async def note(name: str) -> None: ...

    @app.get("/enqueue")
    async def enqueue(request: Request) -> JSONResponse:
        await note.adelay("enqueued")
        return JSONResponse({}, 202)

    @app.get("/promise")
    async def promise(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        background.add_task(note, "promised")
        return JSONResponse({}, 202, background=background)

    @app.get("/other")
    async def other(request: Request) -> JSONResponse:
        return JSONResponse({})

    async def ask(path: str) -> None:
        reply = await client.get(path)
        order.append(f"{path} {reply.status}")

    async with Client(app) as client:
        await ask("/enqueue")
        send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(ask(path)) for path in ("/enqueue", "/promise")]
        await ask("/other")
        order.append("the broker goes on")
        send_signal(signal.SIGCONT)
        await asyncio.gather(*waiting)
    return order

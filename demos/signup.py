"""The sign-up that the queue's scenarios share: the same two endpoints on five applications.

``GET /signup/Ada`` is answered, and leaves a mail to Ada behind it. ``GET /enqueue/Bob`` leaves a
mail to Bob to any worker, the plain way: first in, first out. Where there is no queue it does the
same as a sign-up.

- miniasgi: ``background.add_task(send_mail, ...)``, where send_mail is a task of the queue;
- Starlette and FastAPI, bare: the same line with a plain function;
- Starlette and FastAPI with our queue: ``background_tasks.add_task(await send_mail.accept(...))``.

`take_over` starts the process that finds what the one before has left.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from demos.machine import MachineVisitor
from miniasgi.queue import Task
from miniasgi.types import ASGIApp

SendMail = Callable[[str], Awaitable[None]]


def on_miniasgi(send_mail: Task, lifespan: Any = None) -> ASGIApp:
    from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request

    app = MiniASGI(lifespan=lifespan)

    @app.get("/signup/{to}")
    async def signup(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        result = background.add_task(send_mail, request.path_params["to"])
        return JSONResponse({"job": result.id}, background=background)

    @app.get("/enqueue/{to}")
    async def enqueue(request: Request) -> JSONResponse:
        result = await send_mail.adelay(request.path_params["to"])
        return JSONResponse({"job": result.id})

    return app


def on_starlette(send_mail: SendMail) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        background = BackgroundTask(send_mail, request.path_params["to"])
        return JSONResponse({}, background=background)

    return Starlette(routes=[Route("/signup/{to}", signup), Route("/enqueue/{to}", signup)])


def on_fastapi(send_mail: SendMail) -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI()

    @app.get("/signup/{to}")
    @app.get("/enqueue/{to}")
    async def signup(to: str, tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(send_mail, to)
        return {}

    return app


def on_starlette_with_queue(send_mail: Task, lifespan: Any = None) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def signup(request: Request) -> JSONResponse:
        job = await send_mail.accept(request.path_params["to"])
        return JSONResponse({"job": job.result.id}, background=BackgroundTask(job))

    async def enqueue(request: Request) -> JSONResponse:
        result = await send_mail.adelay(request.path_params["to"])
        return JSONResponse({"job": result.id})

    routes = [Route("/signup/{to}", signup), Route("/enqueue/{to}", enqueue)]
    return Starlette(routes=routes, lifespan=lifespan)


def on_fastapi_with_queue(send_mail: Task, lifespan: Any = None) -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI(lifespan=lifespan)

    @app.get("/signup/{to}")
    async def signup(to: str, tasks: BackgroundTasks) -> dict[str, str]:
        job = await send_mail.accept(to)
        tasks.add_task(job)
        return {"job": job.result.id}

    @app.get("/enqueue/{to}")
    async def enqueue(to: str) -> dict[str, str]:
        result = await send_mail.adelay(to)
        return {"job": result.id}

    return app


def take_over(visitor: MachineVisitor, mail: str) -> None:
    """Start a worker, which delivers this mail. Where there is no queue only a server can be
    started: give it a mail to Bob, so that it is seen to work, and to find nothing of before.
    """
    if visitor.has_queue:
        visitor.start_worker()
        visitor.take_deliveries(mail)
    else:
        visitor.start_server()
        visitor.visit("/enqueue/Bob")
        visitor.take_deliveries("mail to Bob")

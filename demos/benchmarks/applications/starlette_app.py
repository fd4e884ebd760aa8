"""Starlette, as its documentation writes it."""

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from demos.benchmarks.applications import ROUTES, after_async, after_sync


async def hello(request: Request) -> Response:
    return PlainTextResponse("Hello, world!")


async def item(request: Request) -> Response:
    id = request.path_params["id"]
    return JSONResponse({"id": id, "name": f"item {id}"})


async def echo(request: Request) -> Response:
    return JSONResponse(await request.json())


async def then_async(request: Request) -> Response:
    return JSONResponse({"accepted": True}, background=BackgroundTask(after_async))


async def then_sync(request: Request) -> Response:
    return JSONResponse({"accepted": True}, background=BackgroundTask(after_sync))


STATIC = {"/": hello, "/echo": echo, "/after/async": then_async, "/after/sync": then_sync}

app = Starlette(
    routes=[
        Route(path.replace("{id}", "{id:int}"), STATIC.get(path, item), methods=[method])
        for method, path in ROUTES
    ]
)

"""miniasgi, as its README writes it."""

from demos.benchmarks.applications import ROUTES, after_async, after_sync
from miniasgi import (
    BackgroundTask,
    JSONResponse,
    MiniASGI,
    PlainTextResponse,
    Request,
    Response,
)


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

app = MiniASGI()
for method, path in ROUTES:
    app.route(path.replace("{id}", "{id:int}"), methods=[method])(STATIC.get(path, item))

"""FastAPI, as its documentation writes it: typed parameters, dicts returned, tasks injected."""

from collections.abc import Callable
from typing import Any

from fastapi import Body, FastAPI
from fastapi.background import BackgroundTasks
from fastapi.responses import PlainTextResponse

from demos.benchmarks.applications import ROUTES, after_async, after_sync


async def hello() -> PlainTextResponse:
    return PlainTextResponse("Hello, world!")


async def item(id: int) -> dict[str, Any]:
    return {"id": id, "name": f"item {id}"}


async def echo(content: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
    return content


async def then_async(background: BackgroundTasks) -> dict[str, Any]:
    background.add_task(after_async)
    return {"accepted": True}


async def then_sync(background: BackgroundTasks) -> dict[str, Any]:
    background.add_task(after_sync)
    return {"accepted": True}


STATIC: dict[str, Callable[..., Any]] = {
    "/": hello,
    "/echo": echo,
    "/after/async": then_async,
    "/after/sync": then_sync,
}

app = FastAPI()
for method, path in ROUTES:
    app.add_api_route(path, STATIC.get(path, item), methods=[method])

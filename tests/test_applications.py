"""The application: what it is told before its first request, and what it does from then on."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from miniasgi import Middleware, MiniASGI, PlainTextResponse, Request, Response, Route
from miniasgi.testing import Client
from miniasgi.types import Message
from tests.asgi import body_of, call, http, receiving

pytestmark = pytest.mark.anyio

STARTUP: Message = {"type": "lifespan.startup"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}


# Registration


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
async def test_a_decorator_for_each_method_gives_the_function_back(method: str):
    app = MiniASGI()

    async def home(request):
        return PlainTextResponse(request.method)

    returned = getattr(app, method)("/", name="start")(home)
    messages = await call(app, http("/", method.upper()))

    assert returned is home
    assert body_of(messages).decode() == method.upper()
    assert app.url_path_for("start") == "/"


async def test_route_takes_several_methods_and_get_if_none_are_named():
    app = MiniASGI()

    @app.route("/both", methods=["PUT", "POST"])
    @app.route("/get")
    async def show(request):
        return PlainTextResponse(request.method)

    answers = [
        (await call(app, http(path, method)))[0]["status"]
        for path, method in [("/both", "PUT"), ("/both", "POST"), ("/both", "GET"), ("/get", "GET")]
    ]

    assert answers == [200, 200, 405, 200]


async def test_routes_given_and_registered_and_mounted_are_one_list_in_order():
    async def mounted(scope, receive, send):
        await PlainTextResponse("mounted")(scope, receive, send)

    app = MiniASGI(routes=[Route("/given", lambda request: Response(), name="given")])
    app.get("/later", name="later")(lambda request: Response())
    app.mount("/below", mounted, name="below")

    messages = await call(app, http("/below/x"))

    assert [route.name for route in app.routes] == ["given", "later", "below"]
    assert body_of(messages) == b"mounted"


async def test_a_route_may_be_added_while_serving():
    app = MiniASGI()
    before = await call(app, http("/new"))

    app.get("/new")(lambda request: Response())
    after = await call(app, http("/new"))

    assert [before[0]["status"], after[0]["status"]] == [404, 200]


async def test_middleware_and_handlers_are_refused_after_the_first_request():
    app = MiniASGI()
    await call(app)

    with pytest.raises(RuntimeError, match="register before that"):
        app.add_middleware(Middleware)
    with pytest.raises(RuntimeError, match="register before that"):
        app.exception_handler(404)(lambda request, exc: Response())


async def test_a_handler_is_registered_by_a_decorator():
    app = MiniASGI()

    @app.exception_handler(404)
    async def not_found(request, exc):
        return PlainTextResponse("nothing here", 404)

    assert body_of(await call(app)) == b"nothing here"


async def test_the_callers_own_lists_are_left_alone():
    routes, middleware, handlers = [], [], {}
    app = MiniASGI(routes=routes, middleware=middleware, exception_handlers=handlers)

    app.get("/")(lambda request: Response())
    app.add_middleware(Middleware)
    app.exception_handler(404)(lambda request, exc: Response())

    assert (routes, middleware, handlers) == ([], [], {})


async def test_what_is_not_there_is_refused_and_not_ignored():
    with pytest.raises(TypeError):
        MiniASGI(on_startup=[])  # type: ignore[call-arg]


async def test_state_is_the_applications_and_the_request_knows_its_application():
    app = MiniASGI()
    app.state.name = "Ada"

    @app.get("/")
    async def home(request):
        return PlainTextResponse(request.app.state.name)

    assert body_of(await call(app)) == b"Ada"


# Kinds of calls


async def test_a_websocket_is_closed_before_it_was_accepted():
    sent = []

    async def send(message):
        sent.append(message)

    scope = http("/") | {"type": "websocket", "scheme": "ws"}
    await MiniASGI()(scope, receiving({"type": "websocket.connect"}), send)

    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


async def test_two_requests_run_beside_each_other():
    app, order = MiniASGI(), []
    second_was_answered = anyio.Event()

    @app.get("/first")
    async def first(request):
        await second_was_answered.wait()
        order.append("first")
        return Response()

    @app.get("/second")
    async def second(request):
        order.append("second")
        second_was_answered.set()
        return Response()

    async with anyio.create_task_group() as group:
        group.start_soon(call, app, http("/first"))
        group.start_soon(call, app, http("/second"))

    assert order == ["second", "first"]


# The lifespan


async def lifespan_of(app: MiniASGI, *incoming: Message, state: Any = None) -> list[Message]:
    """What the application answers; if it raises, the exception's name is the last message."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "lifespan",
        "asgi": {"version": "3.0"},
        "state": {} if state is None else state,
    }
    try:
        await app(scope, receiving(*incoming), send)
    except Exception as exc:
        sent.append({"type": type(exc).__name__})
    return sent


def types(messages: list[Message]) -> list[str]:
    return [message["type"] for message in messages]


async def test_without_a_lifespan_start_and_end_are_complete():
    messages = await lifespan_of(MiniASGI(), STARTUP, SHUTDOWN)

    assert types(messages) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_lifespan_runs_around_the_requests_and_yields_their_state():
    order = []

    @asynccontextmanager
    async def lifespan(app: MiniASGI) -> AsyncIterator[dict[str, Any]]:
        order.append("startup")
        yield {"db": "pool"}
        order.append("shutdown")

    app = MiniASGI(lifespan=lifespan)

    @app.get("/")
    async def home(request: Request):
        order.append(request.state.db)
        request.state.db = "changed for this request only"
        return Response()

    async with Client(app) as client:
        await client.get("/")
        await client.get("/")

    assert order == ["startup", "pool", "pool", "shutdown"]


async def test_a_startup_that_fails_is_told_with_its_traceback_and_raised():
    @asynccontextmanager
    async def lifespan(app: MiniASGI) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    messages = await lifespan_of(MiniASGI(lifespan=lifespan), STARTUP, SHUTDOWN)

    assert types(messages) == ["lifespan.startup.failed", "ValueError"]
    assert messages[0]["message"].endswith("ValueError: no database\n")


async def test_a_shutdown_that_fails_is_told_with_its_traceback_and_raised():
    @asynccontextmanager
    async def lifespan(app: MiniASGI) -> AsyncIterator[None]:
        yield
        raise ValueError("database gone")

    messages = await lifespan_of(MiniASGI(lifespan=lifespan), STARTUP, SHUTDOWN)

    assert types(messages) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.failed",
        "ValueError",
    ]
    assert messages[1]["message"].endswith("ValueError: database gone\n")


async def test_a_state_that_the_server_cannot_hold_fails_the_startup():
    @asynccontextmanager
    async def lifespan(app: MiniASGI) -> AsyncIterator[dict[str, Any]]:
        yield {"db": "pool"}

    sent = []

    async def send(message):
        sent.append(message)

    with pytest.raises(Exception, match="state"):
        await MiniASGI(lifespan=lifespan)({"type": "lifespan"}, receiving(STARTUP), send)

    assert types(sent) == ["lifespan.startup.failed"]


# What an import costs is what it brings


def test_the_import_brings_nothing_that_is_not_used_yet():
    heavy = {"asyncio", "anyio", "pydantic", "sqlite3", "python_multipart", "logging", "inspect"}
    code = f"import sys, miniasgi; print(*sorted({heavy!r} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", f"import sys; sys.path = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == []

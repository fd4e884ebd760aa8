"""What stands around the endpoints: messages in, messages out; or the response as an object."""

from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.middleware.gzip import GZipMiddleware

from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    HTTPException,
    Middleware,
    MiniASGI,
    Mount,
    PlainTextResponse,
    Response,
    Route,
    StreamingResponse,
)
from miniasgi.testing import Client
from miniasgi.timeline import Recorder, TimelineMiddleware
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.asgi import body_of, call, headers_of, http, receiving, sending

pytestmark = pytest.mark.anyio

user: ContextVar[str] = ContextVar("user", default="nobody")


class Around:
    """An ASGI middleware that writes down when it is entered, passed and left."""

    def __init__(self, app: ASGIApp, order: list[str], name: str = "asgi") -> None:
        self.app, self.order, self.name = app, order, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_note(message: Message) -> None:
            self.order.append(f"{self.name}: {message['type'].rpartition('.')[2]}")
            await send(message)

        self.order.append(f"{self.name} begins")
        await self.app(scope, receive, send_and_note)
        self.order.append(f"{self.name} ends")


async def around(request: Any, call_next: Any, order: list[str], name: str = "function") -> Any:
    """The same as a function: it has the response in its hands before anything was sent."""
    order.append(f"{name} begins")
    response = await call_next(request)
    order.append(f"{name} ends")
    return response


def make_app(order: list[str], *middleware: Middleware, **options: Any) -> MiniASGI:
    """One endpoint, with a background task; all of it writes into one list."""

    async def home(request):
        order.append("endpoint")
        return PlainTextResponse("hi", background=BackgroundTask(order.append, "task"))

    return MiniASGI(routes=[Route("/", home)], middleware=middleware, **options)


# Order


async def test_asgi_middleware_sees_every_message_and_returns_after_the_background():
    order = []
    app = make_app(order, Middleware(Around, order, "outer"), Middleware(Around, order, "inner"))

    await call(app)

    assert order == [
        "outer begins",
        "inner begins",
        "endpoint",
        "inner: start",
        "outer: start",
        "inner: body",
        "outer: body",
        "task",
        "inner ends",
        "outer ends",
    ]


async def test_functions_return_before_anything_is_sent_and_the_background_runs_last():
    """Function middleware neither reorders, delays nor loses tasks."""
    order = []
    app = make_app(
        order, Middleware(around, order, "outer"), Middleware(around, order, name="inner")
    )

    await app(http(), receiving(), sending(order))

    assert order == [
        "outer begins",
        "inner begins",
        "endpoint",
        "inner ends",
        "outer ends",
        "start 200",
        "body 'hi'",
        "task",
    ]


async def test_functions_stand_inside_all_asgi_middleware():
    order = []
    app = make_app(order, Middleware(around, order), Middleware(Around, order))

    await call(app)

    assert order == [
        "asgi begins",
        "function begins",
        "endpoint",
        "function ends",
        "asgi: start",
        "asgi: body",
        "task",
        "asgi ends",
    ]


async def test_what_is_added_later_stands_outside_of_what_is_there():
    order = []
    app = make_app(order)

    app.add_middleware(Around, order, "asgi, first")
    app.add_middleware(around, order, "function, first")
    app.add_middleware(Around, order, name="asgi, second")
    app.add_middleware(around, order, name="function, second")
    await call(app)

    assert [event for event in order if event.endswith("begins")] == [
        "asgi, second begins",
        "asgi, first begins",
        "function, second begins",
        "function, first begins",
    ]


async def test_middleware_is_made_once_and_not_once_a_request():
    made = []

    class Counted(Around):
        def __init__(self, *args: Any) -> None:
            made.append(self)
            super().__init__(*args)

    app = make_app([], Middleware(Counted, []))
    await call(app)
    await call(app)

    assert len(made) == 1


async def test_an_asgi_middleware_may_be_a_plain_function_that_returns_an_application():
    def with_header(app: ASGIApp, name: str) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_more(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (name.encode(), b"1")]
                await send(message)

            await app(scope, receive, send_more)

        return wrapped

    messages = await call(make_app([], Middleware(with_header, "x-seen")))

    assert headers_of(messages)["x-seen"] == "1"


async def test_third_party_asgi_middleware_fits():
    app = MiniASGI(
        routes=[Route("/", lambda request: PlainTextResponse("x" * 10_000))],
        middleware=[Middleware(GZipMiddleware, minimum_size=100)],
    )

    messages = await call(app, http(headers={"accept-encoding": "gzip"}))

    assert headers_of(messages)["content-encoding"] == "gzip"
    assert len(body_of(messages)) < 1000


async def test_the_timeline_may_stay_in_an_application():
    recorder = Recorder()
    app = make_app([], Middleware(TimelineMiddleware, recorder))

    await call(app)

    kinds = [moment.kind for moment in recorder.recording().moments]
    assert kinds.index("response.end") < kinds.index("task.start") < kinds.index("app.end")


# Functions


async def test_the_response_of_call_next_is_the_endpoints_own_object_its_background_on_it():
    """Function middleware has the response as an object, its background still on it."""
    made, seen = [], []
    app = MiniASGI()

    @app.get("/")
    async def home(request):
        made.append(StreamingResponse(iter([b"hi"]), background=BackgroundTask(seen.append, "ran")))
        return made[0]

    async def look(request, call_next):
        response = await call_next(request)
        seen.append(response is made[0] and response.background is made[0].background)
        return response

    app.add_middleware(look)
    await call(app)

    assert seen == [True, "ran"]


async def test_a_function_may_change_the_response_and_put_work_of_its_own_on_it():
    order = []
    app = MiniASGI(routes=[Route("/", lambda request: PlainTextResponse("hi"))])

    async def later(request, call_next):
        response = await call_next(request)
        response.headers["x-seen"] = request.headers["x-id"]
        response.background = BackgroundTask(order.append, "task of the middleware")
        return response

    app.add_middleware(later)
    messages = await call(app, http(headers={"x-id": "7"}))

    assert headers_of(messages)["x-seen"] == "7"
    assert order == ["task of the middleware"]


async def test_a_function_that_answers_otherwise_drops_the_background_and_the_log_says_so(caplog):
    def send_email():
        pass

    async def home(request):
        return PlainTextResponse("home", background=BackgroundTask(send_email))

    async def replace(request, call_next):
        await call_next(request)
        return PlainTextResponse("replaced")

    sent = await call(MiniASGI(routes=[Route("/", home)], middleware=[Middleware(replace)]))

    assert body_of(sent) == b"replaced"
    [message] = caplog.messages
    assert "background task 'send_email' will not run" in message
    assert "replace returned another response" in message


async def test_a_function_that_raises_drops_the_background_and_the_log_says_so(caplog):
    def send_email():
        pass

    async def home(request):
        return PlainTextResponse("home", background=BackgroundTask(send_email))

    async def refuse(request, call_next):
        await call_next(request)
        raise HTTPException(403, "not you")

    sent = await call(MiniASGI(routes=[Route("/", home)], middleware=[Middleware(refuse)]))

    assert (sent[0]["status"], body_of(sent)) == (403, b"not you")
    assert caplog.messages == [
        "background task 'send_email' will not run: HTTPException(403, 'not you')"
    ]


class Promise:
    """A background that promises, as a queue's does: what it is told is all it keeps."""

    name = "job"

    def __init__(self) -> None:
        self.told: list[str] = []

    async def accept(self, *others: Any) -> None:
        self.told.append("accept")

    async def __call__(self) -> None:
        self.told.append("run")

    async def abandon(self, because: BaseException) -> None:
        self.told.append("abandon")


async def test_a_promise_by_itself_that_a_function_drops_is_named_in_the_log(caplog):
    promise = Promise()

    async def home(request):
        return PlainTextResponse("home", background=promise)

    async def refuse(request, call_next):
        await call_next(request)
        raise HTTPException(403, "not you")

    await call(MiniASGI(routes=[Route("/", home)], middleware=[Middleware(refuse)]))

    assert promise.told == ["abandon"]
    assert caplog.messages == ["background task 'job' will not run: HTTPException(403, 'not you')"]


async def test_a_background_that_a_function_moves_to_another_response_is_not_dropped(caplog):
    order = []

    async def home(request):
        return PlainTextResponse("home", background=BackgroundTask(order.append, "task"))

    async def move(request, call_next):
        response = await call_next(request)
        return PlainTextResponse("moved", background=BackgroundTasks([response.background]))

    await call(MiniASGI(routes=[Route("/", home)], middleware=[Middleware(move)]))

    assert (order, caplog.messages) == (["task"], [])


def test_a_plain_function_that_takes_call_next_is_refused_where_it_is_registered():
    def forgot_async(request, call_next):
        return call_next(request)

    with pytest.raises(TypeError, match="forgot_async has to await call_next: make it an `async"):
        MiniASGI().add_middleware(forgot_async)


async def test_a_function_may_answer_by_itself():
    order = []

    async def refuse(request, call_next):
        return PlainTextResponse("go away", 403)

    messages = await call(make_app(order, Middleware(refuse)))

    assert (messages[0]["status"], body_of(messages), order) == (403, b"go away", [])


async def test_context_variables_go_both_ways_and_into_the_background():
    """Function middleware is composed with no task in between: context variables pass."""
    seen = []
    app = MiniASGI()

    async def task():
        seen.append(f"task: {user.get()}")

    @app.get("/")
    async def home(request):
        seen.append(f"endpoint: {user.get()}")
        user.set("Grace")
        return Response(background=BackgroundTask(task))

    async def login(request, call_next):
        user.set("Ada")
        response = await call_next(request)
        seen.append(f"after: {user.get()}")
        return response

    app.add_middleware(login)
    await call(app)

    assert seen == ["endpoint: Ada", "after: Grace", "task: Grace"]


async def test_one_request_is_read_by_a_function_and_by_the_endpoint():
    app = MiniASGI()

    @app.post("/")
    async def echo(request):
        return PlainTextResponse(await request.body())

    async def look(request, call_next):
        assert await request.body() == b"hi"
        return await call_next(request)

    app.add_middleware(look)
    async with Client(app) as client:
        reply = await client.post("/", content=b"hi")

    assert reply.content == b"hi"


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/none", (404, b"no such page")), ("/refused", (401, b"who are you?"))],
)
async def test_call_next_gives_what_the_handlers_answer(path: str, answer: tuple[int, bytes]):
    seen = []
    app = MiniASGI(
        exception_handlers={404: lambda request, exc: PlainTextResponse("no such page", 404)}
    )

    @app.get("/refused")
    async def refused(request):
        raise HTTPException(401, "who are you?")

    async def look(request, call_next):
        response = await call_next(request)
        seen.append((response.status_code, response.body))
        return response

    app.add_middleware(look)
    messages = await call(app, http(path))

    assert seen == [answer] == [(messages[0]["status"], body_of(messages))]


async def test_what_nobody_handles_passes_the_functions_as_an_exception():
    order = []
    app = MiniASGI()

    @app.get("/")
    async def home(request):
        raise ValueError("no database")

    async def look(request, call_next):
        try:
            return await call_next(request)
        except ValueError as exc:
            order.append(f"{exc} seen")
            raise

    app.add_middleware(look)
    with pytest.raises(ValueError):
        await app(http(), receiving(), sending(order))

    assert order == ["no database seen", "start 500", "body 'Internal Server Error'"]


async def test_what_a_function_raises_is_answered_by_the_handlers():
    async def refuse(request, call_next):
        raise HTTPException(403, "not today")

    messages = await call(make_app([], Middleware(refuse)))

    assert (messages[0]["status"], body_of(messages)) == (403, b"not today")


async def test_a_function_that_returns_nothing_is_named_and_not_the_endpoint():
    async def forgetful(request, call_next):
        await call_next(request)

    with pytest.raises(TypeError, match="forgetful"):
        await call(make_app([], Middleware(forgetful)))


async def test_below_a_mount_the_object_is_the_mounted_application():
    order = []
    inner = make_app(order)

    async def look(request, call_next):
        response = await call_next(request)
        order.append(f"inner application: {response is inner}")
        return response

    app = MiniASGI(routes=[Mount("/inner", inner)], middleware=[Middleware(look)])
    await app(http("/inner/"), receiving(), sending(order))

    assert order == ["inner application: True", "endpoint", "start 200", "body 'hi'", "task"]


async def test_a_function_stands_around_the_404_and_the_redirect_too():
    seen = []

    async def look(request, call_next):
        response = await call_next(request)
        seen.append(response.status_code)
        return response

    app = MiniASGI(routes=[Route("/a", lambda request: Response())])
    app.add_middleware(look)
    for path in ("/none", "/a/"):
        await call(app, http(path))

    assert seen == [404, 307]


async def test_a_partial_of_a_coroutine_function_is_a_function_too():
    order = []

    await call(make_app(order, Middleware(partial(around, order=order))))

    assert order == ["function begins", "endpoint", "function ends", "task"]


# Exceptions become responses


class Teapot(Exception):
    pass


class SmallTeapot(Teapot):
    pass


def raising(exc: Exception, **options: Any) -> MiniASGI:
    async def home(request):
        raise exc

    return MiniASGI(routes=[Route("/", home)], **options)


def answering(text: str) -> Any:
    async def handler(request, exc):
        return PlainTextResponse(f"{text}: {exc}", 418)

    return handler


@pytest.mark.parametrize(
    ("exc", "answer"),
    [
        (SmallTeapot("tiny"), "small: tiny"),
        (Teapot("short"), "teapot: short"),
        (HTTPException(404, "gone"), "by status: 404: gone"),
        (HTTPException(400, "bad"), "by class: 400: bad"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "below ASGI middleware"])
async def test_a_handler_is_found_by_status_then_by_the_nearest_class(exc, answer, wrapped):
    handlers = {
        404: answering("by status"),
        HTTPException: answering("by class"),
        Teapot: answering("teapot"),
        SmallTeapot: answering("small"),
    }
    middleware = [Middleware(Around, [])] if wrapped else []

    messages = await call(raising(exc, exception_handlers=handlers, middleware=middleware))

    assert body_of(messages).decode() == answer


@pytest.mark.parametrize(
    ("exc", "answer"),
    [
        (HTTPException(404), (404, b"Not Found")),
        (HTTPException(401, "who?", {"www-authenticate": "Basic"}), (401, b"who?")),
        (HTTPException(204), (204, b"")),
        (HTTPException(304), (304, b"")),
        (HTTPException(500), (500, b"Internal Server Error")),
    ],
    ids=str,
)
async def test_an_http_exception_without_a_handler_is_its_own_answer(exc, answer):
    messages = await call(raising(exc))

    assert (messages[0]["status"], body_of(messages)) == answer
    assert headers_of(messages).get("www-authenticate") == (exc.headers or {}).get(
        "www-authenticate"
    )


async def test_a_plain_handler_runs_in_a_thread_and_may_read_the_request():
    def handler(request, exc):
        anyio.from_thread.check_cancelled()  # raises on the event loop
        return PlainTextResponse(request.url.path, 418)

    messages = await call(raising(Teapot(), exception_handlers={Teapot: handler}))

    assert body_of(messages) == b"/"


async def test_an_exception_with_a_status_code_is_answered_with_it_also_at_accept():
    class Unavailable(Exception):
        status_code = 503

    class Queue:
        async def accept(self, *others):
            raise Unavailable("the disk is full")

    app = MiniASGI(routes=[Route("/", lambda request: Response("ok", 202, background=Queue()))])

    messages = await call(app)

    assert (messages[0]["status"], body_of(messages)) == (503, b"Service Unavailable")


async def test_the_handlers_own_response_runs_its_background():
    order = []

    async def handler(request, exc):
        return PlainTextResponse("no", 418, background=BackgroundTask(order.append, "task"))

    app = raising(Teapot(), exception_handlers={Teapot: handler})
    await app(http(), receiving(), sending(order))

    assert order == ["start 418", "body 'no'", "task"]


# Errors that nobody handles


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "below ASGI middleware"])
async def test_an_error_before_the_first_message_is_a_500_and_raised_on(wrapped: bool):
    order = []
    middleware = [Middleware(Around, [])] if wrapped else []
    error = ValueError("no database")

    with pytest.raises(ValueError) as raised:
        await raising(error, middleware=middleware)(http(), receiving(), sending(order))

    assert raised.value is error
    assert order == ["start 500", "body 'Internal Server Error'"]


@pytest.mark.parametrize("key", [500, Exception])
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_the_last_resort_answers_and_the_error_is_still_raised_on(key: Any, kind: str):
    order = []

    async def sorry(request, exc):
        return PlainTextResponse(f"sorry, {exc}", 500)

    def sorry_plain(request, exc):
        return PlainTextResponse(f"sorry, {exc}", 500)

    handlers = {key: {"async": sorry, "plain": sorry_plain}[kind]}
    with pytest.raises(Teapot):
        await raising(Teapot("tea"), exception_handlers=handlers)(
            http(), receiving(), sending(order)
        )

    assert order == ["start 500", "body 'sorry, tea'"]


async def test_with_both_last_resorts_one_answers_and_the_error_is_still_raised_on():
    order = []
    handlers = {500: answering("by status"), Exception: answering("by class")}

    with pytest.raises(Teapot):
        await raising(Teapot("tea"), exception_handlers=handlers)(
            http(), receiving(), sending(order)
        )

    assert order == ["start 418", "body 'by status: tea'"]


async def test_with_debug_the_traceback_is_the_answer():
    async with Client(raising(Teapot("tea"), debug=True), raise_background=False) as client:
        reply = await client.get("/")

    assert reply.status == 500
    assert reply.text.startswith("Traceback (most recent call last):")
    assert reply.text.endswith("Teapot: tea\n")


async def test_an_error_in_mid_stream_is_raised_on_and_nothing_more_is_sent():
    order = []
    app = MiniASGI(exception_handlers={ValueError: answering("too late")})

    @app.get("/")
    async def home(request):
        async def chunks():
            yield b"half"
            raise ValueError("no database")

        return StreamingResponse(chunks())

    with pytest.raises(ValueError, match="no database"):
        await app(http(), receiving(), sending(order))

    assert order == ["start 200", "body 'half', more"]


async def test_a_handler_that_fails_is_raised_itself():
    async def broken(request, exc):
        raise KeyError("in the handler")

    with pytest.raises(KeyError) as raised:
        await call(raising(Teapot(), exception_handlers={Teapot: broken}))

    assert isinstance(raised.value.__context__, Teapot)


# After the last byte: contained, unless somebody asked for it


def failing_after(kind: str = "plain", **options: Any) -> MiniASGI:
    async def send_email():
        raise ValueError("the mail server is down")

    async def chunks():
        yield b"hi"

    def home(request):
        task = BackgroundTask(send_email)
        if kind == "stream":
            return StreamingResponse(chunks(), background=task)
        return PlainTextResponse("hi", background=task)

    return MiniASGI(routes=[Route("/", home)], **options)


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "below ASGI middleware"])
async def test_a_failing_task_is_contained_and_logged_by_its_name(kind, wrapped, caplog):
    """An exception after the last body is logged with its task's name and contained."""
    app = failing_after(kind, middleware=[Middleware(Around, [])] if wrapped else [])

    messages = await call(app)

    assert (messages[0]["status"], body_of(messages)) == (200, b"hi")
    assert caplog.messages == [
        "an exception after the response, in background task 'send_email': "
        "ValueError('the mail server is down')"
    ]
    assert caplog.records[0].exc_info is not None


async def test_the_next_request_after_a_failing_task_is_answered():
    app = failing_after()

    async with Client(app, raise_background=False) as client:
        replies = [await client.get("/"), await client.get("/")]

    assert [reply.events[-2:] for reply in replies] == [
        ["task failed: send_email", "app returned"],
        ["task failed: send_email", "app returned"],
    ]


async def test_a_failing_task_is_raised_on_if_the_caller_asks_for_it():
    """The application contains a failing task, unless the caller asks for it."""
    scope = http() | {"miniasgi.raise_background": True}

    with pytest.raises(ValueError, match="the mail server is down"):
        await call(failing_after(), scope)


async def test_a_failing_task_does_not_reach_the_handlers():
    order = []
    handlers = {ValueError: answering("by class"), 500: answering("last resort")}

    await failing_after(exception_handlers=handlers)(http(), receiving(), sending(order))

    assert order == ["start 200", "body 'hi'"]


async def test_what_a_mounted_application_of_another_kind_does_after_its_response_is_contained(
    caplog,
):
    async def theirs(scope, receive, send):
        await PlainTextResponse("hi")(scope, receive, send)
        raise KeyError("theirs")

    messages = await call(MiniASGI(routes=[Mount("/", theirs)]))

    assert body_of(messages) == b"hi"
    assert caplog.messages == [
        "an exception after the response, in an application that is not ours: KeyError('theirs')"
    ]


async def test_a_failing_task_of_the_answer_to_an_error_is_contained_too(caplog):
    async def sorry(request, exc):
        async def report():
            raise ValueError("no report")

        return PlainTextResponse("sorry", 500, background=BackgroundTask(report))

    with pytest.raises(Teapot):
        await call(raising(Teapot(), exception_handlers={500: sorry}))

    assert caplog.messages == [
        "an exception after the response, in background task 'report': ValueError('no report')"
    ]

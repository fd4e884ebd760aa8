"""The client of `miniasgi.testing`, on applications by hand, on Starlette and on FastAPI."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from fastapi import BackgroundTasks as FastAPIBackgroundTasks
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask as StarletteTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from miniasgi import BackgroundTask, BackgroundTasks, MiniASGI, Response
from miniasgi import Route as MiniRoute
from miniasgi.events import mark, tell
from miniasgi.pytest_plugin import asgi_client  # noqa: F401 (also where it is not installed)
from miniasgi.testing import Client, ReplyHeaders

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def start(status=200, headers=()):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(body=b"", more_body=False):
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def answers(*messages, then=None):
    """An application that sends these messages and then awaits `then`; it has no lifespan."""

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        for message in messages:
            await send(message)
        if then is not None:
            await then()

    return app


async def echo(scope, receive, send):
    chunks = []
    while True:
        message = await receive()
        chunks.append(message)
        if not message.get("more_body"):
            break
    await JSONResponse(
        {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": [message.get("body", b"gone").decode() for message in chunks],
        }
    )(scope, receive, send)


async def fail():
    raise ValueError("the mail server is down")


# The reply comes before the work


async def test_the_reply_is_there_while_the_task_still_runs():
    go_on = anyio.Event()
    events = []

    async def task():
        tell("task.start", "wait")
        await go_on.wait()
        events.append("task ended")

    async with Client(answers(start(), body(b"hi"), then=task)) as client:
        reply = await client.get("/")
        events.append("reply")
        go_on.set()
        await reply.finished()

    assert events == ["reply", "task ended"]
    assert reply.events == ["response.start", "response.body", "task: wait", "app returned"]
    assert reply.messages == [start(), body(b"hi")]
    assert (reply.status, reply.status_code, reply.text) == (200, 200, "hi")


async def test_starlette_is_served_unchanged():
    go_on = anyio.Event()

    async def task():
        mark("task begins")
        await go_on.wait()
        mark("task ends")

    async def home(request):
        return JSONResponse({"hello": "world"}, 201, background=StarletteTask(task))

    async with Client(Starlette(routes=[Route("/", home)])) as client:
        reply = await client.get("/")
        mark_before = reply.events[:2]
        go_on.set()
        await reply.finished()

    assert mark_before == ["response.start", "response.body"]
    assert reply.events == [*mark_before, "task begins", "task ends", "app returned"]
    assert (reply.status, reply.json()) == (201, {"hello": "world"})


async def test_fastapi_is_served_unchanged():
    go_on = anyio.Event()
    app = FastAPI()

    @app.post("/signup", status_code=202)
    async def signup(user: dict[str, str], tasks: FastAPIBackgroundTasks):
        async def send_email():
            await go_on.wait()
            mark(f"email to {user['name']}")

        tasks.add_task(send_email)
        return {"queued": True}

    async with Client(app) as client:
        reply = await client.post("/signup", json={"name": "Ada"})
        first = list(reply.events)
        go_on.set()
        await reply.finished()

    assert first == ["response.start", "response.body"]
    assert reply.events == [*first, "email to Ada", "app returned"]
    assert (reply.status, reply.json()) == (202, {"queued": True})


async def test_tasks_of_miniasgi_are_named_at_their_start_in_threads_too():
    def write_log():
        mark("in a thread")

    async def app(scope, receive, send):
        task = BackgroundTask(write_log)
        await task.accept()
        tell("accept")
        await send(start())
        await send(body())
        await task()

    async with Client(app, lifespan=False) as client:
        reply = await client.get("/")
        await reply.finished()

    assert reply.events == [
        "accept",
        "response.start",
        "response.body",
        "task: write_log",
        "in a thread",
        "app returned",
    ]


async def test_miniasgi_tells_accept_and_its_tasks():
    go_on = anyio.Event()

    async def send_email():
        await go_on.wait()

    async def signup(request):
        tasks = BackgroundTasks()
        tasks.add_task(send_email)
        tasks.add_task(fail)
        return Response("welcome", 202, background=tasks)

    async with Client(MiniASGI(routes=[MiniRoute("/signup", signup, methods=["POST"])])) as client:
        reply = await client.post("/signup")
        first = list(reply.events)
        go_on.set()
        with pytest.raises(ValueError, match="mail server"):
            await reply.finished()

    assert first == ["accept", "response.start", "response.body"]
    assert reply.events[3:] == [
        "task: send_email",
        "task: fail",
        "task failed: fail",
        "app raised: ValueError",
    ]


async def test_miniasgi_contains_the_failure_when_served_as_in_production():
    def signup(request):
        return Response("welcome", background=BackgroundTask(fail))

    app = MiniASGI(routes=[MiniRoute("/", signup)])
    async with Client(app, raise_background=False) as client:
        reply = await client.get("/")

    assert reply.events == [
        "accept",
        "response.start",
        "response.body",
        "task: fail",
        "task failed: fail",
        "app returned",
    ]


async def test_two_requests_run_beside_each_other():
    first_may_end = anyio.Event()

    async def app(scope, receive, send):
        await send(start())
        await send(body())
        if scope["path"] == "/first":
            await first_may_end.wait()

    async with Client(app, lifespan=False) as client:
        first = await client.get("/first")
        second = await client.get("/second")
        await second.finished()
        before = list(first.events)
        first_may_end.set()

    assert before == ["response.start", "response.body"]
    assert first.events == [*before, "app returned"]


# Failures


async def test_finished_raises_what_the_background_raised():
    async with Client(answers(start(), body(), then=fail)) as client:
        reply = await client.get("/")

        with pytest.raises(ValueError, match="mail server"):
            await reply.finished()

    assert reply.events == ["response.start", "response.body", "app raised: ValueError"]


async def test_a_task_that_fails_is_named():
    async def app(scope, receive, send):
        await send(start())
        await send(body())
        await BackgroundTask(fail)()

    async with Client(app, lifespan=False) as client:
        reply = await client.get("/")
        with pytest.raises(ValueError):
            await reply.finished()

    assert reply.events[2:] == ["task: fail", "task failed: fail", "app raised: ValueError"]


async def test_a_failure_that_nobody_waited_for_is_raised_on_leaving():
    with pytest.raises(ValueError, match="mail server"):
        async with Client(answers(start(), body(), then=fail)) as client:
            await client.get("/")


async def test_several_such_failures_are_raised_together():
    with pytest.raises(ExceptionGroup) as raised:
        async with Client(answers(start(), body(), then=fail)) as client:
            await client.get("/")
            await client.get("/")

    assert [type(exc) for exc in raised.value.exceptions] == [ValueError, ValueError]


async def test_a_failed_assertion_comes_out_bare_and_notes_the_failure():
    with pytest.raises(AssertionError) as raised:
        async with Client(answers(start(), body(), then=fail)) as client:
            reply = await client.get("/")
            await reply._returned.wait()
            raise AssertionError("no email")

    assert raised.value.__notes__ == [
        "and an application had raised ValueError('the mail server is down')"
    ]


async def test_a_failed_assertion_does_not_wait_for_the_background():
    with pytest.raises(AssertionError):
        async with Client(answers(start(), body(), then=anyio.sleep_forever)) as client:
            reply = await client.get("/")
            raise AssertionError

    assert reply.events == ["response.start", "response.body", "app cancelled"]


async def test_raise_background_false_keeps_the_failure():
    app = answers(start(), body(), then=fail)

    async with Client(app, raise_background=False) as client:
        reply = await client.get("/")
        await reply.finished()

    assert repr(reply.exception) == "ValueError('the mail server is down')"
    assert reply.scope["miniasgi.raise_background"] is False


@pytest.mark.parametrize("sent", [[], [start()], [start(), body(b"half", more_body=True)]])
async def test_an_exception_before_the_response_is_complete_is_raised_by_the_request(sent):
    async with Client(answers(*sent, then=fail)) as client:
        with pytest.raises(ValueError, match="mail server"):
            await client.get("/")


async def test_a_response_without_an_end_is_an_error():
    async with Client(answers(start())) as client:
        with pytest.raises(RuntimeError, match=r"no end: \['response\.start', 'app returned'\]"):
            await client.get("/")


@pytest.mark.parametrize(
    ("sent", "last"),
    [([body()], "body"), ([start(), start()], "start"), ([start(), body(), body()], "body")],
)
async def test_a_message_out_of_order_is_refused(sent, last):
    async with Client(answers(*sent), raise_background=False) as client:
        with suppress(RuntimeError):
            await client.get("/")

    raised = client.replies[0].exception
    assert f"unexpected ASGI message 'http.response.{last}'" in str(raised)


# Streaming


async def test_a_stream_goes_at_the_pace_of_its_reader():
    events = []

    async def app(scope, receive, send):
        await send(start())
        for chunk in (b"one", b"two"):
            await send(body(chunk, more_body=True))
            events.append(f"{chunk.decode()} was taken")
        await send(body())

    async with (
        Client(app, lifespan=False) as client,
        client.stream("GET", "/") as reply,
    ):
        await anyio.wait_all_tasks_blocked()
        events.append(f"status {reply.status}")
        async for chunk in reply.chunks():
            await anyio.wait_all_tasks_blocked()
            events.append(f"read {chunk.decode()}")

    assert events == ["status 200", "one was taken", "read one", "two was taken", "read two"]
    assert reply.content == b"onetwo"


async def test_leaving_a_stream_early_is_leaving_the_server():
    async def numbers():
        yield b"one"
        await anyio.sleep_forever()

    async def app(scope, receive, send):
        task = StarletteTask(mark, "task")
        await StreamingResponse(numbers(), background=task)(scope, receive, send)

    async with Client(app, lifespan=False) as client:
        async with client.stream("GET", "/") as reply:
            async for _ in reply.chunks():
                break
        await reply.finished()

    # Starlette's stream runs its background also for a client that left.
    assert reply.events == ["response.start", "response.body", "disconnect", "task", "app returned"]
    assert reply.is_left


async def test_chunks_of_a_whole_reply_are_refused():
    async with Client(answers(start(), body(b"hi"))) as client:
        reply = await client.get("/")

        with pytest.raises(RuntimeError, match=r"client\.stream"):
            reply.chunks()


# Clients that leave


async def test_a_client_that_left_is_sent_nothing_and_nobody_notices():
    async def app(scope, receive, send):
        await send(start())
        assert (await receive())["type"] == "http.disconnect"
        await send(body(b"nobody reads this"))
        mark("task")

    async with Client(app, lifespan=False) as client:
        reply = await client.get("/", disconnect="response.start")
        await reply.finished()

    assert reply.events == ["response.start", "disconnect", "response.body", "task", "app returned"]
    assert (reply.status, reply.content) == (200, b"")
    assert reply.messages == [start(), body(b"nobody reads this")]


@pytest.mark.parametrize("spec_version", ["2.4", "2.10"])
async def test_from_spec_version_2_4_on_send_raises_when_the_client_has_left(spec_version: str):
    async def home(request):
        return PlainTextResponse("hi", background=StarletteTask(mark, "task"))

    async with Client(Route("/", home), lifespan=False, spec_version=spec_version) as client:
        reply = await client.get("/", disconnect="response.start")
        with pytest.raises(OSError, match="the client has left"):
            await reply.finished()

    assert reply.events == ["response.start", "disconnect", "response.body", "app raised: OSError"]


async def test_a_client_may_leave_before_anything_was_answered():
    async with Client(echo, lifespan=False) as client:
        reply = await client.get("/", disconnect="request")
        await reply.finished()

    assert reply.events == ["disconnect", "response.start", "response.body", "app returned"]
    assert reply.status == 0


async def test_a_mark_is_a_moment_to_leave_at():
    async def app(scope, receive, send):
        await anyio.to_thread.run_sync(mark, "half way")
        await send(start() if (await receive())["type"] == "http.disconnect" else body())

    async with Client(app, lifespan=False) as client:
        reply = await client.get("/", disconnect="half way")
        await reply.finished()

    assert reply.events == ["half way", "disconnect", "response.start", "app returned"]


async def test_a_client_may_leave_in_mid_upload():
    async def half():
        yield b"half"
        raise ConnectionError

    async def home(request: Request):
        try:
            await request.body()
        except ClientDisconnect:
            mark("the upload was cut")
            raise

    async with Client(Route("/", home, methods=["POST"]), lifespan=False) as client:
        reply = await client.post("/", content=half())
        with pytest.raises(ClientDisconnect):
            await reply.finished()

    assert reply.events == ["disconnect", "the upload was cut", "app raised: ClientDisconnect"]


async def test_a_request_that_is_cancelled_leaves_and_the_application_goes_on():
    async def app(scope, receive, send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send(start())
        await send(body())

    async with Client(app, lifespan=False) as client:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.get("/")
        (reply,) = client.replies
        await reply.finished()

    assert reply.events == ["disconnect", "response.start", "response.body", "app returned"]


async def test_after_the_response_receive_says_disconnect():
    async def app(scope, receive, send):
        await send(start())
        await send(body())
        mark((await receive())["type"])

    async with Client(app, lifespan=False) as client:
        reply = await client.post("/", content=b"never read")
        await reply.finished()

    assert reply.events[2:] == ["http.disconnect", "app returned"]


# Requests


async def test_what_a_request_carries():
    async with Client(echo, "https://example.org:8443", lifespan=False) as client:
        reply = await client.put(
            "/caf\xe9/%31?a=\xe9&c=%26?",
            params={"b": [2, 3]},
            json={"x": "\xe9"},
            headers={"Accept": "text"},
        )

    assert reply.json() == {
        "method": "PUT",
        "path": "/caf\xe9/1",
        "query": "a=%C3%A9&c=%26?&b=2&b=3",
        "headers": {
            "host": "example.org:8443",
            "user-agent": "miniasgi",
            "content-type": "application/json",
            "content-length": "10",
            "accept": "text",
        },
        "body": ['{"x":"\xe9"}'],
    }
    assert reply.scope["server"] == ("example.org", 8443)
    assert reply.scope["scheme"] == "https"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
async def test_each_method_has_its_own_call(method):
    async with Client(echo, lifespan=False) as client:
        reply = await getattr(client, method)("/")

    assert reply.json()["method"] == method.upper()


async def test_the_answer_to_head_has_no_body():
    async with Client(echo, lifespan=False) as client:
        reply = await client.head("/")

    assert reply.events[:2] == ["response.start", "response.body"]
    assert (reply.status, reply.content) == (200, b"")


async def test_a_form_is_urlencoded():
    async with Client(echo, lifespan=False) as client:
        reply = await client.post("/", data={"name": "Ada L", "age": 36})

    assert reply.json()["body"] == ["name=Ada+L&age=36"]
    assert reply.json()["headers"]["content-type"] == "application/x-www-form-urlencoded"


async def test_a_body_may_come_in_chunks():
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with Client(echo, lifespan=False) as client:
        from_async = await client.post("/", content=chunks())
        from_list = await client.post("/", content=[b"one", b"two"])

    assert from_async.json() == from_list.json()
    assert from_async.json()["body"] == ["one", "two", ""]
    assert from_async.json()["headers"]["transfer-encoding"] == "chunked"


async def test_chunks_are_asked_for_when_the_application_receives():
    events = []

    async def chunks():
        for name in ("one", "two"):
            events.append(f"{name} asked for")
            yield name.encode()

    async def app(scope, receive, send):
        await receive()
        await anyio.wait_all_tasks_blocked()
        events.append("first received")
        await send(start())
        await send(body())

    async with Client(app, lifespan=False) as client:
        reply = await client.post("/", content=chunks())
        await reply.finished()

    assert events == ["one asked for", "two asked for", "first received"]


async def test_two_bodies_are_refused():
    async with Client(echo, lifespan=False) as client:
        with pytest.raises(ValueError, match="one body, not json and data"):
            await client.post("/", json={}, data={})


async def test_a_request_outside_the_block_is_refused():
    client = Client(echo)

    with pytest.raises(RuntimeError, match="async with Client"):
        await client.get("/")


async def test_headers_are_found_in_any_case_and_repeated_ones_as_a_list():
    raw = [(b"Content-Type", b"text/plain; charset=latin-1"), (b"X-A", b"1"), (b"x-a", b"2")]
    async with Client(answers(start(headers=raw), body(b"\xe9"))) as client:
        reply = await client.get("/")

    assert dict(reply.headers) == {"content-type": "text/plain; charset=latin-1", "x-a": "1, 2"}
    assert reply.headers.getlist("X-a") == ["1", "2"]
    assert (len(reply.headers), "missing" in reply.headers, reply.text) == (2, False, "\xe9")
    assert repr(ReplyHeaders([(b"a", b"b")])) == "ReplyHeaders([(b'a', b'b')])"


async def test_cookies_are_kept_until_they_are_deleted():
    async def home(request):
        response = PlainTextResponse(request.headers.get("cookie", "none"))
        match request.query_params.get("do"):
            case "set":
                response.set_cookie("a", "1")
                response.set_cookie("b", "2", max_age=60)
            case "delete":
                response.delete_cookie("a")
            case "expire":
                response.headers["set-cookie"] = "b=; expires=Thu, 01 Jan 1970 00:00:00 GMT"
        return response

    seen = []
    async with Client(Route("/", home), lifespan=False) as client:
        for path in ("/?do=set", "/?do=delete", "/?do=expire", "/"):
            seen.append((await client.get(path)).text)
        seen.append((await client.get("/", cookies={"once": "1"})).text)
        seen.append((await client.get("/")).text)

    assert seen == ["none", "a=1; b=2", "b=2", "none", "once=1", "none"]


# Lifespan


async def test_the_lifespan_surrounds_everything_and_gives_its_state():
    events = []
    go_on = anyio.Event()

    @asynccontextmanager
    async def lifespan(app):
        events.append("startup")
        yield {"pool": "open"}
        events.append("shutdown")

    async def task():
        await go_on.wait()
        events.append("task")

    async def home(request):
        events.append(request.state.pool)
        request.state.pool = "mine"
        return PlainTextResponse("", background=StarletteTask(task))

    async with Client(Starlette(routes=[Route("/", home)], lifespan=lifespan)) as client:
        await client.get("/")
        await client.get("/")
        go_on.set()

    assert events == ["startup", "open", "open", "task", "task", "shutdown"]


async def test_a_startup_that_fails_raises_its_own_exception():
    @asynccontextmanager
    async def lifespan(app):
        raise ValueError("no database")
        yield

    with pytest.raises(ValueError, match="no database"):
        async with Client(Starlette(lifespan=lifespan)):
            pytest.fail("the block must not run")


async def test_a_startup_that_only_says_failed_raises_the_message():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match=r"lifespan\.startup\.failed: no database"):
        async with Client(app):
            pytest.fail("the block must not run")


async def test_a_shutdown_that_fails_is_raised():
    @asynccontextmanager
    async def lifespan(app):
        yield
        raise ValueError("cannot close")

    with pytest.raises(ValueError, match="cannot close"):
        async with Client(Starlette(lifespan=lifespan)):
            pass


async def test_the_shutdown_runs_when_the_block_fails():
    events = []

    @asynccontextmanager
    async def lifespan(app):
        yield
        events.append("shutdown")

    with pytest.raises(KeyError):
        async with Client(Starlette(lifespan=lifespan)):
            raise KeyError

    assert events == ["shutdown"]


async def test_an_application_without_lifespan_is_served():
    async with Client(answers(start(), body(b"hi"))) as client:
        reply = await client.get("/")

    assert reply.text == "hi"


async def test_a_call_without_lifespan_is_served_though_it_answers_one_as_a_request():
    async def app(scope, receive, send):
        await send(start())
        await send(body(b"hi"))

    async with Client(app) as client:
        reply = await client.get("/")

    assert reply.text == "hi"


async def test_what_a_request_has_not_is_refused():
    async with Client(answers(start(), body(b"hi"))) as client:
        with pytest.raises(TypeError, match="a request has no 'files'; known: content, cookies"):
            await client.post("/", files={})
        with pytest.raises(TypeError, match="a request has no 'follow_redirects'"):
            await client.stream("GET", "/", follow_redirects=True).__aenter__()


@pytest.mark.parametrize(
    "field",
    [
        "a=b; Expires=0",
        "a=b; Path=/; Secure; Partitioned",
        "a=b; Priority=High",
        'a={"x": 1}; httponly',
        "a=b c",
        f"a=b; max-age={'9' * 5000}",
        "a=b; expires=Sun, 31 Dec 9999 23:59:59 -0100",
        "a=b; Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)
async def test_a_cookie_is_read_as_browsers_do(field):
    app = answers(start(headers=[(b"set-cookie", field.encode())]), body())

    async with Client(app) as client:
        await client.get("/")

        assert client.cookies == {"a": field.partition(";")[0][2:]}


@pytest.mark.parametrize(
    "rest", ["max-age=0", "Max-Age=-1; expires=Fri, 31 Dec 9999 23:59:59 GMT", "expires=%s"]
)
async def test_a_cookie_that_is_over_is_gone(rest):
    field = f"a=b; {rest}".replace("%s", "Thu, 01 Jan 1970 00:00:00 GMT")
    app = answers(start(headers=[(b"set-cookie", field.encode())]), body())

    async with Client(app) as client:
        client.cookies["a"] = "old"
        await client.get("/")

        assert client.cookies == {}


async def test_a_charset_ends_where_the_next_parameter_begins():
    kind = (b"content-type", b"text/x; Charset=UTF-8; escaping=underscores")

    async with Client(answers(start(headers=[kind]), body("ü".encode()))) as client:
        reply = await client.get("/")

    assert reply.text == "ü"


async def test_chunks_of_a_stream_that_broke_end_with_its_exception():
    async def parts():
        yield "one"
        raise ValueError("disk failed")

    async def stream(request):
        return StreamingResponse(parts())

    chunks = []
    async with Client(Starlette(routes=[Route("/", stream)]), raise_background=False) as client:
        with pytest.raises(ValueError, match="disk failed"):
            async with client.stream("GET", "/") as reply:
                async for chunk in reply.chunks():
                    chunks.append(chunk)

    assert chunks == [b"one"]


# The fixture


async def test_the_fixture_asgi_client_is_the_client(asgi_client):  # noqa: F811
    async with asgi_client(answers(start(), body(b"hi"))) as client:
        reply = await client.get("/")

    assert reply.text == "hi"


def test_the_plugin_is_light_and_the_client_needs_no_pytest():
    script = """
import sys, miniasgi.pytest_plugin
print([name for name in ("miniasgi.testing", "miniasgi.timeline") if name in sys.modules])
del sys.modules["pytest"]
import miniasgi.testing, miniasgi.timeline
print("pytest" in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.splitlines() == ["[]", "False"], done.stderr

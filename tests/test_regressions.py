"""One test for each mistake that a review found, so that none of them comes back."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from unittest.mock import Mock

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse as StarletteText
from starlette.routing import Route as StarletteRoute

from miniasgi import (
    BackgroundTask,
    BackgroundTasks,
    FileResponse,
    HTTPException,
    Middleware,
    MiniASGI,
    Mount,
    PlainTextResponse,
    Request,
    Response,
    Route,
    Router,
    StreamingResponse,
)
from miniasgi.concurrency import threads_here
from miniasgi.testing import Client
from tests.asgi import PATIENCE, body_of, call, headers_of, http, receiving, request, sending, serve

pytestmark = pytest.mark.anyio


class Promise:
    """A durable background: told everything, and slow to let go."""

    def __init__(self, order, name="promise", trouble=None):
        self.order, self.name, self.trouble, self.result = order, name, trouble, None

    def __background__(self):
        return self

    async def accept(self, *others):
        self.order.append(f"{self.name} accepted")

    async def __call__(self):
        self.order.append(f"{self.name} runs")

    async def abandon(self, because):
        await anyio.lowlevel.checkpoint()
        self.order.append(f"{self.name} abandoned")
        if self.trouble is not None:
            raise self.trouble


def answering(answer):
    """An application with one endpoint, which returns this response, or raises this exception."""

    async def endpoint(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return MiniASGI(routes=[Route("/", endpoint)])


# Background tasks


async def test_fifteen_hundred_tasks_of_one_response_all_run():
    order = []

    tasks = BackgroundTasks([BackgroundTask(order.append, number) for number in range(1500)])

    await serve(Response(background=tasks), http(), receiving(), sending([]))

    assert order == list(range(1500))


async def test_a_mock_is_a_task_with_a_name():
    mock = Mock()
    task = BackgroundTask(mock, 1)

    await task()

    assert task.name == "Mock"
    mock.assert_called_once_with(1)


FORK = """
import asyncio, os, signal, sys
from miniasgi import BackgroundTask
asyncio.run(BackgroundTask(print, "parent", flush=True)())
child = os.fork()
if child == 0:
    signal.alarm(int(sys.argv[1]))  # ends a child whose task never runs
    asyncio.run(BackgroundTask(print, "child", flush=True)())
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork here")
def test_a_forked_child_has_threads_of_its_own_for_plain_tasks():
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(int(PATIENCE))]

    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE)

    assert (done.stdout.split(), done.returncode) == (["parent", "child"], 0), done.stderr


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_future_that_somebody_else_cancelled_is_a_failure_and_not_a_cancel(caplog):
    future = asyncio.get_running_loop().create_future()
    future.cancel()

    async def wait_for_it():
        await future

    await call(answering(Response(background=BackgroundTask(wait_for_it))))

    [message] = caplog.messages
    assert "in background task 'wait_for_it'" in message
    assert "it awaited something that somebody else had cancelled" in message


async def test_a_task_that_is_really_cancelled_raises_the_cancel_on(caplog):
    order = []

    async def wait():
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        try:
            await BackgroundTask(wait)()
        except anyio.get_cancelled_exc_class():
            order.append("raised on")
            raise

    assert order == ["raised on"]
    assert caplog.messages == ["background task 'wait' was cancelled before its end"]


async def test_a_cancelled_response_still_abandons_to_the_end():
    order = []
    response = Response(background=Promise(order))

    with anyio.CancelScope() as scope:

        async def send(message):
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        await response(http(), receiving(), send)

    assert order == ["promise accepted", "promise abandoned"]


async def test_a_task_that_cannot_be_abandoned_does_not_keep_the_next(caplog):
    order = []
    first = Promise(order, "first", ValueError("stuck"))
    tasks = BackgroundTasks([first, Promise(order, "second")])

    await tasks.abandon(OSError("gone"))

    assert order == ["first abandoned", "second abandoned"]
    assert "ValueError('stuck')" in caplog.text


async def test_a_durable_task_added_by_a_running_one_is_accepted_before_it_is_called():
    order = []
    tasks = BackgroundTasks()
    tasks.add_task(lambda: tasks.add_task(Promise(order)))

    await serve(Response(background=tasks), http(), receiving(), sending(order))

    assert order == ["start 200", "body ''", "promise accepted", "promise runs"]


async def test_the_log_of_tasks_that_all_ran_names_those_that_failed(caplog):
    tasks = [BackgroundTask(int, "one"), BackgroundTask(int, "1"), BackgroundTask(open, "")]
    tasks = BackgroundTasks(tasks, on_error="continue")

    await call(answering(Response(background=tasks)))

    [message] = caplog.messages
    assert "in background task 'int'; in background task 'open'" in message


async def test_an_exception_that_is_raised_twice_gets_its_note_once():
    again = ValueError("again")
    task = BackgroundTask(Mock(side_effect=again))

    for _ in range(2):
        with pytest.raises(ValueError, match="again"):
            await task()

    assert again.__notes__ == ["in background task 'Mock'"]


async def test_applications_with_threads_of_their_own_leave_none_behind():
    order, before = [], threads_here.get()

    async def home(request):
        order.append(threads_here.get().limit)
        return Response()

    for count in (2, 3):
        await call(MiniASGI(routes=[Route("/", home)], background_threads=count))

    assert order == [2, 3]
    assert threads_here.get() is before


def test_an_application_without_background_threads_is_refused():
    with pytest.raises(ValueError, match="at least one thread"):
        MiniASGI(background_threads=0)


# One body for all who read it


async def test_an_exception_handler_reads_the_body_that_the_endpoint_has_read():
    async def fail(request):
        raise ValueError(await request.json())

    async def show(request, exc):
        return Response(await request.body())

    app = MiniASGI(routes=[Route("/", fail)], exception_handlers={ValueError: show})

    sent = await call(app, http(), request(b"[1,", True), request(b"2]"))

    assert body_of(sent) == b"[1,2]"


async def echo(request):
    return Response(await request.body())


async def read_and_sign(request, call_next):
    body = await request.body()
    response = await call_next(request)
    response.headers["x-read"] = str(len(body))
    return response


async def test_a_function_reads_the_body_before_a_mount_and_signs_its_response():
    below = Mount("/m", routes=[Route("/", echo)])
    app = MiniASGI(routes=[below], middleware=[Middleware(read_and_sign)])

    sent = await call(app, http("/m/"), request(b"abc"))

    assert (body_of(sent), headers_of(sent)["x-read"]) == (b"abc", "3")


async def test_a_receive_of_a_middleware_is_another_body():
    order = []

    def changing(app):
        async def changed(scope, receive, send):
            order.append(await Request(scope, receive).body())
            await app(scope, receiving(request(b"changed")), send)

        return changed

    app = MiniASGI(routes=[Route("/", echo)], middleware=[Middleware(changing)])

    order.append(body_of(await call(app, http(), request(b"sent"))))

    assert order == [b"sent", b"changed"]


async def test_nobody_takes_the_rest_of_a_body_that_was_too_long_for_the_whole():
    scope = http(app=MiniASGI(max_body_size=3))
    asked = Request(scope, receiving(request(b"long", True), request(b"er")))

    with pytest.raises(HTTPException, match="413"):
        await asked.body()
    with pytest.raises(RuntimeError, match="already read"):
        await asked.body()


async def test_a_body_whose_reading_was_cancelled_is_read_on_to_the_whole():
    messages = [request(b"ab", True)]

    async def receive():
        if not messages:
            scope.cancel()
            await anyio.sleep_forever()
        return messages.pop(0)

    asked = Request(http(), receive)
    with anyio.CancelScope() as scope:
        await asked.body()
    messages.append(request(b"cd"))

    assert await asked.body() == b"abcd"


def test_a_request_is_the_mapping_of_its_scope_and_equal_to_no_other():
    scope = http("/path")
    asked = Request(scope)

    assert "path" in asked
    assert (asked.get("path"), asked.get("nothing")) == ("/path", None)
    assert (list(asked), len(asked)) == (list(scope), len(scope))
    assert len({asked, Request(scope)}) == 2


async def test_a_form_with_files_and_without_its_parser_says_what_to_install(monkeypatch):
    for name in ("", ".exceptions", ".multipart"):
        monkeypatch.setitem(sys.modules, f"python_multipart{name}", None)
    plain = {"content-type": "application/x-www-form-urlencoded"}
    with_files = {"content-type": "multipart/form-data; boundary=cut"}

    form = await Request(http(headers=plain), receiving(request(b"a=1"))).form()
    with pytest.raises(RuntimeError, match=r"pip install 'miniasgi\[forms\]'"):
        await Request(http(headers=with_files), receiving(request(b"--cut--"))).form()

    assert dict(form) == {"a": "1"}


# Answers


class Foreign(Exception):
    def __init__(self, status_code):
        super().__init__("password=hunter2")
        self.status_code = status_code


async def test_the_text_of_an_exception_that_is_not_ours_goes_to_the_log_alone(caplog):
    sent = await call(answering(Foreign(401)))

    assert (sent[0]["status"], body_of(sent)) == (401, b"Unauthorized")
    assert "password=hunter2" in caplog.text


async def test_a_status_code_that_is_none_is_a_500():
    order = []

    with pytest.raises(Foreign):
        await serve(answering(Foreign(-1)), http(), receiving(), sending(order))

    assert order == ["start 500", "body 'Internal Server Error'"]


async def test_an_endpoint_that_returns_a_class_is_named():
    async def forgot_to_call(request):
        return Response

    with pytest.raises(TypeError, match="forgot_to_call returned"):
        await call(MiniASGI(routes=[Route("/", forgot_to_call)]))


@pytest.mark.parametrize(("path", "status"), [("/m/", 405), ("/m/nowhere", 404)])
async def test_a_router_in_another_framework_answers_what_it_misses(path, status):
    app = Starlette()
    app.mount("/m", Router([Route("/", echo)]))

    sent = await call(app, http(path, "POST"))

    assert sent[0]["status"] == status


async def test_a_client_that_left_before_a_416_leaves_the_background_to_run(tmp_path):
    order = []
    (tmp_path / "file").write_bytes(b"abc")
    response = FileResponse(tmp_path / "file", background=Promise(order))

    async def send(message):
        order.append(message["type"])
        raise OSError("gone")

    await serve(response, http(headers={"range": "bytes=9-"}), receiving(), send)

    assert order == ["promise accepted", "http.response.start", "promise runs"]


async def test_one_file_response_sends_the_length_of_the_file_as_it_is(tmp_path):
    path = tmp_path / "file"
    response, lengths = FileResponse(path), []

    for content in (b"abc", b"abcdef"):
        path.write_bytes(content)
        sent = await call(response)
        lengths.append((headers_of(sent)["content-length"], body_of(sent)))

    assert lengths == [("3", b"abc"), ("6", b"abcdef")]


async def test_what_receive_raises_while_a_stream_is_sent_comes_out_as_itself():
    async def receive():
        raise HTTPException(413)

    async def chunks():
        yield b"a"
        await anyio.sleep_forever()

    with pytest.raises(HTTPException, match="413"):
        await serve(StreamingResponse(chunks()), http(), receive, sending([]))


async def test_failures_of_promises_are_grouped_as_those_of_tasks_are():
    class Failing(Promise):
        async def __call__(self):
            raise ValueError("durable failed")

    tasks = BackgroundTasks([Failing([], "one")], on_error="continue")
    await tasks.accept()

    with pytest.raises(ExceptionGroup) as caught:
        await tasks()

    assert [repr(exc) for exc in caught.value.exceptions] == ["ValueError('durable failed')"]


async def test_an_abandon_behind_a_cancelled_task_comes_to_its_end():
    order = []

    async def wait():
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        tasks = BackgroundTasks(
            [BackgroundTask(wait), Promise(order, "one"), Promise(order, "two")]
        )
        await tasks.accept()
        await tasks()

    assert order[-2:] == ["one abandoned", "two abandoned"]


async def test_a_last_resort_reads_the_body_that_a_middleware_has_passed_on():
    def counting(app):
        async def counted(scope, receive, send):
            async def passing():
                return await receive()

            await app(scope, passing, send)

        return counted

    async def fail(request):
        await request.body()
        raise KeyError("after the body")

    async def show(request, exc):
        return Response(b"got " + await request.body(), 500)

    app = MiniASGI(
        routes=[Route("/", fail, methods=["POST"])],
        middleware=[Middleware(counting)],
        exception_handlers={Exception: show},
    )
    messages = []

    async def send(message):
        messages.append(message)

    with anyio.fail_after(PATIENCE), pytest.raises(KeyError):
        await app(http("/", "POST"), receiving(request(b"abc")), send)

    assert body_of(messages) == b"got abc"


# What a port from Starlette ran into


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("@evil.example/x", "http://good.example/@evil.example/x"),
        ("*", "http://good.example/*"),
        ("http://other.example/x", "http://good.example/http://other.example/x"),
        ("", "http://good.example"),
    ],
)
async def test_no_path_reaches_into_the_authority_of_the_url(path, url):
    asked = Request(http(path, headers=[(b"host", b"good.example")]))

    assert (str(asked.url), asked.url.hostname) == (url, "good.example")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_long_poll_under_the_test_client_sees_the_client_leave(backend):
    async def long_poll(request):
        while not await request.is_disconnected():
            await anyio.lowlevel.checkpoint()
        return PlainTextResponse("nobody is there")

    async def main():
        seen = []
        for app in (MiniASGI(routes=[Route("/", long_poll)]), STARLETTE_POLL):
            async with Client(app, raise_background=False) as client:
                reply = await client.get("/", disconnect="request")
                await reply.finished()
                seen.append(reply.events[-1])
        return seen

    assert anyio.run(main, backend=backend) == ["app returned"] * 2


async def _starlette_poll(request):
    while not await request.is_disconnected():
        await anyio.lowlevel.checkpoint()
    return StarletteText("nobody is there")


STARLETTE_POLL = Starlette(routes=[StarletteRoute("/", _starlette_poll)])


async def test_a_stream_that_fails_as_the_client_leaves_is_a_failure():
    order, gone = [], anyio.Event()

    async def chunks():
        await gone.wait()
        raise ValueError("disk failed")
        yield b""

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    response = StreamingResponse(chunks(), background=Promise(order))
    scope = http() | {"asgi": {"spec_version": "2.3"}}
    async with anyio.create_task_group() as group:

        @group.start_soon
        async def leave():
            await anyio.wait_all_tasks_blocked()
            gone.set()

        with pytest.raises(ValueError, match="disk failed"):
            await response(scope, receive, sending([]))

    assert order == ["promise accepted", "promise abandoned"]


@pytest.mark.parametrize("path", ["/api/sub/x", "/sub/x"], ids=["whole", "without the prefix"])
async def test_a_mount_keeps_the_prefix_of_the_proxy_in_front(path):
    seen = []

    async def inner(scope, receive, send):
        seen.append((scope["root_path"], scope["path"]))
        await PlainTextResponse("")(scope, receive, send)

    app = MiniASGI(routes=[Mount("/sub", inner)])
    await call(app, http(path) | {"root_path": "/api"})

    assert seen == [("/api/sub", "/api/sub/x")]


async def test_a_shutdown_that_fails_does_not_hide_a_task_that_failed():
    async def fail():
        raise KeyError("the task")

    async def home(request):
        return PlainTextResponse("", background=BackgroundTask(fail))

    @asynccontextmanager
    async def lifespan(app):
        yield
        raise RuntimeError("the pool")

    with pytest.raises(RuntimeError, match="the pool") as caught:
        async with Client(MiniASGI(routes=[Route("/", home)], lifespan=lifespan)) as client:
            await client.get("/")

    assert caught.value.__notes__ == ["and an application had raised KeyError('the task')"]


async def test_an_asgi_application_is_no_endpoint_and_the_error_says_what_to_do():
    async def app(scope, receive, send): ...

    with pytest.raises(TypeError, match="is an ASGI application: mount it"):
        Route("/", app)


async def test_the_answer_of_a_mounted_application_to_an_error_is_not_taken_for_its_end():
    async def boom(request):
        raise ValueError("before any byte")

    app = MiniASGI(routes=[Mount("/sub", MiniASGI(routes=[Route("/boom", boom)]))])
    sent = []

    with pytest.raises(ValueError, match="before any byte"):
        await app(http("/sub/boom"), receiving(), sending(sent))

    assert sent[0] == "start 500"


async def test_a_failing_task_after_a_file_that_the_server_sends_is_contained(caplog):
    async def theirs(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/etc/hostname"})
        raise ValueError("the task")

    await call(MiniASGI(routes=[Mount("/", theirs)]))

    assert "an exception after the response" in caplog.text


async def test_a_form_says_its_charset_and_an_unknown_one_is_utf_8():
    body = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n--B--\r\n'
    found = []
    for charset, text in (("latin-1", b"\xfc"), ("utf-8", b"\xc3\xbc"), ("nonsense", b"\xc3\xbc")):
        kind = f"multipart/form-data; boundary=B; charset={charset}".encode()
        asked = Request(
            http("/", "POST", headers=[(b"content-type", kind)]), receiving(request(body % text))
        )
        found.append((await asked.form())["a"])

    assert found == ["ü"] * 3


async def test_a_cookie_is_deleted_by_path_and_domain_in_their_places():
    response = PlainTextResponse("")
    response.delete_cookie("a", "/x", "example.org")

    assert "Path=/x" in response.headers["set-cookie"]
    assert "Domain=example.org" in response.headers["set-cookie"]

"""Recording of `miniasgi.timeline`: what is recorded, in which order, and what follows from it."""

import json

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask as StarletteTask
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from miniasgi.background import BackgroundTask
from miniasgi.events import tell
from miniasgi.pytest_plugin import timeline  # noqa: F401 (also where it is not installed)
from miniasgi.testing import Client
from miniasgi.timeline import Bar, Moment, Recorder, Recording, TimelineMiddleware, mark
from miniasgi.timeline.recorder import MOST


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(recording):
    return [f"{moment.place}: {moment.kind} {moment.name}".rstrip() for moment in recording.moments]


async def signup(scope, receive, send):
    """A response by hand, with a background task on the loop and one in a thread."""

    async def send_email():
        mark("smtp connected")

    def write_log():
        mark("log open")

    tasks = [BackgroundTask(send_email), BackgroundTask(write_log)]
    await receive()
    tell("accept")
    await send({"type": "http.response.start", "status": 202, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": b"hi", "more_body": True})
    await send({"type": "http.response.body"})
    for task in tasks:
        await task()


async def fails(scope, receive, send):
    raise ValueError("no database")


# What is recorded


@pytest.mark.anyio
async def test_a_call_is_recorded_in_its_order():
    recorder = Recorder()

    async with Client(TimelineMiddleware(signup, recorder), lifespan=False) as client:
        reply = await client.post("/signup", content=b"Ada")
        await reply.finished()

    assert told(recorder.recording()) == [
        "server: app.start POST /signup",
        "server: receive request",
        "event loop: accept",
        "server: response.start",
        "server: response.body",
        "server: response.body",
        "server: response.end",
        "event loop: task.start send_email",
        "event loop: mark smtp connected",
        "event loop: task.end send_email",
        "worker thread: task.start write_log",
        "worker thread: mark log open",
        "event loop: task.end write_log",
        "server: app.end POST /signup",
    ]
    assert [m.detail for m in recorder.recording().moments if m.detail] == [
        "3 bytes",
        "202",
        "2 bytes",
        "0 bytes",
    ]


@pytest.mark.anyio
async def test_the_application_sees_the_same_messages_in_the_same_order():
    async with Client(signup, lifespan=False) as client:
        bare = await client.post("/", content=b"Ada")
        await bare.finished()
    async with Client(TimelineMiddleware(signup), lifespan=False) as client:
        recorded = await client.post("/", content=b"Ada")
        await recorded.finished()

    assert recorded.messages == bare.messages
    assert recorded.events == bare.events


@pytest.mark.anyio
async def test_starlette_is_recorded_unchanged():
    recorder = Recorder()

    async def home(request):
        return PlainTextResponse("hi", background=StarletteTask(mark, "task"))

    app = Starlette(routes=[Route("/", home)])
    async with Client(TimelineMiddleware(app, recorder)) as client:
        await client.get("/")

    assert told(recorder.recording()) == [
        "server: app.start GET /",
        "server: response.start",
        "server: response.body",
        "server: response.end",
        "worker thread: mark task",
        "server: app.end GET /",
    ]


@pytest.mark.anyio
async def test_an_exception_is_recorded_and_passed_on():
    recorder = Recorder()

    async with Client(TimelineMiddleware(fails, recorder), lifespan=False) as client:
        with pytest.raises(ValueError, match="no database"):
            await client.get("/")

    assert told(recorder.recording()) == ["server: app.start GET /", "server: app.failed GET /"]
    assert recorder.recording().moments[-1].detail == "ValueError"


@pytest.mark.anyio
async def test_a_cancel_is_recorded_and_passed_on():
    recorder = Recorder()

    async def app(scope, receive, send):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await TimelineMiddleware(receive_for_ever, recorder)({**request}, receive, send)
        await signup(request, receive, send)

    async def receive_for_ever(scope, receive, send):
        await anyio.sleep_forever()

    request = {"type": "http", "method": "GET", "path": "/"}
    async with Client(app, lifespan=False) as client:
        await client.get("/")

    assert told(recorder.recording()) == ["server: app.start GET /", "server: app.cancelled GET /"]


@pytest.mark.anyio
async def test_what_is_not_http_is_left_alone():
    recorder = Recorder()
    events = []

    async def app(scope, receive, send):
        events.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})

    async with Client(TimelineMiddleware(app, recorder)):
        pass

    assert events == ["lifespan.startup"]
    assert recorder.recording().moments == ()


@pytest.mark.anyio
async def test_requests_are_numbered_and_keep_their_own_moments():
    recorder = Recorder()
    go_on = anyio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
        if scope["path"] == "/1":
            await go_on.wait()
        mark(scope["path"])

    async with Client(TimelineMiddleware(app, recorder), lifespan=False) as client:
        await client.get("/1")
        second = await client.get("/2")
        await second.finished()
        go_on.set()

    marks = [m for m in recorder.recording().moments if m.kind == "mark"]
    assert [(m.request, m.name) for m in marks] == [(2, "/2"), (1, "/1")]


@pytest.mark.anyio
async def test_server_timing_is_added_when_asked_for():
    app = TimelineMiddleware(signup, server_timing=True)

    async with Client(app, lifespan=False) as client:
        reply = await client.get("/")

    name, _, milliseconds = reply.headers["server-timing"].partition(";dur=")
    assert (name, float(milliseconds) >= 0, reply.headers["x-a"]) == ("app", True, "1")


@pytest.mark.anyio
async def test_only_the_newest_requests_are_kept():
    recorder = Recorder(keep=2)

    async with Client(TimelineMiddleware(signup, recorder), lifespan=False) as client:
        for path in ("/1", "/2", "/3"):
            reply = await client.get(path)
            await reply.finished()

    calls = [m.name for m in recorder.recording().moments if m.kind == "app.start"]
    assert calls == ["GET /2", "GET /3"]
    assert [m.request for m in recorder.recording().newest(1).moments if m.kind == "accept"] == [3]


def test_a_moment_of_a_forgotten_request_is_forgotten_too():
    recorder = Recorder(keep=1)
    first, second = recorder.begin(), recorder.begin()

    for request in (first, second):
        recorder.add(Moment.now("server", "app.end", request=request))

    assert [m.request for m in recorder.recording().moments] == [second]


def test_a_stream_for_days_keeps_its_first_messages_and_its_end():
    recorder = Recorder()
    request = recorder.begin()

    for kind in ["app.start", *["response.body"] * 2 * MOST, "app.end"]:
        recorder.add(Moment.now("server", kind, request=request))

    kinds = [m.kind for m in recorder.recording().moments]
    assert kinds == ["app.start", *["response.body"] * (MOST - 1), "app.end"]


def test_outside_of_requests_the_newest_moments_are_kept():
    recorder = Recorder()

    with recorder.listening():
        for number in range(MOST + 1):
            mark(str(number))

    names = [m.name for m in recorder.recording().moments]
    assert names == [str(number) for number in range(1, MOST + 1)]


def test_a_recorder_may_name_its_own_place():
    recorder = Recorder("queue worker")

    with recorder.listening():
        mark("job taken")

    assert told(recorder.recording()) == ["queue worker: mark job taken"]


def test_a_moment_says_where_it_was():
    import os
    import threading

    moment = Moment.now("server", "mark")

    here = (os.getpid(), threading.get_native_id(), threading.current_thread().name)
    assert (moment.process, moment.thread, moment.thread_name) == here


# The fixture


def test_the_fixture_listens_in_a_plain_test(timeline):  # noqa: F811
    mark("here")

    assert told(timeline.recording()) == ["event loop: mark here"]


@pytest.mark.anyio
async def test_the_fixture_listens_in_an_async_test_and_counts_once(timeline):  # noqa: F811
    async with Client(TimelineMiddleware(signup, timeline), lifespan=False) as client:
        reply = await client.get("/")
        await reply.finished()
        mark("after")

    marks = [(m.request, m.name) for m in timeline.recording().moments if m.kind == "mark"]
    assert marks == [(1, "smtp connected"), (1, "log open"), (0, "after")]


class TestMethods:
    @pytest.mark.anyio
    async def test_the_fixture_listens_in_a_method(self, timeline):  # noqa: F811
        mark("here")

        assert told(timeline.recording()) == ["event loop: mark here"]


# What follows from a recording


def moment(at, place, kind, name="", **more):
    return Moment(at, place, kind, name, **{"request": 1, "process": 1, **more})


def test_recordings_of_two_processes_are_added_on_one_clock():
    server = Recording([moment(3, "server", "app.end"), moment(2, "server", "app.start")])
    client = Recording([moment(1, "client", "request.start"), moment(4, "client", "request.end")])

    kinds = [m.kind for m in (server + client).moments]

    assert kinds == ["request.start", "app.start", "app.end", "request.end"]


def test_a_recording_survives_json():
    recording = Recording([Moment.now("client", "mark", 'quote " and \u00e9', "detail", 7)])

    assert Recording.from_json(recording.to_json()) == recording
    assert json.loads(recording.to_json())["moments"][0]["place"] == "client"


def test_bars_are_what_starts_and_ends_by_request_and_name():
    one = moment(1, "event loop", "task.start", "a")
    other = moment(2, "event loop", "task.start", "a", request=2)
    lost = moment(3, "event loop", "task.start", "b")
    other_end = moment(4, "event loop", "task.failed", "a", request=2)
    one_end = moment(5, "event loop", "task.end", "a")
    stray = moment(6, "event loop", "task.end", "c")

    recording = Recording([one, other, lost, other_end, one_end, stray])

    assert recording.bars() == [Bar(one, one_end), Bar(other, other_end), Bar(lost, None)]
    assert [bar.label for bar in recording.bars()] == ["a", "a (failed)", "b (open)"]
    assert recording.points() == [stray]


def test_lanes_are_places_and_what_overlaps_has_a_row_of_its_own():
    recording = Recording(
        [
            moment(1, "worker thread", "task.start", "a"),
            moment(1, "server", "app.start"),
            moment(2, "server", "response.start"),
            moment(3, "server", "response.end"),
            moment(3, "worker thread", "task.start", "b"),
            moment(4, "worker thread", "task.end", "a"),
            moment(4, "worker thread", "task.start", "c"),
            moment(5, "worker thread", "mark", "in b", request=1),
            moment(6, "server", "app.end"),
            moment(6, "client", "connection closed"),
        ]
    )

    rows = {
        place: [[bar.label for bar in row.bars] for row in rows]
        for place, rows in recording.lanes().items()
    }

    assert rows == {
        "client": [[]],
        "server": [["app", "response"]],
        "worker thread": [["a", "c (open)"], ["b (open)"]],
    }


def test_durations_tell_the_response_from_the_background():
    second = 10**9
    recording = Recording(
        [
            moment(1 * second, "server", "app.start"),
            moment(2 * second, "server", "response.start"),
            moment(4 * second, "server", "response.end"),
            moment(9 * second, "server", "app.failed"),
        ]
    )

    assert recording.durations() == {
        "first_byte": 1.0,
        "last_byte": 3.0,
        "background": 5.0,
        "returned": 8.0,
    }


def test_durations_leave_out_what_did_not_happen():
    recording = Recording(
        [
            moment(0, "server", "app.start"),
            moment(10**9, "server", "response.start"),
            moment(2 * 10**9, "server", "app.start", request=2),
        ]
    )

    assert recording.durations() == {}
    assert Recording(recording.moments[:2]).durations() == {"first_byte": 1.0}
    assert Recording().durations() == {}


def test_the_answer_is_there_when_the_client_says_so_or_else_the_server():
    server = Recording([moment(1, "server", "app.start"), moment(2, "server", "response.end")])
    client = Recording([moment(3, "client", "request.end")])

    assert Recording().answered_at() is None
    assert server.answered_at() == 2
    assert (server + client).answered_at() == 3

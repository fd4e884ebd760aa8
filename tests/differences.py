"""Where we do not do as Starlette does, on purpose: what was asked, what each does, and why.

`DIFFERENCES` is data, and every entry is asked of both libraries by a test. What they do is told in
words: the messages of `tests.asgi.words`, and how the call ended.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

import miniasgi
from miniasgi.types import ASGIApp, Message, Scope
from tests.asgi import body_of, headers_of, http, receiving, request
from tests.libraries import Lib, Teapot, failing, handler, outcome, show, told

#: A file that is there wherever these tests run.
A_FILE = Path(miniasgi.__file__)


@dataclass(frozen=True)
class Difference:
    """What both do when asked the same, and why we do not do as Starlette does."""

    what: str
    starlette: str
    miniasgi: str
    why: str
    ask: Callable[[Lib], Awaitable[str]]


async def file_of_one_chunk(lib: Lib) -> str:
    messages, _ = await outcome(lib.FileResponse(A_FILE), http())
    last = "full" if messages[-1]["body"] else "empty"
    return f"{len(messages)} messages, the last of them {last}"


class Noting:
    """An awaitable that is no coroutine: Python does not warn about one that nobody awaited."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def __await__(self) -> Iterator[Any]:
        self.order.append("awaited")
        yield from ()


async def large_body(lib: Lib) -> str:
    return await told(lib.Response(b"x" * 65_537, background=lib.BackgroundTask(int)))


async def leave(response: ASGIApp, order: list[str]) -> str:
    """Call the response for a client that has left, on a server whose send says so."""

    async def send(message: Message) -> None:
        raise OSError("the client has left")

    try:
        await response(http(spec_version="2.4"), receiving(request()), send)
    except Exception as exc:
        return "; ".join([*order, f"raises {type(exc).__name__}"])
    return "; ".join([*order, "returns"])


async def client_leaves_a_stream(lib: Lib) -> str:
    order: list[str] = []
    task = lib.BackgroundTask(order.append, "task")
    return await leave(lib.StreamingResponse([b"a"], background=task), order)


async def client_leaves_a_whole_response(lib: Lib) -> str:
    order: list[str] = []
    task = lib.BackgroundTask(order.append, "task")
    return await leave(lib.Response(b"a", background=task), order)


async def generator_raises_oserror(lib: Lib) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("disk failed")

    return await told(lib.StreamingResponse(chunks()), http(spec_version="2.4"))


async def task_fails(lib: Lib) -> str:
    def fail() -> None:
        raise ValueError("no mail")

    async def home(asked: Any) -> Any:
        return lib.Response("hi", background=lib.BackgroundTask(fail))

    return await told(lib.App(routes=[lib.Route("/", home)]))


async def background_of_a_refused_range(lib: Lib) -> str:
    order: list[str] = []
    response = lib.FileResponse(A_FILE, background=lib.BackgroundTask(order.append, "task"))
    messages, _ = await outcome(response, http(headers={"range": "bytes=9999-"}))
    return "; ".join([str(messages[0]["status"]), *order])


async def several_ranges(lib: Lib) -> str:
    asked = http(headers={"range": "bytes=0-1,3-4"})
    messages, _ = await outcome(lib.FileResponse(A_FILE), asked)
    is_whole = body_of(messages) == A_FILE.read_bytes()
    return f"{messages[0]['status']}, {'whole' if is_whole else 'parts'}"


async def lambda_around_a_coroutine_function(lib: Lib) -> str:
    order: list[str] = []
    await lib.BackgroundTask(lambda: Noting(order))()
    return "; ".join(order) or "nothing"


async def coroutine_object(lib: Lib) -> str:
    async def send_email() -> None: ...

    coroutine = send_email()
    tasks = lib.BackgroundTasks()
    try:
        tasks.add_task(coroutine)
    except TypeError:
        return "refused at add_task"
    finally:
        coroutine.close()
    return (await told(lib.Response("hi", background=tasks))).partition(":")[0]


async def endpoint_that_gives_an_awaitable(lib: Lib) -> str:
    async def home(asked: Any) -> Any:
        return lib.Response("hi")

    class Awaitable:
        def __init__(self, asked: Any) -> None:
            self.asked = asked

        def __await__(self) -> Any:
            return home(self.asked).__await__()

    answer = await told(lib.App(routes=[lib.Route("/", lambda asked: Awaitable(asked))]))
    return answer.partition(";")[0]


async def endpoint_that_returns_none(lib: Lib) -> str:
    def forgetful(asked: Any) -> None:
        return None

    _, end = await outcome(lib.App(routes=[lib.Route("/", forgetful)]), http())
    return "names it" if "forgetful" in end else end


async def malformed_json(lib: Lib) -> str:
    async def read(asked: Any) -> Any:
        return lib.JSONResponse(await asked.json())

    app = lib.App(routes=[lib.Route("/", read, methods=["POST"])])
    messages, end = await outcome(app, http("/", "POST"), request(b"{"))
    return f"{messages[0]['status']}, {end.partition(':')[0]}"


async def half_a_character(lib: Lib) -> str:
    async def read(asked: Any) -> Any:
        return lib.JSONResponse(await asked.json())

    app = lib.App(routes=[lib.Route("/", read, methods=["POST"])])
    messages, _ = await outcome(app, http("/", "POST"), request(rb'"\ud800"'))
    return f"{messages[0]['status']} {body_of(messages).decode()}"


async def large_upload(lib: Lib) -> str:
    async def read(asked: Any) -> Any:
        return lib.PlainTextResponse(str(len(await asked.body())))

    chunks = [request(b"x" * 2**20, True)] * 64 + [request(b"x")]
    app = lib.App(routes=[lib.Route("/", read, methods=["POST"])])
    messages, _ = await outcome(app, http("/", "POST"), *chunks)
    return str(messages[0]["status"])


async def large_form_field(lib: Lib) -> str:
    async def read(asked: Any) -> Any:
        return lib.PlainTextResponse(str(len((await asked.form())["a"])))

    headers = {"content-type": "application/x-www-form-urlencoded"}
    app = lib.App(routes=[lib.Route("/", read, methods=["POST"])])
    body = request(b"a=" + b"x" * (2**20 + 1))
    messages, _ = await outcome(app, http("/", "POST", headers=headers), body)
    return str(messages[0]["status"])


async def asking_before_reading(lib: Lib) -> str:
    asked = lib.Request(http(), receiving(request(b"one ", True), request(b"two")))
    for _ in range(3):
        # Starlette's asks the server each time, and drops what it gets.
        await asked.is_disconnected()
    with anyio.move_on_after(0):
        return str((await asked.body()).decode())
    return "waits for ever"


async def number_of_5000_digits(lib: Lib) -> str:
    async def home(asked: Any) -> Any:
        return lib.Response()

    app = lib.App(routes=[lib.Route("/{x:int}", home)])
    messages, _ = await outcome(app, http("/" + "9" * 5000))
    return str(messages[0]["status"])


async def allowed_methods(lib: Lib) -> str:
    table = [lib.Route("/", show(lib)), lib.Route("/", show(lib), methods=["PUT"])]
    messages, _ = await outcome(lib.App(routes=table), http("/", "DELETE"))
    return ", ".join(sorted(dict(messages[0]["headers"])[b"allow"].decode().split(", ")))


async def handled_error_in_mid_stream(lib: Lib) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise Teapot("tea")

    async def home(asked: Any) -> Any:
        return lib.StreamingResponse(chunks())

    app = lib.App(routes=[lib.Route("/", home)], exception_handlers={Teapot: handler(lib, "no")})
    return (await told(app)).rpartition("; ")[2].partition(":")[0]


async def last_resort_in_mid_stream(lib: Lib) -> str:
    order: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise Teapot("tea")

    async def home(asked: Any) -> Any:
        return lib.StreamingResponse(chunks())

    async def sorry(asked: Any, exc: Exception) -> Any:
        order.append("the handler runs")
        return lib.Response("sorry", 500)

    await outcome(lib.App(routes=[lib.Route("/", home)], exception_handlers={500: sorry}), http())
    return "; ".join(order) or "nothing"


async def middleware_raises_401(lib: Lib) -> str:
    class Refuse:
        def __init__(self, app: ASGIApp) -> None: ...

        async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
            raise lib.HTTPException(401)

    messages, end = await outcome(lib.App(middleware=[lib.Middleware(Refuse)]), http())
    return f"{messages[0]['status']}, {end.partition(':')[0]}"


async def error_with_a_status_code(lib: Lib) -> str:
    class Unavailable(Exception):
        status_code = 503

    messages, end = await outcome(failing(lib, Unavailable()), http("/"))
    return f"{messages[0]['status']}, {end.partition(':')[0]}"


async def debug_for_a_browser(lib: Lib) -> str:
    app = failing(lib, ValueError("bad"), debug=True)
    messages, _ = await outcome(app, http("/", headers={"accept": "text/html"}))
    return headers_of(messages)["content-type"]


async def proxy_that_takes_the_root_path_off(lib: Lib) -> str:
    app = lib.App(routes=[lib.Mount("/in", routes=[lib.Route("/a", show(lib))])])
    messages, _ = await outcome(app, http("/in/a", root_path="/proxy"))
    return str(messages[0]["status"])


async def url_with_a_blank(lib: Lib) -> str:
    return str(lib.Request(http("/a b"), receiving()).url)


async def url_without_a_server(lib: Lib) -> str:
    return str(lib.Request(http("/a", server=None), receiving()).url)


async def query_that_is_not_utf_8(lib: Lib) -> str:
    asked = lib.Request(http() | {"query_string": b"q=\xff"}, receiving())
    try:
        return str(asked.url)
    except ValueError as exc:
        return f"raises {type(exc).__name__}"


async def repeated_header_in_a_loop(lib: Lib) -> str:
    headers = lib.Headers(raw=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    return f"{list(headers)}, {len(headers)}"


async def headers_beside_a_dictionary(lib: Lib) -> str:
    return "equal" if lib.Headers({"a": "1"}) == {"a": "1"} else "unequal"


async def float_in_a_path(lib: Lib) -> str:
    app = lib.App(routes=[lib.Route("/{x:float}", show(lib), name="x")])
    return str(app.url_path_for("x", x=0.1))


async def query_as_text(lib: Lib) -> str:
    return str(lib.QueryParams("a=1&a=2"))


async def state_with_brackets(lib: Lib) -> str:
    try:
        return str(lib.State({"a": 1})["a"])
    except TypeError:
        return "raises TypeError"


async def path_of_a_mount_without_its_parameter(lib: Lib) -> str:
    inside = [lib.Route("/{user}", show(lib), name="user")]
    app = lib.App(routes=[lib.Mount("/teams/{team}", name="team", routes=inside)])
    try:
        return str(app.url_path_for("team:user", user="Ada"))
    except lib.NoMatchFound:
        return "raises NoMatchFound"


DIFFERENCES = [
    Difference(
        "A file's last chunk",
        "2 messages, the last of them full",
        "3 messages, the last of them empty",
        "files are sent by the one function that sends streams: it ends with an empty message",
        file_of_one_chunk,
    ),
    Difference(
        "A body over 64 KiB with a background",
        "start 200; body 65537 bytes; returns",
        "start 200; body 65537 bytes, more; body ''; returns",
        "the server takes the empty message only once its write buffer has drained",
        large_body,
    ),
    Difference(
        "A client leaves a stream, ASGI 2.4",
        "raises ClientDisconnect",
        "task; returns",
        "work is due whether or not the client waited, as on servers before 2.4",
        client_leaves_a_stream,
    ),
    Difference(
        "A client leaves before a whole response is sent, ASGI 2.4",
        "raises OSError",
        "task; returns",
        "the same work, and nothing that a server would need to log",
        client_leaves_a_whole_response,
    ),
    Difference(
        "A stream's generator raises an OSError, ASGI 2.4",
        "start 200; body 'a', more; raises ClientDisconnect: ",
        "start 200; body 'a', more; raises OSError: disk failed",
        "only send knows that a client has left; a disk that failed is a failure",
        generator_raises_oserror,
    ),
    Difference(
        "A background task fails",
        "start 200; body 'hi'; raises ValueError: no mail",
        "start 200; body 'hi'; returns",
        "the client has its answer: the connection and the next request on it must live",
        task_fails,
    ),
    Difference(
        "The background of a file whose range is refused",
        "416",
        "416; task",
        "it is where temporary files are deleted",
        background_of_a_refused_range,
    ),
    Difference(
        "Several ranges of a file",
        "206, parts",
        "200, whole",
        "left out; RFC 9110 lets a server ignore Range",
        several_ranges,
    ),
    Difference(
        "A task that is a lambda around a coroutine function",
        "nothing",
        "awaited",
        "otherwise it never runs, and the client has a 200",
        lambda_around_a_coroutine_function,
    ),
    Difference(
        "A coroutine object as a task",
        "start 200; body 'hi'; raises TypeError",
        "refused at add_task",
        "a mistake is told where it is made, not after the answer",
        coroutine_object,
    ),
    Difference(
        "A plain endpoint that gives an awaitable",
        "start 500",
        "start 200",
        "a lambda around a coroutine function means what it says",
        endpoint_that_gives_an_awaitable,
    ),
    Difference(
        "An endpoint that returns None",
        "raises TypeError: 'NoneType' object is not callable",
        "names it",
        "the most frequent mistake deserves a sentence",
        endpoint_that_returns_none,
    ),
    Difference(
        "A body that is not JSON",
        "500, raises JSONDecodeError",
        "400, returns",
        "it is the client's mistake",
        malformed_json,
    ),
    Difference(
        "A body of 64 MiB and one byte, nobody having said anything",
        "200",
        "413",
        "a limit that must be asked for protects nobody",
        large_upload,
    ),
    Difference(
        "A form field over 1 MiB",
        "400",
        "200",
        "one limit, max_body_size, for all of a body",
        large_form_field,
    ),
    Difference(
        "The path of a mounted route, the mount's own parameter missing",
        "/teams/{team}/Ada",
        "raises NoMatchFound",
        "that is no path",
        path_of_a_mount_without_its_parameter,
    ),
    Difference(
        "is_disconnected() three times before body()",
        "waits for ever",
        "one two",
        "asking takes nothing away",
        asking_before_reading,
    ),
    Difference(
        "A path parameter of 5,000 digits",
        "500",
        "404",
        "it looks like a number and Python makes none of it: no such page",
        number_of_5000_digits,
    ),
    Difference(
        "Allow, where two routes have one path",
        "GET, HEAD",
        "GET, HEAD, PUT",
        "RFC 9110, 10.2.1: the set of methods of the resource",
        allowed_methods,
    ),
    Difference(
        "A handled exception in mid-stream",
        "raises RuntimeError",
        "raises Teapot",
        "the log should show what happened, not that its handler came too late",
        handled_error_in_mid_stream,
    ),
    Difference(
        "The last resort, after an error in mid-stream",
        "the handler runs",
        "nothing",
        "its response could not be sent",
        last_resort_in_mid_stream,
    ),
    Difference(
        "ASGI middleware raises HTTPException(401)",
        "500, raises HTTPException",
        "401, returns",
        "it means the same wherever it is raised",
        middleware_raises_401,
    ),
    Difference(
        "An exception that carries a status_code of 503",
        "500, raises Unavailable",
        "503, returns",
        "a queue that cannot promise says so without knowing the web",
        error_with_a_status_code,
    ),
    Difference(
        "debug=True and a browser",
        "text/html; charset=utf-8",
        "text/plain; charset=utf-8",
        "a traceback is text; half of Starlette's errors.py is its page",
        debug_for_a_browser,
    ),
    Difference(
        "A mount behind a proxy that takes root_path off the path",
        "404",
        "200",
        "root_path grows by what the mount has matched, whatever was in front",
        proxy_that_takes_the_root_path_off,
    ),
    Difference(
        "request.url of a path with a blank",
        "http://testserver:8000/a b",
        "http://testserver:8000/a%20b",
        "a URL has no blanks",
        url_with_a_blank,
    ),
    Difference(
        "request.url without Host and server",
        "/a",
        "http://localhost/a",
        "a URL in any case",
        url_without_a_server,
    ),
    Difference(
        "request.url of a query that is not UTF-8",
        "raises UnicodeDecodeError",
        "http://testserver:8000/?q=%FF",
        "bytes that a client sends are never a 500",
        query_that_is_not_utf_8,
    ),
    Difference(
        "A repeated header in a loop over the headers",
        "['a', 'b', 'a'], 3",
        "['a', 'b'], 2",
        "a Mapping has each key once; getlist and raw have all",
        repeated_header_in_a_loop,
    ),
    Difference(
        "Headers beside a dictionary of the same",
        "unequal",
        "equal",
        "a Mapping is equal to a mapping of the same",
        headers_beside_a_dictionary,
    ),
    Difference(
        "0.1 in url_path_for",
        "/0.10000000000000000555",
        "/0.1",
        "the shortest text that leads back to the same number",
        float_in_a_path,
    ),
    Difference(
        "A query as text",
        "a=1&a=2",
        "QueryParams([('a', '1'), ('a', '2')])",
        "left out: the text is scope['query_string']",
        query_as_text,
    ),
    Difference(
        "State with brackets",
        "1",
        "raises TypeError",
        "left out: one way to say it",
        state_with_brackets,
    ),
    Difference(
        "Half of a surrogate pair, echoed as JSON",
        "500 Internal Server Error",
        r'200 "\ud800"',
        "any JSON that can be read can be written, and no input is a 500",
        half_a_character,
    ),
]

"""Question: when the task starts, has the client received the answer?

20 MB for a client that reads one byte and then asks, on another connection, whether the task
has begun. Only then does it read the rest.

Lesson: "Sent" means "handed to the server". miniasgi ends a large body with an empty last
message, which uvicorn takes only when most of the body has left its buffer; the rest is still
with the kernel, so even that is not "received".
"""

from demos.card import Answer, Card
from demos.scenario import Seen, Visitor
from demos.stage import application, told
from miniasgi.types import ASGIApp

LATER = "the task starts once the reader has emptied the server's buffer"
AT_ONCE = "the task starts when the client has read one byte of 20 million"
outcomes = {LATER: 1, AT_ONCE: 2}
expected = {"miniasgi": LATER, "starlette": AT_ONCE, "fastapi": AT_ONCE}
warm_up = ("/download", "/begun")
card = Card(
    answers=(
        Answer('Yes: that is what "after the response" means.'),
        Answer("No: it has read a byte; the rest waits in the server's buffer.", AT_ONCE),
        Answer("Nearly: the server's buffer has been emptied first.", LATER),
    ),
    part="4.1",
    threads=("encode/starlette#3458",),
    decisive={
        "miniasgi": (
            "miniasgi.responses:Response.transmit",
            "miniasgi.responses:Response._send_last",
        ),
        "starlette": (
            "starlette.responses:Response.__call__",
            "uvicorn.protocols.http.h11_impl:RequestResponseCycle.send",
        ),
    },
)

BODY = b"x" * 20_000_000
downloads: list[int] = []  # as many as tasks have begun


@told
async def delete_the_file() -> None:
    downloads.append(len(BODY))


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTask, JSONResponse, MiniASGI, Request, Response

    app = MiniASGI()

    @app.get("/download")
    async def download(request: Request) -> Response:
        return Response(BODY, background=BackgroundTask(delete_the_file))

    @app.get("/begun")
    async def begun(request: Request) -> JSONResponse:
        return JSONResponse(len(downloads))

    return app


@application
def starlette_app() -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def download(request: Request) -> Response:
        return Response(BODY, background=BackgroundTask(delete_the_file))

    async def begun(request: Request) -> JSONResponse:
        return JSONResponse(len(downloads))

    return Starlette(routes=[Route("/download", download), Route("/begun", begun)])


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI, Response

    app = FastAPI()

    @app.get("/download")
    async def download(tasks: BackgroundTasks) -> Response:
        tasks.add_task(delete_the_file)
        return Response(BODY)

    @app.get("/begun")
    async def begun() -> int:
        return len(downloads)

    return app


def client(visitor: Visitor) -> None:
    with (
        visitor.connect(receive_buffer=65_536) as reader,
        visitor.connect(noted=False) as observer,
    ):
        before = observer.must_get("/begun").json()
        reader.ask("/download")
        reader.wait_first_byte()
        has_begun = observer.must_get("/begun").json() > before
        visitor.say("has the task begun? " + ("yes" if has_begun else "no"))
        visitor.rest(0.05)  # for the picture only
        visitor.say("the reader reads")
        reader.read(progress=5_000_000)


def observe(seen: Seen) -> str:
    if seen.in_order("task.start delete_the_file", "has the task begun? yes", "the reader reads"):
        return AT_ONCE
    seen.must_be_in_order("has the task begun? no", "the reader reads")
    seen.must_be_in_order("the reader reads", "task.start delete_the_file")
    return LATER

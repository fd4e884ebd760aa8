"""Where typed endpoints do not do as FastAPI's do, on purpose: what was asked, what each does, why.

`DIFFERENCES` is data, and a test asks every entry of both frameworks. The page in the docs is made
from it: ``python -m tests.fastapi_differences``.
"""

import logging
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import fastapi
import fastapi.responses
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse

from miniasgi.events import mark
from miniasgi.testing import Client

PAGE = Path(__file__).resolve().parent.parent / "docs" / "against-fastapi.md"
HEAD = """# Typed endpoints against FastAPI's

The same signature and the same request are understood in the same way: hundreds of generated cases
are asked of both frameworks (`tests/test_fastapi_oracle.py`). These differences are on purpose; a
test asks each of them of both. What neither column has is [left out](left-out.md). This page is
made by `python -m tests.fastapi_differences`.

"""


class Asked:
    """One framework with one application: ``get`` and ``post`` register an endpoint at "/"."""

    def __init__(self, framework: ModuleType) -> None:
        self.framework: Any = framework
        is_fastapi = framework is fastapi
        self.app: Any = framework.FastAPI() if is_fastapi else framework.MiniASGI()

    def get(self, endpoint: Callable[..., Any], path: str = "/") -> None:
        self.app.get(path)(endpoint)

    def post(self, endpoint: Callable[..., Any]) -> None:
        self.app.post("/")(endpoint)

    async def told(self, method: str = "GET", path: str = "/", **options: Any) -> str:
        """Status, body, and whatever the endpoint marked; in words."""
        async with Client(self.app, raise_background=False) as client:
            reply = await client.request(method, path, **options)
            await reply.finished()
        if reply.exception is not None:
            return f"{reply.status}, the log shows {type(reply.exception).__name__}"
        if reply.status == 422:
            return f"422 {[error['type'] for error in reply.json()['detail']]}"
        plain = ("accept", "app returned")
        events = [one for one in reply.events if one not in plain and not one.startswith("task")]
        words = [f"{reply.status} {reply.text}", *(events if len(events) > 2 else ())]
        return "; ".join(words)

    async def marked(self, word: str) -> str:
        """The mark that contains this word, whatever came after the answer."""
        async with Client(self.app, raise_background=False) as client:
            reply = await client.get("/")
            await reply.finished()
        return f"{reply.status}; {next(one for one in reply.events if word in one)}"


@contextmanager
def logged() -> Iterator[list[str]]:
    """What is logged inside the block, by whatever logger."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(handler)


@dataclass(frozen=True)
class Difference:
    """What both do when asked the same, and why we do not do as FastAPI does."""

    what: str
    fastapi: str
    miniasgi: str
    why: str
    ask: Callable[[Asked], Awaitable[str]]


async def bare_list(asked: Asked) -> str:
    async def read(numbers: list) -> int:  # type: ignore[type-arg]
        return len(numbers)

    asked.post(read)
    return await asked.told("POST", json=[1, 2])


async def tasks_or_none(asked: Asked) -> str:
    async def read(tasks: asked.framework.BackgroundTasks | None = None) -> bool:  # type: ignore[name-defined]
        return tasks is not None

    try:
        asked.get(read)
    except Exception as exc:
        return f"registration fails: {type(exc).__name__}"
    return await asked.told()


async def request_by_name(asked: Asked) -> str:
    async def read(request, page: int = 1):  # type: ignore[no-untyped-def]
        return request.method

    asked.get(read)
    return await asked.told()


async def any_arguments(asked: Asked) -> str:
    async def read(page: int = 1, **others: Any) -> int:
        return page

    try:
        asked.get(read)
    except TypeError as exc:
        return f"registration fails: {type(exc).__name__}"
    return await asked.told()


async def path_mark_without_path(asked: Asked) -> str:
    async def read(number: Annotated[int, asked.framework.Path()]) -> int:
        return number

    try:
        asked.get(read)
    except TypeError as exc:
        return f"registration fails: {type(exc).__name__}"
    return await asked.told(path="/?number=1")


async def head(asked: Asked) -> str:
    async def read() -> None: ...

    asked.get(read)
    return (await asked.told("HEAD"))[:3]


async def return_annotation(asked: Asked) -> str:
    async def read() -> dict[str, int]:
        return {"a": "text"}  # type: ignore[dict-item]

    asked.get(read)
    return await asked.told()


async def not_a_number(asked: Asked) -> str:
    async def read(point: Annotated[int, asked.framework.Body()]) -> None: ...

    asked.post(read)
    return await asked.told("POST", content=b"NaN", headers={"content-type": "application/json"})


async def http_exception(asked: Asked) -> str:
    async def read(page: int = 1) -> None:
        raise asked.framework.HTTPException(409, "taken")

    asked.get(read)
    return await asked.told()


async def merged(asked: Asked) -> str:
    async def read(tasks: asked.framework.BackgroundTasks) -> Any:  # type: ignore[name-defined]
        tasks.add_task(mark, "injected")
        return PlainTextResponse("", background=BackgroundTask(mark, "own"))

    asked.get(read)
    return await asked.told()


async def scopes(asked: Asked) -> str:
    def session() -> Iterator[None]:
        yield
        mark("session closes")

    async def read(
        tasks: asked.framework.BackgroundTasks,  # type: ignore[name-defined]
        session: Annotated[None, asked.framework.Depends(session)],
    ) -> None:
        tasks.add_task(mark, "work")

    asked.get(read)
    return await asked.told()


async def swallowed(asked: Asked) -> str:
    async def careless() -> AsyncIterator[None]:
        with suppress(KeyError):
            yield

    async def read(value: Annotated[None, asked.framework.Depends(careless)]) -> None:
        raise KeyError("the real reason")

    asked.get(read)
    return await asked.told()


async def late_task(asked: Asked) -> str:
    async def late(tasks: asked.framework.BackgroundTasks) -> AsyncIterator[None]:  # type: ignore[name-defined]
        yield
        tasks.add_task(mark, "late")

    async def read(value: Annotated[None, asked.framework.Depends(late)]) -> None: ...

    asked.get(read)
    return await asked.told()


async def failing_task(asked: Asked) -> str:
    async def fail() -> None:
        raise ValueError("in the task")

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except ValueError:
            mark("session rolls back")
            raise
        else:
            mark("session commits")

    async def read(
        tasks: asked.framework.BackgroundTasks,  # type: ignore[name-defined]
        session: Annotated[None, asked.framework.Depends(session)],
    ) -> None:
        tasks.add_task(fail)

    asked.get(read)
    return await asked.marked("session")


async def failing_stream(asked: Asked) -> str:
    streaming: Any = fastapi.responses if asked.framework is fastapi else asked.framework
    told = []

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except ValueError:
            told.append("session rolls back")
            raise
        else:
            told.append("session commits")

    async def rows() -> AsyncIterator[str]:
        yield "a row"
        raise ValueError("in the query")

    async def read(session: Annotated[None, asked.framework.Depends(session)]) -> Any:
        return streaming.StreamingResponse(rows())

    asked.get(read)
    async with Client(asked.app, raise_background=False) as client:
        with suppress(ValueError):
            await client.get("/")
    return "; ".join(told)


async def filtered(asked: Asked) -> str:
    class User(BaseModel):
        name: str

    class Stored(User):
        password: str

    async def read() -> User:
        return Stored(name="Ada", password="secret")

    asked.get(read)
    return await asked.told()


async def not_json(asked: Asked) -> str:
    async def read():  # type: ignore[no-untyped-def]
        return [Decimal("1.5"), timedelta(seconds=90), datetime(2026, 1, 1, tzinfo=UTC)]

    asked.get(read)
    return await asked.told()


async def cached_in_two_scopes(asked: Asked) -> str:
    calls = []

    async def session() -> AsyncIterator[None]:
        calls.append("session")
        yield

    async def audit(
        session: Annotated[None, asked.framework.Depends(session)],
    ) -> AsyncIterator[None]:
        yield

    async def read(
        audited: Annotated[None, asked.framework.Depends(audit, scope="request")],
        session: Annotated[None, asked.framework.Depends(session)],
    ) -> list[str]:
        return calls

    asked.get(read)
    return await asked.told()


async def dropped(asked: Asked) -> str:
    def send_mail() -> None: ...

    async def read(tasks: asked.framework.BackgroundTasks) -> None:  # type: ignore[name-defined]
        tasks.add_task(send_mail)
        raise asked.framework.HTTPException(409)

    asked.get(read)
    with logged() as messages:
        status = (await asked.told())[:3]
    named = [message for message in messages if "send_mail" in message]
    return f"{status}, the log {'names send_mail' if named else 'says nothing'}"


SENT = "response.start; response.body"
DIFFERENCES = (
    Difference(
        "A parameter `numbers: list`, and JSON is sent.",
        "422 ['missing']",
        "200 2",
        "A list without the type of its items is a list. FastAPI takes it for uploaded files.",
        bare_list,
    ),
    Difference(
        "A parameter `tasks: BackgroundTasks | None = None`.",
        "registration fails: FastAPIError",
        "200 true",
        "It is the honest spelling of a parameter that a unit test may leave away.",
        tasks_or_none,
    ),
    Difference(
        "A parameter `request` without annotation, beside others.",
        "422 ['missing']",
        '200 "GET"',
        "Nobody means a query parameter of that name.",
        request_by_name,
    ),
    Difference(
        "A parameter `**others`.",
        "422 ['missing']",
        "registration fails: TypeError",
        "A signature that cannot be served fails where it is written.",
        any_arguments,
    ),
    Difference(
        "A `Path()` parameter that the path does not name.",
        "422 ['missing']",
        "registration fails: TypeError",
        "The same. What an outer `Mount` names is in `request.path_params`.",
        path_mark_without_path,
    ),
    Difference(
        "HEAD, where there is GET.",
        "405",
        "200",
        "RFC 9110 asks for it, and Starlette's routes have it.",
        head,
    ),
    Difference(
        "The return annotation is `dict[str, int]`, and a text is in it.",
        "500, the log shows ResponseValidationError",
        '200 {"a":"text"}',
        "An annotation of what is returned is for the reader and the type checker.",
        return_annotation,
    ),
    Difference(
        "The return annotation is a model, and what is returned is of a class made from it.",
        '200 {"name":"Ada"}',
        '200 {"name":"Ada","password":"secret"}',
        "The same. What shall not leave must not be returned: `return User(name=stored.name)`.",
        filtered,
    ),
    Difference(
        "A Decimal, a timedelta and a datetime are returned.",
        '200 [1.5,90.0,"2026-01-01T00:00:00+00:00"]',
        '200 ["1.5","PT1M30S","2026-01-01T00:00:00Z"]',
        "pydantic writes them, as it reads them: a Decimal keeps its digits.",
        not_json,
    ),
    Difference(
        "NaN is sent where an int is wanted.",
        "500, the log shows ValueError",
        "422 ['finite_number']",
        "Whatever is sent, the error about it can be written.",
        not_a_number,
    ),
    Difference(
        '`HTTPException(409, "taken")`.',
        '409 {"detail":"taken"}',
        "409 taken",
        "The answer to an HTTPException is Starlette's, for typed and untyped endpoints alike.",
        http_exception,
    ),
    Difference(
        "Tasks are injected, and the returned response has a background of its own.",
        f"200 ; {SENT}; own",
        f"200 ; {SENT}; injected; own",
        "What was added runs. FastAPI drops the injected tasks without a word.",
        merged,
    ),
    Difference(
        "A dependency with `yield`, and a task.",
        f"200 null; {SENT}; work; session closes",
        f"200 null; {SENT}; session closes; work",
        'No connection of a pool is held while the task runs; `scope="request"` is FastAPI\'s way.',
        scopes,
    ),
    Difference(
        "A dependency with `yield`, and a task that fails.",
        "200; session rolls back",
        "200; session commits",
        "The client has its 200, so what it was told of stays. A task's error is the task's own.",
        failing_task,
    ),
    Difference(
        "A dependency with `yield`, and a stream that fails.",
        "session rolls back",
        "session commits",
        "What comes after the endpoint is not thrown into it. Guard a stream inside the stream.",
        failing_stream,
    ),
    Difference(
        "A dependency with `yield` is needed for the response, and for the whole request.",
        '200 ["session"]',
        '200 ["session","session"]',
        "Each scope has its own: one cannot be closed before the tasks and after them.",
        cached_in_two_scopes,
    ),
    Difference(
        "A task was added, and then the endpoint raises an HTTPException.",
        "409, the log says nothing",
        "409, the log names send_mail",
        "It runs on neither. What will not run is told to whoever reads the log.",
        dropped,
    ),
    Difference(
        "A dependency swallows the exception of the endpoint.",
        "500, the log shows FastAPIError",
        "500, the log shows KeyError",
        "There is no response either way; what is left is the truth.",
        swallowed,
    ),
    Difference(
        "A dependency adds a task after its `yield`.",
        "200 null",
        f"200 null; {SENT}; late",
        "The exits come before the tasks, so there is still time.",
        late_task,
    ),
)


async def ask(difference: Difference, framework: ModuleType) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FastAPI's own, about odd signatures
        return await difference.ask(Asked(framework))


def page() -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    for one in DIFFERENCES:
        parts.append(f"## {one.what}\n\n- FastAPI: {_code(one.fastapi)}\n")
        parts.append(f"- miniasgi: {_code(one.miniasgi)}\n\n{one.why}\n\n")
    return "".join(parts).rstrip() + "\n"


def _code(words: str) -> str:
    return ", then ".join(f"`{word.strip()}`" for word in words.split("; "))


if __name__ == "__main__":
    PAGE.write_text(page())

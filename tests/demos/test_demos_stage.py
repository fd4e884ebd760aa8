"""What stands around the applications of a scenario: the gate, and tasks that tell."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

from demos.stage import Gate, application, gate, told
from miniasgi.events import listening
from miniasgi.types import ASGIApp, Message, Receive, Scope, Send


async def call(app: ASGIApp, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def http(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path}


def test_who_waits_at_the_gate_goes_on_when_it_is_opened() -> None:
    order: list[str] = []

    async def waiter(at: Gate) -> None:
        await at.wait()
        order.append("through")

    async def main() -> None:
        at = Gate()
        waiting = asyncio.create_task(waiter(at))
        thread = threading.Thread(target=at.wait_in_thread)
        thread.start()
        await asyncio.sleep(0)
        order.append("opens")
        at.open()
        await waiting
        thread.join(10)
        assert not thread.is_alive()

    asyncio.run(main())

    assert order == ["opens", "through"]


def test_a_gate_can_be_used_on_one_event_loop_after_another() -> None:
    at = Gate()

    async def main() -> None:
        at.close()
        waiting = asyncio.create_task(at.wait())
        await asyncio.sleep(0)
        at.open()
        await waiting

    asyncio.run(main())
    asyncio.run(main())


def test_the_gate_is_moved_in_front_of_every_application() -> None:
    @application
    def app() -> ASGIApp:
        raise AssertionError("not asked")

    sent = asyncio.run(call(app, http("/gate/open")))

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 204
    asyncio.run(asyncio.wait_for(gate.wait(), 1))
    gate.close()


def test_a_missing_framework_fails_the_start_up_with_a_sentence() -> None:
    @application
    def app() -> ASGIApp:
        raise ModuleNotFoundError("No module named 'starlette'", name="starlette")

    sent = asyncio.run(call(app, {"type": "lifespan"}))

    assert sent == [
        {
            "type": "lifespan.startup.failed",
            "message": "starlette is not installed; try: pip install starlette",
        }
    ]


def test_an_application_is_built_once() -> None:
    built: list[int] = []

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    @application
    def app() -> ASGIApp:
        built.append(1)
        return nothing

    for _ in range(2):
        asyncio.run(call(app, {"type": "lifespan"}))

    assert built == [1]


@told
async def good() -> None:
    pass


@told
def bad(number: int) -> None:
    raise ValueError(number)


async def run_both(scope: Scope, receive: Receive, send: Send) -> None:
    await good()
    with suppress(ValueError):
        bad(1)


def told_by(app: ASGIApp) -> list[str]:
    heard: list[str] = []
    with listening(lambda kind, name: heard.append(f"{kind} {name}")):
        asyncio.run(call(app, http("/")))
    return heard


def test_a_task_tells_when_it_begins_and_how_it_ends() -> None:
    @application
    def starlette_app() -> ASGIApp:
        return run_both

    heard = told_by(starlette_app)

    assert heard == ["task.start good", "task.end good", "task.start bad", "task.failed bad"]


def test_a_task_is_silent_where_the_framework_tells() -> None:
    @application
    def miniasgi_app() -> ASGIApp:
        return run_both

    assert told_by(miniasgi_app) == []

"""What the queue's scenarios stand on: a mail server that is the client, and journals that last."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.journal import FOLDER, Journal, written
from demos.post import ADDRESS, ANSWERED, ANSWERING, MailServer, Refused, deliver, meeting
from miniasgi.timeline import Moment
from miniasgi.types import Message, Receive, Scope, Send

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    monkeypatch.setenv(ADDRESS, str(tmp_path / "mail"))
    server = MailServer(tmp_path / "mail")
    server.is_lenient = False
    yield server
    server.close()


def in_thread(*words: str) -> threading.Thread:
    async def main() -> None:
        for word in words:
            await deliver(word)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    return thread


def test_a_task_is_held_until_its_delivery_is_answered(mail: MailServer) -> None:
    thread = in_thread("mail to Ada")

    delivery = mail.next("mail")
    was_alive = thread.is_alive()
    delivery.answer()
    thread.join(10)

    assert (delivery.words, was_alive, thread.is_alive()) == ("mail to Ada", True, False)


def test_what_comes_before_the_one_that_is_waited_for_is_answered(mail: MailServer) -> None:
    thread = in_thread("first", "second", "third")

    mail.next("third").answer()
    thread.join(10)

    assert mail.taken == ["first", "second", "third"]


def test_a_lenient_server_answers_whoever_waits_and_comes(mail: MailServer) -> None:
    mail.is_lenient = True

    in_thread("one", "two").join(10)

    assert mail.taken == []


async def refused() -> str:
    try:
        await deliver("mail")
    except Refused as exc:
        return str(exc)
    return "taken"


def test_a_refused_delivery_raises(mail: MailServer) -> None:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(asyncio.run(refused())))
    thread.start()

    mail.next().answer("refuse")
    thread.join(10)

    assert said == ["the mail server is busy"]


def test_a_poisonous_answer_kills_the_process_of_the_task(mail: MailServer) -> None:
    code = "import asyncio; from demos.post import deliver; asyncio.run(deliver('mail'))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)

    mail.next().answer("die")

    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("when", "order"),
    [
        (ANSWERING, ["deliver", "http.response.start", "http.response.body", "returned"]),
        (ANSWERED, ["http.response.start", "http.response.body", "deliver", "returned"]),
    ],
)
def test_a_call_meets_the_client_before_its_first_byte_or_after_its_last(
    when: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def met(words: str) -> None:
        assert words == when
        seen.append("deliver")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
        seen.append("returned")

    async def receive() -> Message:
        raise AssertionError("nothing is received")

    async def send(message: Message) -> None:
        seen.append(message["type"])

    monkeypatch.setattr("demos.post.deliver", met)
    scope = {"type": "http", "path": "/signup"}
    asyncio.run(meeting(app, "/signup", when)(scope, receive, send))

    assert seen == order


def test_a_journal_outlives_its_process(tmp_path: Path) -> None:
    code = (
        "import os, signal; from demos.journal import Journal; from miniasgi.events import mark\n"
        "with Journal('queue worker').listening():\n"
        "    mark('begun')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, FOLDER: str(tmp_path)}

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)

    assert ended.returncode == -signal.SIGKILL
    assert [(moment.place, moment.name) for moment in written(tmp_path)] == [
        ("queue worker", "begun")
    ]


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)

    Journal().add(Moment.now("client", "mark", "words"))

    assert list(tmp_path.iterdir()) == []

"""The mail application, on miniasgi and on FastAPI: real servers, real workers, real kills."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from demos.client import Connection, Reply
from miniasgi.queue import Queue

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0

pytestmark = pytest.mark.servers


class Site:
    """One folder with a file of jobs and an outbox; its servers and workers end with it."""

    def __init__(self, module: str, folder: Path) -> None:
        self.module = module
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "MINIASGI_BROKER": f"sqlite:///{folder / 'jobs.db'}",
            "MAIL_FOLDER": str(folder),
        }
        self.port = 0

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=self.environment,
            stderr=subprocess.PIPE,
            **options,
        )
        self.processes.append(process)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        """It listens before it starts: whoever asks early waits in the kernel's queue."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            fd = listener.fileno()
            return self.start("uvicorn", self.module, "--fd", str(fd), pass_fds=[fd])

    def work(self) -> subprocess.Popen[bytes]:
        return self.start("miniasgi", "worker", "demos.mail.queue:queue")

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        content = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        with Connection(self.port, patience=PATIENCE) as connection:
            reply = connection.get(path, method=method, headers=kind, body=content)
        assert reply is not None
        return reply

    def jobs(self) -> list[dict[str, Any]]:
        """All rows, the newest first, as the command line lists them."""
        where = str(self.folder / "jobs.db")
        command = [sys.executable, "-m", "miniasgi", "list", where, "--json"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in listed.stdout.splitlines() if line]

    def mails(self) -> list[str]:
        return [path.read_text() for path in (self.folder / "outbox").glob("*.eml")]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture(params=["demos.mail.app:app", "demos.mail.fastapi_app:app"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(request.param, tmp_path)
    try:
        yield site
    finally:
        site.end()


def stopped(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)


def said(errors: IO[bytes] | None, words: bytes) -> None:
    """Read a process's log until it says so."""
    assert errors is not None
    for line in errors:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


def polled(site: Site, path: str, is_enough: Callable[[Any], bool]) -> Any:
    until = time.monotonic() + PATIENCE
    while not is_enough(report := site.ask("GET", path).json()):
        assert time.monotonic() < until, report
    return report


def test_a_sign_up_is_answered_and_its_mail_is_sent(site: Site) -> None:
    server = site.serve()

    reply = site.ask("POST", "/signup", {"email": "ada@example.com"})
    stopped(server)

    assert (reply.status, reply.json()) == (201, {"email": "ada@example.com"})
    (mail,) = site.mails()
    assert "To: ada@example.com" in mail
    (job,) = site.jobs()
    assert (job["task"], job["state"], job["attempt"]) == ("send_welcome", "success", 1)


def test_a_mail_that_was_promised_is_sent_by_a_worker_if_the_server_is_killed(site: Site) -> None:
    server = site.serve()
    replies = [
        site.ask("POST", "/signup", {"email": f"user{number}@example.com"}) for number in range(20)
    ]
    server.kill()
    server.wait()

    site.work()
    until = time.monotonic() + PATIENCE
    while {job["state"] for job in site.jobs()} != {"success"}:
        assert time.monotonic() < until, site.jobs()

    assert [reply.status for reply in replies] == [201] * 20
    assert len(site.mails()) == 20


def test_a_report_is_202_with_a_location_that_is_polled_to_its_end(site: Site) -> None:
    site.serve()

    ordered = site.ask("POST", "/reports", {"title": "May", "numbers": [1, 2, 3.5]})
    path = ordered.headers["location"]
    report = polled(site, path, lambda report: report["status"] == "completed")

    assert ordered.status == 202
    assert path == f"/reports/{ordered.json()['id']}"
    assert ordered.headers["retry-after"] == "1"
    assert report["report"] == {"title": "May", "count": 3, "sum": 6.5}


def test_a_report_that_was_ordered_outlives_its_server(site: Site) -> None:
    server = site.serve()
    # A stopped queue: the order is certain to be waiting when the server dies.
    site.ask("GET", "/reports/none")
    subprocess.run(
        [sys.executable, "-m", "miniasgi", "pause", str(site.folder / "jobs.db"), "--queue=mail"],
        cwd=ROOT,
        check=True,
    )
    path = site.ask("POST", "/reports", {"title": "May", "numbers": [1]}).headers["location"]
    before = site.ask("GET", path).json()
    server.kill()
    server.wait()

    site.serve()
    after = site.ask("GET", path).json()
    resumed = ["resume", str(site.folder / "jobs.db"), "--queue=mail"]
    subprocess.run([sys.executable, "-m", "miniasgi", *resumed], cwd=ROOT, check=True)
    report = polled(site, path, lambda report: report["status"] == "completed")

    assert before["status"] == after["status"] == "pending"
    assert report["report"]["sum"] == 1


def test_an_id_that_nobody_was_given_is_404_and_so_is_a_mails(site: Site) -> None:
    server = site.serve()
    site.ask("POST", "/signup", {"email": "ada@example.com"})
    (mail,) = site.jobs()

    unknown = site.ask("GET", "/reports/0190f3d0-0000-7000-8000-000000000000")
    others = site.ask("GET", f"/reports/{mail['id']}")
    stopped(server)

    assert (unknown.status, others.status) == (404, 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/signup", {"email": "nobody"}),
        ("/signup", {}),
        ("/reports", {"title": "May", "numbers": ["one"]}),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_promised(
    site: Site, path: str, body: Any
) -> None:
    server = site.serve()

    reply = site.ask("POST", path, body)
    stopped(server)

    assert reply.status == 422
    assert site.jobs() == []


def test_the_broker_is_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIASGI_BROKER", f"sqlite:///{tmp_path}/other.db")

    assert Queue("mail").broker == f"sqlite:///{tmp_path}/other.db"


def test_a_worker_in_a_process_of_its_own_says_what_it_does(tmp_path: Path) -> None:
    site = Site("demos.mail.app:app", tmp_path)
    queue = Queue("mail", site.environment["MINIASGI_BROKER"])
    try:
        worker = site.work()
        said(worker.stderr, b"working for 'mail'")

        @queue.task(name="send_welcome")
        def send_welcome(to: str) -> None:
            raise AssertionError("not here")

        send_welcome.delay("ada@example.com")
        said(worker.stderr, b"attempt 1 sent a mail to ada@example.com")
    finally:
        site.end()
        queue.close()

    assert len(site.mails()) == 1

"""The load generator, on both mail applications: lively, bounded, and for this machine only."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.demos.test_demos_mail import ROOT, Site, polled

pytestmark = pytest.mark.servers


@pytest.fixture(params=["demos.mail.app:app", "demos.mail.fastapi_app:app"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(request.param, tmp_path)
    yield site
    site.end()


def load(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "demos.mail.load", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_request_is_a_job_of_one_of_several_kinds(site: Site) -> None:
    site.serve()

    sent = load(
        *("--url", f"http://127.0.0.1:{site.port}", "--requests", "100", "--rate", "100"),
        *("--seed", "3"),
    )
    figures = polled(
        site, "/jobs/api/overview", lambda figures: sum(figures["jobs"].values()) == 100
    )

    assert sent.returncode == 0, sent.stderr
    answers = {
        int(one.split(" x ")[1]): int(one.split(" x ")[0]) for one in sent.stdout.split(", ")
    }
    assert answers.keys() == {201, 202} and sum(answers.values()) == 100
    assert figures["queues"][0]["name"] == "mail"
    with closing(sqlite3.connect(site.folder / "jobs.db")) as db:
        tasks = dict(db.execute("select task, count(*) from miniasgi_job group by task"))
    assert tasks == {"send_welcome": answers[201], "make_report": answers[202]}
    assert "of at most 100" in sent.stderr


def test_it_ends_in_time_though_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sent = load("--url", address, "--seconds", "0.3", "--patience", "0.3")

    assert sent.returncode == 1
    assert "ReadTimeout" in sent.stdout


@pytest.mark.parametrize("url", ["http://example.com", "http://10.0.0.1:8000", "nonsense"])
def test_another_machine_is_refused(url: str) -> None:
    sent = load("--url", url)

    assert sent.returncode == 2
    assert "only of this machine" in sent.stderr

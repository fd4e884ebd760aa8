"""The how-to pages' files: quoted as they are, checked by the tools that read them, and run.

Python blocks without a file's name are run in tests/test_docs.py. What systemd and a container
would start is started here, and asked to stop.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from miniasgi.queue import Queue

ROOT = Path(__file__).resolve().parent.parent
HOW_TO = ROOT / "docs" / "how-to"
DEPLOY = HOW_TO / "deploy"
BIN = Path(sys.executable).parent
UNITS = ("shop-web.service", "shop-worker@.service")
PATIENCE = 20.0  #: seconds until a wait is given up
QUOTED = [
    pytest.param(name, block, id=f"{page.name}-{number}")
    for page in sorted(HOW_TO.glob("*.md"))
    for number, (name, block) in enumerate(
        re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', page.read_text(), re.DOTALL)
    )
]


@pytest.mark.parametrize(("name", "block"), QUOTED)
def test_a_quotation_stands_word_for_word_in_its_file(name: str, block: str) -> None:
    assert block in (ROOT / name).read_text()


def test_every_page_is_on_the_list() -> None:
    pages = {page.name for page in HOW_TO.glob("*.md")} - {"index.md"}
    listed = set(re.findall(r"\]\((\S+\.md)\)", (HOW_TO / "index.md").read_text()))

    assert pages == {name for name in listed if "/" not in name}


def test_the_tests_of_the_page_on_ordering_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]

    run = subprocess.run(
        [*command, "--rootdir", ".", "test_orders.py"],
        cwd=HOW_TO / "examples",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0 and "4 passed" in run.stdout, run.stdout


# Units


def settings(unit: str) -> dict[str, str]:
    """The unit's settings, the last of a name."""
    lines = (DEPLOY / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: on Debian it comes with systemd")
    for unit in UNITS:
        text = (DEPLOY / unit).read_text().replace("/srv/shop/.venv/bin", str(BIN))
        (tmp_path / unit).write_text(text)

    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")


def test_the_units_share_user_folder_and_file_and_give_jobs_their_time() -> None:
    web, worker = map(settings, UNITS)
    grace = re.search(r"--grace (\d+)", worker["ExecStart"])
    graceful = re.search(r"--timeout-graceful-shutdown (\d+)", web["ExecStart"])

    assert grace and graceful
    for name in ("User", "Group", "StateDirectory", "WorkingDirectory", "Environment"):
        assert web[name] == worker[name]
    assert web["Environment"].endswith(f"sqlite:////var/lib/{web['StateDirectory']}/jobs.db")
    assert int(worker["TimeoutStopSec"]) > int(grace[1])
    assert int(web["TimeoutStopSec"]) > int(graceful[1])
    assert "PrivateNetwork" not in {**web, **worker}


# Container


def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    run = subprocess.run(
        [BIN / "hadolint", "--no-color", DEPLOY / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout) == (0, "")


def instructions(name: str) -> list[str]:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def test_the_container_has_what_it_copies_and_stops_by_a_signal_that_arrives() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

    assert all((DEPLOY / copy.split()[0]).exists() for copy in instructions("COPY"))
    assert json.loads(instructions("CMD")[0]) == container_command()
    assert services["worker"]["command"] == unit_command(UNITS[1])
    assert services["web"]["volumes"] == services["worker"]["volumes"]
    assert services["worker"]["volumes"][0].endswith(instructions("VOLUME")[0])
    assert f"sqlite:///{instructions('VOLUME')[0]}/" in instructions("ENV")[0]


# What they start


def unit_command(unit: str) -> list[str]:
    program, *arguments = settings(unit)["ExecStart"].split()
    return [Path(program).name, *arguments]


def container_command() -> list[str]:
    """As the unit's, at all addresses of the container."""
    return [word.replace("127.0.0.1", "0.0.0.0") for word in unit_command(UNITS[0])]


@contextmanager
def started(command: list[str], file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in the folder of the application, on this file; it ends with the block."""
    program, *arguments = command
    process = subprocess.Popen(
        [BIN / program, *arguments],
        cwd=DEPLOY,
        env={**os.environ, "MINIASGI_BROKER": f"sqlite:///{file}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def order(port: str) -> str:
    """Order as soon as the server is up; the job's id."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            article = {"article": "lamp", "to": "Ada"}
            return str(httpx.post(f"http://127.0.0.1:{port}/orders", json=article).json()["job"])
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_an_order_is_done_by_the_web_server_or_by_a_worker_and_sigterm_ends_both(
    tmp_path: Path,
) -> None:
    file = tmp_path / "jobs.db"
    queue = Queue("parcels", f"sqlite:///{file}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    serve = [word.replace("8000", port) for word in unit_command(UNITS[0])]
    with started(serve, file) as web:
        job = order(port)
        assert queue.AsyncResult(job).get(PATIENCE) == "lamp for Ada"
        web.send_signal(signal.SIGTERM)
        assert web.wait(PATIENCE) in (0, -signal.SIGTERM)  # uvicorn passes the signal on to itself

    with started(unit_command(UNITS[1]), file) as worker:
        queue.tasks.clear()
        left = queue.task(name="send_parcel")(lambda article, to: "").delay("desk", "Bo")
        assert left.get(PATIENCE) == "desk for Bo"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    queue.close()

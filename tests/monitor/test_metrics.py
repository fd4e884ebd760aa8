"""The metrics, read back by Prometheus's own parser; and what the command line says."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from miniasgi.monitor import monitor
from miniasgi.queue import Queue
from miniasgi.testing import Client

Write = Callable[..., None]


@pytest.mark.anyio
async def test_metrics_are_open_metrics_and_say_what_the_page_says(
    queue: Queue, write: Write
) -> None:
    write("a", "ready", queue='odd "name"\n')
    for n in range(3):
        write(str(n), "success", settled_at=1.0)

    async with Client(monitor(queue)) as client:
        reply = await client.get("/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }

    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert samples["miniasgi_jobs", "mail", "success"] == 3
    assert samples["miniasgi_jobs", 'odd "name"\n', "ready"] == 1
    assert samples["miniasgi_oldest_ready_seconds", 'odd "name"\n'] > 0
    assert samples["miniasgi_alarm", "backlog", "ok"] == 1
    assert samples["miniasgi_alarm", "backlog", "firing"] == 0


def command(*arguments: str) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-m", "miniasgi", *arguments], capture_output=True, text=True, check=False
    )
    return run.returncode, run.stdout + run.stderr


def test_a_check_exits_1_when_an_alarm_fires(queue: Queue, write: Write) -> None:
    for n in range(3):
        write(str(n), "ready")
    queue.close()
    where = str(queue.writer.path)

    fine = command("status", where, "--check")
    fires = command("status", where, "--check", "--backlog", "2", "--json")
    no_file = command("status", f"{where}.none", "--check")

    assert fine[0] == 0
    assert fires[0] == 1 and '"name": "backlog", "state": "firing", "value": 3' in fires[1]
    assert no_file[0] == 2 and "there is no file" in no_file[1]


def test_the_command_serves_the_pages_of_a_queue(
    queue: Queue, write: Write, tmp_path: Path
) -> None:
    write("waits", "ready")
    queue.close()
    (tmp_path / "shop.py").write_text(f"import miniasgi.queue\nqueue = miniasgi.queue.{queue!r}\n")
    command = [sys.executable, "-m", "miniasgi", "monitor", "shop:queue", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [*command, "--backlog", "0"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stderr is not None
        said = iter(serving.stderr.readline, "")
        address = next(found[0] for line in said if (found := re.search(r"http://[\d.:]+", line)))
        with urllib.request.urlopen(f"{address}/api/queues", timeout=20) as reply:
            figures = json.load(reply)
        serving.terminate()
        serving.communicate()

    assert figures["queues"][0]["jobs"]["ready"] == 1
    assert figures["alarms"][0]["state"] == "pending"


def test_the_command_line_needs_neither_templates_nor_metrics_until_it_serves(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, miniasgi.monitor.commands, miniasgi.monitor\n"
        "sys.exit(any(name in sys.modules for name in ('jinja2', 'prometheus_client', 'uvicorn')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

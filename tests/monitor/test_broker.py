"""A queue on Celery, on a real Redis: what its workers and its broker tell, or cannot."""

import asyncio
import logging
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from demos.redis_server import RedisServer, why_not
from miniasgi.monitor import Alarms, monitor
from miniasgi.queue import Queue
from miniasgi.testing import Client
from tests.monitor.conftest import api, page

pytest.importorskip("celery", reason="needs celery")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
]
SCRIPT = "<script>alert(1)</script>"
ALARMS = Alarms(backlog=1, running=None, patience=0.0)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def queue(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr("miniasgi.monitor.broker.ANSWERS", 0.3)
    redis.ask("FLUSHALL")
    queue = Queue("mail", redis.url(), lock_timeout=1.0)
    yield queue
    queue.close()


async def test_workers_jobs_and_backlog_are_shown_in_page_json_and_metrics(queue: Queue) -> None:
    from celery.contrib.testing.worker import start_worker

    begun, go_on = threading.Semaphore(0), threading.Event()

    @queue.task
    def wait(word: str) -> str:
        begun.release()
        assert go_on.wait(30)
        return word

    @queue.task(name=SCRIPT)
    def later() -> None: ...

    late = later.options(countdown=600, priority=9).delay()
    results = [wait.delay("s3cret") for _ in range(5)]
    app = monitor(queue, "token", alarms=ALARMS, flower="http://127.0.0.1:5555/")
    worker = start_worker(
        queue.celery, pool="threads", concurrency=2, perform_ping_check=False, shutdown_timeout=30
    )
    level = logging.root.level
    await asyncio.to_thread(worker.__enter__)
    try:
        for _ in range(2):
            await asyncio.to_thread(begun.acquire)
        seen = await until(app, lambda seen: seen["workers"] and seen["workers"][0]["scheduled"])
        text = await page(app, "/")
        async with Client(app) as client:
            metrics = (await client.get("/metrics")).text
        running = [job["id"] for job in seen["workers"][0]["active"]]
        job = await page(app, f"/jobs/{running[0]}")
        hidden = await page(monitor(queue, hide_arguments=True), f"/jobs/{running[0]}")
    finally:
        go_on.set()
        ended = [await result.aget(30) for result in results]
        await asyncio.to_thread(worker.__exit__, None, None, None)
        logging.root.setLevel(level)  # it makes the root logger deaf to warnings, for all tests
    done = (await api(app, f"/api/jobs/{results[0].id}"))["job"]

    assert ended == ["s3cret"] * 5
    (told,) = seen["workers"]
    ready = 3 - len(told["reserved"])  # Celery may have taken one more
    assert told["slots"] == 2 and told["pid"] > 0
    assert sorted(running) == sorted(result.id for result in results[:2])
    assert [(one["id"], one["task"]) for one in told["scheduled"]] == [(late.id, SCRIPT)]
    assert told["scheduled"][0]["due_at"] > seen["at"] + 500
    assert told["active"][0]["since"] <= seen["at"] + 1
    assert seen["longest_running"] < 30
    assert seen["queues"] == [{"name": "mail", "ready": ready}]
    assert [(one["name"], one["state"], one["value"]) for one in seen["alarms"]] == [
        ("backlog", "firing", ready)
    ]
    assert SCRIPT not in text and "&lt;script&gt;" in text
    assert "s3cret" not in text
    assert re.findall(r"<dt>(\w+)[^<]*</dt>\s*<dd><b>(\d+)</b>", text) == [
        ("Ready", str(ready)),
        ("Active", "2"),
        ("Reserved", str(len(told["reserved"]))),
        ("Scheduled", "1"),
    ]
    assert 'href="http://127.0.0.1:5555"' in text and f"5555/task/{running[0]}" in job
    assert "attempt 1" in job and "s3cret" in job and "s3cret" not in hidden
    assert (done["state"], done["result"], done["attempt"]) == ("success", "s3cret", 1)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    longest = samples.pop(("miniasgi_longest_running_seconds",))
    name = told["name"]
    assert longest < 30
    assert samples == {
        ("miniasgi_broker_up",): 1,
        ("miniasgi_jobs", "mail", "ready"): ready,
        ("miniasgi_workers", "mail"): 1,
        ("miniasgi_worker_slots", "mail"): 2,
        ("miniasgi_worker_jobs", "active", name): 2,
        ("miniasgi_worker_jobs", "reserved", name): len(told["reserved"]),
        ("miniasgi_worker_jobs", "scheduled", name): 1,
        ("miniasgi_alarm", "backlog", "ok"): 0,
        ("miniasgi_alarm", "backlog", "pending"): 0,
        ("miniasgi_alarm", "backlog", "firing"): 1,
    }


async def until(app: Any, is_so: Any) -> Any:
    """Look until it is so: Celery's workers take jobs when they please."""
    for _ in range(60):
        if is_so(seen := await api(app, "/api/overview")):
            return seen
        await asyncio.sleep(0.2)
    raise AssertionError(seen)


async def test_without_jobs_and_workers_it_says_so(queue: Queue) -> None:
    app = monitor(queue)
    seen = await api(app, "/api/overview")
    text = await page(app, "/")

    assert (seen["problem"], seen["queues"], seen["workers"]) == (
        None,
        [{"name": "mail", "ready": 0}],
        [],
    )
    assert "No worker has answered" in text


async def test_what_there_is_not_is_404_and_nothing_acts(queue: Queue) -> None:
    async with Client(monitor(queue, "token")) as client:
        pages = [
            (await client.get(path)).status
            for path in ("/queues", "/failures", "/api/queues", "/jobs/nobody", "/confirm/retry")
        ]
        headers = {"authorization": "Bearer token"}
        acted = await client.post("/actions/purge", data={"queue": "mail"}, headers=headers)

    assert pages == [404, 404, 404, 404, 404]
    assert acted.status == 403


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_broker_that_is_down_is_a_sentence_and_blocks_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("miniasgi.monitor.broker.PATIENCE", 0.5)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    with RedisServer(tmp_path) as redis:
        queue = Queue("mail", f"redis://:s3cret@127.0.0.1:{redis.port}/0", lock_timeout=1.0)
        if how == "hangs":
            redis.signal(signal.SIGSTOP)
        else:
            redis.kill()
        turning = asyncio.create_task(turn())
        app = monitor(queue, alarms=ALARMS)
        try:
            async with Client(app) as client, asyncio.timeout(20):
                seen = (await client.get("/api/overview")).json()
                shown = await client.get("/", headers={"accept": "text/html"})
                metrics = await client.get("/metrics")
                job = await client.get("/jobs/one", headers={"accept": "text/html"})
        finally:
            turning.cancel()
            redis.signal(signal.SIGCONT)
            queue.close()

    said = "has not answered for 0.5 s" if how == "hangs" else "cannot be used: "
    assert said in seen["problem"] and said in shown.text
    assert "s3cret" not in shown.text + str(seen) + job.text
    assert (shown.status, job.status) == (200, 503)
    assert seen["alarms"] == []  # nobody knows
    assert "miniasgi_broker_up 0.0" in metrics.text
    assert turns > 10 or how == "refuses"

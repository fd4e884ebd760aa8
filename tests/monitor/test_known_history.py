"""Every figure on every page, in the JSON and in the metrics, of a history that is known."""

import html
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from miniasgi.monitor import Alarms
from miniasgi.monitor.access import Access
from miniasgi.monitor.alarms import Watchman
from miniasgi.monitor.figures import Figures
from miniasgi.monitor.site import FileSite
from miniasgi.monitor.watch import Watch
from miniasgi.monitor.words import NOTHING
from miniasgi.queue import Queue
from miniasgi.testing import Client
from tests.monitor.conftest import api, page

pytestmark = pytest.mark.anyio
NOW = 1_700_000_005.0  # 22:13:25 UTC, five seconds into a step of ten
BEGIN = NOW - 295.0  # of the first of 30 steps
Write = Callable[..., None]


@pytest.fixture
def site(queue: Queue, write: Write, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The monitor of the history, at a moment that stands still."""
    clock = SimpleNamespace(time=lambda: NOW, strftime=time.strftime, gmtime=time.gmtime)
    for module in ("words", "lane"):
        monkeypatch.setattr(f"miniasgi.monitor.{module}.time", clock)

    def ended(id: str, state: str, ago: float, took: float, **columns: Any) -> None:
        moments = {"created_at": NOW - ago - 20, "started_at": NOW - ago - took}
        write(id, state, settled_at=NOW - ago, attempt=1, **moments, **columns)

    write("waits", "ready", created_at=NOW - 70)
    write("urgent", "ready", created_at=NOW - 5, priority=9)
    write("later", "scheduled", created_at=NOW - 8, due_at=NOW + 60)
    write(
        *("runs", "running"),
        **{"created_at": NOW - 9, "owner": "worker-7-0-x", "started_at": NOW - 4, "attempt": 2},
        past=json.dumps([1, NOW - 8, NOW - 7, "OSError: not yet", "Traceback ..."]) + "\n",
    )
    for id, ago, took in (("one", 1, 0.01), ("two", 12, 0.02), ("three", 200, 2.0)):
        ended(id, "success", ago, took, result='"done"', arguments='[[7], {"to": "ada"}]')
    ended("long ago", "success", 4_000, 9.0, result="null")
    ended("failed", "failure", 3, 0.5, error="KeyError: user 7", traceback="Traceback ...")
    ended("failed before", "failure", 5_000, 0.5, error="KeyError: user 12")
    ended("over", "revoked", 2, 0.25, error="revoked", queue="reports", task="add_up")
    write("held", "held", created_at=NOW - 1, owner="queue-8-0-x", queue="reports", task="add_up")
    queue.writer.run(lambda db: db.execute("insert into miniasgi_paused values ('reports')"))
    watchman = Watchman(Alarms(1, 300.0, 0.3, patience=0.0), None, lambda *call: None)
    watch = Watch(Figures(queue.writer, "mail").look, watchman, lambda: NOW)
    return FileSite(queue, watch, Access(None), False).app()


def recent(success: int, failure: int, revoked: int, *took: float) -> dict[str, Any]:
    ended = success + failure
    rate = failure / ended if ended else None
    figures = dict(zip(("p50", "p95", "p99"), took or (None,) * 3, strict=True))
    return {
        **{"success": success, "failure": failure, "revoked": revoked},
        **{"per_second": ended / 295, "failure_rate": rate},
        **figures,
    }


def jobs(**there: int) -> dict[str, int]:
    states = ("ready", "running", "held", "scheduled", "success", "failure", "revoked")
    return dict.fromkeys(states, 0) | there


MAIL = jobs(ready=2, running=1, scheduled=1, success=4, failure=2)
REPORTS = jobs(held=1, revoked=1)
RUNS = {"id": "runs", "queue": "mail", "task": "send", "state": "running", "attempt": 2}
HELD = {"id": "held", "queue": "reports", "task": "add_up", "state": "held", "attempt": 0}
NOBODY = {"queue": "", "slots": 0}  # their locks are not held: they have died
ENDED = {9: "success", 28: "success", 29: "all"}


def figures() -> dict[str, Any]:
    """What ``/api/overview`` says."""
    steps = [
        {"at": BEGIN + 10 * n, "success": int(n in (9, 28)), "failure": 0, "revoked": 0}
        for n in range(29)
    ]
    now = {"at": NOW - 5, "success": 1, "failure": 1, "revoked": 1}
    group = {
        **{"queue": "mail", "task": "send", "signature": "KeyError: user #"},
        **{"error": "KeyError: user 7", "jobs": 2, "example": "failed"},
        **{"first_at": NOW - 5_000, "last_at": NOW - 3},
    }
    firing = {"name": "backlog", "state": "firing", "value": 2, "limit": 1, "since": NOW}
    fine = {"state": "ok", "since": None}
    mail_recent = recent(3, 1, 0, 0.02, 2.0, 2.0)
    return {
        "at": NOW,
        "jobs": jobs(**{k: MAIL[k] + REPORTS[k] for k in MAIL}),
        "oldest_waits": 70.0,
        "longest_running": 4.0,
        "queues": [
            {
                **{"name": "mail", "jobs": MAIL, "paused": False, "workers": 0, "slots": 0},
                **{"oldest_waits": 70.0, "recent": mail_recent},
            },
            {
                **{"name": "reports", "jobs": REPORTS, "paused": True, "workers": 0, "slots": 0},
                **{"oldest_waits": None, "recent": recent(0, 0, 1)},
            },
        ],
        "workers": [
            {
                **{"name": "queue-8-0-x", "kind": "web", "pid": 8, **NOBODY},
                "running": [{**HELD, "owner": "queue-8-0-x", "since": NOW - 1}],
            },
            {
                **{"name": "worker-7-0-x", "kind": "worker", "pid": 7, **NOBODY},
                "running": [{**RUNS, "owner": "worker-7-0-x", "since": NOW - 4}],
            },
        ],
        "recent": recent(3, 1, 1, 0.02, 2.0, 2.0),
        "steps": [*steps, now],
        "failures": [group],
        "grouped": 2,
        "alarms": [
            firing,
            {"name": "running", "value": 4.0, "limit": 300.0, **fine},
            {"name": "failure_rate", "value": 0.25, "limit": 0.3, **fine},
        ],
    }


@pytest.mark.parametrize("name", ["overview", "queues", "workers", "failures"])
async def test_the_json_has_every_figure(site: Any, name: str) -> None:
    assert await api(site, f"/api/{name}") == figures()


async def test_the_json_of_jobs_has_every_column(site: Any) -> None:
    one = {
        **{"id": "one", "queue": "mail", "task": "send", "state": "success", "priority": 0},
        **{"arguments": [[7], {"to": "ada"}], "created_at": NOW - 21, "due_at": None},
        **{"attempt": 1, "retries": 0, "crashes": 0, "owner": None, "error": None},
        **{"started_at": NOW - 1.01, "settled_at": NOW - 1},
    }
    more = {"expires_at": None, "revoking": 0, "result": "done", "traceback": None, "trace": None}

    listed = await api(site, "/api/jobs?state=success")
    found = await api(site, "/api/jobs/one")
    tried = (await api(site, "/api/jobs/runs"))["job"]["past"]

    assert [job["id"] for job in listed["jobs"]] == ["one", "two", "three", "long ago"]
    assert listed["jobs"][0] == one
    assert {k: v for k, v in listed.items() if k != "jobs"} == {
        "search": {"queue": "mail", "state": "success", "task": "", "text": "", "after": ""},
        "next": None,
        "looked_through": None,
    }
    assert found == {"job": {**one, **more, "past": []}}
    assert tried == [
        {
            **{"attempt": 1, "started_at": NOW - 8, "ended_at": NOW - 7},
            **{"error": "OSError: not yet", "traceback": "Traceback ..."},
        }
    ]


async def test_the_metrics_have_every_figure(site: Any) -> None:
    async with Client(site) as client:
        text = (await client.get("/metrics")).text
    samples = {
        (sample.name.removeprefix("miniasgi_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    assert samples == {
        **{("jobs", "mail", state): count for state, count in MAIL.items()},
        **{("jobs", "reports", state): count for state, count in REPORTS.items()},
        ("oldest_ready_seconds", "mail"): 70,
        **{(name, "mail"): 0 for name in ("paused", "workers", "worker_slots")},
        **{(name, "reports"): 0 for name in ("workers", "worker_slots")},
        ("paused", "reports"): 1,
        **{("recent_jobs", "mail", s): n for s, n in zip(STATES, (3, 1, 0), strict=True)},
        **{("recent_jobs", "reports", s): n for s, n in zip(STATES, (0, 0, 1), strict=True)},
        ("recent_duration_seconds", "0.5", "mail"): 0.02,
        ("recent_duration_seconds", "0.95", "mail"): 2.0,
        ("recent_duration_seconds", "0.99", "mail"): 2.0,
        ("recent_failure_ratio", "mail"): 0.25,
        ("longest_running_seconds",): 4,
        **{("alarm", "backlog", state): state == "firing" for state in LEVELS},
        **{("alarm", name, state): state == "ok" for name in OTHERS for state in LEVELS},
    }


STATES = ("success", "failure", "revoked")
LEVELS = ("ok", "pending", "firing")
OTHERS = ("running", "failure_rate")


def words(text: str) -> str:
    """What a reader sees of a page's content, in one line."""
    main = text[text.index("<main") : text.index("</main>")]
    main = re.sub(r"<title>.*?</title>|<option.*?</option>|<input[^>]*>", "", main, flags=re.S)
    main = re.sub(r"<svg.*?<desc>(.*?)</desc>.*?</svg>", r"\1", main, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).replace(NOTHING, "-").split())


QUEUES = (
    "Queue Ready Oldest Running Scheduled Failure Success Throughput Failed, 5 min p50 p95 p99 "
    "Workers mail 2 70 s 1 1 2 4 0.81/min 25 % 20 ms 2 s 2 s 0 "
    "reports paused 0 - 1 0 0 0 0/s - - - - 0"
)
WORKERS = (
    "promises a web process, 8 held add_up for 1 s "
    "a worker process 7, which has died running send for 4 s, attempt 2"
)
FAILURES = (
    "2 send in mail, the last one 3 s ago KeyError: user 7 An example The failures of this task"
)
READS = {
    "/": (
        "Overview Backlog 2 of 1 firing since 22:13:25 UTC Longest run 4 s of 5 min ok "
        "Failure rate 25 % of 30 % ok "
        "Ready 2 oldest 70 s Running 1 longest 4 s Scheduled 1 Held 1 not answered yet "
        "Success 4 Failure 2 Revoked 1 "
        "The last five minutes 5 min ago success failure most in 10 s: 2 now "
        "Throughput 0.81/min 4 jobs Failure rate 25 % 1 failed Took, p50 20 ms p95 2 s p99 2 s "
        f"Workers {WORKERS} Failures by error {FAILURES} Queues {QUEUES}"
    ),
    "/queues": f"Queues {QUEUES}",
    "/workers": f"Workers {WORKERS}",
    "/failures": (
        "Failures by error Grouped by task and the first line of the error, numbers aside. "
        f"{FAILURES}"
    ),
    "/jobs?state=success": (
        "Jobs Queue State Task Text Search State Task Arguments, error Attempt Took Created "
        'success send 7, to="ada" 1 10 ms 21 s ago success send 7, to="ada" 1 20 ms 32 s ago '
        'success send 7, to="ada" 1 2 s 3 min 40 s ago success send 1 9 s 1 h 7 min ago'
    ),
    "/jobs/one": (
        "send success one in mail wait.start waits (queue, 0.0 ms); wait.end waits (queue, 20.0 s)"
        "; task.start attempt 1 (queue worker, 20.0 s); task.end attempt 1 (queue worker, 20.0 s). "
        "Created 2023-11-14 22:13:04.000 UTC 21 s ago Started 2023-11-14 22:13:23.990 UTC "
        "Ended 2023-11-14 22:13:24.000 UTC after 10 ms Attempts 1 Priority 0 "
        'Arguments send(7, to="ada") Result "done"'
    ),
    "/jobs/runs": (
        "send running runs in mail wait.start waits (queue, 0.0 ms); wait.end waits (queue, "
        "1000 ms); task.start attempt 1 (queue worker, 1000 ms); task.failed attempt 1 (queue "
        "worker, 2000 ms); wait.start waits for another attempt (queue, 2000 ms); wait.end waits "
        "for another attempt (queue, 5000 ms); task.start attempt 2 (queue worker, 5000 ms); "
        "now (queue, 9000 ms). Created 2023-11-14 22:13:16.000 UTC 9 s ago "
        "Started 2023-11-14 22:13:21.000 UTC "
        "Attempts 2 Priority 0 Owner worker-7-0-x Arguments send() "
        "Attempts before Attempt 1 ended 2023-11-14 22:13:18.000 UTC, after 1 s OSError: not yet "
        "Traceback Traceback ..."
    ),
}


@pytest.mark.parametrize("path", READS)
async def test_a_page_shows_every_figure(site: Any, path: str) -> None:
    assert words(await page(site, path)) == READS[path]


async def test_every_word_of_the_json_is_in_the_docs(site: Any) -> None:
    answers = [await api(site, f"/api/{path}") for path in ("overview", "jobs", "jobs/runs")]
    broker = pytest.importorskip("miniasgi.monitor.broker").BrokerSnapshot(NOW)

    documented = set(re.findall(r"`(\w+)`", DOCS))
    assert words_of([*answers, asdict(broker)]) - documented == set()


DOCS = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()


def words_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(words_of, value))
    if isinstance(value, dict):
        return {key for key in value if key != "to"} | words_of(list(value.values()))
    return set()

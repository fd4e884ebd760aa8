"""Every figure, against a history that is known."""

import math
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from miniasgi.monitor import Alarms, recent
from miniasgi.monitor.alarms import Watchman
from miniasgi.monitor.figures import Figures, Snapshot
from miniasgi.monitor.groups import signature
from miniasgi.monitor.watch import Watch
from miniasgi.queue import JobFailed, Queue
from miniasgi.queue.owners import Owner

NOW = 1_700_000_005.0  # five seconds into a step of ten
BEGIN = NOW - 295.0  # of the first of 30 steps
Write = Callable[..., None]


def watch(queue: Queue, clock: Callable[[], float] = lambda: NOW) -> Watch[Snapshot]:
    return Watch(Figures(queue.writer, queue.name).look, Watchman(Alarms()), clock)


def test_an_empty_file_has_one_queue_and_no_figures(queue: Queue) -> None:
    seen = watch(queue).snapshot()

    (mail,) = seen.queues
    assert (mail.name, mail.paused, mail.workers, mail.oldest_waits) == ("mail", False, 0, None)
    assert set(seen.jobs.values()) == {0}
    assert (seen.recent.per_second, seen.recent.failure_rate, seen.recent.p50) == (0, None, None)
    assert [alarm["state"] for alarm in seen.alarms] == ["ok", "ok", "ok"]


def test_jobs_are_counted_by_queue_and_state(queue: Queue, write: Write) -> None:
    for number, (state, name) in enumerate(
        [("ready", "mail")] * 3
        + [("scheduled", "mail")] * 2
        + [("success", "mail")] * 4
        + [("failure", "reports"), ("revoked", "reports"), ("ready", "reports")]
    ):
        ended = {"settled_at": 100.0} if state in ("success", "failure", "revoked") else {}
        write(str(number), state, queue=name, due_at=NOW + 60, **ended)
    write("runs", "running", owner="worker-7-0-x", started_at=NOW - 4)
    write("held", "held", owner="queue-8-0-x", queue="reports")
    queue.writer.run(lambda db: db.execute("insert into miniasgi_paused values ('reports')"))

    seen = watch(queue).snapshot()

    counted = {one.name: {k: v for k, v in one.jobs.items() if v} for one in seen.queues}
    assert counted == {
        "mail": {"ready": 3, "scheduled": 2, "success": 4, "running": 1},
        "reports": {"failure": 1, "revoked": 1, "ready": 1, "held": 1},
    }
    assert [one.paused for one in seen.queues] == [False, True]
    assert seen.jobs["ready"] == 4
    assert seen.longest_running == 4.0


def test_the_oldest_that_waits_is_found_in_any_priority_and_from_its_due_time(
    queue: Queue, write: Write
) -> None:
    write("young", "ready", created_at=NOW - 5, priority=9)
    write("old", "ready", created_at=NOW - 70, priority=-1)
    write("was scheduled", "ready", created_at=NOW - 900, due_at=NOW - 30)

    assert watch(queue).snapshot().oldest_waits == 70.0


def test_the_last_five_minutes_are_measured(queue: Queue, write: Write) -> None:
    seconds = [0.001 * n for n in range(1, 101)]
    for n, took in enumerate(seconds):
        state = "failure" if n < 4 else "success"
        ended = BEGIN + 2 * n
        write(f"job {n}", state, started_at=ended - took, settled_at=ended)
    write("before", "failure", started_at=BEGIN - 9, settled_at=BEGIN - 0.5)
    write("revoked", "revoked", settled_at=NOW - 1)

    seen = watch(queue).snapshot()

    recent = seen.recent
    assert (recent.success, recent.failure, recent.revoked) == (96, 4, 1)
    assert recent.per_second == 100 / 295
    assert recent.failure_rate == 0.04
    assert (recent.p50, recent.p95, recent.p99) == (0.050, 0.095, 0.099)
    assert recent == seen.queues[0].recent
    assert [step["at"] for step in seen.steps] == [BEGIN + 10 * n for n in range(30)]
    assert [step["success"] + step["failure"] for step in seen.steps] == [5] * 20 + [0] * 10
    assert [step["failure"] for step in seen.steps] == [4] + [0] * 29
    assert seen.steps[-1]["revoked"] == 1


@pytest.mark.parametrize("few", [0, 1_000])
def test_what_ends_later_is_added_and_what_is_too_old_goes(
    queue: Queue, write: Write, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(recent, "FEW", few)  # 0: only the newest steps are read again
    clock = [NOW]
    seen = watch(queue, lambda: clock[0])

    def looked() -> tuple[int, int]:
        seen.forget()
        recent = seen.snapshot().recent
        return recent.success, recent.failure

    write("old", "failure", started_at=BEGIN, settled_at=BEGIN + 1)
    write("one", "success", started_at=NOW - 1, settled_at=NOW - 1)
    found = [looked()]
    write("two", "success", started_at=NOW - 3, settled_at=NOW - 3)
    clock[0] += 5
    found.append(looked())
    write("three", "success", started_at=NOW + 290, settled_at=NOW + 290)
    clock[0] = NOW + 291
    found.append(looked())

    assert found == [(1, 1), (2, 0), (3, 0)]


def test_one_look_is_shared_until_it_is_old(queue: Queue, write: Write) -> None:
    seen = watch(queue)
    first = seen.snapshot()
    write("new", "ready")

    assert seen.snapshot() is first
    seen.forget()
    assert seen.snapshot().jobs["ready"] == 1
    assert seen.snapshot().version != first.version


def test_failures_are_grouped_by_task_and_error_whatever_its_numbers(
    queue: Queue, write: Write
) -> None:
    for n in range(3):
        error = f"KeyError: user {n} at 0x7f{n}\nmore {n}"
        write(f"key {n}", "failure", settled_at=50.0 + n, error=error)
    write("other task", "failure", settled_at=60.0, error="KeyError: user 1 at 0x7f1", task="other")
    write("no error", "failure", settled_at=40.0, queue="reports")

    groups = watch(queue).snapshot().failures

    assert [(g.queue, g.task, g.signature, g.jobs, g.first_at, g.last_at) for g in groups] == [
        ("mail", "other", "KeyError: user # at #", 1, 60.0, 60.0),
        ("mail", "send", "KeyError: user # at #", 3, 50.0, 52.0),
        ("reports", "send", "", 1, 40.0, 40.0),
    ]
    assert groups[1].error.startswith("KeyError: user 2")


@pytest.mark.parametrize(
    ("error", "common"),
    [
        (None, ""),
        ("TimeoutError: ran longer than 30 s", "TimeoutError: ran longer than # s"),
        ("a1b2c3d4e5 failed", "# failed"),
        ("deadline facade", "deadline facade"),
    ],
)
def test_a_signature_is_the_first_line_without_numbers(error: str | None, common: str) -> None:
    assert signature(error) == common


def test_workers_are_shown_with_what_they_run(queue: Queue, write: Write) -> None:
    queue.writer.read(lambda db: None)
    worker = Owner(queue.writer.directory, "worker", "mail 8", 1)
    write("runs", "running", owner=worker.name, started_at=NOW - 3, attempt=2)
    write("promised", "running", owner="queue-77-0-x", started_at=NOW - 1)

    web, shown = watch(queue).snapshot().workers
    worker.drop()

    assert (shown.kind, shown.queue, shown.slots) == ("worker", "mail", 8)
    assert [(job["id"], job["since"], job["attempt"]) for job in shown.running] == [
        ("runs", NOW - 3, 2)
    ]
    assert (web.kind, web.pid, [job["id"] for job in web.running]) == ("web", 77, ["promised"])


@pytest.mark.anyio
async def test_figures_are_those_of_jobs_that_were_really_run(queue: Queue) -> None:
    @queue.task
    async def send(n: int) -> None:
        if n % 4 == 0:
            raise ValueError(f"number {n}")

    results = [send.delay(n) for n in range(12)]
    async with queue.worker():
        for result in results:
            with suppress(JobFailed):
                await result.aget()
    seen = Figures(queue.writer, "mail").look(time.time())

    assert (seen.recent.success, seen.recent.failure) == (9, 3)
    assert seen.recent.p99 is not None and math.isfinite(seen.recent.p99)
    assert [(group.jobs, group.signature) for group in seen.failures] == [
        (3, "ValueError: number #")
    ]

"""A short round of the move; ``python -m tests.queue.moving`` moves 10,000 under ten kills."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery.app.task import Context

from demos.redis_server import RedisServer, why_not
from miniasgi.queue import Queue, store
from miniasgi.queue.commands import run
from miniasgi.queue.owners import Owner, is_alive
from tests.queue.moving import moved
from tests.queue.processes import ROOT

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def test_a_move_that_is_killed_half_way_loses_no_job_and_finishes_none_twice(
    tmp_path: Path,
) -> None:
    assert moved(tmp_path, jobs=600, kills=2) == {"finished": 600, "twice": 0, "kills": 2}


def test_a_mover_that_dies_before_it_publishes_has_lost_nothing(
    queue: Queue, file: Path, tmp_path: Path
) -> None:
    result = queue.task(name="note")(lambda: None).delay()
    publishing = "miniasgi.queue.celery.CeleryEngine.publish = lambda *args: os._exit(9)"
    code = f"import os, miniasgi.queue.celery\n{publishing}\n"
    code += (
        f"from miniasgi.queue.commands import run\nrun(['move', {str(file)!r}, 'redis://nobody'])"
    )
    dead = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode

    with RedisServer(tmp_path) as redis:
        codes = [dead, run(["move", str(file), redis.url()])]
        there = Queue("mail", redis.url())
        state = there.AsyncResult(result.id).state
        there.close()

    assert (codes, state) == ([9, 0], "PENDING")


def test_what_waits_is_moved_with_its_attempts_and_what_is_due_too_late_stays(
    queue: Queue, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @queue.task
    def note(n: int) -> None: ...

    soon = note.options(countdown=60.0, priority=3).delay(1)
    late = note.options(countdown=86_400.0).delay(2)
    queue.writer.run(
        lambda db: db.execute(
            "update miniasgi_job set attempt = 2, retries = 1 where id = ?", (soon.id,)
        )
    )
    dead = Owner(queue.writer.directory, "mover")
    queue.writer.run(store.take_out, dead.name, 1, time.time() + 3600)
    dead.drop()  # as if a mover had been killed with it in hand
    with RedisServer(tmp_path) as redis:
        code = run(["move", str(file), redis.url()])
        there = Queue("mail", redis.url())
        row = there.AsyncResult(soon.id).row
        there.close()

    assert (code, capsys.readouterr().out) == (
        0,
        "1 job moved, 1 left: they are due too late for a broker\n",
    )
    assert row is not None
    assert (row["priority"], row["attempt"], row["retries"]) == (3, 2, 1)
    assert (soon.state, late.state) == ("UNKNOWN", "PENDING")


def test_a_worker_that_starts_after_a_killed_move_finds_the_jobs_as_they_were(queue: Queue) -> None:
    note = queue.task(name="note")(lambda: None)
    note.delay()
    note.options(countdown=60.0).delay()
    everything = "select * from miniasgi_job order by seq"

    def rows() -> list[dict[str, Any]]:
        return [dict(row) for row in queue.writer.read(lambda db: db.execute(everything))]

    before = rows()
    dead = Owner(queue.writer.directory, "mover")
    queue.writer.run(store.take_out, dead.name, 2, time.time() + 3600)
    taken = [row["state"] for row in rows()]
    dead.drop()
    recovered = queue.writer.run(
        store.recover, "mail", partial(is_alive, queue.writer.directory), 3, time.time()
    )

    assert recovered == 2
    assert [row["state"] for row in before] == ["ready", "scheduled"]
    assert (taken, rows()) == (["held", "held"], before)


def test_what_a_dead_worker_had_in_hand_is_moved_and_starts_there_without_a_crash(
    queue: Queue, file: Path, tmp_path: Path
) -> None:
    result = queue.task(name="note")(lambda: None).options(priority=-5).delay()
    dead = Owner(queue.writer.directory, "worker")
    queue.writer.run(store.claim, "mail", dead.name, 1, time.time())
    dead.drop()
    with RedisServer(tmp_path) as redis:
        code = run(["move", str(file), redis.url()])
        there = Queue("mail", redis.url(), max_crashes=1)
        row = there.AsyncResult(result.id).row
        request = Context(id=result.id, task="note", retries=0, hostname="a", miniasgi_copy="one")
        job, crashes = there.engine.marks.begin(request, "[[],{}]")  # type: ignore[union-attr]
        there.close()

    assert code == 0 and row is not None
    assert (row["priority"], row["attempt"]) == (0, 1)
    assert (job.attempt, crashes) == (2, 0)


@pytest.mark.anyio
async def test_nothing_is_moved_while_a_worker_runs_on_the_file(
    queue: Queue, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with queue.worker():
        code = run(["move", str(file), "redis://localhost:1/0"])

    assert (code, capsys.readouterr().err) == (
        2,
        f"miniasgi: 1 workers run on {file}: stop them first\n",
    )


def test_a_move_goes_to_a_broker(
    queue: Queue, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.task(name="note")(lambda: None).delay()
    codes = [run(["move", str(file), "sqlite:///other.db"])]
    codes.append(run(["move", str(file), "redis://localhost:1/0"]))

    first, second = capsys.readouterr().err.splitlines()
    assert codes == [2, 2]
    assert first == "miniasgi: sqlite:///other.db is no broker: redis:// or amqp://"
    assert second.startswith("miniasgi: redis://localhost:1/0 cannot be used: ")

"""Alive is what the kernel says: real processes, really killed, stopped and forked."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from miniasgi.queue import JobFailed, Queue, store
from miniasgi.queue.owners import Owner, is_alive, living
from tests.queue.processes import ROOT, Process, worker

pytestmark = pytest.mark.anyio
_OWNER = """
    from pathlib import Path
    from miniasgi.queue.owners import Owner
    import os, signal, sys
    owner = Owner(Path("owners"), "worker")
    print(owner.name, flush=True)
    {then}
"""


def test_an_owner_is_alive_from_its_making_until_it_is_dropped(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "owners", "worker", "mail 4")
    before = is_alive(tmp_path / "owners", owner.name)
    listed = living(tmp_path / "owners", "worker")

    owner.drop()

    assert (before, is_alive(tmp_path / "owners", owner.name)) == (True, False)
    assert listed == {owner.name: "mail 4"}
    assert os.listdir(tmp_path / "owners") == []


def test_two_owners_in_one_process_are_two(tmp_path: Path) -> None:
    first, second = (Owner(tmp_path / "owners", "queue") for _ in range(2))

    first.drop()

    assert [is_alive(tmp_path / "owners", owner.name) for owner in (first, second)] == [False, True]
    second.drop()


def test_a_killed_process_is_dead_and_its_file_is_cleared_away(tmp_path: Path) -> None:
    with Process(_OWNER.format(then="signal.pause()"), tmp_path) as process:
        name = process.line()
        before = is_alive(tmp_path / "owners", name)
        process.kill()

    assert (before, is_alive(tmp_path / "owners", name)) == (True, False)
    assert living(tmp_path / "owners", "worker") == {}
    assert os.listdir(tmp_path / "owners") == []


def test_a_stopped_process_is_alive(tmp_path: Path) -> None:
    with Process(_OWNER.format(then="signal.pause()"), tmp_path) as process:
        name = process.line()
        process.send(signal.SIGSTOP)

        assert is_alive(tmp_path / "owners", name)


def test_a_forked_child_does_not_keep_its_dead_parent_alive(tmp_path: Path) -> None:
    then = """
    pid = os.fork()
    if pid == 0:
        print("child", os.getpid(), flush=True)
        signal.pause()
    signal.pause()
    """
    with Process(_OWNER.format(then=then), tmp_path) as process:
        name = process.line()
        child = int(process.line().split()[1])
        process.kill()
        try:
            assert not is_alive(tmp_path / "owners", name)
            os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_what_a_forked_child_acknowledges_is_there_though_its_parent_is_gone(
    tmp_path: Path,
) -> None:
    code = """
        import os, signal, subprocess, sys, time
        from miniasgi.queue import Queue
        queue = Queue("q", "sqlite:///jobs.db")
        note = queue.task(name="note")(lambda n: None)
        note.delay(1)
        parent = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == parent:
            time.sleep(0.001)
        note.delay(2)
        subprocess.run([sys.executable, "-m", "miniasgi", "status", "jobs.db"], check=True)
        note.delay(3)
        note.delay(4)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code)]

    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)

    with sqlite3.connect(tmp_path / "jobs.db") as db:
        assert db.execute("select count(*) from miniasgi_job").fetchone() == (4,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_child_that_was_forked_while_the_file_was_locked_refuses_to_use_it(
    tmp_path: Path,
) -> None:
    code = """
        import fcntl, os
        from miniasgi.queue import Queue, QueueUnavailable
        queue = Queue("q", "sqlite:///jobs.db", lock_timeout=0.1)
        note = queue.task(name="note")(lambda n: None)
        note.delay(1)
        held = os.open("jobs.db-lock", os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        if (child := os.fork()) == 0:
            os.close(held)
            try:
                note.delay(2)
            except QueueUnavailable as exc:
                print(exc, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(held)
        print(note.delay(3).state, flush=True)
    """
    with Process(code, tmp_path) as process:
        lines = [process.line(), process.line()]

    assert "was in use when this process was forked from another: start it by spawn" in lines[0]
    assert lines[1] == "PENDING"


def test_a_forked_child_uses_the_queue_by_its_own_connection(tmp_path: Path) -> None:
    code = """
        import os, warnings
        from miniasgi.queue import Queue
        warnings.simplefilter("ignore")
        queue = Queue("mail", "sqlite:///jobs.db")
        task = queue.task(name="noop")(lambda: None)
        task.delay()
        connection = queue.writer.file._db
        pid = os.fork()
        task.delay()
        if pid:
            os.waitpid(pid, 0)
            print(len(queue.writer.read(lambda db: db.execute(
                "select id from miniasgi_job").fetchall())), flush=True)
        else:
            assert queue.writer.file._db is not connection
    """
    with Process(code, tmp_path) as process:
        assert process.line() == "3"


async def test_kill_minus_9_in_mid_work_runs_the_job_again_and_counts_a_crash(
    tmp_path: Path,
) -> None:
    queue = Queue("mail", f"sqlite:///{tmp_path}/jobs.db")
    result = queue.task(name="stay")(lambda: None).delay()
    with worker(tmp_path) as first, worker(tmp_path) as second:
        lines = [asyncio.ensure_future(asyncio.to_thread(w.line)) for w in (first, second)]
        done, waiting = await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED)
        holder = first if lines[0] in done else second
        holder.kill()
        again = await waiting.pop()
        row = result.row

    assert again.startswith("running") and row is not None
    assert (row["state"], row["attempt"], row["crashes"]) == ("running", 2, 1)
    queue.close()


async def test_a_stopped_worker_is_not_taken_for_dead(tmp_path: Path) -> None:
    queue = Queue("mail", f"sqlite:///{tmp_path}/jobs.db")
    stay = queue.task(name="stay")(lambda: None)
    with worker(tmp_path) as stopped:
        result = stay.delay()
        stopped.line()
        stopped.send(signal.SIGSTOP)
        async with queue.worker():  # looks for the dead before it claims
            await (await queue.task(name="other")(lambda: None).adelay()).aget(5)
        row = result.row

    assert row is not None
    assert (row["state"], row["attempt"], row["crashes"]) == ("running", 1, 0)
    queue.close()


async def test_a_poison_job_ends_as_a_failure_that_says_the_worker_died(tmp_path: Path) -> None:
    queue = Queue("mail", f"sqlite:///{tmp_path}/jobs.db")
    result = queue.task(name="die")(lambda: None).delay()

    for _ in range(2):
        with worker(tmp_path, max_crashes=2) as dying:
            dying.wait()
    with worker(tmp_path, max_crashes=2), pytest.raises(JobFailed):
        await result.aget(10)

    assert (result.state, str(result.result)) == ("FAILURE", "worker died, 2 times so far")
    queue.close()


def test_crashes_are_spread_out_from_the_second_on(queue: Queue) -> None:
    result = queue.task(name="die")(lambda: None).delay()
    rows = []

    for n in range(3):
        queue.writer.run(
            lambda db: db.execute("update miniasgi_job set state='running', owner='dead'")
        )
        queue.writer.run(store.recover, "mail", lambda name: False, None, n)
        assert result.row is not None
        rows.append((result.row["state"], result.row["crashes"], result.row["due_at"]))

    assert rows == [("ready", 1, 0.0), ("scheduled", 2, 2.0), ("scheduled", 3, 4.0)]


async def test_sigterm_gives_back_and_a_stuck_thread_ends_with_the_process(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import threading\n"
        "from miniasgi.queue import Queue\n"
        "queue = Queue('mail', 'sqlite:///jobs.db')\n"
        "@queue.task\n"
        "def stuck():\n"
        "    print('stuck', flush=True)\n"
        "    threading.Event().wait()\n"
    )
    code = """
        from miniasgi.queue.commands import run
        run(["worker", "app:queue", "--grace", "0.1"])
    """
    queue = Queue("mail", f"sqlite:///{tmp_path}/jobs.db")
    result = queue.task(name="stuck")(lambda: None).delay()
    with Process(code, tmp_path) as process:
        process.line()
        process.send(signal.SIGTERM)
        code_of_exit = process.wait()

    async with queue.worker():
        await result.aget(5)

    assert code_of_exit == 0
    assert result.row is not None
    assert (result.row["attempt"], result.row["crashes"]) == (2, 0)
    queue.close()


def test_owners_that_come_and_go_do_not_disturb_who_looks(tmp_path: Path) -> None:
    def come_and_go() -> None:
        for _ in range(300):
            Owner(tmp_path, "worker", "mail 4").drop()

    coming = threading.Thread(target=come_and_go)
    coming.start()
    seen: set[str] = set()
    while coming.is_alive():
        seen.update(living(tmp_path, "worker").values())

    assert seen <= {"mail 4"}
    assert os.listdir(tmp_path) == []

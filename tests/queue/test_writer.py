"""Durable before acknowledged, and one sentence when the file cannot be used."""

import asyncio
import fcntl
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from miniasgi.queue import Queue, QueueUnavailable, store
from miniasgi.queue.operations import Operation
from tests.queue.processes import ROOT, Process

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def noop_of(queue: Queue) -> Any:
    @queue.task
    def noop(n: int) -> None: ...

    return noop


def ids_in(file: Path) -> set[str]:
    """What another program sees in the file: committed rows only."""
    db = sqlite3.connect(file)
    found = {row[0] for row in db.execute("select id from miniasgi_job")}
    db.close()
    return found


def test_when_delay_returns_the_row_is_committed(queue: Queue, file: Path) -> None:
    result = noop_of(queue).delay(1)

    assert ids_in(file) == {result.id}


@both
async def test_when_adelay_returns_the_row_is_committed(queue: Queue, file: Path) -> None:
    result = await noop_of(queue).adelay(1)

    assert ids_in(file) == {result.id}


def test_power_is_the_default_durability_and_process_is_a_choice(tmp_path: Path) -> None:
    found = []
    for durability in ("power", "process"):
        queue = Queue("mail", f"sqlite:///{tmp_path}/{durability}.db", durability=durability)  # type: ignore[arg-type]
        noop_of(queue).delay(1)
        db = queue.writer.file._db
        assert db is not None
        found.append((durability, db.execute("pragma synchronous").fetchone()[0]))
        queue.close()

    assert found == [("power", 2), ("process", 1)]  # FULL, NORMAL


async def test_ten_thousand_concurrent_enqueues_are_all_there_in_few_commits(
    queue: Queue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noop = noop_of(queue)
    commits = []
    commit = queue.writer._commit
    monkeypatch.setattr(
        queue.writer, "_commit", lambda batch: (commits.append(len(batch)), commit(batch))
    )

    results = await asyncio.gather(*(noop.adelay(n) for n in range(10_000)))

    assert ids_in(file) == {result.id for result in results}
    assert sum(commits) == 10_000 and len(commits) < 1_000


def test_threads_enqueue_at_once_and_lose_nothing(queue: Queue, file: Path) -> None:
    noop = noop_of(queue)
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.extend(noop.delay(n).id for n in range(50)))
        for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ids_in(file) == set(ids) and len(ids) == 400


async def test_one_that_fails_does_not_fail_its_neighbours(queue: Queue, file: Path) -> None:
    noop = noop_of(queue)
    await noop.options(task_id="taken").adelay(0)

    outcomes = await asyncio.gather(
        noop.adelay(1),
        noop.options(task_id="taken").adelay(2),
        noop.adelay(3),
        return_exceptions=True,
    )

    assert [type(outcome).__name__ for outcome in outcomes] == [
        "AsyncResult",
        "ValueError",
        "AsyncResult",
    ]
    assert len(ids_in(file)) == 3


async def test_work_done_together_is_called_once_for_its_neighbours_and_again_after_a_failure(
    queue: Queue, file: Path
) -> None:
    noop = noop_of(queue)
    await noop.options(task_id="taken").adelay(0)
    calls: list[list[tuple[int]]] = []

    def double(db: sqlite3.Connection, numbers: list[tuple[int]]) -> Any:
        calls.append(numbers)
        return [2 * number for (number,) in numbers]

    double.together = True  # type: ignore[attr-defined]
    with queue.writer.file.turn():
        one, two = (asyncio.ensure_future(queue.writer.arun(double, n)) for n in (1, 2))
        taken = asyncio.ensure_future(noop.options(task_id="taken").adelay(9))
        three = asyncio.ensure_future(queue.writer.arun(double, 3))
        await asyncio.sleep(0)  # all are handed in, and wait for their turn
    outcomes = await asyncio.gather(one, two, taken, three, return_exceptions=True)

    assert (outcomes[:2], type(outcomes[2]), outcomes[3]) == ([2, 4], ValueError, 6)
    assert calls == [[(1,), (2,)], [(1,), (2,)], [(3,)]]


def test_first_in_first_out_is_the_order_of_commit_and_not_of_the_id(queue: Queue) -> None:
    noop = noop_of(queue)
    for name in ("z", "a", "m"):
        noop.options(task_id=name).delay(1)

    claimed = queue.writer.run(store.claim, "mail", "me", 3, 0.0)

    assert [job.id for job in claimed] == ["z", "a", "m"]


async def test_a_stopped_holder_of_the_lock_freezes_nobody_and_the_operation_is_withdrawn(
    file: Path, tmp_path: Path
) -> None:
    queue = Queue("mail", f"sqlite:///{file}", lock_timeout=0.2)
    noop = noop_of(queue)
    await noop.adelay(0)
    holder = """
        import fcntl, signal, os
        fd = os.open("jobs.db-lock", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        print("held", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        print("awake", flush=True)
        fcntl.flock(fd, fcntl.LOCK_UN)
        signal.pause()
    """
    with Process(holder, tmp_path) as process:
        process.line()
        outcomes = await asyncio.gather(
            noop.options(task_id="async").adelay(1),
            asyncio.to_thread(noop.options(task_id="sync").delay, 2),
            return_exceptions=True,
        )
        process.send(signal.SIGCONT)
        process.line()
        after = await noop.options(task_id="after").adelay(3)

    assert [type(outcome) for outcome in outcomes] == [QueueUnavailable] * 2
    assert "locked by another process for 0.2 s" in str(outcomes[0])
    assert after.exists()
    assert ids_in(file) & {"async", "sync", "after"} == {"after"}
    queue.close()


async def test_where_the_loop_has_nothing_else_to_do_a_commit_needs_no_thread(queue: Queue) -> None:
    await queue.writer.arun(store.pause, "mail", here=True)

    assert queue.writer._thread is None
    assert queue.writer.read(store.counts)[0]["paused"]


async def test_a_commit_there_does_not_keep_the_loop_waiting_for_another_process(
    queue: Queue, file: Path
) -> None:
    noop_of(queue).delay(0)
    holder = os.open(f"{file}-lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)

    paused = asyncio.create_task(queue.writer.arun(store.pause, "mail", here=True))
    await asyncio.sleep(0)  # its first step, which would never end
    was_done = paused.done()
    os.close(holder)
    await paused

    assert not was_done
    assert queue.writer.read(store.counts)[0]["paused"]


async def test_a_strangers_database_is_locked_for_three_seconds_is_waited_for(
    queue: Queue, file: Path
) -> None:
    noop = noop_of(queue)
    await noop.adelay(0)
    stranger = sqlite3.connect(file, check_same_thread=False)
    stranger.execute("begin immediate")
    timer = threading.Timer(3.0, stranger.rollback)
    timer.start()

    result = await noop.adelay(1)

    timer.join()
    stranger.close()
    assert result.exists()


def test_a_full_disk_refuses_acknowledges_nothing_and_works_again(queue: Queue, file: Path) -> None:
    noop = noop_of(queue)
    acknowledged = {noop.delay(0).id}
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
    try:
        with pytest.raises(QueueUnavailable, match=r"jobs\.db cannot be used: "):
            for n in range(1_000):
                acknowledged.add(noop.delay(n).id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    acknowledged.add(noop.delay(1).id)

    assert ids_in(file) == acknowledged
    db = sqlite3.connect(file)
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    db.close()


def test_what_cannot_be_settled_on_a_full_disk_is_settled_when_there_is_room(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    noop = noop_of(queue)
    noop.delay(0)
    settled = threading.Event()
    failures = [sqlite3.OperationalError("database or disk is full")]

    def work(db: sqlite3.Connection) -> None:
        if failures:
            raise failures.pop()
        settled.set()

    queue.writer.post(work)

    assert settled.wait(10)


@pytest.mark.parametrize("broken", ["take_turn", "open"])
async def test_a_mistake_in_the_writers_thread_leaves_nobody_waiting(
    queue: Queue, file: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    noop = noop_of(queue)
    with monkeypatch.context() as patch:
        patch.setattr(queue.writer.file, broken, lambda **how: 1 / 0)
        outcomes = await asyncio.gather(*(noop.adelay(n) for n in range(3)), return_exceptions=True)

    after = await noop.adelay(3)

    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 3
    assert ids_in(file) == {after.id}


def test_a_read_only_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    code = """
        import os
        from miniasgi.queue import Queue, QueueUnavailable
        if os.getuid() == 0:
            os.setuid(65534)
        queue = Queue("mail", "sqlite:///jobs.db")
        task = queue.task(lambda: None)
        try:
            task.delay()
        except QueueUnavailable as exc:
            print(exc)
    """
    queue = Queue("mail", f"sqlite:///{tmp_path}/jobs.db")
    noop_of(queue).delay(1)
    queue.close()
    for path in (tmp_path / "jobs.db", tmp_path / "jobs.db-lock", tmp_path):
        path.chmod(0o555)
    for above in list(tmp_path.parents)[:2]:
        above.chmod(0o755)

    with Process(code, tmp_path) as process:
        said = process.line()

    tmp_path.chmod(0o755)
    assert "jobs.db cannot be used: " in said


def test_a_file_that_is_not_a_database_is_refused_in_one_sentence(file: Path) -> None:
    file.write_bytes(b"certainly not a database" * 100)
    queue = Queue("mail", f"sqlite:///{file}")

    with pytest.raises(QueueUnavailable, match=r"jobs\.db cannot be used: file is not a database"):
        noop_of(queue).delay(1)

    assert file.read_bytes() == b"certainly not a database" * 100


def test_a_file_of_a_newer_schema_is_refused_in_one_sentence(queue: Queue, file: Path) -> None:
    noop_of(queue).delay(1)
    queue.close()
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("insert into miniasgi_schema values (99)")
    db.close()

    with pytest.raises(QueueUnavailable, match=r"schema 99 of a newer miniasgi, .* upgrade"):
        queue.tasks["noop"].delay(2)


@pytest.mark.parametrize("released", range(len(store.MIGRATIONS)))
def test_a_file_of_every_older_schema_is_upgraded(
    file: Path, released: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(store, "MIGRATIONS", store.MIGRATIONS[:released])
        store.connect(file, "power").close()

    db = store.connect(file, "power")

    version = db.execute("select max(version) from miniasgi_schema").fetchone()[0]
    assert version == len(store.MIGRATIONS)
    db.close()


def test_jobs_of_an_older_schema_outlive_the_upgrade_and_so_does_who_has_them_open(
    queue: Queue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = (
        "insert into miniasgi_job (id, queue, task, arguments, state, priority, created_at)"
        "values (?, 'mail', 'noop', '[[1],{}]', 'ready', 0, 1.0)"
    )
    with monkeypatch.context() as older:
        older.setattr(store, "MIGRATIONS", store.MIGRATIONS[:1])
        old = store.connect(file, "power")
    old.execute(add, ("before",))

    noop_of(queue).options(task_id="new").delay(1)
    old.execute(add, ("after",))

    claimed = queue.writer.run(store.claim, "mail", "me", 9, 2.0)
    old.close()
    assert [job.id for job in claimed] == ["before", "new", "after"]


def test_an_upgrade_that_fails_half_way_leaves_the_file_as_it_was(
    queue: Queue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @queue.task
    def send() -> None: ...

    kept = send.delay()
    queue.close()

    broken = [*store.MIGRATIONS, "create table half_way (a); create table half_way (a);"]
    with monkeypatch.context() as patch, pytest.raises(QueueUnavailable, match="half_way already"):
        patch.setattr(store, "MIGRATIONS", broken)
        send.delay()

    assert kept.state == "PENDING"
    with sqlite3.connect(file) as stranger:
        tables = [row[0] for row in stranger.execute("select name from sqlite_schema")]
        version = stranger.execute("select max(version) from miniasgi_schema").fetchone()
    stranger.close()
    assert ("half_way" in tables, version) == (False, (len(store.MIGRATIONS),))


def test_eight_processes_that_make_one_file_at_once_make_one_schema(file: Path) -> None:
    code = (
        "import sys\n"
        "from miniasgi.queue import Queue\n"
        f"queue = Queue('mail', {f'sqlite:///{file}'!r})\n"
        "send = queue.task(name='send')(print)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "send.delay()\n"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    makers: list[Any] = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(8)]
    for maker in makers:
        maker.stdout.readline()

    for maker in makers:
        maker.stdin.close()
    codes = [maker.wait(30) for maker in makers]
    for maker in makers:
        maker.stdout.close()

    with sqlite3.connect(file) as stranger:
        jobs = stranger.execute("select count(*) from miniasgi_job").fetchone()
        versions = stranger.execute("select version from miniasgi_schema").fetchall()
    stranger.close()
    assert codes == [0] * 8
    assert (jobs, versions) == ((8,), [(n + 1,) for n in range(len(store.MIGRATIONS))])


def test_a_failed_checkpoint_does_not_fail_the_commit_before_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    noop = noop_of(queue)
    noop.delay(0)
    reader = sqlite3.connect(queue.writer.path)
    reader.execute("begin")
    reader.execute("select count(*) from miniasgi_job").fetchone()
    queue.writer.file._checkpoint_at = 0  # at the next commit

    result = noop.delay(1)

    reader.close()
    assert result.exists()
    assert queue.writer.file._checkpoint_at > 0


def test_the_log_does_not_grow_without_bound(queue: Queue, file: Path) -> None:
    noop = noop_of(queue)

    def many(db: sqlite3.Connection) -> None:
        for _ in range(500):
            store.insert(db, noop._job((1,), {}))

    for _ in range(20):
        queue.writer.run(many)

    assert file.with_name("jobs.db-wal").stat().st_size < 2_000_000


async def test_one_megabyte_of_arguments_comes_back_as_it_was(queue: Queue) -> None:
    @queue.task
    async def length(text: str) -> int:
        return len(text)

    async with queue.worker():
        result = await length.adelay("x" * 1_000_000)
        value = await result.aget(5)

    assert value == 1_000_000


def test_delay_inside_a_transaction_joins_it(queue: Queue) -> None:
    noop = noop_of(queue)

    with pytest.raises(ZeroDivisionError), queue.transaction() as connection:
        connection.execute("create table app (x)")
        lost = noop.delay(1)
        _ = 1 / 0
    with queue.transaction() as connection:
        connection.execute("create table app (x)")
        kept = noop.delay(2)

    assert (lost.exists(), kept.exists()) == (False, True)


async def test_adelay_inside_a_transaction_says_what_to_use(queue: Queue) -> None:
    noop = noop_of(queue)

    with pytest.raises(RuntimeError, match="use the plain delay"), queue.transaction():
        await noop.adelay(1)


async def test_a_cancelled_enqueue_that_still_waits_is_withdrawn(queue: Queue) -> None:
    noop = noop_of(queue)
    await noop.adelay(0)
    with open(queue.writer.path.with_name("jobs.db-lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        enqueue = asyncio.ensure_future(noop.options(task_id="cancelled").adelay(1))
        await asyncio.to_thread(os.stat, lock.fileno())  # lets the enqueue begin
        enqueue.cancel()
        with pytest.raises(asyncio.CancelledError):
            await enqueue
    after = await noop.adelay(2)

    assert after.exists()
    assert queue.AsyncResult("cancelled").exists() is False


def test_a_loop_that_is_gone_does_not_disturb_the_writer(queue: Queue) -> None:
    gone = asyncio.new_event_loop()
    gone.close()
    future: asyncio.Future[Any] = asyncio.Future(loop=gone)
    left = Operation(store.find, ("nobody",), False, None, future)

    queue.writer._be_impatient([left])
    queue.writer._tell([left])

    assert not future.done()


def test_two_queues_on_one_file_share_the_writer_and_see_only_their_own_jobs(file: Path) -> None:
    mail, images = (Queue(name, f"sqlite:///{file}") for name in ("mail", "images"))

    noop_of(mail).delay(1)

    assert mail.writer is images.writer
    assert mail.writer.run(store.claim, "images", "me", 1, 0.0) == []
    mail.close()


def test_a_warning_is_logged_once_when_no_worker_lives(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    noop = noop_of(queue)

    noop.delay(1)
    noop.delay(2)

    assert [record.message for record in caplog.records] == [
        f"{queue.writer.path}: jobs are waiting and no worker is running"
    ]


async def test_it_is_logged_again_when_the_last_worker_has_gone(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noop = noop_of(queue)
    rings = iter([False, True, False, False])
    monkeypatch.setattr(queue.writer._bell, "ring", lambda: next(rings))

    told = []
    for number in range(4):
        noop.delay(number)
        told.append(len(caplog.records))

    assert told == [1, 1, 2, 2]


async def test_who_awaits_a_commit_while_the_queue_is_closed_is_not_left_waiting(
    queue: Queue,
) -> None:
    noop = noop_of(queue)
    await noop.adelay(0)

    async def produce() -> None:
        for number in range(200):
            await noop.adelay(number)

    producing = asyncio.gather(*(produce() for _ in range(4)))
    while not producing.done():
        await asyncio.to_thread(queue.close)

    await producing
    assert queue.writer.read(store.counts)[0]["ready"] == 801


def test_inside_a_transaction_its_own_file_can_be_read_but_not_opened_again(queue: Queue) -> None:
    noop = noop_of(queue)

    with queue.transaction():
        state = noop.delay(1).state
        with pytest.raises(RuntimeError, match="a transaction is open here already"):
            queue.transaction().__enter__()

    assert state == "UNKNOWN"  # it is not committed yet
    assert queue.writer.read(store.counts)[0]["ready"] == 1


def test_a_checkpoint_that_fails_does_not_shorten_the_next_wait(queue: Queue) -> None:
    noop_of(queue).delay(0)
    file = queue.writer.file
    db = file.open()

    class Full:
        total_changes = 1 << 30

        def execute(self, sql: str) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                raise sqlite3.OperationalError("database or disk is full")
            return db.execute(sql)

    file._db = Full()  # type: ignore[assignment]
    file._checkpoint()
    file._db = db

    assert db.execute("pragma busy_timeout").fetchone()[0] == 5_000


def test_a_strangers_lock_is_waited_for_as_long_as_one_of_ours(file: Path) -> None:
    queue = Queue("mail", f"sqlite:///{file}", lock_timeout=0.2)
    noop = noop_of(queue)
    noop.delay(0)
    queue.writer.file._checkpoint_at = 0
    noop.delay(1)  # after a checkpoint too, which waits for nobody

    db = queue.writer.file.open()

    assert db.execute("pragma busy_timeout").fetchone()[0] == 200
    queue.close()


def test_a_transaction_rings_for_the_jobs_that_joined_it_and_for_nothing_else(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    @queue.task
    def note(n: int) -> None: ...

    with queue.transaction():
        pass
    without = len(caplog.messages)
    with queue.transaction():
        note.delay(1)

    assert without == 0
    assert [message.split(": ")[1] for message in caplog.messages] == [
        "jobs are waiting and no worker is running"
    ]


@pytest.mark.parametrize(
    ("broker", "sentence"),
    [
        ("mysql://localhost", "is no file: sqlite:///file.db; redis:// and amqp:// for a queue on"),
        ("jobs.db", r"did you mean sqlite:///jobs\.db"),
    ],
)
def test_another_broker_is_refused_in_one_sentence(broker: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Queue("mail", broker)


def test_import_miniasgi_does_not_import_sqlite3(tmp_path: Path) -> None:
    code = "import miniasgi, sys; print('sqlite3' in sys.modules)"

    with Process(code, tmp_path) as process:
        said = process.line()

    assert said == "False"

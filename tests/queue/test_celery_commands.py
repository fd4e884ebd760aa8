"""The command line on a queue of Celery's: what it answers, and what it refuses with a way out."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.redis_server import RedisServer, why_not
from miniasgi.queue import JobFailed, Queue
from miniasgi.queue.commands import run
from tests.queue.conformance.conftest import in_this_process

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
]
PATIENCE = 20.0
Output = pytest.CaptureFixture[str]


@pytest.fixture(params=["a broker", "an outbox before it"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Queue]:
    """A queue that a module of the working folder has, ``shop_on_celery:queue``."""
    with RedisServer(tmp_path) as redis:
        outbox = "outbox='sqlite:///outbox.db'" if request.param != "a broker" else ""
        (tmp_path / "shop_on_celery.py").write_text(
            "from miniasgi.queue import Queue\n"
            f"queue = Queue('shop', {redis.url()!r}, {outbox})\n"
            "send = queue.task(name='send')(lambda n: n)\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", ["", *sys.path])
        import shop_on_celery  # type: ignore[import-not-found]

        yield shop_on_celery.queue
        sys.modules.pop("shop_on_celery").queue.close()


WHERE = "shop_on_celery:queue"


async def test_status_tells_what_waits_and_what_workers_do(shop: Queue, capsys: Output) -> None:
    async with in_this_process(shop):
        await shop.tasks["send"].delay(1).aget(PATIENCE)
        code = run(["status", WHERE, "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "queue": "shop", "waiting": 0, "held": 0, "running": 0, "workers": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a/b", "mail[eu]", "jobs*"])
async def test_a_queues_workers_are_heard_whatever_its_name(
    shop: Queue, name: str, capsys: Output
) -> None:
    odd = Queue(name, shop.broker)
    odd.task(name="note")(lambda: None)
    async with in_this_process(odd):
        await odd.tasks["note"].delay().aget(PATIENCE)
        told = odd.celery.control.inspect(timeout=1.0).active()
    odd.close()

    assert told is not None and len(told) == 1


async def test_the_workers_of_another_queue_on_the_broker_are_not_this_ones(
    shop: Queue, capsys: Output
) -> None:
    other = Queue("other", shop.broker)
    begun, go_on = threading.Semaphore(0), threading.Event()

    @other.task
    def wait() -> None:
        begun.release()
        assert go_on.wait(PATIENCE)

    async with in_this_process(other):
        result = wait.delay()
        begun.acquire()
        run(["status", WHERE, "--json"])
        go_on.set()
        await result.aget(PATIENCE)
    other.close()

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["running"], told["workers"]) == (0, 0)


async def test_one_job_is_shown_and_revoked_by_its_id(shop: Queue, capsys: Output) -> None:
    shop.tasks["send"].options(task_id="one").delay(1)
    codes = [run(["revoke", WHERE, "one"])]
    with pytest.raises(JobFailed, match="revoked"):  # an outbox may be at work on it
        await shop.AsyncResult("one").aget(PATIENCE)
    codes.append(run(["show", WHERE, "one", "--json"]))
    codes.append(run(["show", WHERE, "nobody"]))

    said = capsys.readouterr()
    revoked, row = said.out.splitlines()
    assert (codes, revoked) == ([0, 0, 2], "1 of 1 job revoked")
    assert (json.loads(row)["state"], json.loads(row)["task"]) == ("revoked", "send")
    assert said.err == f"miniasgi: no job 'nobody' in {WHERE}\n"


@pytest.mark.parametrize("shop", ["a broker"], indirect=True)
async def test_what_waits_at_the_broker_is_purged_if_that_is_asked_for(
    shop: Queue, capsys: Output
) -> None:
    waiting = [shop.tasks["send"].options(priority=priority).delay(1) for priority in (0, 9)]
    with shop.celery.connection_for_write() as connection:  # a stranger's, which has no id
        connection.SimpleQueue("shop").put({})
    codes = [run(["status", WHERE, "--json"]), run(["purge", WHERE, "--state", "ready"])]
    codes.append(run(["status", WHERE, "--json"]))

    before, deleted, after = capsys.readouterr().out.splitlines()
    assert (codes, deleted) == ([0, 0, 0], "3 jobs deleted")
    assert [one.state for one in waiting] == ["UNKNOWN"] * 2  # so its key is free again
    assert (json.loads(before)["waiting"], json.loads(after)["waiting"]) == (3, 0)


@pytest.mark.parametrize("shop", ["a broker"], indirect=True)
@pytest.mark.parametrize(
    ("command", "way_out"),
    [
        (["list", WHERE], "Celery keeps no list of jobs: Flower shows those it saw"),
        (["retry", WHERE, "--all"], "enqueue it again, under another id"),
        (["pause", WHERE], "control cancel_consumer shop"),
        (["resume", WHERE], "control add_consumer shop"),
        (["purge", WHERE], "results expire by themselves; --state ready deletes what waits"),
        (["purge", WHERE, "--state", "ready", "--older", "60"], "leave out --older"),
    ],
)
async def test_what_celery_cannot_do_is_one_sentence_that_says_where_to_look(
    shop: Queue, command: list[str], way_out: str, capsys: Output
) -> None:
    code = run(command)

    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"miniasgi: {shop!r}: ") and way_out in err

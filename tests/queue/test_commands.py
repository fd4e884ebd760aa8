"""The command line: readable, ``--json`` for machines, one sentence for a mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from miniasgi.queue import Queue, store
from miniasgi.queue.commands import run
from tests.queue.processes import ROOT


@pytest.fixture
def jobs(queue: Queue, file: Path) -> str:
    """A file with a waiting, a failed and a done job; returns where it is."""

    @queue.task
    def send(n: int) -> None: ...

    for name in ("failed", "done", "waiting"):
        send.options(task_id=name).delay(1)
    claimed = queue.writer.run(store.claim, "mail", "me", 2, 0.0)
    outcomes = [store.Outcome("failure", error="ValueError: no"), store.Outcome("success", "1")]
    for job, outcome in zip(claimed, outcomes, strict=True):
        queue.writer.run(store.settle, job, outcome, 1.0)
    return str(file)


Output = pytest.CaptureFixture[str]


def said(capsys: Output) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_status_counts_by_state_and_says_that_no_worker_runs(jobs: str, capsys: Output) -> None:
    code = run(["status", jobs, "--json"])

    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert code == 0
    assert row | {"oldest_waits": 0} == {
        "queue": "mail", "scheduled": 0, "ready": 1, "held": 0, "running": 0, "success": 1,
        "failure": 1, "revoked": 0, "workers": 0, "paused": False, "oldest_waits": 0,
    }  # fmt: skip
    assert captured.err == "no worker is running on this file\n"


def test_list_shows_the_newest_first_and_chooses(jobs: str, capsys: Output) -> None:
    run(["list", jobs])
    everything = said(capsys)
    run(["list", jobs, "--state", "failure", "--error", "ValueError: no"])
    failures = said(capsys)

    assert [line.split()[0] for line in everything] == ["id", "waiting", "done", "failed"]
    assert [line.split()[0] for line in failures] == ["id", "failed"]


def test_show_tells_all_of_one_job(jobs: str, capsys: Output) -> None:
    run(["show", jobs, "failed"])
    lines = said(capsys)
    run(["show", jobs, "failed", "--json"])
    row = json.loads(said(capsys)[0])

    assert "error:       ValueError: no" in lines
    assert (row["state"], row["error"]) == ("failure", "ValueError: no")


def test_retry_one_and_all_of_one_error(jobs: str, capsys: Output, queue: Queue) -> None:
    run(["retry", jobs, "--all", "--error", "another"])
    run(["retry", jobs, "--all", "--error", "ValueError: no"])
    state = queue.AsyncResult("failed").state
    run(["revoke", jobs, "failed", "waiting", "done"])
    run(["retry", jobs, "failed"])

    assert said(capsys) == [
        "0 of 0 jobs ready again",
        "1 of 1 job ready again",
        "2 of 3 jobs revoked",
        "1 of 1 job ready again",
    ]
    assert state == "PENDING"


def test_pause_and_resume(jobs: str, queue: Queue) -> None:
    paused = []
    for command in ("pause", "resume"):
        run([command, jobs, "--queue", "mail"])
        paused += [bool(row["paused"]) for row in queue.writer.read(store.counts)]

    assert paused == [True, False]


def test_purge_deletes_what_has_ended_or_the_state_given(
    jobs: str, capsys: Output, queue: Queue
) -> None:
    run(["purge", jobs])
    left = [row["id"] for row in queue.writer.read(store.select)]
    run(["purge", jobs, "--state", "ready"])

    assert (said(capsys), left) == (["2 jobs deleted", "1 job deleted"], ["waiting"])


def test_a_state_may_be_in_capitals_and_an_unknown_one_is_refused(
    jobs: str, capsys: Output
) -> None:
    run(["list", jobs, "--state", "FAILURE"])
    found = said(capsys)
    with pytest.raises(SystemExit):
        run(["list", jobs, "--state", "failed"])

    assert [line.split()[0] for line in found] == ["id", "failed"]
    assert "invalid choice: 'failed'" in capsys.readouterr().err


def test_an_error_of_many_lines_is_one_cell_and_found_by_its_first_line(
    jobs: str, capsys: Output, queue: Queue
) -> None:
    queue.writer.run(
        lambda db: db.execute("update miniasgi_job set error = 'no' || char(10) || 'more'")
    )

    run(["list", jobs, "--error", "no", "--task", "send", "--limit", "1"])
    row = said(capsys)[1:]
    run(["list", jobs, "--error", "more"])

    assert [line.split() for line in row] == [
        ["waiting", "ready", "send", "mail", "0", "0", "no"],
    ]
    assert said(capsys) == ["no jobs"]


def test_who_has_read_enough_of_a_list_is_no_error(jobs: str) -> None:
    read, write = os.pipe()
    os.close(read)  # as `head` does once it has its lines
    command = [sys.executable, "-m", "miniasgi", "list", jobs, "--json"]

    listed = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(write)

    assert (listed.returncode, listed.stderr) == (0, b"")


def test_a_file_may_hold_several_queues_so_pause_asks_for_the_name(
    jobs: str, capsys: Output
) -> None:
    code = run(["pause", jobs])

    assert code == 2
    assert (
        capsys.readouterr().err == f"miniasgi: {jobs} may hold several queues: say --queue NAME\n"
    )


def test_a_worker_of_no_slots_is_refused(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        run(["worker", "demos.mail.queue:queue", "--concurrency", "0"])

    assert "--concurrency: 0 is less than 1" in capsys.readouterr().err


def test_a_module_and_its_queue_say_where_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    (tmp_path / "shop_app.py").write_text(
        "from miniasgi.queue import Queue\n"
        "queue = Queue('shop', 'sqlite:///shop.db')\n"
        "queue.task(name='send')(lambda: None).delay()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    run(["status", "shop_app:queue", "--json"])

    assert json.loads(said(capsys)[0])["queue"] == "shop"
    sys.modules.pop("shop_app").queue.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status", "nowhere.db"], "there is no file nowhere.db"),
        (["worker", "nowhere"], "'nowhere' should be module:queue, for instance demos.mail:queue"),
        (["worker", "json:queue"], "json:queue: json has no Queue named 'queue'"),
        (["worker", "no_such_module:queue"], "No module named 'no_such_module'"),
        (["status", "redis://localhost"], "broker 'redis://localhost' is no file: sqlite"),
        (["worker", "sqlite:///x.db"], "'sqlite:///x.db' should be module:queue"),
        (["worker", "..x:queue"], "..x cannot be imported: TypeError"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])

    code = run(arguments)

    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith(f"miniasgi: {sentence}") and err.count("\n") == 1


def test_an_unknown_id_and_a_retry_of_nothing_are_said(jobs: str, capsys: Output) -> None:
    codes = [run(["show", jobs, "nobody"]), run(["retry", jobs])]

    assert codes == [2, 2]
    assert capsys.readouterr().err.splitlines() == [
        f"miniasgi: no job 'nobody' in {jobs}",
        "miniasgi: name the jobs to retry, or say --all",
    ]


def test_help_helps(capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--help"])

    assert caught.value.code == 0
    assert "Run jobs until SIGTERM" in capsys.readouterr().out


def test_ids_and_what_chooses_are_not_mixed_and_older_is_not_negative(
    jobs: str, capsys: Output
) -> None:
    code = run(["retry", jobs, "one", "--task", "send_email"])
    mixed = capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(["purge", jobs, "--older", "-3"])
    older = capsys.readouterr().err

    assert code == 2
    assert mixed == "miniasgi: ids say which jobs: leave out --all and the options that choose\n"
    assert "argument --older: -3 is less than 0" in older

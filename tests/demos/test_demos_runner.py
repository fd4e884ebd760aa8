"""The command: what it refuses, in one sentence, and that it leaves no process behind."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demos import servers
from demos.__main__ import chosen, main
from demos.client import Connection
from demos.report import changes
from demos.runner import Result, Run, Step, run
from demos.scenario import FRAMEWORKS, Scenario, Seen, Unforeseen, all_names, load
from demos.servers import DemoError, Server, Settings
from miniasgi.timeline import Moment, Recording

ROOT = Path(__file__).parents[2]


# Choosing


def test_every_scenario_has_a_question_a_story_a_lesson_and_expectations() -> None:
    for scenario in map(load, all_names()):
        assert scenario.question.endswith("?")
        assert scenario.story and scenario.lesson.endswith(".")
        for name in FRAMEWORKS:
            is_absent = scenario.is_absent(name)
            assert (scenario.expected(name) in scenario.module.outcomes) is not is_absent
            assert hasattr(scenario.module, f"{name}_app") is not is_absent


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["s01"], ["s01_order"]),
        (["Forty Tokens"], ["s05_forty_tokens"]),
        (["neighbour", "s01"], ["s01_order", "s08_innocent_neighbour"]),
        ([], all_names()),
    ],
)
def test_a_scenario_is_found_by_its_number_or_a_part_of_its_name(
    words: list[str], names: list[str]
) -> None:
    assert chosen(words) == names


def test_the_list_names_every_scenario_with_its_question(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["--list"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    lines = lines[: lines.index("")]  # the tutorial's samples come after it
    assert [line[:3] for line in lines] == [name[:3] for name in all_names()]
    assert all(line.endswith("?") for line in lines)


# Refusing


def sentence(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The only line on standard error of a command that cannot run."""
    code = main(arguments)
    out, err = capsys.readouterr()

    assert code == 2
    assert out == ""
    words = [line for line in err.splitlines() if not line.startswith("recording ")]
    assert len(words) == 1, words
    return words[0]


def test_an_unknown_scenario_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "no scenario is called 's99'; there are s01, s02" in sentence(capsys, "s99")


@pytest.mark.parametrize("only", ["django", "miniasgi,flask", ""])
def test_an_unknown_framework_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str], only: str
) -> None:
    words = sentence(capsys, "s01", "--only", only)

    assert words.startswith("demos: --only takes some of miniasgi,starlette,fastapi, not ")


def test_a_missing_framework_is_named_with_two_ways_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "starlette")

    words = sentence(capsys, "s01")

    assert words == (
        "demos: starlette is not installed; try: pip install starlette, "
        "or leave it out: --only miniasgi,fastapi"
    )


def test_what_only_one_scenario_needs_is_asked_for_by_that_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "httpx")

    words = sentence(capsys, "s21")

    assert words == "demos: httpx is not installed; try: pip install httpx"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ony"], "unrecognized arguments: --ony; see python -m demos --help"),
        (["s01", "--all"], "--all and 's01' at once: name scenarios, or take --all"),
        (["s01", "--repeat", "0"], "--repeat takes a number from 1 on, not 0"),
        (["s01", "--port", "70000"], "--port takes a number from 1 to 65535, not 70000"),
        (["s01", "--http", "h2"], "argument --http: invalid choice: 'h2'"),
        (["s01", "--with", "fastapi"], "--with takes a package as fastapi==0.117.1, not 'fastapi'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in sentence(capsys, *arguments)


def test_help_has_examples_exit_codes_and_a_line_for_each_scenario(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert [word for word in ("examples:", "exit codes:", "scenarios:") if word not in out] == []
    for scenario in map(load, all_names()):
        assert f"{scenario.number}  {scenario.title}" in out


def missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda wanted, *rest: None if wanted == name else find_spec(wanted, *rest),
    )


def test_a_port_in_use_is_said_before_anything_is_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        words = sentence(capsys, "s01", "--port", str(port), "--svg", str(tmp_path))

    assert words.startswith(f"demos: port {port} cannot be used: Address already in use")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.servers
def test_a_server_that_does_not_come_up_is_quoted() -> None:
    server = Server("demos.no_such_scenario:app", "miniasgi", Settings())
    try:
        with pytest.raises(DemoError, match=r"did not come up: .*no_such_scenario"):
            server.wait_until_up()
    finally:
        server.end()

    assert server.process.returncode != 0


@pytest.mark.servers
def test_a_server_that_never_answers_is_given_up_and_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "STARTING", 0.3)
    server = Server("demos.s01_order:miniasgi_app", "miniasgi", Settings())
    try:
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(DemoError, match=r"no answer in 0\.3 seconds"):
            server.wait_until_up()
    finally:
        server.end()

    assert server.process.returncode == -signal.SIGKILL


#: An application that ends its process when it is asked for ``/exit``, or ``/kill``.
ENDING = """
import os, signal

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/exit":
        os._exit(3)
    elif scope["path"] == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
"""


@pytest.mark.servers
@pytest.mark.parametrize(
    ("path", "words"),
    [("/exit", "exit code 3, and nothing was said"), ("/kill", "killed by SIGKILL")],
)
def test_a_server_that_ends_without_a_word_is_said_to(
    tmp_path: Path, path: str, words: str
) -> None:
    (tmp_path / "ending.py").write_text(ENDING)
    server = Server("ending:app", "miniasgi", Settings(), environment={"PYTHONPATH": str(tmp_path)})
    try:
        server.wait_until_up()
        with server.visitor().connect() as connection:
            assert connection.get(path) is None
        with pytest.raises(DemoError, match=f"ending:app ended badly: {words}"):
            server.stop()
    finally:
        server.end()


@pytest.mark.servers
def test_a_child_that_crashes_is_quoted_by_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crash = "import os, sys\nif 'demos.serve' in sys.orig_argv:\n"
    crash += "    os.write(2, b'the disk is full\\n')\n    os._exit(1)\n"
    (tmp_path / "sitecustomize.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    words = sentence(capsys, "s01", "--only", "miniasgi", "--svg", str(tmp_path))

    assert words == "demos: demos.s01_order:miniasgi_app did not come up: the disk is full"


@pytest.mark.servers
def test_what_cannot_be_written_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    one = ["s01", "--only", "miniasgi", "--svg"]

    pictures = sentence(capsys, *one, str(tmp_path / "file" / "x"))
    main([*one, str(tmp_path), "--json", str(tmp_path / "no" / "such.json")])

    assert pictures.endswith("file/x cannot be made: Not a directory")
    assert "such.json cannot be written: No such file or directory" in capsys.readouterr().err


# Judging


def recorded(*labels: str) -> Recording:
    """Moments one after the other; each label is a kind and a name."""
    return Recording(
        Moment(at, "client", label.split(" ")[0], label.partition(" ")[2])
        for at, label in enumerate(labels, start=1)
    )


def seen(*labels: str) -> Seen:
    return Seen(recorded(*labels))


def test_order_is_asked_of_the_first_moments_of_their_labels() -> None:
    recording = seen("request.start GET /a", "mark wait", "request.end GET /a", "mark wait")

    assert recording.in_order("request.start GET /a", "wait", "request.end GET /a")
    assert not recording.in_order("request.end GET /a", "wait")
    assert not recording.in_order("request.end GET /b")


def test_a_recording_that_no_outcome_describes_says_what_is_wrong() -> None:
    recording = seen("mark b", "mark a")

    with pytest.raises(Unforeseen, match="'b' before 'a'"):
        recording.must_be_in_order("a", "b")
    with pytest.raises(Unforeseen, match="no moment 'c'"):
        recording.must_be_in_order("a", "c")


@pytest.mark.parametrize("name", all_names())
def test_an_empty_recording_is_never_what_was_expected(name: str) -> None:
    scenario: Scenario = load(name)

    outcome = scenario.observe(Recording())

    assert outcome.startswith("unforeseen: ")
    assert scenario.compare(outcome, scenario.expected("starlette")) == "?"


IN_ORDER = (
    "app.start GET /signup",
    "response.end GET /signup",
    "task.start send_mail",
    "request.end GET /signup",
    "mark gate opens",
    "task.end send_mail",
    "app.end GET /signup",
)


def test_the_order_that_is_promised_is_recognised() -> None:
    scenario = load("s01_order")

    assert scenario.observe(recorded(*IN_ORDER)) == scenario.expected("miniasgi")


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("task.start send_mail", "response.end GET /signup"),
        ("app.end GET /signup", "task.end send_mail"),
        ("task.end send_mail", "request.end GET /signup"),
    ],
)
def test_no_other_order_passes_for_it(early: str, late: str) -> None:
    order = [label for label in IN_ORDER if label != early]
    order.insert(order.index(late), early)

    outcome = load("s01_order").observe(recorded(*order))

    assert outcome.startswith("unforeseen: ")


def test_ranks_decide_what_is_better() -> None:
    scenario = load("s08_innocent_neighbour")
    best, worst = scenario.expected("miniasgi"), scenario.expected("starlette")

    assert scenario.compare(best, worst) == "better"
    assert scenario.compare(worst, best) == "worse"
    assert scenario.compare(best, best) == "same"


def test_a_verdict_that_differs_from_run_to_run_is_said() -> None:
    scenario = load("s01_order")

    def result(outcome: str) -> Result:
        return Result(scenario, [Run("fastapi", Recording(), outcome, True, "same")], {})

    assert changes([result("a")], [result("a")]) == []
    assert changes([result("a")], [result("b")]) == ["s01_order on FastAPI: first 'a', then 'b'"]


# One run


@pytest.mark.parametrize(
    ("second", "code", "words"),
    [("a", 0, "the verdicts of the first run"), ("b", 1, "on miniasgi: first 'a', then 'b'")],
)
def test_a_repeated_run_is_compared_and_unsteady_verdicts_are_a_failure(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    second: str,
    code: int,
    words: str,
) -> None:
    rounds = iter(["a", second])

    def run_all(scenarios: list[Scenario], settings: Settings) -> Iterator[Result]:
        run = Run("miniasgi", recorded(*IN_ORDER), next(rounds), True, "same")
        yield Result(scenarios[0], [run], {})

    monkeypatch.setattr("demos.__main__.run_all", run_all)

    assert main(["s01", "--repeat", "2", "--svg", str(tmp_path)]) == code
    out = capsys.readouterr().out
    assert "Run 1 of 2, " in out and "Run 2 of 2, " in out and words in out


@pytest.mark.servers
def test_a_run_tells_what_it_does_and_its_result_can_be_kept() -> None:
    steps: list[Step] = []

    result = run(load("s01_order"), steps.append, Settings(frameworks=("miniasgi", "starlette")))

    said = [step.said for step in steps if step.what == "said" and step.framework == "starlette"]
    assert re.fullmatch(r"the server is process \d+", said[0])
    assert said[1:] == ["GET /signup is sent", "GET /signup: 200", "gate opens"]
    steps = [step for step in steps if step.what != "said"]
    assert [(step.what, step.framework) for step in steps] == [
        ("starting", ""),
        ("recording", "miniasgi"),
        ("recorded", "miniasgi"),
        ("recording", "starlette"),
        ("recorded", "starlette"),
        ("stopping", ""),
        ("judged", ""),
    ]
    assert [(step.done, step.of) for step in steps] == [(at, 7) for at in range(7)]
    assert result.is_expected
    assert Result.from_data(json.loads(json.dumps(result.as_data()))) == result


@pytest.mark.servers
def test_two_runs_at_once_do_not_disturb_each_other() -> None:
    names = ["s21_the_test_that_cannot_see", "s24_killed_in_mid_work"]

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda name: run(load(name)), [*names, names[0]]))

    assert [result.is_expected for result in results] == [True] * 3


@pytest.mark.servers
def test_a_run_that_is_called_off_leaves_no_server_behind() -> None:
    class CalledOff(Exception):
        pass

    def call_off(step: Step) -> None:
        if step.what == "recording":
            started.extend(children(os.getpid()))
            raise CalledOff

    started: list[int] = []
    with pytest.raises(CalledOff):
        run(load("s01_order"), call_off)

    assert len(started) >= 3
    assert not processes().keys() & set(started)


# Ending


def wait_for(happened: Callable[[], bool]) -> None:
    """Poll for what another process does; there is no event to wait for."""
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def processes() -> dict[int, int]:
    """The parent of each process that runs; one that has ended and is not reaped does not."""
    if Path("/proc/self/stat").exists():
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                stats.append(f"{path.parent.name} {path.read_text().rpartition(')')[2]}")
    else:
        command = ["ps", "-A", "-o", "pid=,state=,ppid="]
        stats = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    rows = (line.split()[:3] for line in stats)
    return {int(pid): int(parent) for pid, state, parent in rows if not state.startswith("Z")}


def children(of: int) -> list[int]:
    return [pid for pid, parent in processes().items() if parent == of]


@pytest.mark.servers
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_server_is_left_behind_when_the_runner_is_stopped(
    sign: signal.Signals, tmp_path: Path
) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "demos", "s10", "--svg", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has SIGINT ignored, and it is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len(children(command.pid)) >= 3)
    started = children(command.pid)

    command.send_signal(sign)
    _, err = command.communicate(timeout=30)

    wait_for(lambda: not processes().keys() & set(started))
    if sign == signal.SIGINT:
        assert command.returncode == 130
        assert err.endswith("demos: stopped; its servers are ended\n")


@pytest.mark.servers
def test_an_application_serves_by_hand_and_shows_its_lanes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = ["demos.s01_order:starlette_app", "--port", str(port)]
    command = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *target, "--log-level", "warning"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: asks(port, "/gate/close") == 204)
        status = asks(port, "/signup")
        assert asks(port, "/gate/open") == 204
    finally:
        command.terminate()
        _, err = command.communicate(timeout=30)

    assert status == 200
    # Whether a name fits beside its bar depends on the machine; lanes and the line do not.
    assert "event loop" in err and "the client has its answer" in err


def asks(port: int, path: str) -> int:
    with contextlib.suppress(OSError), Connection(port) as connection:
        reply = connection.get(path)
        return 0 if reply is None else reply.status
    return 0

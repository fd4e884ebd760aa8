"""Runs of the lab over HTTP: several at once, limits, stop, downloads, and children that die."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import anyio
import httpx
import pytest

from demos.lab import child
from demos.lab.application import Lab
from demos.lab.runs import WAITING, Run
from demos.scenario import load
from miniasgi.testing import Client
from tests.lab.served import Served


class Reader:
    """A reader without a browser, who sends the forms that the pages have."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=60)
        found = re.search(r'name="token" value="([^"]+)"', self.http.get("/compare").text)
        assert found is not None
        self.token = found[1]

    def send(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(path, data={"token": self.token, **fields})

    def start(self, name: str) -> str:
        """Where the run is."""
        answer = self.send("/runs", scenario=name)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def wait(self, run: str) -> str:
        """Wait until it is over; how it ended."""
        return over(self.http.get(f"{run}/events").text)


def over(events: str) -> str:
    """The state at the end of a stream of events."""
    state: str = json.loads(events.rpartition("event: over\ndata: ")[2])
    return state


@pytest.fixture
def reader(lab: Served) -> Iterator[Reader]:
    reader = Reader(lab.address)
    yield reader
    reader.http.close()


def test_two_runs_at_once_do_not_disturb_each_other_and_can_be_downloaded_and_kept(
    reader: Reader,
) -> None:
    runs = [reader.start("s01_order"), reader.start("c12_a_task_after_the_answer")]
    assert [reader.wait(run) for run in runs] == ["done", "done"]

    entries = [reader.http.get(f"{run}/recording.json").json() for run in runs]
    assert [entry["name"] for entry in entries] == ["s01_order", "c12_a_task_after_the_answer"]
    assert all(run["is_expected"] for entry in entries for run in entry["runs"])
    processes = [
        {moment["process"] for run in entry["runs"] for moment in run["moments"]}
        for entry in entries
    ]
    assert processes[0] and processes[1] and not processes[0] & processes[1]

    picture = ElementTree.fromstring(reader.http.get(f"{runs[0]}/picture.svg").text)
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    trace = reader.http.get(f"{runs[0]}/trace.json").json()
    assert {"send_mail", "GET /signup"} <= {event["name"] for event in trace["traceEvents"]}

    reader.send(f"{runs[1]}/keep", keep="yes")
    assert reader.http.get("/recordings").text.count(">kept<") == 1
    reader.send(f"{runs[1]}/keep", keep="no")
    assert ">kept<" not in reader.http.get("/recordings").text


def test_only_so_many_runs_may_wait_and_each_can_be_stopped(reader: Reader) -> None:
    runs = [reader.start("s01_order") for _ in range(WAITING)]
    refused = reader.send("/runs", scenario="s01_order")

    assert refused.status_code == 429
    assert "Enough runs wait already" in refused.text
    for run in runs:
        reader.send(f"{run}/stop")
    assert [reader.wait(run) for run in runs] == ["stopped"] * WAITING
    assert "The run was not whole: stopped." in reader.http.get(runs[-1]).text
    assert over(reader.http.get(f"{runs[0]}/events").text) == "stopped"  # and is not done later
    assert reader.http.get(f"{runs[0]}/recording.json").status_code == 404


@asynccontextmanager
async def a_run(folder: Path, scenario: str, **options: Any) -> AsyncIterator[tuple[Client, Run]]:
    """A lab in this process, and one run that was started by its form."""
    lab = Lab(folder, **options)
    async with Client(lab.app, "http://127.0.0.1:8000") as client:
        form = {"token": lab.guard.token, "scenario": scenario}
        await client.post("/runs", data=form)
        (run,) = lab.runs.unfinished()
        yield client, run


def failed(
    folder: Path, act: Callable[[Run], None], scenario: str = "s01_order", **options: Any
) -> str:
    """What the page says of a run that failed, after this was done to it at its first step."""

    async def ask() -> str:
        async with a_run(folder, scenario, **options) as (client, run):
            while not run.steps and not run.is_over:
                await run.changed.wait()
            act(run)
            events = await client.get(f"/runs/{run.id}/events")
            assert over(events.text) == "failed"
            page = await client.get("/compare" if scenario == "all" else f"/runs/{run.id}")
            found = re.search(r'role="alert">([^<]*)<', page.text)
            assert found is not None
            return found[1]

    return anyio.run(ask)


@pytest.mark.parametrize("moment", ["before it has a process", "before that can speak"])
def test_a_run_that_is_stopped_as_it_starts_leaves_no_process_and_says_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    start, created, stopped = asyncio.create_subprocess_exec, anyio.Event(), anyio.Event()

    async def start_and_wait(*command: Any, **options: Any) -> Any:
        process = await start(*command, **options) if "speak" in moment else None
        created.set()
        await stopped.wait()
        return process or await start(*command, **options)

    async def stop_it() -> tuple[Run, str]:
        async with a_run(tmp_path, "s01_order") as (client, run):
            await created.wait()
            page = (await client.get(f"/runs/{run.id}")).text
            token = re.findall(r'name="token" value="([^"]+)"', page)[0]
            await client.post(f"/runs/{run.id}/stop", data={"token": token})
            stopped.set()
            return run, (await client.get(f"/runs/{run.id}")).text

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_and_wait)
    run, page = anyio.run(stop_it)

    assert "The run was not whole: stopped." in page
    assert (run.state, run.error, run.entries) == ("stopped", "", {})
    assert run.process is not None and run.process.returncode is not None


def test_a_run_that_takes_too_long_is_ended_and_says_so(tmp_path: Path) -> None:
    said = failed(tmp_path, lambda run: None, seconds=0.05)

    assert said == "The run was not whole: ended after 0.05 seconds."


def test_a_recording_process_that_is_killed_leaves_a_reason(tmp_path: Path) -> None:
    def kill(run: Run) -> None:
        assert run.process is not None
        run.process.send_signal(signal.SIGKILL)

    one, every = failed(tmp_path, kill), failed(tmp_path, kill, "all")

    assert one.startswith("The run was not whole: the recording process was ended by SIGKILL")
    assert every.startswith("The last run was not whole: the recording process was ended by")


def test_a_recording_process_that_breaks_leaves_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvicorn.py").write_text("raise RuntimeError('a broken installation')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    said = failed(tmp_path / "shelf", lambda run: None)

    assert "a broken installation" in said


def test_a_scenario_that_cannot_be_run_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios = [load("s02_one_step"), load("s01_order")]
    monkeypatch.setattr(scenarios[0].module, "needs", ("no_such_module",), raising=False)

    child.record(scenarios)

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0]["error"].startswith("s02: no_such_module is not installed")
    assert [one["result"]["name"] for one in said if "result" in one] == ["s01_order"]

"""One look for all; and alarms that ring though nobody looks, on a clock that is given."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from miniasgi.monitor import Alarms, Change, monitor
from miniasgi.monitor.alarms import Memory, Watchman
from miniasgi.monitor.watch import Watch
from miniasgi.queue import Queue
from tests.monitor.conftest import api


@dataclass
class Backlog:
    """As much of a snapshot as alarms need."""

    ready: int
    at: float = 0.0
    alarms: list[dict[str, Any]] = field(default_factory=list)

    def measured(self) -> dict[str, float]:
        return {"backlog": self.ready}


def directly(function: Callable[..., object], *args: object) -> None:
    function(*args)


def watched(backlogs: list[int], told: list[Change], memory: Memory | None = None) -> list[str]:
    """Each look's alarm, one look in every five seconds, until there is nothing more to see."""
    clock, looks = [0.0], iter(backlogs)
    states = []

    def wait(seconds: float) -> bool:
        assert watch.newest() is not None
        states.append(watch.snapshot().alarms[0]["state"])
        watch.forget()
        clock[0] += seconds
        return len(states) == len(backlogs)

    alarms = Alarms(100, None, None, patience=10.0, on_change=told.append)
    watchman = Watchman(alarms, memory, directly)
    watch = Watch(lambda now: Backlog(next(looks), now), watchman, lambda: clock[0])
    watch.keep_looking(wait)
    return states


def test_the_hook_is_called_once_a_change_though_nobody_looks() -> None:
    told: list[Change] = []

    states = watched([50, 101, 150, 150, 99, 85, 79, 120, 20], told)

    assert states == [
        "ok",
        "pending",
        "pending",
        "firing",  # over the limit for ten seconds
        "firing",  # and near to it: no change
        "firing",
        "ok",
        "pending",
        "ok",
    ]
    assert [(change.before, change.state) for change in told] == [
        ("ok", "pending"),
        ("pending", "firing"),
        ("firing", "ok"),
        ("ok", "pending"),
        ("pending", "ok"),
    ]


def test_a_restart_rings_no_alarm_again_and_tells_of_the_end_of_one(tmp_path: Path) -> None:
    path, told = tmp_path / "owners" / "alarms", list[Change]()

    watched([200, 200, 200], told, Memory(path))
    before = [change.state for change in told]
    watched([200, 200], told, Memory(path))
    during = [change.state for change in told]
    watched([10], told, Memory(path))

    assert before == during == ["pending", "firing"]
    assert [change.state for change in told] == ["pending", "firing", "ok"]


def test_of_several_processes_one_tells_until_it_ends(tmp_path: Path) -> None:
    path, told = tmp_path / "alarms", list[Change]()
    code = (
        "import sys; from pathlib import Path; from miniasgi.monitor.alarms import Memory\n"
        "memory = Memory(Path(sys.argv[1])); print(memory.write({}), flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None and other.stdout.readline() == b"True\n"

    states = watched([200, 200, 200], told, Memory(path))
    while_it_lives = list(told)
    other.kill()
    other.communicate()
    watched([200, 200, 200], told, Memory(path))

    assert while_it_lives == []
    assert states[0] == "pending"
    assert [change.state for change in told] == ["pending", "firing"]


def test_a_file_of_alarms_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    path, told = tmp_path / "alarms", list[Change]()
    path.write_text('{"backlog": [')

    assert watched([200, 200, 200], told, Memory(path)) == ["pending", "pending", "firing"]
    assert path.read_text() == '{"backlog": ["firing", 10.0]}'


@pytest.mark.anyio
async def test_with_the_queues_lifespan_a_mounted_monitor_watches(queue: Queue) -> None:
    rang = threading.Event()
    monitor(queue, alarms=Alarms(-1, None, None, patience=0.0, on_change=lambda _: rang.set()))

    async with queue.lifespan():
        await anyio.to_thread.run_sync(rang.wait, 20)

    assert rang.is_set()


@pytest.mark.anyio
async def test_a_monitor_that_has_nobody_to_tell_keeps_nobody_else_from_telling(
    queue: Queue,
) -> None:
    told: list[Change] = []
    rang = threading.Event()

    def tell(change: Change) -> None:
        told.append(change)
        rang.set()

    only_shows = monitor(queue, alarms=Alarms(-1, None, None, patience=0.0))
    tells = monitor(queue, alarms=Alarms(-1, None, None, patience=0.0, on_change=tell))

    shown = [(await api(app, "/api/overview"))["alarms"] for app in (only_shows, tells)]
    await anyio.to_thread.run_sync(rang.wait, 20)

    assert [[alarm["state"] for alarm in alarms] for alarms in shown] == [["firing"], ["firing"]]
    assert [change[:2] for change in told] == [("backlog", "firing")]


def test_a_watch_outlives_a_look_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    def fails(now: float) -> Backlog:
        raise OSError("no file")

    waits: Iterator[bool] = iter((False, True))
    Watch(fails, Watchman(Alarms())).keep_looking(lambda seconds: next(waits))

    assert [record.getMessage() for record in caplog.records] == [
        "the queue cannot be watched: no file"
    ] * 2


def test_while_a_long_look_is_taken_the_one_before_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("miniasgi.monitor.watch.QUICK", 0.0)  # every look is a long one
    monkeypatch.setattr("miniasgi.monitor.watch.REST", 0)
    looks, go_on, clock = iter(range(1, 3)), threading.Event(), [0.0]

    def look(now: float) -> Backlog:
        number = next(looks)
        if number == 2:
            assert go_on.wait(20)
        return Backlog(number, now)

    monkeypatch.setattr("miniasgi.monitor.watch.time.monotonic", lambda: clock[0])
    watch = Watch(look, Watchman(Alarms(None, None, None)))
    first = watch.snapshot()
    clock[0] += 2.0
    while_it_looks = watch.newest()
    go_on.set()
    second = watch.snapshot()
    clock[0] += 7.0

    assert while_it_looks is first
    assert second.ready == 2
    assert watch.newest() is None  # nobody has looked for long: who asks waits

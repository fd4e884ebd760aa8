"""Alarms: every change once, and no ringing at each turn."""

import logging
from typing import Any

import pytest

from miniasgi.monitor import Alarms, Change
from miniasgi.monitor.alarms import Memory, Watchman

FINE = {"backlog": 0.0, "running": 0.0, "failure_rate": 0.0}


def watchman_of(alarms: Alarms, memory: Memory | None = None) -> Watchman:
    """One that calls the hook at once, in this thread."""
    return Watchman(alarms, memory, lambda function, *args: function(*args))


def judged(watchman: Watchman, *backlog: float) -> list[str]:
    """One look a second."""
    return [
        watchman.judge(FINE | {"backlog": value}, float(at))[0]["state"]
        for at, value in enumerate(backlog)
    ]


def test_an_alarm_is_pending_then_firing_then_ok_and_each_change_is_told_once() -> None:
    told: list[Change] = []
    watchman = watchman_of(Alarms(backlog=100, patience=2.0, on_change=told.append))

    states = judged(watchman, 100, 101, 150, 150, 150, 90, 81, 79, 79)

    assert states == [
        "ok",
        "pending",
        "pending",
        "firing",
        "firing",
        "firing",
        "firing",
        "ok",
        "ok",
    ]
    assert told == [
        Change("backlog", "pending", "ok", 101, 100),
        Change("backlog", "firing", "pending", 150, 100),
        Change("backlog", "ok", "firing", 79, 100),
    ]


def test_what_is_over_for_a_moment_only_never_fires() -> None:
    watchman = watchman_of(Alarms(backlog=100, patience=3.0))

    assert judged(watchman, 200, 0, 200, 0, 200) == ["pending", "ok", "pending", "ok", "pending"]


def test_without_patience_it_fires_at_once() -> None:
    assert judged(watchman_of(Alarms(backlog=1, patience=0.0)), 2) == ["firing"]


def test_the_limits_are_the_tutorials_and_each_can_be_set_or_left_out() -> None:
    assert Alarms().limits() == {"backlog": 1_000, "running": 300.0, "failure_rate": 0.05}
    assert Alarms(backlog=5, running=None).limits() == {"backlog": 5, "failure_rate": 0.05}


def test_each_alarm_has_its_own_state() -> None:
    watchman = watchman_of(Alarms(patience=0.0))

    told = watchman.judge({"backlog": 1_001, "running": 301.0, "failure_rate": 0.05}, 0.0)

    assert [(one["name"], one["state"]) for one in told] == [
        ("backlog", "firing"),
        ("running", "firing"),
        ("failure_rate", "ok"),
    ]


def test_a_hook_that_fails_is_logged_and_stops_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # import-linter, once run in this process, has disabled the loggers that there were.
    monkeypatch.setattr(logging.getLogger("miniasgi.monitor"), "disabled", False)

    def fails(change: Any) -> None:
        raise OSError("no pager")

    watchman = watchman_of(Alarms(backlog=1, patience=0.0, on_change=fails))

    assert judged(watchman, 5, 5) == ["firing", "firing"]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the alarms' on_change failed"
    ]

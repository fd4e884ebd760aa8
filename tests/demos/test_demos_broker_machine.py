"""Scenarios that take a broker, on a machine without one."""

import importlib.util
from collections.abc import Iterator

import pytest

from demos import redis_server
from demos.broker_machine import if_there_is_a_redis
from demos.runner import Result, _judge
from demos.scenario import load
from miniasgi.timeline import Moment, Recording

REASON = "redis-server is not installed; on Debian: apt-get install redis-server"


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redis_server.shutil, "which", lambda name: None)
    yield


def test_without_redis_or_celery_the_reason_is_one_sentence(
    no_redis: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [if_there_is_a_redis("it runs")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected.append(if_there_is_a_redis("it runs"))

    assert expected == [
        f"no such thing: {REASON}",
        "no such thing: celery is not installed; try: pip install 'miniasgi[celery]'",
    ]


def test_where_there_is_nothing_to_compare_with_nothing_is_called_better_or_worse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = load("s32_later_than_the_broker_waits")
    absent = f"no such thing: {REASON}"
    monkeypatch.setitem(scenario.module.expected, "fastapi", absent)
    names = ("request.end GET /later/3/Ada", "mail to Ada", "mail to Bob")
    kinds = [name.rpartition(" GET")[0] if "GET" in name else "mark" for name in names]
    moments = [
        Moment(at, "client", kind, name.removeprefix("request.end ") if at == 0 else name)
        for at, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]

    result: Result = _judge(scenario, ("miniasgi", "fastapi"), {"miniasgi": Recording(moments)})

    assert [(run.outcome, run.than_starlette) for run in result.runs] == [
        (scenario.module.ONCE, ""),
        (absent, ""),
    ]
    assert result.is_expected

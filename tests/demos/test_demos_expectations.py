"""The table of what is expected: whole, held apart from the scenarios' code, and sharp.

Sharp means that a changed verdict is seen: a Starlette that swallows a task's exception, as one of
tomorrow might, is run for real, and the rows that move are named.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from demos.expectations import holds, moved, table
from demos.runner import Result, Run, run
from demos.scenario import NO_SUCH_THING, Seen, all_names, load
from demos.servers import Settings
from miniasgi.timeline import Moment, Recording

ROWS = [(name, framework) for name in all_names() for framework in load(name).module.expected]


@pytest.mark.parametrize(("name", "framework"), ROWS)
def test_every_scenario_has_a_row_for_each_framework(name: str, framework: str) -> None:
    scenario, row = load(name), table()[name][framework]

    is_absent = row["verdict"].startswith(NO_SUCH_THING)
    if is_absent or not scenario.is_absent(framework):  # else this machine lacks a broker
        assert row["verdict"] == scenario.expected(framework), "the scenario's code says otherwise"
    assert bool(row.get("facts")) is not is_absent
    assert table()[name]["rests_on"]


def test_no_row_is_of_a_scenario_that_is_not_there() -> None:
    assert table().keys() - {"seen_with"} == set(all_names())


SEEN = Seen(
    Recording(
        [
            Moment(1, "client", "request.start", "GET /a"),
            Moment(2, "event loop", "task.start", "send"),
            Moment(3, "log", "mark", "ValueError: no such address"),
            Moment(4, "client", "request.end", "GET /a", "503"),
        ]
    )
)


@pytest.mark.parametrize(
    ("fact", "is_so"),
    [
        ("request.start GET /a < task.start send < request.end GET /a", True),
        ("task.start send < request.start GET /a", False),
        ("task.start send < task.end send", False),
        ("task.start send", True),
        ("no task.start send", False),
        ("no task.end send", True),
        ("request.end GET /a = 503", True),
        ("request.end GET /a = 404", False),
        ("request.end GET /b = 404", False),
        ("task.start send @ event loop", True),
        ("task.start send @ worker thread", False),
        ("log: no such address", True),
        ("no log: no such address", False),
        ("log: no such street", False),
        ("no log: no such street", True),
    ],
)
def test_a_fact_is_looked_up_in_the_recording(fact: str, is_so: bool) -> None:
    assert holds(fact, SEEN) is is_so


#: Goes into every Python that is started: Starlette's tasks contain their exceptions.
MUTANT = """
import logging
from starlette.background import BackgroundTask

call = BackgroundTask.__call__

async def contained(self):
    try:
        await call(self)
    except Exception:
        logging.getLogger("uvicorn.error").exception("a task failed")

BackgroundTask.__call__ = contained
"""


@pytest.mark.servers
def test_a_verdict_that_changes_with_the_framework_is_seen_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(MUTANT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    name = "s08_innocent_neighbour"

    result = run(load(name), settings=Settings(frameworks=("miniasgi", "starlette")))

    now = f"starlette {version('starlette')}, uvicorn {version('uvicorn')}"
    then = table()["seen_with"]
    where = (
        f"{name} on Starlette ({now}; the table: starlette {then['starlette']}, "
        f"uvicorn {then['uvicorn']})"
    )
    assert not result.is_expected
    assert list(moved(result)) == [
        f"{where}: expected {load(name).expected('starlette')!r}, seen 'the neighbour is answered'",
        f"{where}: expected 'task.failed send_mail < request.failed GET /neighbour', not seen",
        f"{where}: expected 'no request.end GET /neighbour', not seen",
    ]


def test_a_scenario_that_says_what_is_expected_without_cause_is_found_out() -> None:
    scenario = load("s08_innocent_neighbour")
    nothing = Run("starlette", Recording([Moment(1, "client", "mark", "x")]), "", True, "")

    claimed = Result(
        scenario, [replace(nothing, outcome=scenario.expected("starlette"))], {"starlette": "9"}
    )

    sentences = list(moved(claimed))
    assert len(sentences) == 2 and all("(starlette 9, uvicorn ?; " in one for one in sentences)

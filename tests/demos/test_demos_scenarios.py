"""Every scenario once, on real servers, for the three frameworks: what is seen is what is expected.

Each scenario runs once for this file; each test looks at one framework of one scenario.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import pytest

from demos.expectations import moved
from demos.report import as_json, as_svg, as_text, verdicts
from demos.runner import Result, run_all
from demos.scenario import FRAMEWORKS, all_names, load
from demos.servers import Settings

Record: TypeAlias = Callable[[str], Result]

pytestmark = pytest.mark.servers

RUNS = [(name, run) for name in all_names() for run in load(name).applications(FRAMEWORKS)]


@pytest.fixture(scope="module")
def recorded() -> Record:
    """Runs a scenario when it is first asked for; one that cannot be run fails its own tests."""

    @cache
    def record(name: str) -> Result:
        (result,) = run_all([load(name)], Settings())
        return result

    return record


@pytest.mark.parametrize(("name", "framework"), RUNS)
def test_what_is_seen_is_what_is_expected(recorded: Record, name: str, framework: str) -> None:
    result = recorded(name)
    runs = [run for run in result.runs if run.framework == framework]

    rows = list(moved(replace(result, runs=runs)))

    assert rows == [], "\n".join([*rows, *map(str, runs[0].recording.moments)])
    assert runs[0].is_expected


@pytest.mark.parametrize("name", all_names())
def test_miniasgi_is_never_worse_and_as_much_better_as_is_expected(
    recorded: Record, name: str
) -> None:
    scenario = load(name)
    if scenario.is_absent(scenario.base):
        pytest.skip(scenario.expected(scenario.base))
    expected = scenario.compare(scenario.expected("miniasgi"), scenario.expected(scenario.base))

    verdict = recorded(name).runs[0].than_starlette

    assert verdict == expected
    assert verdict in ("better", "same")


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_the_neighbour_does_not_depend_on_the_parser(http: str) -> None:
    (result,) = run_all([load("s08_innocent_neighbour")], Settings(http=http, loop="asyncio"))

    assert result.is_expected, [run.outcome for run in result.runs]


@pytest.mark.parametrize("name", all_names())
def test_a_result_can_be_read_seen_and_loaded(recorded: Record, name: str) -> None:
    import json
    from xml.etree import ElementTree

    results = [recorded(name)] * 2
    lines = as_text(results[0]).splitlines()
    assert any(line.startswith("Lesson: ") for line in lines)
    assert max(map(len, lines)) <= 100
    assert ElementTree.fromstring(as_svg(results[0])).tag.endswith("svg")
    document = json.loads(as_json(results, Settings()))
    for told in document["scenarios"]:
        played = {run["framework"] for run in told["runs"]}
        assert played == {*load(name).applications(FRAMEWORKS)}
    assert "the same, 0 worse or unforeseen" in verdicts(results, Settings())

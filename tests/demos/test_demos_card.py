"""Cards: what a reader is asked and shown beside each scenario fits what is run and installed."""

import re

import pytest

from demos.card import Answer, Card, source
from demos.chapter.ledger import claims
from demos.scenario import NAMES, Scenario, all_names, load

SCENARIOS = [pytest.param(load(name), id=name) for name in all_names()]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_there_are_two_to_four_answers_and_one_is_right_for_each_framework(
    scenario: Scenario,
) -> None:
    answers = scenario.card.answers
    outcomes = {answer.outcome for answer in answers if answer.outcome}

    assert 2 <= len(answers) <= 4
    assert outcomes <= set(scenario.module.outcomes)
    for framework in scenario.module.expected:
        right = [answer for answer in answers if answer.is_right(scenario.expected(framework))]
        assert len(right) == (not scenario.is_absent(framework)), framework


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_code_of_each_application_is_there_with_its_decisive_lines_lit(
    scenario: Scenario,
) -> None:
    for framework in scenario.module.expected:
        if not scenario.is_absent(framework):
            sources = scenario.sources(framework)
            assert sources[0].path == f"demos/{scenario.name}.py"
            assert any(source.lit for source in sources), framework


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_functions_that_decide_are_installed(scenario: Scenario) -> None:
    decisive = scenario.card.decisive

    assert "miniasgi" in decisive and {"starlette", "fastapi"} & set(decisive)
    assert set(decisive) <= {*NAMES, "queue"}
    for names in decisive.values():
        for name in names:
            assert source(name), f"no function {name} here"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_part_is_one_of_the_tutorials_and_threads_are_threads(scenario: Scenario) -> None:
    parts = {claim.place for claim in claims()}

    assert scenario.card.part in parts
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", thread) for thread in scenario.card.threads)


def test_no_two_scenarios_have_the_same_place_in_teaching_order() -> None:
    orders = [load(name).order for name in all_names()]

    assert len(set(orders)) == len(orders)


def test_links_lead_to_the_tutorial_and_to_the_threads() -> None:
    card = Card((Answer("yes"), Answer("no")), part="4.1", threads=("encode/starlette#919",))

    tutorial, thread = card.links.items()

    assert tutorial[0] == "the tutorial, part 4.1"
    assert thread == ("encode/starlette#919", "https://github.com/encode/starlette/issues/919")


def test_a_function_is_found_by_name_with_its_decorators_and_where_it_stands() -> None:
    found = source("demos.s01_order:starlette_app", ("background=",))

    assert found is not None
    assert found.lines[:2] == ("@application", "def starlette_app() -> ASGIApp:")
    assert [found.lines[at].strip() for at in found.lit] == [
        'return JSONResponse({"welcome": "Ada"}, background=BackgroundTask(send_mail))'
    ]


@pytest.mark.parametrize(
    "name", ["no.such.module:f", "demos.s01_order:no_such", "demos.s01_order:PATIENCE", "sys:f"]
)
def test_what_is_not_installed_is_not_shown(name: str) -> None:
    assert source(name) is None

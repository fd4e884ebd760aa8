"""The pictures are drawn from the recordings beside them, and say in words what they show."""

import json
import re
from pathlib import Path

import pytest

from docs.pictures.__main__ import ALL, HERE, SHOWN, drawn
from docs.pictures.recorded import RECORDED

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SHOWINGS = [
    pytest.param(words, picture, id=f"{page.relative_to(ROOT)}-{picture}")
    for page in PAGES
    for words, picture in re.findall(r"!\[([^]]*)\]\(\S*?pictures/([^)]+)\)", page.read_text())
]


@pytest.mark.parametrize("number", ALL)
def test_a_picture_is_what_its_recording_draws(number: str) -> None:
    for path, picture in drawn(number):
        assert path.read_text() == picture, "run: python -m docs.pictures --draw"


@pytest.mark.parametrize("number", SHOWN)
def test_a_recording_says_its_versions_and_went_as_expected(number: str) -> None:
    recorded = json.loads((HERE / f"{number}.json").read_text())

    assert {"Python", "miniasgi", "uvicorn"} <= set(recorded["versions"])
    assert {run["is_expected"] for run in recorded["runs"]} == {True}


@pytest.mark.parametrize("name", RECORDED)
def test_what_no_scenario_records_is_recorded_as_it_is_told(name: str) -> None:
    recorded = json.loads((HERE / f"{name}.json").read_text())

    again = RECORDED[name][0]()

    assert {"Python", "miniasgi"} <= set(recorded["versions"])
    assert {one.place for one in again.moments} == {one["place"] for one in recorded["moments"]}


def test_every_recorded_picture_is_in_the_book_and_every_one_shown_is_recorded() -> None:
    shown = {picture for _, picture in (param.values for param in SHOWINGS)}

    assert shown == {path.name for number in ALL for path, _ in drawn(number)} | {"states.svg"}


@pytest.mark.parametrize(("words", "picture"), SHOWINGS)
def test_a_picture_has_a_sentence_beside_it(words: str, picture: str) -> None:
    is_chinese = re.search(r"[\u4e00-\u9fff]", words)

    assert len(words) >= 12 if is_chinese else len(words.split()) >= 6

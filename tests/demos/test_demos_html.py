"""The page that stands by itself: whole, well formed, and without a request."""

import re
from html.parser import HTMLParser

import pytest

from demos import html
from demos.runner import Result, Run
from demos.scenario import load
from demos.servers import Settings
from miniasgi.timeline import Moment, Recording

VOID = {"meta", "link", "br", "img", "input", "path", "rect", "line", "circle"}


class Checked(HTMLParser):
    """Knows the open elements and every attribute; an end that fits nothing fails the test."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    recording = Recording(
        [
            Moment(1, "client", "request.start", "GET /<b>"),
            Moment(9, "client", "request.end", "GET /<b>"),
        ]
    )
    scenario = load("s01_order")
    runs = [
        Run("miniasgi", recording, scenario.expected("miniasgi"), True, "same"),
        Run("starlette", recording, "something <else>", False, ""),
    ]
    return html.page([Result(scenario, runs, {"miniasgi": "1.2.3"})], Settings())


def test_it_is_well_formed_and_what_was_recorded_is_text(page: str) -> None:
    checked = Checked()
    checked.feed(page)
    checked.close()

    assert checked.open == []
    assert "something &lt;else&gt;" in page and "<else>" not in page and "<b>" not in page


def test_it_asks_nobody_for_anything(page: str) -> None:
    checked = Checked()
    checked.feed(page)

    loaded = {(tag, name) for tag, name, value in checked.attributes if "://" in value}
    assert loaded <= {("a", "href"), ("svg", "xmlns")}
    assert not {name for _, name, _ in checked.attributes} & {"src", "srcset", "style", "onclick"}
    assert not re.search(r"<script|<link|@import|url\((?!#)", page)


def test_it_says_what_was_asked_seen_and_expected_and_with_which_versions(page: str) -> None:
    scenario = load("s01_order")

    for words in (scenario.question[1:], scenario.lesson, "miniasgi 1.2.3", "Not as expected: "):
        assert words in page
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg"') == 4  # two runs, wide and narrow
    assert "demos/s01_order.py" in page and "<mark>" in page

"""The built site in a real browser: axe finds nothing, and no page asks anything of the network.

One page of each kind, in the light and in the dark, at the width of a phone and beside the source.
"""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.screenshots import SITE, faults
from tests.lab.served import CHROMIUM, a_browser

KINDS = {
    "the start": "index.html",
    "a chapter": "chapters/04-the-answer-and-what-comes-after.html",
    "a table of the reference": "metrics.html",
    "the ledger": "ledger.html",
    "in Chinese": "zh/what-happens-when.html",
    "a source": "source/miniasgi/responses.py.html",
}
#: Of the files' lines the first are enough: they have every colour, and axe takes seconds for all.
FEWER_LINES = "[...document.querySelectorAll('.line')].slice(100).forEach(one => one.remove())"


@pytest.fixture(scope="module")
def page(built: "subprocess.CompletedProcess[str]") -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    assert built.returncode == 0, built.stderr
    with a_browser() as browser:
        yield browser.new_page()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_accessible_in_the_light_and_in_the_dark_and_asks_nothing_of_the_network(
    page: Any, kind: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto((SITE / KINDS[kind]).as_uri())
    page.evaluate(FEWER_LINES)
    page.add_style_tag(content="* { transition: none !important }")  # or axe sees half a colour

    for scheme, width in (("light", 1280), ("dark", 420)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)

        found = axe.run(page)

        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
        assert list(faults(page)) == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []

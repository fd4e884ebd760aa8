"""The lab in a real browser, as a newcomer sees it; one browser and one lab for all."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PAGES = ["/", "/scenarios/s01_order", "/compare", "/crash", "/ledger", "/decide", "/recordings"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("recordings")
    command = [sys.executable, "-m", "demos.lab", "--port", "0", "--no-browser", "--folder", folder]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        found = re.search(r"http://[\d.:]+", lab.stdout.readline())
        assert found is not None
        yield found[0]
        lab.send_signal(signal.SIGINT)
        assert lab.wait(30) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page of a new reader; at its end nothing was complained of, and no other host was asked."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: one.url.startswith(address) or complaints.append(one.url))
    yield page
    context.close()
    assert [text for text in complaints if not text.startswith("data:")] == []


def test_a_newcomer_predicts_runs_sees_three_timelines_and_goes_on(page: Any) -> None:
    page.goto("/")
    page.get_by_role("link", name="Begin with the first question").click()
    page.get_by_role("radio").first.check()
    page.get_by_role("button", name="Run it").click()
    page.locator("#result").wait_for(timeout=60_000)

    assert page.locator("figure .wide svg[role=img]").count() == 3
    assert page.locator(".note").count() == 1  # what became of the guess
    accessible(page)
    page.get_by_role("link", name="Next").click()
    assert "/scenarios/s02" in page.url
    page.goto("/")
    assert page.locator(".chip.seen").count() == 1


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible_and_fits_a_phone(page: Any, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 420, "height": 800})

    page.goto(path)

    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_the_way_to_a_run_can_be_gone_with_the_keyboard(page: Any) -> None:
    page.goto("/scenarios/s01_order")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")

    assert page.get_by_role("radio").first.is_checked()


def accessible(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()

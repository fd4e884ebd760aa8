"""The lab in a real browser, as a newcomer sees it."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from demos.lab.application import SITE
from demos.lab.pages import scenarios
from tests.lab.served import CHROMIUM, Served, a_browser

PAGES = ["/", "/scenarios/s01_order", "/compare", "/crash", "/ledger", "/decide", "/recordings"]
KILLED = re.compile(r"kill -9 is sent to process (\d+)")

#: Tells each line that comes while miniasgi's run goes on; the list itself goes when all are over.
TELL = """
new MutationObserver((changes) => {
  for (const node of changes.flatMap((change) => [...change.addedNodes]))
    if (node.parentElement?.matches("[data-said=miniasgi]")) told(node.textContent);
}).observe(document, {childList: true, subtree: true});
"""


@pytest.fixture(scope="module")  # its event loop is this thread's: nobody else can have one
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with a_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, lab: Served) -> Iterator[Any]:
    """A page of a new reader; at its end nothing was complained of, and no other host was asked."""
    context = browser.new_context(base_url=lab.address)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: one.url.startswith(lab.address) or complaints.append(one.url))
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
    check(page)
    page.get_by_role("link", name="Next").click()
    assert "/scenarios/s02" in page.url
    page.goto("/")
    assert page.locator(".chip.seen").count() == 1
    assert "another machine" not in page.locator("figcaption").inner_text()


def test_three_timelines_stand_one_above_the_other_on_one_scale(page: Any) -> None:
    page.goto("/recordings")
    page.locator("main .list a", has_text="Order").first.click()

    drawn = page.locator("figure .wide svg")
    boxes = [drawn.nth(number).bounding_box() for number in range(3)]
    axes = [drawn.nth(number).locator("text.tl-dim").all_text_contents() for number in range(3)]

    assert len({(box["x"], box["width"]) for box in boxes}) == 1
    assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
    assert len({tuple(text for text in words if text.endswith(" ms")) for words in axes}) == 1


def test_the_crash_page_tells_who_is_killed_what_is_left_and_who_takes_it(page: Any) -> None:
    live: list[str] = []
    page.expose_function("told", lambda line: live.append(line))
    page.add_init_script(TELL)
    page.goto("/crash")
    page.get_by_role("button", name="Kill them").last.click()
    page.get_by_text("As it happened").wait_for(timeout=120_000)

    told = {
        name: page.locator(f"section[aria-label='{name}: what happens']").inner_text()
        for name in ("miniasgi", "Starlette", "FastAPI")
    }
    assert "send_mail is on disk" in told["miniasgi"]
    assert "nothing is left" in told["Starlette"] and "nothing is left" in told["FastAPI"]
    worker = re.search(r"start queue worker: process (\d+)", told["miniasgi"])
    assert worker is not None
    assert f"process {worker[1]}: mail to Ada, attempt 2" in " ".join(told["miniasgi"].split())
    killed = [int(found) for text in told.values() for found in KILLED.findall(text)]
    assert len(killed) == 3 and str(killed[0]) in " ".join(live)  # told before the run was over
    for process in killed:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    check(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits_a_phone_in_the_light_and_in_the_dark(
    page: Any, path: str
) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(path)

        check(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_no_page_of_a_scenario_is_wider_than_a_phone_or_complains(page: Any) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    for scenario in scenarios():
        page.goto(f"/scenarios/{scenario.name}")

        assert page.locator(".code .hll").count() > 0, scenario.name
        assert page.evaluate("document.documentElement.scrollWidth") <= 420, scenario.name


def test_the_book_is_read_within_the_lab(page: Any) -> None:
    if not (SITE / "index.html").is_file():
        pytest.skip("the book is not built: make docs")
    page.goto("/scenarios/s01_order")
    page.get_by_role("link", name=re.compile("The book: ")).first.click()
    page.wait_for_load_state("networkidle")

    assert page.url.endswith(".html") and "/book/chapters/" in page.url
    assert "s01" in page.content()


def test_the_way_to_a_run_can_be_gone_with_the_keyboard(page: Any) -> None:
    page.goto("/scenarios/s01_order")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")

    assert page.get_by_role("radio").first.is_checked()
    seen = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert page.evaluate(seen) == "solid"


def test_the_five_questions_lead_to_advice(page: Any) -> None:
    page.goto("/decide")
    for answer in ("No", "No", "Yes", "Back", "No", "Yes"):
        page.get_by_role("link", name=answer, exact=True).click()

    assert "BackgroundTask, as a plain def" in page.locator(".note h2").inner_text()


def test_a_page_of_a_stranger_cannot_press_the_button(browser: Any, lab: Served) -> None:
    page = browser.new_page()
    page.set_content(
        f'<form method="post" action="{lab.address}/runs">'
        '<button name="scenario" value="s01_order">Win</button></form>'
    )

    with page.expect_navigation() as navigation:
        page.get_by_role("button").click()

    assert navigation.value.status == 403
    assert "Only the lab's own pages" in page.locator("main").inner_text()
    check(page)
    page.close()


def check(page: Any) -> None:
    """axe finds nothing."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()

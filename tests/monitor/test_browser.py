"""A real browser: nothing on its console, nothing from elsewhere, accessible, live; and it acts."""

import shutil
from collections.abc import Callable, Iterator

import pytest

from miniasgi.monitor import monitor
from miniasgi.queue import Queue
from tests.monitor.conftest import TOKEN
from tests.servers import Story, serving

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on this machine")]
Write = Callable[..., None]


@pytest.fixture
def site(queue: Queue, write: Write) -> Iterator[str]:
    write("failed", "failure", error="ValueError: no 1", settled_at=2.0, started_at=1.0)
    write("waits", "ready")
    with serving(monitor(queue, TOKEN), "uvicorn-h11", Story()) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_every_page_is_clean_for_axe_and_asks_nobody_else(
    site: str, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    said: list[str] = []
    asked: set[str] = set()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
        ).new_page()
        page.on(
            "console", lambda message: said.append(message.text) if message.type == "error" else 0
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.split("/")[2]))
        page.goto(f"{site}/sign-in")
        page.fill("[name=token]", TOKEN)
        page.click("main button")
        for path in (
            "/",
            "/jobs",
            "/jobs/failed",
            "/failures",
            "/queues",
            "/workers",
            "/confirm/purge?queue=mail&state=success",
        ):
            page.goto(site + path)
            found = Axe().run(page)
            assert found.violations_count == 0, (path, found.generate_report())
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, path
        browser.close()

    assert said == []
    assert asked == {site.split("/")[2]}


def test_the_page_is_live_until_it_is_paused_and_an_action_asks_first(
    site: str, write: Write, queue: Queue
) -> None:
    said: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on(
            "console", lambda message: said.append(message.text) if message.type == "error" else 0
        )
        page.goto(f"{site}/sign-in")
        page.fill("[name=token]", TOKEN)
        page.click("main button")
        ready = page.locator(".figures .ready b")
        sync_api.expect(ready).to_have_text("1")
        write("another", "ready")
        sync_api.expect(ready).to_have_text("2")
        page.click("#pause")
        sync_api.expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        page.goto(f"{site}/failures")
        page.click("text=Retry this group")
        states = queue.AsyncResult("failed").state
        page.click("button:has-text('Retry group')")
        sync_api.expect(page.locator(".said")).to_have_text("The job is ready again.")
        browser.close()

    assert (states, queue.AsyncResult("failed").state) == ("FAILURE", "PENDING")
    assert said == []

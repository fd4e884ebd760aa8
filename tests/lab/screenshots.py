"""``python -m tests.lab.screenshots [DIR]``: every page of the lab, photographed, to be looked at.

Each at 1600, 1280 and 420 pixels, light and dark, before and after a run. Nothing is compared: a
person looks. Needs chromium and takes a minute.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lab.served import CHROMIUM, a_browser, a_lab

WIDTHS = (1600, 1280, 420)
FRESH = {
    "home": "/",
    "scenario": "/scenarios/s01_order",
    "compare": "/compare",
    "crash": "/crash",
    "ledger": "/ledger",
    "decide": "/decide",
    "recordings": "/recordings",
    "problem": "/nowhere",
}
AFTER = {"home": "/", "compare": "/compare", "crash": "/crash", "recordings": "/recordings"}
RUNS = ("s01_order", "s08_innocent_neighbour", "s24_killed_in_mid_work", "c3_one_application")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.screenshots", description=__doc__)
    add = parser.add_argument
    add("folder", nargs="?", type=Path, metavar="DIR", help="where to (default: a new folder)")
    add("--only", metavar="WORD", default="", help="only pictures whose name contains this")
    options = parser.parse_args()
    if CHROMIUM is None:
        print("screenshots: chromium is not installed; on Debian: apt-get install chromium")
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lab-pictures-"))
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as shelf,
        a_lab(Path(shelf)) as served,
        a_browser() as browser,
    ):
        lab = served.address
        photograph(browser, lab, FRESH, folder, "before", options.only)
        while_it_runs(browser, lab, folder)
        after = dict(recorded(browser, lab))
        photograph(browser, lab, {**AFTER, **after}, folder, "after", options.only)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


def recorded(browser: Any, lab: str) -> Iterator[tuple[str, str]]:
    """Run some scenarios, as a reader does: the names and addresses of their recordings."""
    page = browser.new_page(base_url=lab)
    for name in RUNS:
        page.goto(f"/scenarios/{name}")
        page.get_by_role("radio").first.check()
        page.get_by_role("button", name="Run it").click()
        page.locator("#result").wait_for(timeout=120_000)
        yield f"result-{name.partition('_')[0]}", page.url
    page.close()


def while_it_runs(browser: Any, lab: str, folder: Path) -> None:
    """The crash page, when the first server has been killed: all sizes of one run."""
    page = browser.new_page(base_url=lab)
    page.goto("/crash")
    page.get_by_role("button", name="Kill them").first.click()
    page.get_by_text("kill -9 is sent").first.wait_for(timeout=60_000)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=folder / f"crash-running-{width}-{scheme}.png")
    page.close()


def photograph(
    browser: Any, lab: str, paths: dict[str, str], folder: Path, when: str, only: str
) -> None:
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            context = browser.new_context(
                base_url=lab, viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            for name, path in paths.items():
                file = f"{name}-{when}-{width}-{scheme}.png"
                if only in file:
                    page.goto(path)
                    page.screenshot(path=folder / file, full_page=name != "ledger")
            context.close()


if __name__ == "__main__":
    sys.exit(main())

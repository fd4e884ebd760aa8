"""Photograph the built site: every page of one kind at three widths, light and dark.

    make docs
    python -m tests.docs.screenshots                     # the chapters, into site/screenshots
    python -m tests.docs.screenshots DIR --pages 'how-to/*'
    python -m tests.docs.screenshots --check             # photograph nothing, only look for faults

Says what is wider than its window, and what a page asks of the network. Needs Chromium.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from playwright.sync_api import Page, Request, sync_playwright

SITE = Path(__file__).resolve().parent.parent.parent / "site"
WIDTHS = {1600: 1000, 1280: 800, 420: 860}  #: and the height of each window
_WIDER = """() => [...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect()
  if (!box.width || box.right <= innerWidth + 1) return false
  for (let up = element.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX != 'visible') return false
  return true
}).map(element => element.tagName.toLowerCase() + '.' + element.className)"""


def faults(page: Page) -> Iterator[str]:
    """What is cut off on the right, or makes the window scroll sideways."""
    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
        yield "the window scrolls sideways"
    yield from (f"{name} is wider than the window" for name in page.evaluate(_WIDER)[:3])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs.screenshots", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("dir", nargs="?", type=Path, default=SITE / "screenshots", metavar="DIR")
    parser.add_argument("--pages", default="chapters/*", metavar="PATTERN", help="(chapters/*)")
    parser.add_argument("--check", action="store_true", help="photograph nothing")
    parser.add_argument("--whole", action="store_true", help="whole pages, not the first window")
    parser.add_argument("--to", metavar="TEXT", help="scroll to the first heading with this text")
    options = parser.parse_args()
    names = (path.relative_to(SITE) for path in sorted(SITE.rglob("*.html")))
    pages = [path for path in names if fnmatch(path.as_posix(), f"{options.pages}.html")]
    if not pages:
        parser.error(f"no page in {SITE} is like {options.pages!r}; did you run `make docs`?")
    found = list(_photograph(pages, options))
    print("\n".join(found) or f"{len(pages)} pages, no fault")
    sys.exit(bool(found))


def _photograph(pages: list[Path], options: argparse.Namespace) -> Iterator[str]:
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        asked: list[str] = []

        def note(request: Request) -> None:
            if not request.url.startswith(("file:", "data:")):
                asked.append(request.url)

        for scheme in ("light", "dark"):
            for width, height in WIDTHS.items():
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                )
                page.on("request", note)
                for path in pages:
                    page.goto((SITE / path).as_uri())
                    where = f"{path} at {width}, {scheme}"
                    yield from (f"{where}: {fault}" for fault in faults(page))
                    yield from (f"{where}: asks for {url}" for url in asked)
                    asked.clear()
                    if not options.check:
                        _shoot(page, options, f"{path.stem}-{width}-{scheme}.png")
                page.close()
        browser.close()


def _shoot(page: Page, options: argparse.Namespace, name: str) -> None:
    if options.to:
        page.get_by_role("heading").filter(has_text=options.to).first.evaluate(
            "heading => heading.scrollIntoView({block: 'start', behavior: 'instant'})"
        )
        page.wait_for_timeout(300)  # for the second column to follow
    options.dir.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=options.dir / name, full_page=options.whole)


if __name__ == "__main__":
    main()

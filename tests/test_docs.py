"""What the pages print is run or found, every block of it; and what they link to is there.

A block of code on a page is of one of three kinds, and each kind is held by a test:

- *quoted*, with a file as its title: found there word for word (tests/docs/test_pages.py);
- *run*, ``python``: its output is compared with its ``#>`` lines, here;
- *typed*, ``console`` or ``sh``: tests/docs/test_commands.py.

The blocks of the docstrings: tests/docs/test_docstrings.py.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Every page that a reader may open.
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "demos").rglob("*.md")),
]
#: A block: its indent and its fence, its language, its file, what stands in it.
FENCE = re.compile(r'^ *(```+)(\w*)(?: title="([^"]+)")?\n(.*?)^ *\1$', re.DOTALL | re.MULTILINE)
KINDS = {"python": "run", "console": "typed", "sh": "typed"}
BLOCKS = [
    pytest.param(kind, title, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (_, kind, title, text) in enumerate(FENCE.findall(page.read_text()))
]
RUN = [
    pytest.param(block.values[2], id=block.id)
    for block in BLOCKS
    if block.values[:2] == ("python", "")
]
LINKS = [
    pytest.param(page, link, id=f"{page.relative_to(ROOT)}-{link}")
    for page in PAGES
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    if "://" not in link
]


@pytest.mark.parametrize("block", RUN)
def test_a_python_block_prints_what_the_page_says(block: str) -> None:
    said = [line.removeprefix("#> ") for line in block.splitlines() if line.startswith("#> ")]

    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.stdout.splitlines(), run.stderr) == (said, "")


def test_no_block_is_skipped() -> None:
    counted = {"run": 0, "typed": 0, "quoted": 0}
    other = []

    for block in BLOCKS:
        kind, title, _ = block.values
        name = "quoted" if title else KINDS.get(str(kind))
        if name is None:
            other.append(block.id)
        else:
            counted[name] += 1

    fences = sum(len(re.findall(r"^ *```", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert other == [], "a block of no kind is held by no test"
    assert 2 * sum(counted.values()) == fences, "a fence that no test reads as a block"
    assert all(counted.values()), counted


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(page: Path, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page

    assert target.exists()
    if anchor and target.suffix == ".md":  # what leads into Python is the build's to find
        assert anchor in headings(target.read_text())


def headings(text: str) -> set[str]:
    """The anchors that a code host and the site give the headings of a page."""
    lines = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", line).lower() for line in lines)
    return {re.sub(r"[^\w\- ]", "", line).strip().replace(" ", "-") for line in plain}

"""The Chinese pages keep step with the English: what is not words is the same in both, in order.

(The ledger's two pages need no test of this kind: both are written from one file of data.)
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    "README.md": "README.zh-CN.md",
    "docs/what-happens-when.md": "docs/zh/what-happens-when.md",
    "docs/what-really-happens.md": "docs/zh/what-really-happens.md",
}
Look: TypeAlias = Callable[[str], list[Any]]

_BLOCK = re.compile(r"```\w+\n.*?```\n", re.DOTALL)
_LINK = re.compile(r"\]\(([^)]+)\)")


def headings(text: str) -> list[str]:
    """Their levels."""
    return re.findall(r"^(#+) ", _BLOCK.sub("", text), re.MULTILINE)


def shape(text: str) -> list[str]:
    """What each line of a list or a table begins with."""
    return re.findall(r"^(- |\d+\. |\|)", _BLOCK.sub("", text), re.MULTILINE)


def numbers(text: str) -> list[str]:
    """Figures outside blocks, by heading, sorted: the order of words is a language's own."""
    sections = re.split(r"^#.*$", _LINK.sub("]", _BLOCK.sub("", text)), flags=re.MULTILINE)
    return [" ".join(sorted(re.findall(r"\d[\d.,]*\d|\d", section))) for section in sections]


def names(text: str) -> list[set[str]]:
    """What stands in backticks, by heading."""
    sections = re.split(r"^#.*$", _BLOCK.sub("", text), flags=re.MULTILINE)
    return [set(re.findall(r"`([^`]+)`", section)) for section in sections]


def targets(page: str) -> list[list[str]]:
    """Where the links of each section lead, from the root; a Chinese page stands for its twin."""
    twins = {chinese: english for english, chinese in PAGES.items()}
    twins["docs/zh/ledger.md"] = "docs/ledger.md"

    def of_section(section: str) -> Iterator[str]:
        for target in _LINK.findall(section):
            path, hash, anchor = target.partition("#")
            path = os.path.normpath(Path(page).parent / path)
            path = twins.get(path, path)
            if path != twins.get(page, page):  # the link to the other language
                yield path + hash + anchor

    text = _BLOCK.sub("", (ROOT / page).read_text())
    return [sorted(of_section(section)) for section in re.split(r"^#.*$", text, flags=re.M)]


def blocks(text: str) -> list[str]:
    return _BLOCK.findall(text)


@pytest.mark.parametrize("english", PAGES)
@pytest.mark.parametrize("look", [headings, shape, numbers, names, blocks])
def test_a_chinese_page_keeps_step_with_the_english_one(look: Look, english: str) -> None:
    english_page = (ROOT / english).read_text()
    chinese_page = (ROOT / PAGES[english]).read_text()

    assert look(chinese_page) == look(english_page)


@pytest.mark.parametrize("english", PAGES)
def test_the_links_of_a_chinese_page_lead_where_those_of_the_english_one_do(english: str) -> None:
    assert targets(PAGES[english]) == targets(english)


@pytest.mark.parametrize(
    ("look", "changed"),
    [
        (headings, "# A\n\nSee `f` and [here](x.md): 10 times.\n\n```python\n1\n```\n"),
        (shape, "# A\n\n## B\n\nSee `f` and [here](x.md): 10 times.\n- a\n\n```python\n1\n```\n"),
        (numbers, "# A\n\n## B\n\nSee `f` and [here](x.md): 11 times.\n\n```python\n1\n```\n"),
        (names, "# A\n\n## B\n\nSee `g` and [here](x.md): 10 times.\n\n```python\n1\n```\n"),
        (blocks, "# A\n\n## B\n\nSee `f` and [here](x.md): 10 times.\n\n```python\n2\n```\n"),
    ],
)
def test_what_falls_out_of_step_is_seen(look: Look, changed: str) -> None:
    page = "# A\n\n## B\n\nSee `f` and [here](x.md): 10 times.\n\n```python\n1\n```\n"

    assert look(changed) != look(page)

"""The book's extension: links become cues, quotations are found, and what is gone is named."""

from pathlib import Path

import pytest
from markdown import Markdown

from docs.read_along import ReadAlong
from docs.read_along.build import EXTENSIONS
from docs.read_along.source import NotInSource, find, highlighted, quoted

CHAPTER = "chapters/01-an-application-by-hand.md"
SOURCE = '''"""A file."""

#: Said of a constant.
LIMIT: int = 3


class Mail:
    # Said of a method.
    @property
    def text(self) -> str:
        def inner() -> str:
            return "hi"

        return inner()
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mail.py"
    path.write_text(SOURCE)
    return path


def html(text: str, page: str) -> str:
    return Markdown(extensions=[*EXTENSIONS, ReadAlong(page=page)]).convert(text)


@pytest.mark.parametrize(
    ("symbol", "lines"),
    [("LIMIT", (3, 4)), ("Mail", (7, 14)), ("Mail.text", (8, 14)), ("Mail.text.inner", (11, 12))],
)
def test_a_symbol_has_its_decorators_and_the_comments_above_it(
    source: Path, symbol: str, lines: tuple[int, int]
) -> None:
    assert find(source, symbol) == lines


def test_a_symbol_that_is_gone_is_named_with_its_file(source: Path) -> None:
    with pytest.raises(NotInSource, match=r"mail\.py has no 'Mail\.send'"):
        find(source, "Mail.send")


def test_a_quotation_stands_word_for_word_at_any_depth(source: Path) -> None:
    quoted(source, 'def inner() -> str:\n    return "hi"')

    with pytest.raises(NotInSource, match="does not hold the quotation that begins with 'def in"):
        quoted(source, 'def inner() -> str:\n    return "ho"')


def test_a_quotation_is_of_whole_lines(source: Path) -> None:
    with pytest.raises(NotInSource):
        quoted(source, "LIMIT: int")


def test_the_lines_of_a_symbol_are_wrapped_and_those_of_one_inside_it_too(source: Path) -> None:
    regions = {name: find(source, name) for name in ("Mail", "Mail.text")}

    page = highlighted(source, regions)

    assert page.count("<span") == page.count("</span>")
    assert page.index('id="Mail"') < page.index('id="Mail.text"') < page.index("inner")
    assert page.count('class="line"') == len(SOURCE.splitlines())


def test_in_a_chapter_a_link_into_the_source_is_a_cue_and_the_whole_file_follows() -> None:
    link = "[`Send`](../../miniasgi/types.py#Send)"

    page = html(f"# One\n\nA {link}.", CHAPTER)

    assert '<a class="cue" href="#miniasgi/types.py:Send"><code>Send</code></a>' in page
    assert '<span class="symbol" id="miniasgi/types.py:Send">' in page
    assert 'href="../source/miniasgi/types.py.html"' in page
    assert page.index("Background") > page.index('class="files"')


def test_two_cues_of_one_file_show_it_once() -> None:
    page = html("[a](../../miniasgi/types.py#Send) [b](../../miniasgi/types.py#Scope)", CHAPTER)

    assert page.count('class="file"') == 1
    assert page.count('class="symbol"') == 2


def test_on_another_page_a_link_leads_to_a_page_with_the_file() -> None:
    page = html("[a](../miniasgi/types.py#Send) [b](../README.md)", "queue.md")

    assert 'href="source/miniasgi/types.py.html#miniasgi/types.py:Send"' in page
    assert 'href="source/README.md.html"' in page
    assert "read-along" not in page


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[a](../../miniasgi/types.py#Sned)", r"types\.py has no 'Sned'"),
        ("[a](../../miniasgi/tpyes.py)", r"tpyes\.py leads to no file"),
        ("[a](../13-nothing.md)", r"13-nothing\.md leads to no file"),
        ('```python title="miniasgi/types.py"\nSend = None\n```', r"begins with 'Send = None'"),
    ],
)
def test_what_the_prose_names_and_the_source_lacks_stops_the_build(text: str, named: str) -> None:
    with pytest.raises(NotInSource, match=named):
        html(text, CHAPTER)


def test_links_to_pages_and_to_elsewhere_stay_as_they_are() -> None:
    page = html("[a](../queue.md#what-it-promises) [b](https://example.com/x.py)", CHAPTER)

    assert 'href="../queue.md#what-it-promises"' in page
    assert 'href="https://example.com/x.py"' in page


def test_a_recorded_picture_is_put_into_the_page_with_its_words() -> None:
    page = html("![What happened](../pictures/s08_innocent_neighbour.svg)", CHAPTER)

    assert '<span class="recorded" tabindex="0"><svg class="patterns"' in page
    assert page.count('aria-label="What happened"') == 2  # the style sheet shows one of them
    assert page.count('id="tl-failed"') == 1
    assert "<img" not in page


def test_chinese_pages_say_so() -> None:
    assert '<div lang="zh-CN">' in html("# 你好", "zh/ledger.md")

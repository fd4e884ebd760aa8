"""The pages as a whole: every name is in the source, every page of the reference is made from it,
and the site builds with links that lead somewhere.
"""

import re
import subprocess
from pathlib import Path

import pytest

from docs import reference
from docs.read_along.build import dead_links, problems

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_link_and_quotation_of_every_page_is_in_the_source() -> None:
    assert list(problems()) == []


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_of_the_reference_is_made_from_the_source(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()

    assert page == reference.PAGES[name](), "run: make reference"


def test_the_site_builds_and_every_link_leads_somewhere_by_a_relative_path(
    built: "subprocess.CompletedProcess[str]",
) -> None:
    assert (built.returncode, built.stderr) == (0, "")
    assert 'class="files"' in (ROOT / "site/chapters/02-three-shapes.html").read_text()


def test_every_column_of_every_table_has_a_name(built: "subprocess.CompletedProcess[str]") -> None:
    nameless = re.compile(r"<th[^>]*>\s*</th>")

    pages = (ROOT / "site").rglob("*.html")

    assert [page.name for page in pages if nameless.search(page.read_text())] == []


def test_a_dead_link_is_told_with_its_page(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here"></a><a href="#gone"></a><a href="b.html"></a><a href="/a">'
    )

    assert list(dead_links(tmp_path)) == [
        "a.html: #gone leads to no such place",
        "a.html: b.html leads to no file",
        "a.html: /a is absolute: the site would not work below a prefix",
    ]

"""What stands in backticks is the name of something, on every page and in every docstring."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.names import ROOT, Definitions, definitions, docstrings, unknown
from tests.test_docs import PAGES

SOURCES = sorted((ROOT / "miniasgi").rglob("*.py"))


@pytest.fixture(scope="module")
def known() -> Definitions:
    return definitions()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_what_there_is(page: Path, known: Definitions) -> None:
    assert list(unknown(page.read_text(), known)) == [], f"{page}: renamed? or add it to WORDS"


def test_the_docstrings_name_what_there_is(known: Definitions) -> None:
    found = {str(path): list(unknown(docstrings(path), known)) for path in SOURCES}

    assert {path: names for path, names in found.items() if names} == {}


def test_whoever_renames_a_function_is_told_of_the_pages_that_speak_of_it(tmp_path: Path) -> None:
    renamed = {
        "README.md": "background_threads",
        "README.zh-CN.md": "background_threads",
        "docs/queue.md": "adelay",
        "docs/how-to/to-celery.md": "adelay",
        "docs/chapters/08-when-it-fails.md": "_contain",
        "docs/chapters/12-delay.md": "_take_all",
        "miniasgi/background.py": "add_task",
    }
    for path in SOURCES:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        words = "|".join(set(renamed.values()))
        copy.write_text(re.sub(rf"\b({words})\b", r"\1_as_it_was_not", path.read_text()))

    known = definitions(tmp_path)

    for page, name in renamed.items():
        text = (ROOT / page).read_text()
        text = docstrings(ROOT / page) if page.endswith(".py") else text
        assert any(name in span for span in unknown(text, known)), f"{page}: {name} is not missed"


def test_a_name_that_another_class_has_is_none_of_this_one() -> None:
    known = Definitions()
    known.visit(ast.parse("class A:\n    def f(self): ...\nclass B:\n    def g(self): ..."))

    assert list(
        unknown("`A.f` and `A.g()`, `B.f`; not `A.f` in\n```python\n`A.h`\n```", known)
    ) == [
        "A.g()",
        "B.f",
    ]

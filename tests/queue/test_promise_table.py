"""docs/promises.md and the table of faults: what they quote is in the source, their tests exist."""

import ast
import re

import pytest

from tests.queue.processes import ROOT

PROMISE = re.compile(r"^\| .+? \| \[`.+?`\]\((.+?\.py)(?:#(.+?))?\): “(.+?)” \|", re.MULTILINE)
TEST = re.compile(r"\[(test_\w+)\]\((\.\./tests/\S+?\.py)\)")
DOCS = ROOT / "docs"
PROMISES = PROMISE.findall((DOCS / "promises.md").read_text())
PAGES = ("promises.md", "queue.md")
Tree = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parsed(path: str) -> ast.Module:
    return ast.parse((DOCS / path).resolve().read_text())


def docstring(path: str, symbol: str) -> str:
    node: Tree = parsed(path)
    for name in filter(None, symbol.split(".")):
        *_, node = (  # the last one: overloads stand before it
            one
            for one in node.body
            if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and one.name == name
        )
    return " ".join((ast.get_docstring(node) or "").split())


@pytest.mark.parametrize(("path", "symbol", "words"), PROMISES)
def test_the_source_gives_the_promise_in_these_words(path: str, symbol: str, words: str) -> None:
    assert words in docstring(path, symbol)


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_keeps_a_promise_or_shows_a_fault_exists(page: str) -> None:
    named = TEST.findall((DOCS / page).read_text())

    missing = [
        name
        for name, path in named
        if name
        not in {
            node.name
            for node in parsed(path).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    ]

    assert missing == []


def test_every_row_of_the_page_is_a_promise_with_words_and_a_test() -> None:
    rows = [
        line
        for line in (DOCS / "promises.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| promise"))
    ]

    assert len(rows) == len(PROMISES)
    assert all(TEST.search(row) for row in rows)

"""The page about the queue names tests and commands: they exist."""

import re
from pathlib import Path

import pytest

from demos.scenario import all_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "queue.md").read_text()
TESTS = re.findall(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", PAGE)


@pytest.mark.parametrize(("name", "file"), TESTS)
def test_a_promise_is_linked_to_a_test_that_exists(name: str, file: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_promise_has_one() -> None:
    table = PAGE.split("## What it promises")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]

    assert len(rows) == len(TESTS)


def test_the_scenarios_that_it_names_exist() -> None:
    (command,) = re.findall(r"python -m demos ((?:s\d\d ?)+)", PAGE)

    assert set(command.split()) <= {name.partition("_")[0] for name in all_names()}


def test_the_command_line_that_it_prints_is_understood() -> None:
    from miniasgi.queue.commands import _parser

    commands = re.findall(r"^miniasgi (.+?)(?:\s+#.*)?$", PAGE, re.MULTILINE)

    assert len(commands) >= 8
    for command in commands:
        options = _parser().parse_args(command.replace("'...'", "...").split())
        assert options.where in ("jobs.db", "demos.mail.queue:queue")

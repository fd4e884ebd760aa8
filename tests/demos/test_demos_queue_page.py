"""The page about the queue names scenarios and commands: they exist."""

import re
from pathlib import Path

from demos.scenario import all_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "queue.md").read_text()


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

"""The page of the command line: what the parsers themselves know of each command and option."""

import argparse
from collections.abc import Iterator

from demos.options import parser as demos_parser
from miniasgi.monitor.commands import COMMANDS
from miniasgi.queue.commands import _parser as queue_parser

_INTRODUCTION = """# Command line

{made} `--help` of each command says the same.

A mistake is one sentence on stderr and exit code 2. `--json` prints one object a line.
"""


def page(made: str) -> str:
    queue = queue_parser(COMMANDS)
    parts = [_INTRODUCTION.format(made=made), "\n## miniasgi\n\n", _sentence(queue)]
    parts.append("\n`miniasgi COMMAND`, or `python -m miniasgi COMMAND`:\n")
    for name, command in _commands(queue):
        parts += [f"\n### miniasgi {name}\n\n", _sentence(command), *_arguments(command)]
    demos = demos_parser()
    parts += ["\n## python -m demos\n\n", _sentence(demos), *_arguments(demos)]
    return "".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _sentence(parser: argparse.ArgumentParser) -> str:
    return " ".join((parser.description or "").split()) + "\n"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "\n| argument | meaning |\n|---|---|\n"
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield f"| `{_spelling(action)}` | {_meaning(action)} |\n"


def _spelling(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if not action.option_strings:
        return f"{name} ..." if action.nargs in ("*", "+") else name
    takes_value = action.nargs != 0
    value = action.metavar or action.dest.upper()
    return f"{name} {value}" if takes_value else name


def _meaning(action: argparse.Action) -> str:
    words = " ".join((action.help or "").split()).replace("|", "\\|")
    if action.choices:
        words = f"{words}{'; ' if words else ''}one of {', '.join(map(str, action.choices))}"
    return words

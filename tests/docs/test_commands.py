"""What the pages type into a terminal: each command is one that is there, with options it knows.

A block with an output is run in a folder of its own, and the output compared; ``...`` stands for
any lines. One whose run is another test's is named in ELSEWHERE. Of the rest, which would start
servers or take minutes, every word is checked: module, target, options, the path of a request.
"""

import argparse
import ast
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest

from demos.options import parser as demos_parser
from demos.servers import DemoError
from miniasgi.monitor.commands import COMMANDS
from miniasgi.queue.commands import _parser as queue_parser
from tests.test_docs import BLOCKS, KINDS, ROOT

Check: TypeAlias = Callable[[list[str]], None]
TYPED = [
    pytest.param(block.values[2], id=block.id)
    for block in BLOCKS
    if KINDS.get(str(block.values[0])) == "typed" and not block.values[1]
]
#: What is typed here, and the file that has the words it prints: its test runs it.
ELSEWHERE = {"python -m demos.on_celery": "demos/on_celery.py"}


def commands(block: str) -> list[str]:
    """Its commands. In a block with prompts the other lines are output."""
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip()]


def output(block: str) -> list[str]:
    """What a block with prompts shows of its output."""
    lines = block.splitlines()
    prompts = any(line.startswith("$ ") for line in lines)
    return [line for line in lines if prompts and not line.startswith("$ ") and line != "..."]


@pytest.mark.parametrize("block", TYPED)
def test_what_is_typed_is_there(block: str) -> None:
    for line in commands(block):
        for words in _simple_commands(line):
            check(words)


def _simple_commands(line: str) -> Iterator[list[str]]:
    """A line's commands, without the comment: ``a && b &`` are two."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word in ("&&", "&", "|"):
            if words:
                yield words
            words = []
        else:
            words.append(word)


def check(words: list[str]) -> None:
    """Is there such a command, and does it know what it is given? Raises AssertionError."""
    name, *arguments = words
    name = Path(name).name.replace("python3", "python")
    if name not in CHECKS:
        raise AssertionError(f"no test knows the command {name!r}")
    try:
        CHECKS[name](arguments)
    except (SystemExit, OSError, DemoError) as exc:
        raise AssertionError(f"{shlex.join(words)}: {exc}") from exc


def _python(arguments: list[str]) -> None:
    assert arguments[0] == "-m", "only modules are run"
    module, *rest = arguments[1:]
    if module in MODULES:
        MODULES[module](rest)
        return
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    text = file.read_text()
    assert path.is_dir() or "__main__" in text, f"{file} does nothing when it is run"
    for option in (word for word in rest if word.startswith("-")):
        assert f'"{option}"' in text, f"{file} has no {option}"


def _parsed(parser: argparse.ArgumentParser) -> Check:
    return lambda arguments: parser.parse_args(arguments) and None


def _pip(arguments: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments:
        for extra in re.findall(r"^(?:\.|miniasgi)\[(.*)\]", word):
            assert extra in extras["optional-dependencies"], f"no extra is called {extra}"
    for option, value in pairwise(arguments):
        assert option != "-c" or (ROOT / value).exists(), f"{value} is not there"


def _make(targets: list[str]) -> None:
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def _uvicorn(arguments: list[str]) -> None:
    module, name = arguments[0].split(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    assert name in _top(tree), f"{module} has no {name}"


def _top(tree: ast.Module) -> set[str]:
    found = {getattr(node, "name", "") for node in tree.body}
    return found | {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _export(arguments: list[str]) -> None:
    name = arguments[0].split("=")[0]
    sources = [*(ROOT / "miniasgi").rglob("*.py"), *(ROOT / "demos").rglob("*.py")]
    assert any(f'"{name}"' in path.read_text() for path in sources), f"nobody reads {name}"


def _curl(arguments: list[str]) -> None:
    (path,) = (re.sub(r"^[\w.]+:\d+", "", one) for one in arguments if "localhost:" in one)
    asked = [word for word in path.split("/") if word not in ("", "...")]
    sources = [*(ROOT / "miniasgi/monitor").glob("*.py"), *(ROOT / "demos/mail").glob("*.py")]
    routes = " ".join(re.findall(r'"(/[\w/{}]*|[a-z-]+)"', "".join(p.read_text() for p in sources)))
    for word in asked:
        assert re.search(rf"(^|[ /]){word}($|[ /])", routes), f"no route has {word!r}"


QUEUE = _parsed(queue_parser(COMMANDS))
MODULES: dict[str, Check] = {
    "miniasgi": QUEUE,
    "demos": _parsed(demos_parser()),
    "pip": _pip,
    "venv": lambda arguments: None,
}
CHECKS: dict[str, Check] = {
    "miniasgi": QUEUE,
    "python": _python,
    "make": _make,
    "uvicorn": _uvicorn,
    "export": _export,
    "curl": _curl,
    "pip": lambda arguments: _pip(arguments[1:]),
}


@pytest.mark.parametrize("block", [one for one in TYPED if output(str(one.values[0]))])
def test_what_is_typed_prints_what_the_page_says(block: str, tmp_path: Path) -> None:
    file = ELSEWHERE.get(commands(block)[0])
    if file is None:
        printed = _run(block, tmp_path)
        pattern = ".*".join(re.escape(f"{line}\n") for line in output(block))
        assert re.fullmatch(f".*{pattern}.*" if "...\n" in block else pattern, printed, re.DOTALL)
        return
    text = (ROOT / file).read_text()
    for line in output(block):
        for words in re.split(r": |; ", line.strip()):
            assert words in text, f"{file} never says {words!r}"


def _run(block: str, folder: Path) -> str:
    """What the commands print, on a port of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = "\n".join(commands(block)).replace("localhost:8000", f"localhost:{port}")
    quiet = f"uvicorn --port {port} --no-access-log "  # the server's own log is not on the page
    script = re.sub(r"^uvicorn (?=\S)", quiet, script, flags=re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    printed = folder / "printed"
    with printed.open("w") as file:  # not a pipe: what was started with & would keep it open
        process = subprocess.Popen(
            ["bash", "-ec", script],
            cwd=folder,
            env=environ,
            stdout=file,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        assert process.wait(timeout=60) == 0
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with it what it has started
    return printed.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "python -m demos --no-such-option",
        "python -m demos.nothing",
        "python -m demos.mail.load --nothing 3",
        "miniasgi nothing jobs.db",
        "miniasgi status jobs.db --nothing",
        "pip install 'miniasgi[nothing]'",
        "uvicorn demos.mail.app:nothing",
        "export MINIASGI_NOTHING=1",
        "curl localhost:8000/nothing",
        "rm -r /",
    ],
)
def test_a_command_that_is_not_there_is_told(line: str) -> None:
    with pytest.raises(AssertionError):
        check(shlex.split(line))

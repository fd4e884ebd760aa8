"""The blocks of the docstrings: code is run, with what its page takes for granted; what is drawn
has the words of its own file.
"""

import ast
import re
import subprocess
import sys
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent, indent

import pytest

from docs.reference import MESSAGES

ROOT = Path(__file__).resolve().parent.parent.parent
_BLOCK = re.compile(r"::\n\n((?:(?:    .*)?\n)+)")
_APP = """
from typing import Any
import anyio
import tempfile
from miniasgi import BackgroundTask, BackgroundTasks, JSONResponse, MiniASGI
app = MiniASGI()
"""
#: What stands before a block of code so that it can be run, by file.
BEFORE = {
    "miniasgi/endpoints.py": f"""{_APP}
from pydantic import BaseModel
class Basket(BaseModel): pass
""",
    "miniasgi/types.py": "",
    "miniasgi/monitor/__init__.py": f"""{_APP}
from miniasgi.monitor import monitor
from miniasgi.queue import Queue
queue = Queue("mail", f"sqlite:///{{tempfile.mkdtemp()}}/jobs.db")
""",
    "miniasgi/testing/__init__.py": f"""{_APP}
from miniasgi.testing import Client
async def send_email(name): pass
@app.post("/signup")
async def signup(request):
    name = (await request.json())["name"]
    return JSONResponse(name, background=BackgroundTask(send_email, name))
""",
    "miniasgi/timeline/__init__.py": f"""{_APP}
from miniasgi.timeline import Recorder, TimelineMiddleware, text
recorder = None
print = str
""",
}


def blocks() -> list[tuple[str, str]]:
    """The file and the text of each block."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for path in sorted((ROOT / "miniasgi").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            for block in _BLOCK.findall(cleandoc(text or "") + "\n"):
                found.append((path.relative_to(ROOT).as_posix(), dedent(block)))
    return found


def kind(block: str) -> str:
    """A message's shape, code, or a drawing."""
    try:
        tree = ast.parse(block)
    except SyntaxError:
        return "drawn"
    only = all(isinstance(getattr(one, "value", None), ast.Dict) for one in tree.body)
    return "message" if only else "code"


BLOCKS = [pytest.param(*one, id=f"{one[0]}-{kind(one[1])}") for one in blocks()]


def of(wanted: str) -> list[object]:
    return [one for one in BLOCKS if kind(str(one.values[1])) == wanted]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    marks = sum(
        len(re.findall(r"::$", path.read_text(), re.MULTILINE))
        for path in (ROOT / "miniasgi").rglob("*.py")
    )

    assert len(BLOCKS) == marks
    assert {str(one.values[0]) for one in of("code")} == set(BEFORE)


@pytest.mark.parametrize(("file", "block"), of("code"))
def test_code_in_a_docstring_runs(file: str, block: str) -> None:
    code = f"{BEFORE[file]}\n{block}"
    if block.startswith("async with"):
        code = f"{BEFORE[file]}\nasync def main():\n{indent(block, '    ')}\nanyio.run(main)"

    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert (run.stdout, run.stderr) == ("", "")


@pytest.mark.parametrize(("file", "block"), of("message"))
def test_a_message_in_a_docstring_is_one_of_those_in_the_reference(file: str, block: str) -> None:
    for line in block.strip().splitlines():
        message = ast.parse(line, mode="eval").body
        assert isinstance(message, ast.Dict)
        keys, values = map(ast.unparse, filter(None, message.keys)), message.values
        named = dict(zip(keys, values, strict=True))
        _, shape, _ = MESSAGES[ast.literal_eval(named["'type'"])]
        same = ast.parse(shape, mode="eval").body
        assert isinstance(same, ast.Dict)
        assert list(named) == [ast.unparse(key) for key in same.keys if key]


@pytest.mark.parametrize(("file", "block"), of("drawn"))
def test_what_a_docstring_draws_is_in_the_code_too(file: str, block: str) -> None:
    files = [*(ROOT / file).parent.rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    words = set(re.findall(r"\b[a-z_]{2,}\b", "".join(map(_code, files))))

    missing = set(re.findall(r"\b[a-z]+_[a-z_]+\b|(?<=--)[a-z]+(?=--)", block)) - words

    assert missing == set()


def _code(path: Path) -> str:
    """A file without its docstring, which would prove itself."""
    text = path.read_text()
    return text.replace(ast.get_docstring(ast.parse(text), clean=False) or "\0", "")

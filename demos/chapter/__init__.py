"""The samples of the tutorial that this project grew from, in our own words, on two frameworks.

Each part is one module, written for miniasgi. FastAPI gets the same text with nothing but its
import line changed, which is the claim that these samples prove, in the other direction: what a
reader has written for FastAPI runs here with its imports changed. ``visits``, at the end of each,
are the requests to make and what is answered; where FastAPI answers otherwise, that is there too.

``python -m demos.chapter`` makes the requests and prints both answers.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
#: The one line that differs, for each framework.
IMPORTS = {
    "miniasgi": "from miniasgi import BackgroundTasks, MiniASGI\n",
    "fastapi": "from fastapi import BackgroundTasks, FastAPI as MiniASGI\n",
}


@dataclass(frozen=True)
class Visit:
    """A request, and the status and body that answer it; ``on_fastapi`` where that differs.

    A body of None is not looked at. ``eventually``: ask again until the answer is this one, for it
    tells of a task that runs after another answer.
    """

    request: str  #: ``POST /notify?email=a``
    status: int
    body: Any = None
    json: Any = None
    on_fastapi: int | None = None
    eventually: bool = False

    def expected(self, framework: str) -> tuple[int, Any]:
        if framework == "fastapi" and self.on_fastapi is not None:
            return self.on_fastapi, None
        return self.status, self.body


def parts() -> list[str]:
    """The names of the samples, in the order of the chapter."""
    return sorted(path.stem for path in HERE.glob("part*.py"))


def source(part: str, framework: str) -> str:
    """The sample's text for this framework."""
    text = (HERE / f"{part}.py").read_text()
    return text.replace(IMPORTS["miniasgi"], IMPORTS[framework])


def load(part: str, framework: str) -> ModuleType:
    """The sample as a module of its own, new each time: ``app`` is the application."""
    module = ModuleType(f"demos.chapter.{part}")
    exec(compile(source(part, framework), f"{part} on {framework}", "exec"), module.__dict__)
    return module

"""Other versions: a throw-away environment with ``fastapi==0.117.1``, and a run of scenarios in it.

An environment is made once and kept in the user's cache folder: ``$XDG_CACHE_HOME/miniasgi/demos``
or ``~/.cache/miniasgi/demos``. To throw it away, delete it. What is not named comes as pip resolves
it, but uvicorn, its parsers and its loop are today's, so that only what was named differs.

Rules of this file: a whole run is done in there (``python -m demos ... --json``), client and judge
too, so that no module of today takes part; what is read back is data. One sentence on failure.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from demos.runner import Result
from demos.scenario import FRAMEWORKS, Scenario
from demos.servers import ROOT, DemoError, Settings

#: Today's, unless others are named: what serves is not what is compared.
_SERVER = ("uvicorn", "uvloop", "httptools", "h11")
#: What miniasgi itself is tested with, where it takes part.
_OWN = ("anyio", "pydantic", "python-multipart")


class NotInstalled(DemoError):
    """Why there is no environment with these versions."""


Say = Callable[[str], None]  #: told in a few words what is being done


@dataclass(frozen=True, slots=True)
class Other:
    """Packages of other versions, ``{"fastapi": "0.117.1"}``, and whom they concern."""

    packages: dict[str, str]

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Other":
        """Of ``fastapi==0.117.1`` and the like. Raises DemoError for anything else."""
        packages: dict[str, str] = {}
        for word in words:
            found = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)", word.strip())
            if found is None:
                raise DemoError(f"--with takes a package as fastapi==0.117.1, not {word!r}")
            packages[found[1].lower().replace("_", "-")] = found[2]
        if "miniasgi" in packages:
            raise DemoError("--with cannot take another miniasgi: it is the one of this folder")
        return cls(packages)

    def __str__(self) -> str:
        return " ".join(f"{name}=={number}" for name, number in self.packages.items())

    def frameworks(self, among: Sequence[str]) -> tuple[str, ...]:
        """Whose side is run: that of a framework which is named, or of all if none is."""
        named = tuple(name for name in FRAMEWORKS if name in self.packages)
        found = tuple(name for name in named or among if name in among)
        if not found:
            raise DemoError(f"--with {self} is about {', '.join(named)}: name it in --only too")
        return found

    def requirements(self, frameworks: Sequence[str], needs: Sequence[str] = ()) -> list[str]:
        """What is installed: what was named, and today's version of what else is needed."""
        own = _OWN if "miniasgi" in frameworks else ()
        others = [name for name in frameworks if name != "miniasgi"]
        today = dict.fromkeys([*others, *_SERVER, *own, *needs])
        pins = [f"{name}=={_today(name)}" for name in today if name not in self.packages]
        named = [f"{name}=={number}" for name, number in self.packages.items()]
        # The recorder needs anyio, in whatever version the others allow.
        return [*named, *(pin for pin in pins if not pin.endswith("==")), "anyio"]


def _today(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def cache_folder() -> Path:
    """Where environments are kept."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "miniasgi" / "demos"


def environment(requirements: Sequence[str], say: Say) -> Path:
    """The Python of an environment with these; made if there is none. Raises DemoError."""
    what = "\n".join([sys.version, *requirements])
    key = hashlib.sha256(what.encode()).hexdigest()[:10]
    folder = cache_folder() / f"{requirements[0].replace('==', '-')}-{key}"
    if not (folder / "bin" / "python").exists():
        say(f"making an environment with {requirements[0]} in {folder}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
        except OSError as exc:
            raise NotInstalled(
                f"{folder.parent} cannot be written: {exc.strerror}; set XDG_CACHE_HOME to a "
                "folder that can"
            ) from None
        try:
            _make(making, requirements)
            with contextlib.suppress(OSError):  # another run was quicker: theirs is as good
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder / "bin" / "python"


def _make(folder: Path, requirements: Sequence[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    _call([sys.executable, "-m", "venv", "--without-pip", str(folder)], "an environment")
    _call([*pip, "--quiet", "--disable-pip-version-check", *requirements], requirements[0])


def _call(command: list[str], what: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:]
        said = errors[-1].removeprefix("ERROR: ") if errors else "nothing was said"
        raise NotInstalled(f"{what} cannot be installed: {said}")


def run_elsewhere(
    scenarios: Sequence[Scenario], other: Other, settings: Settings, say: Say
) -> Iterator[Result]:
    """Run these with other versions, and read what was recorded. Raises DemoError."""
    frameworks = other.frameworks(settings.frameworks)
    needs = dict.fromkeys(need for scenario in scenarios for need in scenario.needs)
    python = environment(other.requirements(frameworks, [*needs]), say)
    with tempfile.TemporaryDirectory(prefix="demos-") as folder:
        kept = Path(folder) / "recordings.json"
        command = [str(python), "-m", "demos", *(scenario.number for scenario in scenarios)]
        command += ["--only", ",".join(frameworks), "--http", settings.http]
        command += ["--loop", settings.loop, "--port", str(settings.port)]
        command += ["--json", str(kept), "--svg", folder]
        last = _follow(command, lambda line: say(f"with {other}: {line}"))
        if not kept.exists():
            raise DemoError(f"with {other}: {last.removeprefix('demos: ')}")
        document = json.loads(kept.read_text(encoding="utf-8"))
    for data in document["scenarios"]:
        yield Result.from_data(data)


def _follow(command: list[str], say: Say) -> str:
    """Run this and pass on what it says on standard error. Returns the last line of it."""
    last = "nothing was said"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.strip():
                    last = line.strip()
                    say(last)
        except BaseException:
            process.terminate()
            raise
    return last

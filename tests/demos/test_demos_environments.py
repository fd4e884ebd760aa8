"""Other versions: what is asked for, what is installed, what is read back, what fails."""

import json
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from demos import environments
from demos.__main__ import main
from demos.environments import NotInstalled, Other, environment, run_elsewhere
from demos.over_versions.__main__ import PAGE, SEEN, changes, page
from demos.runner import run_all
from demos.scenario import FRAMEWORKS, load, table_names
from demos.servers import DemoError, Settings


def test_versions_are_asked_for_by_package() -> None:
    other = Other.parse(["fastapi==0.117.1", "Uvicorn==0.40.0"])

    assert other.packages == {"fastapi": "0.117.1", "uvicorn": "0.40.0"}
    assert str(other) == "fastapi==0.117.1 uvicorn==0.40.0"


@pytest.mark.parametrize(
    "word", ["fastapi", "fastapi>=0.1", "--index-url=x", "a b==1", "fastapi=="]
)
def test_anything_else_is_refused(word: str) -> None:
    with pytest.raises(DemoError, match=r"--with takes a package as fastapi==0\.117\.1, not"):
        Other.parse([word])


def test_the_sides_that_are_run_are_those_of_the_frameworks_that_are_named() -> None:
    assert Other.parse(["fastapi==0.117.1"]).frameworks(FRAMEWORKS) == ("fastapi",)
    assert Other.parse(["uvicorn==0.40.0"]).frameworks(FRAMEWORKS) == FRAMEWORKS
    with pytest.raises(DemoError, match="is about fastapi: name it in --only too"):
        Other.parse(["fastapi==0.117.1"]).frameworks(("miniasgi",))


def test_only_what_is_named_differs_from_today() -> None:
    other = Other.parse(["starlette==0.45.0"])

    wanted = other.requirements(("starlette",), needs=("httpx",))

    assert wanted[0] == "starlette==0.45.0"
    assert f"uvicorn=={version('uvicorn')}" in wanted and f"httpx=={version('httpx')}" in wanted
    assert wanted[-1] == "anyio"
    assert not any(word.startswith("fastapi") for word in wanted)


def test_an_environment_that_is_there_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    monkeypatch.setattr(environments, "_make", lambda folder, wanted: (folder / "bin").mkdir())

    first = environment(["fastapi==0.117.1"], said.append)
    first.touch()
    second = environment(["fastapi==0.117.1"], said.append)
    other = environment(["fastapi==0.118.0"], said.append)

    assert first == second != other
    assert first.is_relative_to(tmp_path / "miniasgi" / "demos")
    assert [words.partition(" in ")[0] for words in said] == [
        "making an environment with fastapi==0.117.1",
        "making an environment with fastapi==0.118.0",
    ]


def test_what_cannot_be_installed_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    code = main(["s16", "--with", "fastapi==0.117.1"])

    sentence = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert sentence.startswith("demos: fastapi==0.117.1 cannot be installed: ")
    assert list((tmp_path / "miniasgi" / "demos").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "miniasgi").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(NotInstalled, match=r"cannot be written: .*; set XDG_CACHE_HOME"):
        environment(["fastapi==0.117.1"], print)


@pytest.fixture
def this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment with other versions is this one, so that nothing is fetched."""
    monkeypatch.setattr(environments, "environment", lambda wanted, say: Path(sys.executable))


@pytest.mark.servers
@pytest.mark.usefixtures("this_python")
def test_another_version_is_shown_beside_todays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, pictures = tmp_path / "kept.json", tmp_path / "pictures"

    options = ["--json", str(kept), "--svg", str(pictures), "--html", str(tmp_path / "page.html")]
    code = main(["s01", "--only", "starlette", "--with", "starlette==0.1", *options])

    out, err = capsys.readouterr()
    number = version("starlette")
    assert code == 0
    assert "with starlette==0.1: recording s01 order" in err
    assert "\nStarlette*  " in out
    assert f"Starlette* {number}: the answer, then the task, then the app returns (as today)" in out
    assert f"* with starlette==0.1: Python {sys.version.split()[0]}, " in out
    document = json.loads(kept.read_text())
    assert [len(document[key][0]["runs"]) for key in ("scenarios", "beside")] == [1, 1]
    assert "(as today)" in (tmp_path / "page.html").read_text()
    assert f"Starlette {number}, with starlette==0.1" in (pictures / "s01_order.svg").read_text()


@pytest.mark.servers
@pytest.mark.usefixtures("this_python")
def test_why_a_run_elsewhere_could_not_be_made_is_passed_on() -> None:
    other = Other.parse(["starlette==0.1"])
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        settings = Settings(frameworks=("starlette",), port=in_use.getsockname()[1])

        with pytest.raises(DemoError, match=r"with starlette==0.1: port \d+ cannot be used"):
            list(run_elsewhere([load("s01_order")], other, settings, lambda words: None))


# The tables


@pytest.mark.servers
def test_todays_row_of_each_table_is_what_is_expected_and_what_was_written() -> None:
    tables = {table["name"]: table for table in json.loads(SEEN.read_text())["tables"]}
    scenarios = [load(name) for name in table_names()]

    for result in run_all(scenarios, Settings()):
        module = result.scenario.module
        run = next(run for run in result.runs if run.framework == module.FRAMEWORK)
        assert run.is_expected, run.outcome
        assert tables[result.scenario.name]["rows"][-1]["cells"] == module.COLUMNS


def test_the_page_is_made_from_what_was_seen() -> None:
    assert PAGE.read_text() == page(json.loads(SEEN.read_text()))


def test_a_row_that_moved_is_said_with_the_old_and_the_new_cell() -> None:
    before = json.loads(SEEN.read_text())
    now = json.loads(SEEN.read_text())
    cells = now["tables"][0]["rows"][0]["cells"]
    column = next(iter(cells))
    old, cells[column] = cells[column], "never"

    assert list(changes(before, before)) == []
    assert list(changes(before, now)) == [
        f"t1_dependencies_with_yield, fastapi 0.105.0, {column}: was {old!r}, is 'never'"
    ]

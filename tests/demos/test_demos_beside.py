"""The benchmark beside other queues: what it reads, whom it leaves out, what it prints."""

import argparse
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from demos.benchmarks.queue import beside
from demos.benchmarks.queue.contenders import Contender, all_contenders

ROOT = Path(__file__).parents[2]
OPTIONS = argparse.Namespace(rounds=2, seconds=0.1, jobs=10)


def contender(name: str) -> Contender:
    return Contender(name, "none", "power", lambda sent: None, [], [])


def test_help_helps() -> None:
    command = [sys.executable, "-m", "demos.benchmarks.queue.beside", "--help"]

    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--rounds" in said and "--only" in said


def test_we_come_first_and_both_durabilities_take_part() -> None:
    found = list(all_contenders())

    assert [one.name for one in found[:2]] == ["miniasgi, FULL", "miniasgi, NORMAL"]


def test_a_stamp_is_read_by_when_its_job_was_ordered(tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    assert beside.begins(stamps) == {}

    stamps.write_bytes(struct.pack("dd", 1.0, 1.5) + struct.pack("dd", 2.0, 2.25) + b"half")

    assert beside.begins(stamps) == {1.0: 1.5, 2.0: 2.25}
    assert beside.count(stamps) == 2


def test_rounds_turn_and_who_fails_is_left_out_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    visited: list[str] = []

    def visit(one: Contender, options: argparse.Namespace, folder: Path) -> dict[str, float]:
        visited.append(one.name)
        if one.name == "b":
            raise TimeoutError("no job began in 20 s")
        return {"enqueue 1": 1.0}

    monkeypatch.setattr(beside, "visit", visit)
    rounds = beside.measured([contender("a"), contender("b"), contender("c")], OPTIONS, tmp_path)

    assert visited == ["a", "b", "c", "c", "a"]
    assert list(rounds) == ["a", "c"]
    assert "b is left out: no job began in 20 s" in capsys.readouterr().err


def test_ctrl_c_keeps_the_rounds_that_were_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    visits = iter([{"enqueue 1": 1.0}, {"enqueue 1": 2.0}, {"enqueue 1": 3.0}])

    def visit(one: Contender, options: argparse.Namespace, folder: Path) -> dict[str, float]:
        try:
            return next(visits)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(beside, "visit", visit)

    rounds = beside.measured([contender("a"), contender("b")], OPTIONS, tmp_path)

    assert rounds == {"a": [{"enqueue 1": 1.0}], "b": [{"enqueue 1": 2.0}]}


def test_the_ratio_is_taken_within_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {kind: 100.0 for kind in beside.KINDS} | {"enqueue 32, awaited": 400.0}
    theirs = {kind: 50.0 for kind in beside.KINDS}

    beside.print_tables({"ours": [ours, ours], "theirs": [theirs, theirs]})

    last = capsys.readouterr().out.splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == [
        "theirs", "2.0x", "8.0x", "2.0x", "2.0x", "0.5x", "0.5x",
    ]  # fmt: skip

"""The lab's pages and its guard, without a browser and without a run."""

from pathlib import Path

import anyio
import pytest

from demos.lab import decide
from demos.lab.application import Lab
from demos.lab.shelf import MOST, Shelf
from miniasgi.testing import Client, Reply

OURS = "http://127.0.0.1:8000"


def asked(folder: Path, method: str, path: str, base: str = OURS, **options: object) -> Reply:
    async def ask() -> Reply:
        async with Client(Lab(folder).app, base) as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return anyio.run(ask)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "null"},
    ],
)
def test_a_strangers_page_cannot_start_a_run(tmp_path: Path, headers: dict[str, str]) -> None:
    reply = asked(tmp_path, "POST", "/runs", headers=headers, data={"scenario": "s01_order"})

    assert reply.status == 403


def test_a_name_that_points_here_is_refused(tmp_path: Path) -> None:
    assert asked(tmp_path, "GET", "/", "http://rebound.example:8000").status == 421
    assert asked(tmp_path, "GET", "/", "http://localhost:8000").status == 200


def test_a_page_allows_no_script_and_no_style_within_it(tmp_path: Path) -> None:
    reply = asked(tmp_path, "GET", "/scenarios/s08_innocent_neighbour")

    policy = reply.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert "<style" not in reply.text and " style=" not in reply.text


@pytest.mark.parametrize("path", ["/book/../README.md", "/book/%2e%2e/README.md", "/runs/no-such"])
def test_what_is_not_there_is_not_found(tmp_path: Path, path: str) -> None:
    assert asked(tmp_path, "GET", path).status == 404


def test_every_way_through_the_questions_ends_with_advice() -> None:
    def ends(answers: str) -> int:
        at = decide.walk(answers)[1]
        return 1 if isinstance(at, decide.Advice) else ends(answers + "y") + ends(answers + "n")

    assert ends("") == 8


def test_the_shelf_lets_go_of_the_oldest_that_nobody_keeps(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    for number in range(MOST + 2):
        entry = {"id": f"entry-{number:04}", "name": "s01_order", "recorded_at": float(number)}
        more = {"guess": None, "is_kept": number == 0, "versions": {}, "runs": []}
        shelf.put({**entry, **more})

    ids = [head["id"] for head in Shelf(tmp_path).heads()]
    assert len(ids) == MOST + 1
    assert ids[-2:] == ["entry-0002", "entry-0000"]

"""The lab's pages and its guard, without a browser and without a run."""

from pathlib import Path

import anyio
import pytest

from demos.lab import decide, example, pages, pictures
from demos.lab.application import SITE, Lab
from demos.lab.shelf import MOST, Shelf
from demos.scenario import load, no_such_thing
from miniasgi.testing import Client, Reply

OURS = "http://127.0.0.1:8000"


def asked(
    folder: Path, method: str, path: str, base: str = OURS, site: Path = SITE, **options: object
) -> Reply:
    async def ask() -> Reply:
        async with Client(Lab(folder, site=site).app, base) as client:
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


def test_a_fresh_home_page_has_a_recorded_picture_that_says_where_it_is_from(
    tmp_path: Path,
) -> None:
    entry = example.read()
    assert entry is not None and load(entry["name"]).observe(
        pictures.recording(entry["runs"][0])
    ) == load(entry["name"]).expected("miniasgi")

    page = asked(tmp_path, "GET", "/").text

    assert page.count('role="img"') == len(pictures.SIZES)
    assert f"Starlette {entry['versions']['starlette']} with uvicorn" in page
    assert "on another machine" in page


def test_the_book_is_served_where_it_is_built_and_else_says_how(tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert "make docs" in asked(tmp_path, "GET", "/book/", site=site).text
    assert "/book/" not in asked(tmp_path, "GET", "/", site=site).text
    (site / "chapters").mkdir(parents=True)
    (site / "index.html").write_text("the book")
    (site / "chapters" / "index.html").write_text("its chapters")

    assert asked(tmp_path, "GET", "/book", site=site).headers["location"] == "/book/"
    assert asked(tmp_path, "GET", "/book/", site=site).text == "the book"
    assert asked(tmp_path, "GET", "/book/chapters/", site=site).text == "its chapters"
    assert 'href="/book/"' in asked(tmp_path, "GET", "/", site=site).text


def test_the_tutorials_samples_are_a_group_and_say_what_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = dict(pages.groups())
    name = "c24_a_job_and_its_state"
    monkeypatch.setitem(
        pages.find(name).module.expected, "fastapi", no_such_thing("redis-server is not installed")
    )

    page = asked(tmp_path, "GET", f"/scenarios/{name}").text

    assert [one.number for one in groups[pages.SAMPLES]] == [
        "c12",
        "c13",
        "c24",
        "c3",
        "c41",
        "c43",
    ]
    assert "Not run here: FastAPI; redis-server is not installed." in page
    assert "What do you expect of miniasgi?" in page


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

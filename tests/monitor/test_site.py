"""The pages and the JSON: what they show, what they hide, and that nothing of a job is markup."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from miniasgi import MiniASGI
from miniasgi.monitor import monitor
from miniasgi.queue import Queue, store
from miniasgi.testing import Client
from tests.monitor.conftest import BEARER, TOKEN, api, page

pytestmark = pytest.mark.anyio
Write = Callable[..., None]
SCRIPT = "<script>alert(1)</script>"
PAGES = ["/", "/jobs", "/failures", "/queues", "/workers"]


@pytest.fixture
def evil(write: Write) -> None:
    """A job whose every text is markup, failed once and tried again."""
    past = json.dumps([1, 1001.0, 1002.0, SCRIPT, SCRIPT])
    write(
        f"{SCRIPT}/\"'",
        "failure",
        task=SCRIPT,
        arguments=json.dumps([[SCRIPT], {SCRIPT: SCRIPT}]),
        error=SCRIPT,
        traceback=SCRIPT,
        past=f"cut off{SCRIPT}\n{past}\n",
        started_at=1003.0,
        settled_at=1004.0,
        attempt=2,
    )
    write("fine", "success", result=json.dumps(SCRIPT), settled_at=1.0, queue=SCRIPT)
    write("runs", "running", owner=f"worker-1-0-{SCRIPT}", task=SCRIPT, started_at=1.0)


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        f"/jobs?text={SCRIPT}&task={SCRIPT}&state=failure",
        "/jobs/fine",
        "/jobs/runs",
        "/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E%2F%22'",
        f"/confirm/retry-group?queue={SCRIPT}&task={SCRIPT}&signature={SCRIPT}&{SCRIPT}={SCRIPT}",
        f"/confirm/purge?queue={SCRIPT}&state={SCRIPT}",
        f"/?did={SCRIPT}&count={SCRIPT}",
    ],
)
async def test_nothing_of_a_job_or_a_url_is_markup(queue: Queue, evil: None, path: str) -> None:
    text = await page(monitor(queue, TOKEN), path)

    assert SCRIPT not in text
    assert "&lt;script" in text or path in ("/queues", "/?did")
    assert not re.search(r"<script(?! src=\"/live\.js)", text)


async def test_pages_forbid_inline_scripts_and_foreign_frames(queue: Queue) -> None:
    async with Client(monitor(queue)) as client:
        replies = [await client.get(path) for path in [*PAGES, "/nowhere", "/metrics", "/live.js"]]

    for reply in replies:
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"


async def test_arguments_and_results_are_hidden_in_page_api_and_search(
    queue: Queue, write: Write
) -> None:
    write("secretive", "success", arguments='[["s3cret"], {}]', result='"s3cret"', settled_at=1.0)
    shown, hidden = monitor(queue), monitor(queue, hide_arguments=True)
    paths = ["/jobs", "/jobs/secretive", "/api/jobs", "/api/jobs/secretive", "/api/overview"]

    async with Client(hidden) as client:
        texts = [(await client.get(path)).text for path in paths]

    assert not any("s3cret" in text for text in texts)
    assert len((await api(shown, "/api/jobs?text=s3cret"))["jobs"]) == 1
    assert (await api(hidden, "/api/jobs?text=s3cret"))["jobs"] == []
    assert (
        (await api(hidden, "/api/jobs?text=secretive"))["jobs"][0]
        .keys()
        .isdisjoint({"arguments", "result"})
    )


async def test_a_page_is_followed_by_the_next_until_all_jobs_were_seen_once(
    queue: Queue, write: Write
) -> None:
    for n in range(120):
        write(f"f{n:03}", "failure", settled_at=float(n // 2))
        write(f"r{n:03}", "ready", priority=2**62 + n % 3)  # somebody takes nanoseconds for it
        write(f"s{n:03}", "scheduled", due_at=float(1000 - n // 2))
    app = monitor(queue)

    async def all_of(query: str) -> list[str]:
        ids, after = [], ""
        while after is not None:
            found = await api(app, f"/api/jobs?{query}&after={after}")
            assert len(found["jobs"]) <= 50
            ids += [job["id"] for job in found["jobs"]]
            after = found["next"]
        return ids

    failures, ready, scheduled = [
        await all_of(f"state={s}") for s in ("failure", "ready", "scheduled")
    ]
    everything = await all_of("state=")

    assert failures == [f"f{n:03}" for n in reversed(range(120))]
    assert ready == [f"r{n:03}" for p in (2, 1, 0) for n in range(120) if n % 3 == p]
    assert scheduled == [f"s{n:03}" for k in reversed(range(60)) for n in (2 * k, 2 * k + 1)]
    assert everything == [f"{k}{n:03}" for n in reversed(range(120)) for k in "srf"]


async def test_a_search_looks_through_some_and_says_where_to_go_on(
    queue: Queue, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miniasgi.monitor.rows.LOOKED_THROUGH", 10)
    for n in range(25):
        write(f"job-{n:02}", "ready", arguments='[["needle%"], {}]' if n == 3 else "[[], {}]")
    app = monitor(queue)

    first = await api(app, "/api/jobs?text=needle%25")
    second = await api(app, f"/api/jobs?text=needle%25&after={first['next']}")
    third = await api(app, f"/api/jobs?text=needle%25&after={second['next']}")

    assert [[job["id"] for job in found["jobs"]] for found in (first, second, third)] == [
        [],
        [],
        ["job-03"],
    ]
    assert [found["looked_through"] for found in (first, second, third)] == [10, 10, None]
    assert (await api(app, "/api/jobs?text=n_edle"))["jobs"] == []


async def test_a_job_tells_its_attempts_and_draws_them(queue: Queue) -> None:
    @queue.task(max_retries=1, retry_backoff=0.01)
    async def send(to: str) -> None:
        raise ValueError(f"no {to}")

    result = send.delay("ada")
    async with queue.worker():
        with pytest.raises(Exception, match="no ada"):
            await result.aget()
    job = (await api(monitor(queue), f"/api/jobs/{result.id}"))["job"]
    text = await page(monitor(queue), f"/jobs/{result.id}")

    (past,) = job["past"]
    assert (past["attempt"], past["error"], job["attempt"]) == (1, "ValueError: no ada", 2)
    assert job["created_at"] <= past["started_at"] <= past["ended_at"] <= job["started_at"]
    assert "raise ValueError" in past["traceback"] and "raise ValueError" in job["traceback"]
    drawn = re.findall(r"<g><title>([^<]+):", text)
    assert drawn == [
        "waits",
        "waits for another attempt",
        "attempt 1 (failed)",
        "attempt 2 (failed)",
    ]


async def test_an_attempt_is_told_whatever_its_error_is_made_of(queue: Queue, write: Write) -> None:
    write("odd", "failure", error="a\u2028b\x85c", started_at=1.0, settled_at=2.0, attempt=1)
    queue.writer.run(store.retry, ["odd"])

    job = (await api(monitor(queue), "/api/jobs/odd"))["job"]

    assert [past["error"] for past in job["past"]] == ["a\u2028b\x85c"]


@pytest.mark.parametrize("path", ["/jobs/nobody", "/api/jobs/nobody", "/confirm/sing", "/nowhere"])
async def test_what_does_not_exist_is_404(queue: Queue, path: str) -> None:
    async with Client(monitor(queue)) as client:
        assert (await client.get(path)).status == 404


@pytest.mark.parametrize(
    "query",
    [
        "state=odd",
        "after=x",
        "after=1~y",
        "after=1",
        f"after=1~{10**20}",
        "after=[1]~5",
        f"after={'[' * 5000}~1",
        f"text={'x' * 50_001}",
    ],
)
async def test_a_question_that_makes_no_sense_is_400(queue: Queue, query: str) -> None:
    async with Client(monitor(queue)) as client:
        assert (await client.get(f"/api/jobs?{query}")).status == 400


async def test_an_error_page_shows_no_stack_of_ours(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(row: Any, hide: bool) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("miniasgi.monitor.lane.job", broken)
    queue.task(lambda: None, name="send").delay() if False else None
    queue.writer.run(
        lambda db: db.execute(
            "insert into miniasgi_job (id, queue, task, arguments, state, priority, created_at)"
            " values ('x', 'mail', 't', '[[], {}]', 'ready', 0, 0)"
        )
    )

    async with Client(monitor(queue), raise_background=False) as client:
        reply = await client.get("/jobs/x", headers={"accept": "text/html"})

    assert reply.status == 500
    assert "secret" not in reply.text and "Traceback" not in reply.text
    assert "Something went wrong here." in reply.text


async def test_a_file_that_is_no_database_is_503_and_says_no_more(queue: Queue) -> None:
    queue.writer.path.write_bytes(b"not a database" * 100)

    async with Client(monitor(queue)) as client:
        reply = await client.get("/", headers={"accept": "text/html"})

    assert reply.status == 503
    assert str(queue.writer.path) not in reply.text


def mounted_in_miniasgi(app: Any) -> Any:
    outer = MiniASGI()
    outer.mount("/shop/jobs", app)
    return outer


def mounted_in_starlette(app: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/shop/jobs", app)])


def mounted_in_fastapi(app: Any) -> Any:
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/shop/jobs", app)
    return outer


@pytest.mark.parametrize("mounted", [mounted_in_miniasgi, mounted_in_starlette, mounted_in_fastapi])
async def test_it_is_mounted_anywhere_and_its_links_lead_back(
    queue: Queue, write: Write, mounted: Callable[[Any], Any]
) -> None:
    write("a/b?c", "failure", settled_at=1.0)
    async with Client(mounted(monitor(queue, TOKEN))) as client:
        text = (await client.get("/shop/jobs/")).text
        links = set(re.findall(r'(?:href|src|action)="(/[^"]+)"', text))
        statuses = {(await client.get(link.replace("&amp;", "&"))).status for link in links}
        done = await client.post("/shop/jobs/actions/retry", headers=BEARER, data={"id": "a/b?c"})

    assert len(links) > 15
    assert all(link.startswith("/shop/jobs/") for link in links)
    assert statuses == {200}
    assert done.json() == {"action": "retry", "count": 1}


async def test_starlette_still_finds_its_own_names(queue: Queue) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    mounted = Mount("/jobs", monitor(queue))
    app = Starlette(routes=[mounted, Route("/report", lambda request: None, name="report")])

    assert app.url_path_for("report") == "/report"


async def test_a_stream_tells_that_figures_have_changed(queue: Queue, write: Write) -> None:
    async with (
        Client(monitor(queue)) as client,
        client.stream("GET", "/live") as reply,
    ):
        heard: list[str] = []
        async for chunk in reply.chunks():
            heard += re.findall(r"data: (\w+)", chunk.decode())
            if len(heard) == 1:
                write("new", "ready")
            if len(heard) == 2:
                break

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert len(set(heard)) == 2

"""Closed: who has no token changes nothing, and no page of another site acts for who has it."""

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from miniasgi import MiniASGI
from miniasgi.monitor import monitor
from miniasgi.queue import Queue
from miniasgi.testing import Client
from tests.monitor.conftest import BEARER, TOKEN

pytestmark = pytest.mark.anyio
Write = Callable[..., None]
ACTIONS = {
    "retry": {"id": "failed"},
    "retry-group": {"queue": "mail", "task": "send", "signature": "Error #"},
    "revoke": {"id": "waits"},
    "pause": {"queue": "mail"},
    "resume": {"queue": "closed"},
    "purge": {"queue": "mail", "state": "success"},
}
SAID = {
    "retry": "The job is ready again.",
    "retry-group": "Ready again: 2 jobs.",
    "revoke": "Revoked.",
    "pause": "Paused.",
    "resume": "Workers take jobs again.",
    "purge": "Deleted: 1.",
}


@pytest.fixture(autouse=True)
def jobs(queue: Queue, write: Write) -> None:
    write("failed", "failure", error="Error 1", settled_at=1.0)
    write("other", "failure", error="Error 2", settled_at=2.0)
    write("waits", "ready")
    write("done", "success", settled_at=1.0)
    queue.writer.run(lambda db: db.execute("insert into miniasgi_paused values ('closed')"))


def content(queue: Queue) -> list[tuple[object, ...]]:
    tables = ("select id, state from miniasgi_job order by id", "select queue from miniasgi_paused")
    return [
        tuple(row)
        for sql in tables
        for row in queue.writer.read(lambda db, sql=sql: db.execute(sql).fetchall())
    ]


async def signed_in(client: Client) -> str:
    """Sign in as a browser does; returns the word of its forms."""
    await client.post("/sign-in", data={"token": TOKEN}, headers={"sec-fetch-site": "same-origin"})
    text = (await client.get("/confirm/pause?queue=mail")).text
    (word,) = re.findall(r'name="word" value="(\w+)"', text)
    return str(word)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (None, {}, 403),
        (None, BEARER, 403),
        ("", BEARER, 403),
        ("", {"authorization": "Bearer"}, 403),
        (TOKEN, {}, 401),
        (TOKEN, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, {"authorization": f"Basic {TOKEN}"}, 401),
        (TOKEN, {"authorization": "Bearer"}, 401),
        (TOKEN, {"cookie": "miniasgi_monitor=a.9999999999.b"}, 401),
        (TOKEN, {"cookie": "miniasgi_monitor=..\xe9"}, 401),
        (TOKEN, BEARER | {"sec-fetch-site": "cross-site"}, 403),
        (TOKEN, BEARER | {"sec-fetch-site": "same-site"}, 403),
        (TOKEN, BEARER | {"origin": "https://evil.example"}, 403),
        (TOKEN, BEARER | {"origin": "null"}, 403),
    ],
)
async def test_who_may_not_act_changes_nothing(
    queue: Queue, action: str, token: str | None, headers: dict[str, str], status: int
) -> None:
    before = content(queue)

    async with Client(monitor(queue, token)) as client:
        reply = await client.post(f"/actions/{action}", data=ACTIONS[action], headers=headers)

    assert reply.status == status
    assert content(queue) == before


@pytest.mark.parametrize("action", ACTIONS)
async def test_who_has_the_token_acts(queue: Queue, action: str) -> None:
    before = content(queue)

    async with Client(monitor(queue, TOKEN)) as client:
        reply = await client.post(f"/actions/{action}", data=ACTIONS[action], headers=BEARER)

    assert reply.text.endswith('"count":2}' if action == "retry-group" else '"count":1}')
    assert reply.json()["action"] == action
    assert content(queue) != before


@pytest.mark.parametrize("action", ACTIONS)
async def test_who_is_signed_in_acts_from_our_form_and_is_led_back(
    queue: Queue, action: str
) -> None:
    before = content(queue)

    async with Client(monitor(queue, TOKEN)) as client:
        word = await signed_in(client)
        refused = await client.post(f"/actions/{action}", data=ACTIONS[action])
        unchanged = content(queue) == before
        reply = await client.post(f"/actions/{action}", data=ACTIONS[action] | {"word": word})
        page = await client.get(reply.headers["location"])

    assert (refused.status, unchanged) == (403, True)
    assert (reply.status, page.status) == (303, 200)
    (said,) = re.findall(r'class="said" role="status">([^<]+)', page.text)
    assert said.startswith(SAID[action])
    assert content(queue) != before


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}],
)
async def test_another_site_can_neither_act_nor_sign_in_or_out(
    queue: Queue, headers: dict[str, str]
) -> None:
    async with Client(monitor(queue, TOKEN)) as client:
        word = await signed_in(client)
        statuses = [
            (
                await client.post(
                    path, data={"word": word, "token": TOKEN, "queue": "mail"}, headers=headers
                )
            ).status
            for path in ("/actions/pause", "/sign-in", "/sign-out")
        ]

    assert statuses == [403, 403, 403]


async def test_the_session_is_a_cookie_that_no_script_and_no_other_site_gets(queue: Queue) -> None:
    async with Client(monitor(queue, TOKEN), base_url="https://jobs.example") as client:
        reply = await client.post("/sign-in", data={"token": TOKEN})

    cookie = reply.headers["set-cookie"].lower()
    assert all(
        word in cookie for word in ("httponly", "secure", "samesite=strict", "max-age=28800")
    )
    assert TOKEN not in cookie


async def test_a_wrong_token_begins_no_session(queue: Queue) -> None:
    async with Client(monitor(queue, TOKEN)) as client:
        reply = await client.post("/sign-in", data={"token": "guess"})

    assert reply.status == 403
    assert "set-cookie" not in reply.headers


async def test_a_session_ends_after_hours_and_with_the_token(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(monitor(queue, TOKEN)) as client:
        await signed_in(client)
        cookies = dict(client.cookies)
        monkeypatch.setattr("miniasgi.monitor.access.time.time", lambda: 1e11)
        late = await client.get("/")
    monkeypatch.undo()
    async with Client(monitor(queue, "another token")) as client:
        client.cookies = cookies
        other = await client.get("/")

    assert "Sign in" in late.text and "Sign in" in other.text


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("retry", {}),
        ("purge", {"queue": "mail", "state": "ready"}),
        ("purge", {"queue": "mail", "state": "success", "older": "soon"}),
        ("purge", {"queue": "mail", "state": "success", "older": "nan"}),
        ("purge", {"queue": "mail", "state": "success", "older": "9" * 400}),
    ],
)
async def test_an_action_that_makes_no_sense_is_400_and_changes_nothing(
    queue: Queue, action: str, fields: dict[str, str]
) -> None:
    before = content(queue)

    async with Client(monitor(queue, TOKEN)) as client:
        reply = await client.post(f"/actions/{action}", data=fields, headers=BEARER)

    assert reply.status == 400
    assert content(queue) == before


async def test_a_get_never_acts(queue: Queue) -> None:
    before = content(queue)

    async with Client(monitor(queue, TOKEN)) as client:
        statuses = {
            (await client.get(f"/actions/{action}", headers=BEARER)).status for action in ACTIONS
        }
        await client.get("/confirm/purge?queue=mail&state=success", headers=BEARER)

    assert statuses == {405}
    assert content(queue) == before


async def test_an_empty_token_lets_nobody_in(queue: Queue) -> None:
    async with Client(monitor(queue, "")) as client:
        reply = await client.post("/sign-in", data={"token": ""})
        page = await client.get("/queues", headers={"accept": "text/html"})

    assert reply.status != 303
    assert "set-cookie" not in reply.headers
    assert "/sign-in" not in page.text


@pytest.mark.parametrize("path", ["/任务", "/our jobs", "/büro", "/jobs:eu", "/a+b", "/me@x"])
async def test_the_session_is_for_the_path_as_browsers_write_it(queue: Queue, path: str) -> None:
    app = MiniASGI()
    app.mount(path, monitor(queue, TOKEN))

    async with Client(app) as client:
        as_written = quote(path, safe="/:+@")
        reply = await client.post(f"{as_written}/sign-in", data={"token": TOKEN})

    assert reply.status == 303
    assert f"Path={as_written};" in reply.headers["set-cookie"]


async def test_a_group_is_found_again_by_what_a_browser_sends_back(
    queue: Queue, write: Write
) -> None:
    for n in range(2):
        text = f"SMTPError: 55{n} unknown\r\n5.1.1 no such user\r\n"
        write(f"smtp{n}", "failure", error=text, settled_at=3.0)

    async with Client(monitor(queue, TOKEN)) as client:
        found = (await client.get("/api/failures")).json()["failures"]
        (group,) = [one for one in found if one["signature"].startswith("SMTP")]
        # HTML, "Constructing the entry list": a lone end of line is sent as both.
        sent = group["signature"].replace("\r", "\n").replace("\n", "\r\n")
        fields = {"queue": "mail", "task": "send", "signature": sent}
        reply = await client.post("/actions/retry-group", data=fields, headers=BEARER)

    assert reply.json()["count"] == 2

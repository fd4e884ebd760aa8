import orders
import pytest

from miniasgi.events import mark
from miniasgi.timeline import TimelineMiddleware, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_the_mail_is_sent_after_the_answer(asgi_client):
    orders.sent.clear()

    async with asgi_client(orders.app) as client:
        reply = await client.post("/orders", params={"to": "ada@example.com"})

        assert reply.json() == {"order": "taken"}
        assert reply.events == ["response.start", "response.body"]
        assert orders.sent == []  # the client has its answer, and nothing was sent

        await reply.finished()
        assert orders.sent == ["ada@example.com"]
        assert reply.events[-1] == "app returned"


async def test_a_mail_that_fails_does_not_change_the_answer(asgi_client, monkeypatch):
    async def fail(to):
        mark("the mail server is gone")
        raise ConnectionError(to)

    monkeypatch.setattr(orders, "send_mail", fail)
    async with asgi_client(orders.app) as client:
        reply = await client.post("/orders", params={"to": "ada@example.com"})

        assert reply.status == 200
        with pytest.raises(ConnectionError):
            await reply.finished()
        assert reply.events == [
            "response.start",
            "response.body",
            "the mail server is gone",
            "app raised: ConnectionError",
        ]


async def test_a_client_that_leaves_early_still_gets_its_mail(asgi_client):
    orders.sent.clear()

    async with asgi_client(orders.app) as client:
        reply = await client.post(
            "/orders", params={"to": "bo@example.com"}, disconnect="response.start"
        )
        await reply.finished()

    assert orders.sent == ["bo@example.com"]


async def test_the_mail_begins_when_the_answer_is_complete(asgi_client, timeline, monkeypatch):
    async def send(to):
        mark("mail begins")

    monkeypatch.setattr(orders, "send_mail", send)
    async with asgi_client(TimelineMiddleware(orders.app, timeline)) as client:
        await (await client.post("/orders", params={"to": "ada@example.com"})).finished()

    recording = timeline.recording()
    mail = next(one for one in recording.moments if one.name == "mail begins")
    assert mail.at >= recording.answered_at()
    print(text(recording))

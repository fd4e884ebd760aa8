"""A client that does not wait for background work: it has its reply at the last body message.

It plays the server for any ASGI application, in this process, without a socket::

    async with Client(app) as client:
        reply = await client.post("/signup", json={"name": "Ada"})  # a task may still be running
        assert reply.events == ["accept", "response.start", "response.body"]
        await reply.finished()  # now the application has returned
        assert reply.events[3:] == ["task: send_email", "app returned"]

`client` is the client's end (requests, cookies, lifespan), `reply` the server's end of one call.
Rules of this package: every wait is for an event, never for a time; nothing that goes wrong after a
response is lost; where ASGI leaves a choice it does what uvicorn does.
Source: ASGI 3.0, "HTTP & WebSocket ASGI Message Format" and "Lifespan Protocol".
"""

from miniasgi.testing.client import Client
from miniasgi.testing.reply import Reply, ReplyHeaders

__all__ = ["Client", "Reply", "ReplyHeaders"]

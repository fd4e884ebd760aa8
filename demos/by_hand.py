"""An application without a framework, and the gap after its last ``send``: see the book, chapter 1.

Run: ``uvicorn demos.by_hand:app``, then ``curl --data 'a letter' localhost:8000``.
"""

import anyio

from miniasgi.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError(f"this answers requests, not {scope['type']}")
    asked = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Thank you for: " + asked["body"] + b"\n"})
    await anyio.sleep(5)  # the gap: the client has its answer, and this call goes on

"""The samples of the tutorial that this project grew from, in our own words, on two frameworks.

Each is a scenario of the lab, listed apart: ``python -m demos chapter`` runs them all, ``python -m
demos c24`` the one of part 2.4. Its two applications are the same text but for import lines (and,
where there is a queue, the line that says where its broker is), which a test holds: what a reader
has written for FastAPI runs on miniasgi with its imports changed. Where FastAPI itself does not do
what the sample says, the verdict shows both.

`demos.chapter.ledger` has the tutorial's claims, each with its verdict and what proves it.
"""

import json
from typing import Any

from demos.client import Reply
from demos.scenario import Seen, Unforeseen, Visitor, no_such_thing

#: What is expected of Starlette.
NOT_TYPED = no_such_thing("these signatures are FastAPI's")


def post(visitor: Visitor, path: str, content: Any = None) -> Reply:
    """POST on a connection of its own, with JSON if there is content, and read the answer.

    It is named without its query, as the server names it.
    """
    body = b"" if content is None else json.dumps(content).encode()
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"POST {path} HTTP/1.1\r\nHost: demo\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    name = f"POST {path.partition('?')[0]}"
    with visitor.connect() as connection:
        connection.send(head.encode() + body, name)
        reply = connection.read()
    if reply is None:
        raise Unforeseen(f"no reply to {name}")
    return reply


def must_be_answered(seen: Seen, call: str, *statuses: int) -> None:
    """Raise Unforeseen unless the client's calls of this name had these answers, in this order."""
    ends = [one for one in seen.moments if one.kind == "request.end" and one.name == call]
    found = tuple(int(one.detail) for one in ends)
    if found != statuses:
        raise Unforeseen(f"{call} was answered with {found}")

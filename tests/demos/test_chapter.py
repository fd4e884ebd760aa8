"""The chapter's samples answer real requests as they say, on miniasgi and, as it is, on FastAPI."""

import ast
import warnings
from time import monotonic
from typing import Any

import httpx
import pytest

from demos.chapter import IMPORTS, load, parts, source
from tests.servers import PATIENCE, Story, serving

pytestmark = pytest.mark.servers


def ask(client: httpx.Client, visit: Any, expected: tuple[int, Any]) -> tuple[int, Any]:
    """The answer; of a visit that waits for a task, the first that is as expected."""
    method, path = visit.request.split()
    content = {} if visit.json is None else {"json": visit.json}
    until = monotonic() + PATIENCE
    while True:
        reply = client.request(method, path, **content)
        answer = reply.status_code, None if expected[1] is None else reply.json()
        if answer == expected or not visit.eventually or monotonic() > until:
            return answer


@pytest.mark.parametrize("framework", IMPORTS)
@pytest.mark.parametrize("part", parts())
def test_a_sample_answers_as_it_says(part: str, framework: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FastAPI's, about what it deprecates
        module = load(part, framework)

    with (
        serving(module.app, "uvicorn-h11", Story()) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for visit in module.visits:
            expected = visit.expected(framework)
            assert ask(client, visit, expected) == expected, visit.request


@pytest.mark.parametrize("part", parts())
def test_between_the_frameworks_only_the_import_line_differs(part: str) -> None:
    ours, theirs = (source(part, framework).splitlines() for framework in IMPORTS)

    changed = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]

    assert len(changed) == 1
    assert all(isinstance(ast.parse(line).body[0], ast.ImportFrom) for line in changed[0])

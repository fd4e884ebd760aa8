"""The mail application with another URL: a Redis, and Celery's workers."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.redis_server import RedisServer, why_not
from tests.demos.test_demos_mail import PATIENCE, Site, polled

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


@pytest.fixture(params=["demos.mail.app:app", "demos.mail.fastapi_app:app"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(request.param, tmp_path)
    with RedisServer(tmp_path) as redis:
        site.environment["MINIASGI_BROKER"] = redis.url()
        try:
            yield site
        finally:
            for process in site.processes:
                process.terminate()  # Celery's worker ends its children
                process.wait(PATIENCE)
            site.end()


def test_only_the_brokers_url_is_another(site: Site) -> None:
    site.serve()
    site.work()

    signed_up = site.ask("POST", "/signup", {"email": "ada@example.com"})
    ordered = site.ask("POST", "/reports", {"title": "May", "numbers": [1, 2, 3.5]})
    path = ordered.headers["location"]
    report = polled(site, path, lambda report: report["status"] == "completed")
    unknown = site.ask("GET", "/reports/nobody")
    watched = site.ask("GET", "/jobs/api/overview").json()
    until = time.monotonic() + PATIENCE
    while not site.mails():
        assert time.monotonic() < until

    assert (signed_up.status, ordered.status, unknown.status) == (201, 202, 404)
    assert report["report"]["sum"] == 6.5
    assert (watched["problem"], [queue["name"] for queue in watched["queues"]]) == (None, ["mail"])
    assert "To: ada@example.com" in site.mails()[0]

"""Pictures of every page of the monitor, lively: ``python -m tests.monitor.screenshots [DIR]``.

The mail application is served, loaded and watched: on a file, and on Celery where there is a Redis.
Each page is taken at three widths, light and dark, and looked through as in the tests: nothing on
the console, nothing from elsewhere, clean for axe, no wider than its window. Exit code 1 if not.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from demos.redis_server import RedisServer, why_not

ROOT = Path(__file__).parents[2]
WIDTHS = (1600, 1280, 420)
SCHEMES = ("light", "dark")
TOKEN = "a long secret"
#: When there is enough to see, by the JSON of the overview.
LIVELY = "o.jobs.success > 500 && o.jobs.failure && o.jobs.scheduled && o.jobs.running"
LIVELY_ON_CELERY = "o.workers.some(one => one.active.length && one.scheduled.length)"


@contextmanager
def served(browser: Any, folder: Path, broker: str, lively: str) -> Iterator[str]:
    """The address of a lively monitor."""
    environment = {**os.environ, "MINIASGI_BROKER": broker, "MAIL_FOLDER": str(folder)}
    environment["MAIL_TOKEN"] = TOKEN
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        # Ours, so that whoever comes before the server is served waits in its line.
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        for words in (
            f"uvicorn demos.mail.app:app --fd {listener.fileno()} --log-level warning",
            "miniasgi worker demos.mail.queue:queue --concurrency 3",
            f"demos.mail.load --url http://127.0.0.1:{port} --rate 30 --seconds 900"
            " --requests 100000",
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", *words.split()],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        address = f"http://127.0.0.1:{port}/jobs"
        page = stack.enter_context(closing(browser.new_page(bypass_csp=True)))
        page.goto(f"{address}/")
        overview = "await (await fetch('api/overview')).json()"
        is_lively = f"async () => {{ const o = {overview}; return {lively} }}"
        page.wait_for_function(is_lively, polling=500, timeout=180_000)
        yield address


def pages(page: Page, address: str) -> dict[str, str]:
    """Name and path of each page, with jobs that there are."""

    def newest(state: str) -> str:
        jobs = page.request.get(f"{address}/api/jobs?state={state}").json()["jobs"]
        tried = [job for job in jobs if job["attempt"] > 1] or jobs
        return str(tried[0]["id"]) if tried else "none"

    return {
        "overview": "/",
        "jobs": "/jobs",
        "jobs-failure": "/jobs?state=failure",
        "jobs-none": "/jobs?text=nowhere",
        "failures": "/failures",
        "queues": "/queues",
        "workers": "/workers",
        "job-failure": f"/jobs/{newest('failure')}",
        "job-success": f"/jobs/{newest('success')}",
        "job-scheduled": f"/jobs/{newest('scheduled')}",
        "confirm": "/confirm/purge?queue=mail&state=success",
        "did": "/queues?did=pause",
        "refused": "/jobs/nobody",
    }


def pages_on_celery(page: Page, address: str) -> dict[str, str]:
    workers = page.request.get(f"{address}/api/overview").json()["workers"]
    jobs = [
        job["id"] for worker in workers for kind in ("active", "scheduled") for job in worker[kind]
    ]
    return {"celery": "/"} | ({"celery-job": f"/jobs/{jobs[0]}"} if jobs else {})


def take(browser: Any, address: str, folder: Path, which: Any, *, sign_in: bool) -> list[str]:
    """Take all pictures; what was complained of."""
    complaints: list[str] = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
            )
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda message: (
                    message.type != "error"
                    or "404" in message.text  # the page of a job that is not there
                    or complaints.append(message.text)
                ),
            )
            page.on(
                "request",
                lambda one: one.url.startswith((address, "data:")) or complaints.append(one.url),
            )
            if sign_in:
                picture = folder / f"sign-in-{width}-{scheme}.png"
                look(page, f"{address}/sign-in", picture, complaints)
                page.fill("[name=token]", TOKEN)
                page.click("main button")
            for name, path in which(page, address).items():
                look(page, address + path, folder / f"{name}-{width}-{scheme}.png", complaints)
            context.close()
    return complaints


def look(page: Page, url: str, picture: Path, complaints: list[str]) -> None:
    page.goto(url)
    page.screenshot(path=picture, full_page=True)
    found = Axe().run(page)
    complaints += [f"{picture.name}: {one['id']}" for one in found.response["violations"]]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        complaints.append(f"{picture.name}: wider than its window")


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "monitor-screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    with sync_playwright() as play, tempfile.TemporaryDirectory(prefix="monitor-") as name:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        (on_file := Path(name) / "file").mkdir()
        broker = f"sqlite:///{on_file / 'jobs.db'}"
        with served(browser, on_file, broker, LIVELY) as address:
            complaints += take(browser, address, folder, pages, sign_in=True)
        if not why_not():
            (on_celery := Path(name) / "celery").mkdir()
            with (
                RedisServer(on_celery) as redis,
                served(browser, on_celery, redis.url(), LIVELY_ON_CELERY) as address,
            ):
                complaints += take(browser, address, folder, pages_on_celery, sign_in=False)
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    print("\n".join(sorted(set(complaints))) or "nothing to complain of")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

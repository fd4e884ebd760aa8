"""The application: what stands behind each address of the lab.

Pages are rendered from ``templates/``; what changes something is a form, answered with a 303.
"""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from demos.chapter.ledger import claims
from demos.lab import decide, pages, pictures
from demos.lab.guard import TOKEN, Guard
from demos.lab.runs import SECONDS, Full, Run, Runs
from demos.lab.shelf import Entry, Shelf
from demos.scenario import NAMES
from miniasgi import (
    BackgroundTasks,
    FileResponse,
    HTMLResponse,
    HTTPException,
    MiniASGI,
    RedirectResponse,
    Request,
    Response,
    StreamingResponse,
)
from miniasgi.timeline import Recording, chrome_trace
from miniasgi.timeline.svg import STYLE

HERE = Path(__file__).parent
SITE = HERE.parent.parent / "site"
STATIC = {"lab.css": "text/css", "lab.js": "text/javascript"}
SEEN = "seen"  #: the cookie: names of scenarios, + or - after those that were guessed
BOOK_POLICY = "default-src 'self' data: 'unsafe-inline'; frame-ancestors 'none'"


class Lab:
    """One lab: its shelf, its runs, its pages."""

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...] = (),
        site: Path = SITE,
        seconds: float = SECONDS,
    ) -> None:
        self.folder = folder
        self.site = site
        self.seconds = seconds  #: that one scenario may take
        self.guard = Guard(names)
        self.runs: Runs
        self.templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for filter in (pages.words, pages.when, pages.sentence, pages.titled, pages.seconds):
            self.templates.filters[filter.__name__] = filter
        self.app = app = MiniASGI(lifespan=self.lifespan)
        app.add_middleware(self.guard.__call__)
        for status in (400, 403, 404, 405, 421, 429):
            app.exception_handlers[status] = self.problem
        app.get("/")(self.home)
        app.get("/scenarios/{name}")(self.scenario)
        app.post("/runs")(self.start)
        app.get("/runs/{id}")(self.run)
        app.post("/runs/{id}/stop")(self.stop)
        app.post("/runs/{id}/keep")(self.keep)
        app.get("/runs/{id}/events")(self.events)
        app.get("/runs/{id}/{file}")(self.download)
        for name in ("compare", "ledger", "decide", "crash", "recordings"):
            app.get(f"/{name}")(getattr(self, name))
        app.get("/static/{name}")(self.static)
        app.get("/book{path:path}")(self.book)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        self.shelf = Shelf(self.folder)
        with tempfile.TemporaryDirectory(prefix="lab-") as jobs:
            async with Runs(self.shelf, Path(jobs), self.seconds) as self.runs:
                yield

    def page(self, template: str, title: str, **more: Any) -> HTMLResponse:
        common = {
            "title": title,
            "here": template.removesuffix(".html"),
            "token": self.guard.token,
            "token_name": TOKEN,
            "patterns": pictures.patterns(),
            "has_book": (self.site / "index.html").is_file(),
            "names": NAMES,
        }
        return HTMLResponse(self.templates.get_template(template).render(**common, **more))

    async def problem(self, request: Request, exc: Any) -> Response:
        page = self.page(
            "problem.html", "This did not work", status=exc.status_code, why=exc.detail
        )
        page.status_code = exc.status_code
        return page

    # Reading

    async def home(self, request: Request) -> Response:
        seen = pages.seen(request.cookies.get(SEEN, ""))
        hero = pages.hero(self.shelf)
        return self.page(
            "home.html",
            "What really happens after the response?",
            seen=seen,
            groups=pages.groups(),
            count=len(pages.scenarios()),
            hero=hero,
        )

    async def scenario(self, request: Request) -> Response:
        scenario = pages.find(request.path_params["name"])
        latest = self.shelf.latest().get(scenario.name)
        return self.page(
            "scenario.html",
            pages.titled(scenario),
            **pages.about(scenario),
            entry=None,
            run=None,
            latest=latest,
        )

    async def run(self, request: Request) -> Response:
        id = request.path_params["id"]
        run, entry = self.runs.get(id), self.shelf.get(id)
        if run is not None and len(run.names) > 1:
            return RedirectResponse("/compare", 303)
        if entry is None and run is None:
            raise HTTPException(404, "There is no such recording: it was let go, or never made.")
        scenario = pages.find(entry["name"] if entry else run.names[0])  # type: ignore[union-attr]
        page = self.page(
            "scenario.html",
            pages.titled(scenario),
            **{**pages.about(scenario), **pages.result(scenario, entry)},
            run=run,
            latest=None,
        )
        if entry is not None:
            seen = pages.with_seen(request.cookies.get(SEEN, ""), scenario, entry)
            page.set_cookie(SEEN, seen, max_age=10**8, httponly=True, samesite="strict")
        return page

    async def compare(self, request: Request) -> Response:
        run = self.runs.latest_of_all()
        table = pages.table(self.shelf)
        return self.page("compare.html", "Compare", table=table, run=run, **pages.summary(table))

    async def ledger(self, request: Request) -> Response:
        found = claims()
        return self.page("ledger.html", "The ledger", **pages.ledger(found))

    async def decide(self, request: Request) -> Response:
        answers = request.query_params.get("answers", "")
        path, at = decide.walk(answers)
        answers = "".join(letter for _, letter in path)
        return self.page(
            "decide.html",
            "Decide",
            path=path,
            at=at,
            answers=answers,
            is_advice=isinstance(at, decide.Advice),
        )

    async def crash(self, request: Request) -> Response:
        crashes = pages.crashes(self.shelf)
        going = {run.names[0]: run for run in self.runs.unfinished() if len(run.names) == 1}
        return self.page("crash.html", "Crash", crashes=crashes, going=going)

    async def recordings(self, request: Request) -> Response:
        return self.page(
            "recordings.html",
            "Recordings",
            heads=self.shelf.heads(),
            scenarios={scenario.name: scenario for scenario in pages.scenarios()},
        )

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "timeline.css":
            return Response(STYLE, media_type="text/css")
        if name not in STATIC:
            raise HTTPException(404, "There is no such file.")
        text = (HERE / "static" / name).read_text(encoding="utf-8")
        return Response(text, media_type=STATIC[name])

    async def book(self, request: Request) -> Response:
        path = request.path_params["path"]
        if not path:
            return RedirectResponse("/book/", 307)
        file = (self.site / path.lstrip("/")).resolve()
        file = file / "index.html" if file.is_dir() else file
        if not file.is_relative_to(self.site.resolve()) or not file.is_file():
            there = (self.site / "index.html").is_file()
            why = "The book has no such page." if there else "The book is not built: make docs."
            raise HTTPException(404, why)
        return FileResponse(file, headers={"content-security-policy": BOOK_POLICY})

    # Running

    async def start(self, request: Request) -> Response:
        form = await request.form()
        wanted, guess = str(form.get("scenario", "")), str(form.get("guess", ""))
        every = tuple(scenario.name for scenario in pages.scenarios())
        names = every if wanted == "all" else (pages.find(wanted).name,)
        try:
            run = self.runs.new(names, int(guess) if guess.isdecimal() and len(guess) < 3 else None)
        except Full:
            raise HTTPException(
                429, "Enough runs wait already; try again when one is over."
            ) from None
        page = "/crash" if form.get("back") == "crash" else f"/runs/{run.id}"
        answer = RedirectResponse("/compare" if wanted == "all" else page, 303)
        # Promised before the answer leaves, begun after it: what this project is about.
        answer.background = BackgroundTasks()
        answer.background.add_task(self.runs.record, run.id)
        return answer

    async def stop(self, request: Request) -> Response:
        run = self._run(request)
        self.runs.stop(run)
        return RedirectResponse("/compare" if len(run.names) > 1 else f"/runs/{run.id}", 303)

    async def keep(self, request: Request) -> Response:
        id = request.path_params["id"]
        if not self.shelf.keep(id, (await request.form()).get("keep") == "yes"):
            raise HTTPException(404, "There is no such recording.")
        return RedirectResponse("/recordings", 303)

    async def events(self, request: Request) -> Response:
        stream = self._tell(self._run(request))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _tell(self, run: Run) -> AsyncIterator[str]:
        async for step in self.runs.follow(run):
            words = pages.step_words(step, run)
            yield f"event: step\ndata: {json.dumps(words)}\n\n"
        yield f"event: over\ndata: {json.dumps(run.state)}\n\n"

    def _run(self, request: Request) -> Run:
        run = self.runs.get(request.path_params["id"])
        if run is None:
            raise HTTPException(404, "There is no such run.")
        return run

    async def download(self, request: Request) -> Response:
        entry = self.shelf.get(request.path_params["id"])
        kind = request.path_params["file"]
        if entry is None or kind not in ("picture.svg", "recording.json", "trace.json"):
            raise HTTPException(404, "There is no such recording.")
        text, media_type = self._face(entry, kind)
        name = f"{entry['name']}-{kind}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type=media_type)

    def _face(self, entry: Entry, kind: str) -> tuple[str, str]:
        if kind == "picture.svg":
            title = pages.find(entry["name"]).question
            return pictures.download(entry["runs"], entry["versions"], title), "image/svg+xml"
        if kind == "recording.json":
            return json.dumps(entry, indent=1), "application/json"
        recordings = [pictures.recording(run) for run in entry["runs"]]
        return chrome_trace(sum(recordings, Recording())), "application/json"

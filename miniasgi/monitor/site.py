"""The pages, the same as JSON, and what is posted: one miniasgi application.

Each view is a function from a request to plain data; its page is a template filled with it, its
API answer is the data itself, so neither can show what the other hides. Rules of this file: nothing
but what templates escape goes into a page; a page works without JavaScript, which only loads it
again when the figures have changed.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

import anyio
from markupsafe import Markup

from miniasgi.applications import MiniASGI
from miniasgi.concurrency import run_in_threadpool
from miniasgi.exceptions import HTTPException
from miniasgi.monitor import lane, rows, shell
from miniasgi.monitor.access import Access
from miniasgi.monitor.actions import Action, Actions
from miniasgi.monitor.rows import Rows
from miniasgi.monitor.watch import Watch
from miniasgi.queue import Queue, QueueUnavailable
from miniasgi.requests import Request
from miniasgi.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

logger = logging.getLogger("miniasgi.monitor")

#: A stream of events ends after so many seconds, and the browser opens another: a server that is
#: asked to stop waits for every response.
STREAM = 10.0
Data = dict[str, Any]


class Site(ABC):
    """The monitor of one queue, wherever it is: `FileSite` and `BrokerSite` say what there is."""

    #: Each path with the name of its page, the first of them in the navigation.
    paths: tuple[tuple[str, str], ...]
    flower: str | None = None

    def __init__(self, queue: str, watch: Watch[Any], access: Access, hide: bool) -> None:
        self.queue = queue
        self.watch = watch
        self.access = access
        self.hide = hide
        self.actions: Mapping[str, Action] = {}
        self._rendered: tuple[object, dict[object, bytes]] = (None, {})
        self.templates = shell.templates()

    def app(self) -> MiniASGI:
        """The application, to be served or mounted."""
        app = MiniASGI(
            lifespan=self.watch.lifespan,
            exception_handlers={
                HTTPException: self.refused,
                QueueUnavailable: self.unavailable,
                Exception: self.failed,
            },
        )
        app.add_middleware(shell.with_headers)
        for path, page in self.paths:
            view = getattr(self, page, self.overview)
            app.get(path, name=page)(self._page(page, view))
            app.get(f"/api{path}" if path != "/" else "/api/overview")(self._json(view))
        for path in shell.FILES:
            app.get(f"/{path}")(shell.file(path))
        app.get("/live")(self.live)
        app.get("/metrics")(self.metrics)
        app.get("/confirm/{action}")(self.confirm)
        app.post("/actions/{action}")(self.act)
        app.get("/sign-in")(self.ask_token)
        app.post("/sign-in")(self.sign_in)
        app.post("/sign-out")(self.sign_out)
        return app

    # Views

    async def overview(self, request: Request) -> Data:
        """All figures."""
        figures: Data = (await self.watch.asnapshot()).plain
        return figures

    async def job(self, request: Request) -> Data:
        """One job, and its life as SVG."""
        return {"job": await self._job(request.path_params["id"])}

    @abstractmethod
    async def find(self, id: str) -> Mapping[str, Any] | None:
        """A job's row, if it is known."""

    async def _job(self, id: str) -> Data:
        if (row := await self.find(id)) is None:
            raise HTTPException(404, "There is no such job. It may have been pruned.")
        return lane.job(row, hide=self.hide)

    # Answers

    def _json(self, view: Callable[[Request], Awaitable[Data]]) -> Callable[..., Any]:
        async def answer(request: Request) -> Response:
            try:
                return JSONResponse(await view(request))
            except HTTPException as exc:
                return JSONResponse({"detail": exc.detail}, exc.status_code)

        return answer

    def _page(self, name: str, view: Callable[[Request], Awaitable[Data]]) -> Callable[..., Any]:
        async def answer(request: Request) -> Response:
            return await self.render(request, name, await view(request))

        async def shared(request: Request) -> Response:
            """All who look at the same figures get the same page."""
            snapshot, word = await self.watch.asnapshot(), self.access.word(request)
            if snapshot is not self._rendered[0]:
                self._rendered = snapshot, {}
            key, pages = (name, request["path"], word), self._rendered[1]
            if request.url.query or key not in pages:
                reply = await answer(request)
                if request.url.query:
                    return reply
                pages[key] = reply.body
            return HTMLResponse(pages[key])

        return shared if view == self.overview else answer

    async def render(
        self, request: Request, name: str, data: Data, status_code: int = 200
    ) -> Response:
        """A page; what every page shows beside its data: where it is, alarms, who is signed in."""
        base = request.get("root_path", "")
        snapshot = await self.watch.asnapshot()
        given = {
            "page": name,
            "base": base,
            "here": request["path"] + (f"?{request.url.query}" if request.url.query else ""),
            "queue": self.queue,
            "pages": {path: name for path, name in self.paths if "{" not in path},
            "flower": self.flower,
            "snapshot": snapshot,
            "link": lambda path, **query: _link(base, path, query),
            "can_act": self.access.token is not None,
            "word": self.access.word(request),
            "did": request.query_params.get("did"),
            "count": request.query_params.get("count", ""),
            "hide": self.hide,
            "picture": lambda job: Markup(lane.picture(job)),
        }
        page = self.templates.get_template(f"{name}.html").render(data | given)
        return HTMLResponse(page, status_code)

    async def refused(self, request: Request, exc: HTTPException) -> Response:
        """A page, or JSON for who did not ask for a page."""
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)
        data = {"status": exc.status_code, "detail": exc.detail}
        page = self.templates.get_template("refused.html").render(
            data | {"base": request.get("root_path", "")}
        )
        return HTMLResponse(page, exc.status_code, exc.headers)

    async def failed(self, request: Request, exc: Exception) -> Response:
        """What went wrong is for the log: the exception is raised on to the server."""
        return await self.refused(request, HTTPException(500, "Something went wrong here."))

    async def unavailable(self, request: Request, exc: QueueUnavailable) -> Response:
        logger.warning("the queue cannot be read: %s", exc)
        return await self.refused(request, HTTPException(503, "The queue cannot be read."))

    async def metrics(self, request: Request) -> Response:
        from miniasgi.monitor.metrics import metrics

        return metrics(await self.watch.asnapshot())

    async def live(self, request: Request) -> Response:
        """Server-sent events: a version, whenever the figures (or one job) are another."""
        id = request.query_params.get("job")

        async def version() -> str:
            try:
                return str(await self._job(id)) if id else (await self.watch.asnapshot()).version
            except (HTTPException, QueueUnavailable):
                return "gone"

        async def events() -> AsyncIterator[str]:
            seen, ends_at = "", time.monotonic() + STREAM
            yield "retry: 500\n\n"
            while time.monotonic() < ends_at:
                if (now := await version()) != seen:
                    seen = now
                    yield f"data: {sha256(now.encode()).hexdigest()[:12]}\n\n"
                await anyio.sleep(1.0)

        return StreamingResponse(events(), media_type="text/event-stream")

    # Acting

    async def confirm(self, request: Request) -> Response:
        """Say what would be done, and ask."""
        action = self._action(request)
        fields = {k: v for k, v in request.query_params.items() if k not in ("did", "count")}
        return await self.render(request, "confirm", {"action": action, "fields": fields})

    async def act(self, request: Request) -> Response:
        fields = await self.access.action(request)
        action = self._action(request)
        count = await self.actions[action](fields)
        self.watch.forget()
        if "authorization" in request.headers:
            return JSONResponse({"action": action, "count": count})
        path = {"retry": "/jobs/", "revoke": "/jobs/", "retry-group": "/failures"}.get(
            action, "/queues"
        )
        if path == "/jobs/":
            path += quote(fields["id"], safe="")
        return RedirectResponse(
            _link(request.get("root_path", ""), path, {"did": action, "count": count}), 303
        )

    def _action(self, request: Request) -> str:
        action: str = request.path_params["action"]
        if action not in self.actions:
            raise HTTPException(404, f"The actions are: {', '.join(self.actions)}.")
        return action

    async def ask_token(self, request: Request) -> Response:
        return await self.render(request, "sign-in", {"wrong": False})

    async def sign_in(self, request: Request) -> Response:
        fields = await self.access.form(request)
        if not self.access.is_token(fields.get("token", "")):
            return await self.render(request, "sign-in", {"wrong": True}, 403)
        response = RedirectResponse(request.get("root_path", "") + "/", 303)
        self.access.let_in(request, response)
        return response

    async def sign_out(self, request: Request) -> Response:
        await self.access.form(request)
        response = RedirectResponse(request.get("root_path", "") + "/", 303)
        self.access.let_out(request, response)
        return response


class FileSite(Site):
    """The monitor of all queues in one file."""

    paths = (
        *(("/", "overview"), ("/jobs", "jobs"), ("/failures", "failures")),
        *(("/queues", "queues"), ("/workers", "workers"), ("/jobs/{id:path}", "job")),
    )

    def __init__(self, queue: Queue, watch: Watch[Any], access: Access, hide: bool) -> None:
        super().__init__(queue.name, watch, access, hide)
        self._rows = Rows(queue.writer)
        self.actions = Actions(queue.writer, self._rows).do

    async def jobs(self, request: Request) -> Data:
        """Some jobs, and where the next are: ``queue, state, task, text, after``."""
        given = {"queue": self.queue} | {k: v for k, v in request.query_params.items() if v}
        search = rows.Search(**{name: given.get(name, "") for name in rows.Search._fields})
        if len(search.text.encode()) > 10_000:
            raise HTTPException(400, "text is too long")
        if search.state not in ("", *rows.STATES):
            raise HTTPException(400, f"state is one of: {', '.join(rows.STATES)}")
        columns = ("id", "task", "error") + (() if self.hide else ("arguments",))
        try:
            page = await self._read(lambda db: rows.page(db, search, columns))
        except (ValueError, OverflowError) as exc:
            raise HTTPException(400, "after is what the page before calls next") from exc
        return {
            "search": search._asdict(),
            "jobs": [lane.job(row, hide=self.hide) for row in page.rows],
            "next": page.next,
            "looked_through": page.looked_through,
        }

    async def find(self, id: str) -> Mapping[str, Any] | None:
        row = await self._read(lambda db: rows.find(db, id))
        return None if row is None else dict(row)

    async def _read(self, work: Callable[[rows.Database], Any]) -> Any:
        return await run_in_threadpool(self._rows.read, work)


def _link(base: str, path: str, query: Data) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return base + path + (f"?{urlencode(given)}" if given else "")

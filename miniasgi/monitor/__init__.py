"""Watching a queue: pages, JSON, metrics and alarms; an ASGI application to serve or to mount.

::

    app.mount("/jobs", monitor(queue))                     # miniasgi, Starlette, FastAPI
    app.mount("/jobs", monitor(queue, token="...", hide_arguments=True))

Everybody who gets there may look; to act takes the token. Floors: `rows` (all SQL), `alarms`,
`words`, `access`; `figures` (one look for all), `lane`; `actions`, `metrics`; `site`. This is the
only package that imports both the web side and the queue.
"""

from miniasgi.monitor.alarms import Alarms, Change
from miniasgi.queue import Queue
from miniasgi.types import ASGIApp, Receive, Scope, Send

__all__ = ["Alarms", "Change", "monitor"]


def monitor(
    queue: Queue,
    token: str | None = None,
    hide_arguments: bool = False,
    alarms: Alarms = Alarms(),  # noqa: B008 (it is frozen)
) -> ASGIApp:
    """The monitor of the file in which ``queue`` keeps its jobs, with all queues in it.

    ``token``: who has it may act; None: nobody. ``hide_arguments`` keeps arguments and results out
    of pages, API and search; errors may still quote them. It looks while somebody watches.
    """
    from miniasgi.monitor.access import Access  # on use: the command line needs no templates
    from miniasgi.monitor.actions import Actions
    from miniasgi.monitor.alarms import Memory, Watchman
    from miniasgi.monitor.figures import Figures
    from miniasgi.monitor.rows import Rows
    from miniasgi.monitor.site import Site
    from miniasgi.monitor.watch import Watch

    writer = queue.writer
    watchman = Watchman(alarms, Memory(writer.directory / "alarms"))
    watch = Watch(Figures(writer, queue.name).look, watchman)
    queue.beside.append(watch.lifespan)
    rows = Rows(writer)
    app = Site(queue.name, watch, rows, Actions(writer, rows), Access(token), hide_arguments).app()

    # Not the application itself: Starlette looks for names of its own in a mounted one's routes,
    # and does not know our NoMatchFound. Nor its bound method, which uvicorn takes for ASGI 2.
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return application

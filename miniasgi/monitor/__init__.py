"""Watching a queue: pages, JSON, metrics and alarms; an ASGI application to serve or to mount.

::

    app.mount("/jobs", monitor(queue))                     # miniasgi, Starlette, FastAPI
    app.mount("/jobs", monitor(queue, token="...", hide_arguments=True))

Everybody who gets there may look; to act takes the token. Floors: `rows` (all SQL), `alarms`,
`words`, `access`; `recent`, `groups`, `figures` (one look), `watch` (for all), `lane`; `actions`,
`metrics`; `shell`, `site`; `broker`, the same for a queue on Celery. This is the only package that
imports both the web side and the queue.
"""

from typing import TYPE_CHECKING, Any

from miniasgi.monitor.alarms import Alarms, Change
from miniasgi.queue import Queue
from miniasgi.queue.embedded import EmbeddedEngine
from miniasgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from miniasgi.monitor.site import Site

__all__ = ["Alarms", "Change", "monitor"]


def monitor(
    queue: Queue,
    token: str | None = None,
    hide_arguments: bool = False,
    alarms: Alarms = Alarms(),  # noqa: B008 (it is frozen)
    flower: str | None = None,
) -> ASGIApp:
    """The monitor of the file in which ``queue`` keeps its jobs, with all queues in it; or of a
    queue on Celery, where it shows what workers and broker tell. ``flower``: Flower's address, for
    the rest.

    ``token``: who has it may act; None: nobody. ``hide_arguments`` keeps arguments and results out
    of pages, API and search; errors may still quote them. It looks while somebody watches, and
    while `Queue.lifespan` is open.
    """
    try:
        import jinja2  # noqa: F401
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as exc:
        needs = f"the monitor needs: pip install 'miniasgi[monitor]' ({exc})"
        raise ModuleNotFoundError(needs, name=exc.name) from exc
    from miniasgi.monitor.access import Access  # on use: the command line needs no templates
    from miniasgi.monitor.alarms import Memory, Watchman
    from miniasgi.monitor.watch import Watch

    watch: Watch[Any]
    site: Site
    if isinstance(queue.engine, EmbeddedEngine):
        from miniasgi.monitor.figures import Figures
        from miniasgi.monitor.site import FileSite

        # Who only logs must not take the lock of those who have somebody to tell.
        memory = Memory(queue.writer.directory / ("alarms" if alarms.on_change else "alarms-log"))
        watchman = Watchman(alarms, memory)
        watch = Watch(Figures(queue.writer, queue.name).look, watchman)
        site = FileSite(queue, watch, Access(token or None), hide_arguments)
    else:
        from miniasgi.monitor.broker import Broker, BrokerSite

        watch = Watch(Broker(queue).look, Watchman(alarms), rest=2)  # its looks are mostly waiting
        site = BrokerSite(queue, watch, Access(None), hide_arguments, flower)
    queue.beside.append(watch.lifespan)
    app = site.app()

    # Not the application itself: Starlette looks for names of its own in a mounted one's routes,
    # and does not know our NoMatchFound. Nor its bound method, which uvicorn takes for ASGI 2.
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return application

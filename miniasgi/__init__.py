"""miniasgi: what really happens after the response. Send, then run."""

from miniasgi.applications import MiniASGI
from miniasgi.background import BackgroundTask, BackgroundTasks
from miniasgi.exceptions import ClientDisconnect, HTTPException
from miniasgi.files import FileResponse
from miniasgi.middleware import Middleware
from miniasgi.requests import Request
from miniasgi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from miniasgi.routing import Mount, Route, Router

__version__ = "0.1.0"

__all__ = [
    "BackgroundTask",
    "BackgroundTasks",
    "ClientDisconnect",
    "FileResponse",
    "HTMLResponse",
    "HTTPException",
    "JSONResponse",
    "Middleware",
    "MiniASGI",
    "Mount",
    "PlainTextResponse",
    "RedirectResponse",
    "Request",
    "Response",
    "Route",
    "Router",
    "StreamingResponse",
]

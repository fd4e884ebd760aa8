"""miniasgi: what really happens after the response. Send, then run."""

from miniasgi.background import BackgroundTask, BackgroundTasks
from miniasgi.exceptions import HTTPException

__version__ = "0.1.0"
__all__ = ["BackgroundTask", "BackgroundTasks", "HTTPException"]

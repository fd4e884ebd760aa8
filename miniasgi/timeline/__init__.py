"""What happened when, where and in which order: record any ASGI application, then look at it.

::

    recorder = Recorder()
    app = TimelineMiddleware(app, recorder)  # ... serve some requests ...
    recording = recorder.recording()
    print(text(recording))

A recording is plain data with four faces: `text` for a terminal, `svg` for a page, `chrome_trace`
for Perfetto, and its own JSON. Times are CLOCK_MONOTONIC, which all processes of a machine share:
recordings of a server and its client are simply added.
"""

from miniasgi.events import mark
from miniasgi.timeline.chrome import chrome_trace
from miniasgi.timeline.recorder import Recorder, TimelineMiddleware
from miniasgi.timeline.recording import Bar, Moment, Recording
from miniasgi.timeline.svg import svg
from miniasgi.timeline.text import text

__all__ = [
    "Bar",
    "Moment",
    "Recorder",
    "Recording",
    "TimelineMiddleware",
    "chrome_trace",
    "mark",
    "svg",
    "text",
]

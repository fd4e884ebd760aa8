"""``python -m demos.lab``: serve the lab on this machine, and open a browser where there is one."""

import argparse
import contextlib
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from demos.lab.application import Lab
from demos.servers import DemoError, listen

RECORDINGS = Path(__file__).parent.parent / "recordings" / "lab"


class Server(uvicorn.Server):
    """uvicorn, which tells the lab of a signal: its streams would else keep it from stopping."""

    lab: Lab

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.lab.runs.close()
        super().handle_exit(sig, frame)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demos.lab",
        description="See what happens after the response, in a browser. Ctrl-C stops everything.",
    )
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: 8000)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--folder", type=Path, default=RECORDINGS, help="where recordings are kept")
    options = parser.parse_args(arguments)
    try:
        listener = listen(options.port)
    except DemoError as exc:
        print(f"lab: {exc}", file=sys.stderr)
        return 2
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    lab = Lab(options.folder)
    config = uvicorn.Config(
        lab.app, log_level="warning", lifespan="on", timeout_graceful_shutdown=3
    )
    server = Server(config)
    server.lab = lab
    print(f"The lab is at {address} (Ctrl-C stops it)", flush=True)
    if not options.no_browser and (sys.platform == "darwin" or os.environ.get("DISPLAY")):
        threading.Timer(1, webbrowser.open, [address]).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())

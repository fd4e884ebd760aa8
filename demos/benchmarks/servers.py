"""uvicorn in a process of its own: started on a free port, asked for its CPU and memory, ended.

Only on 127.0.0.1, with uvicorn's defaults except for the access log, which is off. On Linux the
figures come from the kernel; elsewhere from ``ps``, which is coarser.
"""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: The root of the repository: the server imports its application from here.
ROOT = Path(__file__).parents[2]


class Server:
    """A running uvicorn."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu_ns(self) -> int:
        """CPU time of all its threads so far, in ns."""
        if sys.platform == "linux":
            # The clock id that clock_getcpuclockid(3) makes of a pid.
            return time.clock_gettime_ns((~self.process.pid << 3) | 2)
        minutes, _, seconds = self._ps("cputime").rpartition(":")
        hours, _, minutes = minutes.rpartition(":")
        return int((int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)) * 1e9)

    def peak_rss(self) -> int:
        """The most memory it has held, in bytes; what it holds now where only ps can be asked."""
        if sys.platform == "linux":
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            return int(found[1]) * 1024 if found else 0
        return int(self._ps("rss")) * 1024

    def _ps(self, field: str) -> str:
        command = ["ps", "-o", f"{field}=", "-p", str(self.process.pid)]
        return subprocess.check_output(command, text=True).strip()


@contextlib.contextmanager
def serve(app: str, *, http: str, loop: str) -> Iterator[Server]:
    """Serve ``package.module:name`` around the block. SystemExit if it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--http", http, "--loop", loop, "--no-access-log", "--log-level", "warning"]
    # As Ctrl-C: else a SIGTERM, such as timeout(1) sends, ends this process and leaves the server.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait_until_it_listens(app, process, port)
        yield Server(process, port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(app: str, process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise SystemExit(f"uvicorn {app} ended at once, with exit code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"uvicorn {app} does not listen on port {port} after 20 s")

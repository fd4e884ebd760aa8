"""What all benchmarks here need: a fresh folder on a real disk, and how quick its fsync is."""

import functools
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable


def in_a_fresh_folder(main: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(main)
    def run() -> None:
        logging.getLogger("miniasgi.queue").setLevel(logging.ERROR)
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
            os.environ["BENCH_FOLDER"] = folder
            main()

    return run


def fsyncs_a_second(seconds: float = 0.3) -> float:
    with tempfile.NamedTemporaryFile(dir=os.environ["BENCH_FOLDER"]) as file:
        count, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            os.pwrite(file.fileno(), b"x" * 16384, 0)
            os.fsync(file.fileno())
            count += 1
        return count / (time.perf_counter() - begin)


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)

"""`kill -9` of a worker in mid-job, 20 tries: when does the job run again on the other worker?"""

import argparse
import os
import signal
import statistics
import time
from pathlib import Path

from demos.benchmarks.queue.peers import in_a_fresh_folder, start, stop


def next_start(stamps: Path, number: int, patience: float = 30.0) -> tuple[int, float]:
    """The process and the moment of the job's start of this number."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        lines = stamps.read_text().splitlines() if stamps.exists() else []
        if len(lines) > number:
            pid, moment = lines[number].split()
            return int(pid), float(moment)
        time.sleep(0.002)
    raise TimeoutError(f"start {number} was not seen in {patience:g} s")


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue import tasks

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    tries = parser.parse_args().tries
    stamps = Path(tasks.FOLDER) / "starts"
    worker = ("-m", "miniasgi", "worker", "demos.benchmarks.queue.tasks:queue", "--grace", "0")
    took, lost = [], 0
    for number in range(tries):
        workers = [start(*worker), start(*worker)]
        tasks.stay.delay(number)
        holder, _ = next_start(stamps, 2 * number)
        time.sleep(0.1)
        os.kill(holder, signal.SIGKILL)
        killed = time.monotonic()
        try:
            _, again = next_start(stamps, 2 * number + 1)
            took.append(again - killed)
        except TimeoutError:
            lost += 1
        tasks.queue.writer.run(lambda db: db.execute("delete from miniasgi_job"))
        for process in workers:
            stop(process)
    print(f"{tries} tries, {lost} lost; running again after", end=" ")
    print(f"p50 {statistics.median(took):.2f} s, at most {max(took):.2f} s")


if __name__ == "__main__":
    main()

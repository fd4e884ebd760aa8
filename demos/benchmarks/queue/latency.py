"""From enqueue to start on an idle system, in another process; and how much an idle worker eats."""

import statistics
import time
from pathlib import Path

from demos.benchmarks.queue.peers import in_a_fresh_folder, start, stop


def measure(produce: object, stamps: Path, count: int) -> list[float]:
    stamps.unlink(missing_ok=True)
    for n in range(count):
        produce(time.monotonic())  # type: ignore[operator]
        while not stamps.exists() or stamps.read_text().count("\n") <= n:
            time.sleep(0.001)
        time.sleep(0.02)
    return sorted(map(float, stamps.read_text().split()))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue import tasks

    here = "demos.benchmarks.queue.tasks"
    for name, produce, count, command in (
        ("ours", tasks.stamp.delay, 200, ("-m", "miniasgi", "worker", f"{here}:queue")),
        ("huey sqlite", tasks.huey_stamp, 40, ("-m", "huey.bin.huey_consumer", f"{here}.huey")),
    ):
        process = start(*command)
        time.sleep(2)
        found = measure(produce, Path(tasks.STAMPS), count)
        before = cpu_seconds(process.pid)
        time.sleep(5)
        idle = (cpu_seconds(process.pid) - before) / 5
        stop(process)
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        print(f"{name:12} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  idle {idle:.1%} of a core")


if __name__ == "__main__":
    main()

"""What one claim costs with 1,000 to 1,000,000 jobs ready, and with neighbours that are not."""

import statistics
import time
from dataclasses import replace

from demos.benchmarks.queue.drain import fill
from demos.benchmarks.queue.peers import in_a_fresh_folder


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue import tasks
    from miniasgi.queue import store

    run = tasks.queue.writer.run
    ready = tasks.noop._job((0,), {})
    total = 0

    def claims(name: str) -> None:
        took = []
        for _ in range(200):
            run(lambda db: took.append(claimed(db)))
        print(f"{name:36} {statistics.median(took) * 1e6:6.0f} us a claim", flush=True)

    def claimed(db: object) -> float:
        begin = time.perf_counter()
        store.claim(db, "bench", "me", 1, time.time())  # type: ignore[arg-type]
        return time.perf_counter() - begin

    for size in (1_000, 10_000, 100_000, 1_000_000):
        while total < size:
            some = min(10_000, size - total)
            run(fill, ready, some)
            total += some
        claims(f"{size:,} ready")
    later = replace(ready, state="scheduled", due_at=time.time() + 9e5, priority=9)
    for _ in range(10):
        run(fill, later, 10_000)
    claims("and 100,000 scheduled, more urgent")
    ended = "update miniasgi_job set state = 'success', settled_at = 1 where state = 'ready'"
    run(lambda db: db.execute(ended))
    run(fill, ready, 10_000)
    claims("10,000 ready and 1,000,000 ended")


if __name__ == "__main__":
    main()

"""Move jobs from a file to a Redis while the mover is killed, and count what is finished.

    python -m tests.queue.moving --jobs 10000 --kills 10

Real processes: ``python -m miniasgi move`` dies by SIGKILL at random moments and is started again;
``python -m miniasgi worker`` runs what arrives, and each job appends its number to one file.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from demos.redis_server import RedisServer
from miniasgi.queue import Queue

ROOT = Path(__file__).parents[2]
queue = Queue("numbers", os.environ.get("MOVING", "sqlite:///moving.db"), durability="power")


@queue.task
def note(n: int) -> None:
    file = os.open("finished", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{n}\n".encode())
    os.close(file)


def moved(folder: Path, jobs: int, kills: int) -> dict[str, int]:
    """How many jobs were finished, how many of them twice, and how often the mover was killed."""
    with RedisServer(folder) as redis:
        return _Move(folder, redis.url()).run(jobs, kills)


class _Move:
    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.broker = broker
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "MOVING": broker}

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "miniasgi", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def run(self, jobs: int, kills: int) -> dict[str, int]:
        source = Queue("numbers", f"sqlite:///{self.folder / 'moving.db'}")
        put = source.task(name="note")(lambda n: None)
        with source.transaction():
            for n in range(jobs):
                put.delay(n)
        worker = self.start("worker", "tests.queue.moving:queue", "--concurrency", "2")
        try:
            killed = self.kill_movers(source, jobs, kills)
            source.close()
            assert self.start("move", "moving.db", self.broker).wait() == 0, self.log()
            until = time.monotonic() + 60 + jobs / 50
            while len(set(self.finished())) < jobs and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            worker.terminate()
            worker.wait()
        times = Counter(self.finished())
        twice = sum(count > 1 for count in times.values())
        return {"finished": len(times), "twice": twice, "kills": killed}

    def kill_movers(self, source: Queue, jobs: int, kills: int) -> int:
        """Each dies a moment after a random number of jobs has left the file."""
        targets = sorted(random.sample(range(jobs // 20, jobs * 19 // 20), kills), reverse=True)
        for target in targets:
            target = min(target, self.left(source) - 1)
            mover = self.start("move", "moving.db", self.broker)
            while self.left(source) > target:
                assert mover.poll() is None, self.log()
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.05))
            assert mover.poll() is None, "it came to its end before it could be killed"
            mover.kill()
            mover.wait()
        return len(targets)

    def left(self, source: Queue) -> int:
        sql = "select count(*) from miniasgi_job"
        return int(source.writer.read(lambda db: db.execute(sql).fetchone()[0]))

    def finished(self) -> list[str]:
        path = self.folder / "finished"
        return path.read_text().splitlines() if path.exists() else []

    def log(self) -> str:
        return (self.folder / "log").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = moved(Path(folder), options.jobs, options.kills)
    print(verdict)
    sys.exit(verdict != {"finished": options.jobs, "twice": 0, "kills": options.kills})


if __name__ == "__main__":
    main()

"""The power goes at any moment: what was acknowledged is there, and the file is sound.

A preloaded shim records each write, truncate and sync of a real run, with the acknowledgements
between them. Replayed to random points: what was synced is kept, of what was not any part may be
missing, and a write may be torn at its 512-byte sectors.
"""

import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.queue.processes import Process

POINTS = 400
_RUN = """
    import os, threading, time
    from miniasgi.queue import Queue, files, store
    files._CHECKPOINT_CHANGES = 60
    queue = Queue("mail", "sqlite:///jobs.db", durability="{durability}")
    task = queue.task(name="noop")(lambda n: None)
    acks = os.open("run.acks", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def produce(number):
        for n in range(60):
            result = task.delay(n)
            os.write(acks, f"enqueued {{result.id}}\\n".encode())

    def consume():
        done = 0
        while done < 240:
            for job in queue.writer.run(store.claim, "mail", "me", 2, time.time()):
                outcome = store.Outcome("success", "1")
                queue.writer.run(store.settle, job, outcome, time.time())
                os.write(acks, f"settled {{job.id}}\\n".encode())
                done += 1

    task.delay(0)
    threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
    threads.append(threading.Thread(target=consume))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done", flush=True)
"""


class Record(NamedTuple):
    op: str  # w rite, t runcate, s ync, a cknowledgement
    file: str  # d atabase, l og
    offset: int
    data: bytes


def record(folder: Path, durability: str) -> list[Record]:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    source = Path(__file__).with_name("powerlog.c")
    shim = folder / "powerlog.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(shim), "POWERLOG": str(folder / "log")}
    with Process(_RUN.format(durability=durability), folder, **environment) as process:
        assert process.line() == "done"
    return list(records((folder / "log").read_bytes()))


def records(log: bytes) -> Iterator[Record]:
    at = 0
    while at < len(log):
        op, file, offset, length = struct.unpack_from("<ccqq", log, at)
        at += 18
        yield Record(op.decode(), file.decode(), offset, log[at : at + length])
        at += length


def after_power_loss(records: list[Record], luck: random.Random) -> dict[str, bytearray]:
    """The files as they may be found: synced writes, and any part of the others."""
    files = {"d": bytearray(), "l": bytearray()}
    synced = {file: 0 for file in files}
    for at, entry in enumerate(records):
        if entry.op == "s":
            synced[entry.file] = at
    for at, (op, file, offset, data) in enumerate(records):
        content = files.get(file)
        if content is None or (at > synced[file] and luck.random() < 0.5):
            continue
        if op == "t":
            del content[offset:]
            content.extend(bytes(offset - len(content)))
        elif op == "w":
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            for sector in range(0, len(data), 512):
                if at <= synced[file] or luck.random() < 0.9:
                    part = data[sector : sector + 512]
                    content[offset + sector : offset + sector + len(part)] = part
    return files


def lost(folder: Path, entries: list[Record], luck: random.Random) -> int:
    """How many acknowledgements before this point the file does not know. Raises if unsound."""
    promised: dict[str, str] = {}
    for entry in entries:
        if entry.op == "a":
            word, id = entry.data.decode().split()
            promised[id] = word
    path = folder / "found.db"
    for file, content in after_power_loss(entries, luck).items():
        path.with_name("found.db" if file == "d" else "found.db-wal").write_bytes(content)
    path.with_name("found.db-shm").unlink(missing_ok=True)
    db = sqlite3.connect(path)
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    table = "select 1 from sqlite_master where name = 'miniasgi_job'"
    jobs = (
        "select id, state from miniasgi_job"
        if db.execute(table).fetchone()
        else "select 1, 1 limit 0"
    )
    states = dict(db.execute(jobs).fetchall())
    db.close()
    return sum(
        states.get(id) is None or (word == "settled" and states[id] != "success")
        for id, word in promised.items()
    )


@pytest.mark.parametrize("durability", ["power", "process"])
def test_power_loss_at_any_write_loses_nothing_acknowledged_and_corrupts_nothing(
    tmp_path: Path, durability: str
) -> None:
    entries = record(tmp_path, durability)
    luck = random.Random(7)

    losses = [lost(tmp_path, entries[: luck.randrange(len(entries))], luck) for _ in range(POINTS)]

    assert len([entry for entry in entries if entry.op == "a"]) == 480
    # "process" promises only what survives kill -9: it shows that the simulation can lose.
    assert (sum(losses) == 0) is (durability == "power")

"""4.3: the state of a task on record, as it changes; a coroutine object is the task's argument.

The tutorial annotates it with ``asyncio.Coroutine``, a name that no Python has: that sample cannot
be imported on any framework. `collections.abc.Coroutine` is the one that was meant.
"""

import asyncio
from collections.abc import Coroutine

from demos.chapter import Visit
from miniasgi import BackgroundTasks, MiniASGI

app: MiniASGI = MiniASGI()
records: dict[int, list[str]] = {}


async def fail() -> None:
    raise ValueError("no paper left")


async def run_on_record(number: int, work: Coroutine) -> None:
    record = records.setdefault(number, [])
    record.append("running")
    try:
        await work
    except Exception as exc:
        record.append(f"failed: {exc}")
    else:
        record.append("completed")


@app.post("/works/{number}")
async def begin(
    number: int, background_tasks: BackgroundTasks, fails: bool = False
) -> dict[str, int | str]:
    background_tasks.add_task(run_on_record, number, fail() if fails else asyncio.sleep(0))
    return {"number": number, "status": "pending"}


@app.get("/works/{number}")
async def read(number: int) -> list[str]:
    return records.get(number, [])


visits = [
    Visit("POST /works/7", 200, {"number": 7, "status": "pending"}),
    Visit("GET /works/7", 200, ["running", "completed"], eventually=True),
    Visit("POST /works/8?fails=yes", 200, {"number": 8, "status": "pending"}),
    Visit("GET /works/8", 200, ["running", "failed: no paper left"], eventually=True),
    Visit("GET /works/seven", 422),
]

"""2.4: a list as the body, and the state of a job that is asked for; a dictionary is the broker.

FastAPI takes a bare ``list`` for an upload of files, so it refuses the JSON. And it enforces the
annotation of what is returned, so the state of a job can be asked for until the job has a result.
"""

import threading

from demos.chapter import Visit
from miniasgi import BackgroundTasks, MiniASGI

app: MiniASGI = MiniASGI()
may_end = threading.Event()
results: dict[str, dict[str, int] | None] = {}


def add_up(job: str, numbers: list) -> None:
    may_end.wait(5)
    results[job] = {"sum": sum(numbers), "count": len(numbers)}


@app.post("/sums")
async def make_sum(numbers: list, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(add_up, "body", numbers)
    return {"job": "body", "status": "queued"}


@app.post("/jobs")
async def make_job(background_tasks: BackgroundTasks) -> dict[str, str]:
    results["job"] = None
    background_tasks.add_task(add_up, "job", [1, 2, 3])
    return {"job": "job", "status": "queued"}


@app.get("/jobs/{job}")
async def read_job(job: str) -> dict[str, str | None]:
    result = results.get(job)
    return {"job": job, "status": "SUCCESS" if result else "PENDING", "result": result}


@app.post("/end")
async def let_end() -> None:
    may_end.set()


RESULT = {"sum": 6, "count": 3}
visits = [
    Visit("POST /sums", 200, {"job": "body", "status": "queued"}, json=[1, 2, 3], on_fastapi=422),
    Visit("POST /jobs", 200, {"job": "job", "status": "queued"}),
    Visit("GET /jobs/job", 200, {"job": "job", "status": "PENDING", "result": None}),
    Visit("POST /end", 200, None),
    Visit(
        "GET /jobs/job",
        200,
        {"job": "job", "status": "SUCCESS", "result": RESULT},
        on_fastapi=500,
        eventually=True,
    ),
]

"""The same application on FastAPI, where only the queue is ours: ``uvicorn
demos.mail.fastapi_app:app``.

What is different from bare FastAPI are four lines: the lifespan, the monitor below ``/jobs``,
``await task.accept(...)``, and ``task.adelay(...)``.
"""

import os
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

from demos.mail.queue import about, make_report, queue, send_welcome
from miniasgi.monitor import monitor

app = FastAPI(lifespan=queue.lifespan)
app.mount("/jobs", monitor(queue, token=os.environ.get("MAIL_TOKEN"), hide_arguments=True))


class SignUp(BaseModel):
    email: str = Field(pattern="@")


class ReportOrder(BaseModel):
    title: str
    numbers: list[float]
    after: float = Field(0.0, ge=0.0, le=3_600.0)


@app.post("/signup", status_code=201)
async def signup(asked: SignUp, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(await send_welcome.accept(asked.email))
    return {"email": asked.email}


@app.post("/reports", status_code=202)
async def order_report(asked: ReportOrder, request: Request, response: Response) -> dict[str, str]:
    ordered = make_report.options(countdown=asked.after)
    result = await ordered.adelay(asked.title, asked.numbers)
    response.headers["location"] = str(request.app.url_path_for("report", id=result.id))
    response.headers["retry-after"] = "1"
    return {"id": result.id, "status": "pending"}


@app.get("/reports/{id}")
async def report(id: str) -> dict[str, Any]:
    found = about(await queue.AsyncResult(id).arefresh())
    if found is None:
        raise HTTPException(404, "no such report")
    return found

"""Sign-up and report on miniasgi: ``uvicorn demos.mail.app:app``.

- ``POST /signup`` answers 201, and a mail to the new user follows: promised on disk before the
  first byte, sent after the last.
- ``POST /reports`` answers 202 with a Location, once the job is on disk; it is made ``after`` so
  many seconds, if the order says so.
- ``GET /reports/{id}`` says ``pending``, ``running``, ``completed`` or ``failed``, and 404 for an
  id that nobody was given.
- ``/jobs/`` is the queue's monitor: everybody may look, addresses stay hidden, and who has
  ``$MAIL_TOKEN`` may act.

The lifespan runs a worker in this process; more of them may run beside it, on the same file.
"""

import os
from typing import Any

from demos.mail.queue import about, make_report, queue, send_welcome
from miniasgi import BackgroundTasks, HTTPException, JSONResponse, MiniASGI, Request
from miniasgi.monitor import monitor

app = MiniASGI(lifespan=queue.lifespan)
app.mount("/jobs", monitor(queue, token=os.environ.get("MAIL_TOKEN"), hide_arguments=True))


@app.post("/signup")
async def signup(request: Request) -> JSONResponse:
    email = (await fields(request, email=str))["email"]
    if "@" not in email:
        raise HTTPException(422, "email needs an @")
    background = BackgroundTasks()
    background.add_task(send_welcome, email)
    return JSONResponse({"email": email}, status_code=201, background=background)


@app.post("/reports")
async def order_report(request: Request) -> JSONResponse:
    asked = await fields(request, title=str, numbers=list)
    if not all(isinstance(number, int | float) for number in asked["numbers"]):
        raise HTTPException(422, "numbers needs numbers")
    after = asked.get("after", 0)
    if not isinstance(after, int | float) or not 0 <= after <= 3_600:
        raise HTTPException(422, "after is a number of seconds, an hour at most")
    ordered = make_report.options(countdown=after)
    result = await ordered.adelay(asked["title"], asked["numbers"])
    location = request.app.url_path_for("report", id=result.id)
    headers = {"location": location, "retry-after": "1"}
    return JSONResponse({"id": result.id, "status": "pending"}, 202, headers)


@app.get("/reports/{id}", name="report")
async def report(request: Request) -> JSONResponse:
    found = about(await queue.AsyncResult(request.path_params["id"]).arefresh())
    if found is None:
        raise HTTPException(404, "no such report")
    return JSONResponse(found)


async def fields(request: Request, **kinds: type) -> dict[str, Any]:
    """The body's JSON object, with fields of these kinds."""
    body = await request.json()
    for name, kind in kinds.items():
        if not isinstance(body, dict) or not isinstance(body.get(name), kind):
            raise HTTPException(422, f"the body needs {name!r}: a {kind.__name__}")
    return dict(body)

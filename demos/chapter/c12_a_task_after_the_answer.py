"""Question: a task writes a line down. Is the answer there before the line?

The tutorial's first sample: the path names an address, the answer says that an invitation is on its
way, and a plain function writes that down. The client lets it go on when it has its answer.

Lesson: It runs after the answer, in a thread. The sample runs on both frameworks; only its import
lines differ.
"""

from demos.card import Answer, Card
from demos.chapter import NOT_TYPED, must_be_answered, post
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

AFTER = "answered, and then the line is written"
outcomes = {AFTER: 1}
expected = {"miniasgi": AFTER, "starlette": NOT_TYPED, "fastapi": AFTER}
warm_up = ("/invitations/Eve",)
card = Card(
    answers=(
        Answer("No: what was added first comes first."),
        Answer("Yes: the task waits until the answer has been sent.", AFTER),
    ),
    part="1.2",
    decisive={
        "miniasgi": ("miniasgi.responses:Response.__call__",),
        "starlette": ("starlette.responses:Response.__call__",),
    },
)


@told
def write_down(line: str) -> None:
    gate.wait_in_thread()
    mark(f"written: {line}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks
    from miniasgi import MiniASGI as FastAPI

    app: FastAPI = FastAPI()

    @app.post("/invitations/{address}")
    async def invite(address: str, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(write_down, f"invited {address}")
        return {"message": "the invitation is on its way"}

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app: FastAPI = FastAPI()

    @app.post("/invitations/{address}")
    async def invite(address: str, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(write_down, f"invited {address}")
        return {"message": "the invitation is on its way"}

    return app


def client(visitor: Visitor) -> None:
    post(visitor, "/invitations/Ada")
    visitor.open_gate()


def observe(seen: Seen) -> str:
    must_be_answered(seen, "POST /invitations/Ada", 200)
    seen.must_be_in_order("request.end POST /invitations/Ada", "gate opens", "written: invited Ada")
    return AFTER

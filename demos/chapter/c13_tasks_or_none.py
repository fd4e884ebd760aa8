"""Question: a parameter `background_tasks: BackgroundTasks = None`. What does the endpoint get?

Two query parameters, one of them with a default, and tasks that default to None. The client asks
for a bell, then for one that is to ring "many" times.

Lesson: Over HTTP it gets the tasks, whatever the default says. None is what a unit test gets that
calls the function itself.
"""

from demos.card import Answer, Card
from demos.chapter import NOT_TYPED, must_be_answered, post
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

RINGS = "the tasks are there: it rings as often as its default says, and `many` is a 422"
outcomes = {RINGS: 1}
expected = {"miniasgi": RINGS, "starlette": NOT_TYPED, "fastapi": RINGS}
warm_up = ("/bells",)
card = Card(
    answers=(
        Answer("None, and the endpoint fails."),
        Answer("The tasks of this request.", RINGS),
    ),
    part="1.3",
    lit=("= None", "add_task("),
    decisive={
        "miniasgi": ("miniasgi.plans:Plan._add",),
        "fastapi": ("fastapi.dependencies.utils:add_non_field_param_to_dependency",),
    },
)


@told
def ring(bell: str, times: int) -> None:
    gate.wait_in_thread()
    for number in range(1, times + 1):
        mark(f"{bell}, {number} of {times}")


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks
    from miniasgi import MiniASGI as FastAPI

    app: FastAPI = FastAPI()

    @app.post("/bells")
    async def bells(
        bell: str, times: int = 2, background_tasks: BackgroundTasks = None
    ) -> dict[str, str]:
        background_tasks.add_task(ring, bell, times)
        return {"message": f"{bell} will ring"}

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app: FastAPI = FastAPI()

    @app.post("/bells")
    async def bells(
        bell: str, times: int = 2, background_tasks: BackgroundTasks = None
    ) -> dict[str, str]:
        background_tasks.add_task(ring, bell, times)
        return {"message": f"{bell} will ring"}

    return app


def client(visitor: Visitor) -> None:
    post(visitor, "/bells?bell=great")
    post(visitor, "/bells?bell=small&times=many")
    visitor.open_gate()


def observe(seen: Seen) -> str:
    must_be_answered(seen, "POST /bells", 200, 422)
    seen.must_be_in_order("request.end POST /bells", "gate opens", "great, 1 of 2", "great, 2 of 2")
    return RINGS

"""Question: three endpoints, each with its task. Which of the tasks run?

The tutorial's third part: a note by query parameters, a letter by a model, parcels by a model with
a list in it. The endpoint of the parcels says that it returns whole numbers, and returns a sentence
beside one. The client asks for all three, and for a letter to nobody.

Lesson: FastAPI checks what is returned against the annotation: a 500, and the task never runs. On
miniasgi such an annotation is for the reader and the type checker, and all three run.
"""

from pydantic import BaseModel

from demos.card import Answer, Card
from demos.chapter import NOT_TYPED, must_be_answered, post
from demos.scenario import Seen, Visitor
from demos.stage import application, gate, told
from miniasgi.events import mark
from miniasgi.types import ASGIApp

ALL = "all three are answered, and all three tasks run"
TWO = "the third is a 500, and its task never runs"
outcomes = {ALL: 1, TWO: 2}
expected = {"miniasgi": ALL, "starlette": NOT_TYPED, "fastapi": TWO}
warm_up = ("/notes",)
needs = ("pydantic",)
card = Card(
    answers=(
        Answer("All three.", ALL),
        Answer("The first two: the third answer is an error.", TWO),
        Answer("All three, though the third answer is an error."),
    ),
    part="3",
    order=30,
    lit=("dict[str, int]", "add_task("),
    decisive={
        "miniasgi": ("miniasgi.plans:typed",),
        "fastapi": ("fastapi.routing:serialize_response",),
    },
)


class Letter(BaseModel):
    to: str
    subject: str
    text: str


class Parcels(BaseModel):
    parcels: list[dict]


@told
def write_note(to: str, text: str) -> None:
    gate.wait_in_thread()
    mark(f"noted for {to}: {text}")


@told
def send_letter_async(to: str, subject: str, text: str) -> None:  # async by its name alone
    gate.wait_in_thread()
    mark(f"sent to {to}: {subject}")


@told
def weigh(parcels: list[dict]) -> list[dict]:
    gate.wait_in_thread()
    mark(f"weighed {len(parcels)}")
    return [{"weighed": parcel} for parcel in parcels]


@application
def miniasgi_app() -> ASGIApp:
    from miniasgi import BackgroundTasks
    from miniasgi import MiniASGI as FastAPI

    app: FastAPI = FastAPI()

    @app.post("/notes")
    async def note(to: str, text: str, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(write_note, to, text)
        return {"message": "noted"}

    @app.post("/letters")
    async def letter(request: Letter, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(send_letter_async, request.to, request.subject, request.text)
        return {"message": "the letter is on its way"}

    @app.post("/parcels")
    async def parcels(request: Parcels, background_tasks: BackgroundTasks) -> dict[str, int]:
        task = background_tasks.add_task(weigh, request.parcels)
        return {"message": "the parcels are being weighed", "task": id(task)}

    return app


@application
def fastapi_app() -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI

    app: FastAPI = FastAPI()

    @app.post("/notes")
    async def note(to: str, text: str, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(write_note, to, text)
        return {"message": "noted"}

    @app.post("/letters")
    async def letter(request: Letter, background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(send_letter_async, request.to, request.subject, request.text)
        return {"message": "the letter is on its way"}

    @app.post("/parcels")
    async def parcels(request: Parcels, background_tasks: BackgroundTasks) -> dict[str, int]:
        task = background_tasks.add_task(weigh, request.parcels)
        return {"message": "the parcels are being weighed", "task": id(task)}

    return app


def client(visitor: Visitor) -> None:
    post(visitor, "/notes?to=Ada&text=hello")
    post(visitor, "/letters", {"to": "Ada", "subject": "Engines", "text": "..."})
    post(visitor, "/letters", {"subject": "nobody"})
    post(visitor, "/parcels", {"parcels": [{"from": "Bo"}]})
    visitor.open_gate()


def observe(seen: Seen) -> str:
    must_be_answered(seen, "POST /notes", 200)
    must_be_answered(seen, "POST /letters", 200, 422)
    seen.must_be_in_order("gate opens", "noted for Ada: hello")
    seen.must_be_in_order("gate opens", "sent to Ada: Engines")
    if "weighed 1" in seen:
        must_be_answered(seen, "POST /parcels", 200)
        seen.must_be_in_order("gate opens", "weighed 1")
        return ALL
    must_be_answered(seen, "POST /parcels", 500)
    return TWO

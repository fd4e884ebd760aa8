"""3: three endpoints in one application, with models as bodies.

The last one says that it returns whole numbers, and returns a sentence too: FastAPI answers 500,
and its task never runs.
"""

from pydantic import BaseModel

from demos.chapter import Visit
from miniasgi import BackgroundTasks, MiniASGI

app: MiniASGI = MiniASGI()
done: list[str] = []


class Letter(BaseModel):
    to: str
    subject: str
    text: str


class Parcels(BaseModel):
    parcels: list[dict]


def note(to: str, text: str) -> None:
    done.append(f"noted for {to}: {text}")


def send_letter(to: str, subject: str, text: str) -> None:
    done.append(f"sent to {to}: {subject}")


def weigh(parcels: list[dict]) -> list[dict]:
    done.append(f"weighed {len(parcels)}")
    return [{"weighed": parcel} for parcel in parcels]


@app.post("/notes")
async def make_note(to: str, text: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(note, to, text)
    return {"message": "noted"}


@app.post("/letters")
async def make_letter(request: Letter, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_letter, request.to, request.subject, request.text)
    return {"message": "the letter is on its way"}


@app.post("/parcels")
async def take_parcels(request: Parcels, background_tasks: BackgroundTasks) -> dict[str, int]:
    background_tasks.add_task(weigh, request.parcels)
    return {"message": "the parcels are being weighed", "parcels": len(request.parcels)}


@app.get("/done")
async def read_done() -> list[str]:
    return done


LETTER = {"to": "Ada", "subject": "Engines", "text": "..."}
visits = [
    Visit("POST /notes?to=Ada&text=hello", 200, {"message": "noted"}),
    Visit("GET /done", 200, ["noted for Ada: hello"], eventually=True),
    Visit("POST /letters", 200, {"message": "the letter is on its way"}, json=LETTER),
    Visit("GET /done", 200, ["noted for Ada: hello", "sent to Ada: Engines"], eventually=True),
    Visit("POST /letters", 422, json={"to": "Ada"}),
    Visit(
        "POST /parcels",
        200,
        {"message": "the parcels are being weighed", "parcels": 1},
        json={"parcels": [{"from": "Bo"}]},
        on_fastapi=500,
    ),
]

"""1.2: one task, whose argument comes from the path."""

from demos.chapter import Visit
from miniasgi import BackgroundTasks, MiniASGI

app: MiniASGI = MiniASGI()
diary: list[str] = []


def note(line: str) -> None:
    diary.append(line)


@app.post("/invitations/{address}")
async def invite(address: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(note, f"invited {address}")
    return {"message": "the invitation is on its way"}


@app.get("/diary")
async def read_diary() -> list[str]:
    return diary


visits = [
    Visit("GET /diary", 200, []),
    Visit("POST /invitations/a@b.c", 200, {"message": "the invitation is on its way"}),
    Visit("GET /diary", 200, ["invited a@b.c"], eventually=True),
]

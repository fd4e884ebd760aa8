"""1.3: query parameters with and without a default, and tasks that default to None."""

from demos.chapter import Visit
from miniasgi import BackgroundTasks, MiniASGI

app: MiniASGI = MiniASGI()
rung: list[str] = []


def ring(bell: str, times: int) -> None:
    for number in range(1, times + 1):
        rung.append(f"{bell} {number} of {times}")


@app.post("/bells")
async def bells(
    bell: str, times: int = 2, background_tasks: BackgroundTasks = None
) -> dict[str, str]:
    background_tasks.add_task(ring, bell, times)
    return {"message": f"{bell} will ring"}


@app.get("/rung")
async def read_rung() -> list[str]:
    return rung


visits = [
    Visit("POST /bells?bell=great", 200, {"message": "great will ring"}),
    Visit("GET /rung", 200, ["great 1 of 2", "great 2 of 2"], eventually=True),
    Visit("POST /bells?bell=great&times=many", 422),
    Visit("POST /bells", 422),
]

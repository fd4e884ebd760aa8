"""An application that a team has: FastAPI, a background task, nothing of miniasgi."""

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
sent: list[str] = []


async def send_mail(to: str) -> None:
    sent.append(to)


@app.post("/orders")
async def order(to: str, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_mail, to)
    return {"order": "taken"}

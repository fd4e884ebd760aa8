"""The application that is deployed: orders that are answered at once, and parcels that follow."""

from pydantic import BaseModel

from miniasgi import BackgroundTasks, MiniASGI
from miniasgi.queue import Queue

queue = Queue("parcels")  # where its file is says $MINIASGI_BROKER
app = MiniASGI(lifespan=queue.lifespan)


class Order(BaseModel):
    article: str
    to: str


@queue.task(max_retries=5, timeout=60.0)
async def send_parcel(article: str, to: str) -> str:
    return f"{article} for {to}"


@app.post("/orders", status_code=202)
async def order(order: Order, tasks: BackgroundTasks) -> dict[str, str]:
    return {"job": tasks.add_task(send_parcel, order.article, order.to).id}


@app.get("/orders/{job}")
async def state(job: str) -> dict[str, str]:
    return {"state": (await queue.AsyncResult(job).arefresh()).phase}

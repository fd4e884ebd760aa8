"""Make each sample's requests on both frameworks, in this process, and print the answers."""

import asyncio

from demos.benchmarks.report import table
from demos.chapter import IMPORTS, Visit, load, parts
from miniasgi.testing import Client, Reply


async def answer(client: Client, visit: Visit) -> Reply:
    method, path = visit.request.split()
    options = {"json": visit.json} if visit.json is not None else {}
    if visit.eventually:
        for reply in client.replies:
            await reply.finished()
    return await client.request(method, path, **options)  # type: ignore[arg-type]


async def answers(part: str, framework: str) -> list[str]:
    """What is answered to each visit: the status and the body."""
    module = load(part, framework)
    async with Client(module.app, raise_background=False) as client:
        replies = []
        for visit in module.visits:
            try:
                reply = await answer(client, visit)
            except Exception as exc:  # Starlette raises it on, after its 500
                replies.append(f"500 {type(exc).__name__}")
            else:
                replies.append(f"{reply.status} {reply.text}")
    return replies


def main() -> None:
    for part in parts():
        module = load(part, "miniasgi")
        print(f"\n{(module.__doc__ or part).partition(chr(10))[0]}\n")
        both = [asyncio.run(answers(part, framework)) for framework in IMPORTS]
        rows = [
            [visit.request, *(reply[:70] for reply in replies)]
            for visit, *replies in zip(module.visits, *both, strict=True)
        ]
        print(table(["", *IMPORTS], rows))


if __name__ == "__main__":
    main()

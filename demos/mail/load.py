"""Make a mail application lively, so that its monitor has something to show.

    uvicorn demos.mail.app:app                      # or demos.mail.fastapi_app:app
    python -m demos.mail.load --seconds 60          # and look at http://127.0.0.1:8000/jobs/

Sign-ups and orders of reports come in waves. Most succeed; some mails bounce, some go to a server
that is busy and are tried again, some take seconds; some reports are ordered for later, are long,
or cannot be made. It ends after so many seconds or requests, whichever is first.

Rule of this file: it speaks to this machine only.
"""

import argparse
import asyncio
import ipaddress
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from demos import command
from demos.progress import Progress

AT_ONE_TIME = 20
#: How often, out of a hundred: each is a path and what is sent there.
KINDS: dict[str, tuple[int, Callable[[random.Random, int], tuple[str, dict[str, Any]]]]] = {
    "mail": (60, lambda luck, n: signup(n, "example.com")),
    "mail that bounces": (4, lambda luck, n: signup(n, "bounces.example")),
    "mail to a busy server": (8, lambda luck, n: signup(n, "busy.example")),
    "mail to a slow server": (5, lambda luck, n: signup(n, "slow.example")),
    "report": (12, lambda luck, n: report(n, luck.choices(range(100), k=luck.randint(3, 400)))),
    "long report": (3, lambda luck, n: report(n, [1.5] * luck.randint(2_000, 8_000))),
    "report for later": (5, lambda luck, n: report(n, [1, 2], after=luck.randint(5, 120))),
    "report on nothing": (2, lambda luck, n: report(n, [])),
    "report on too much": (1, lambda luck, n: report(n, [1e308, 1e308])),
}


def signup(number: int, domain: str) -> tuple[str, dict[str, Any]]:
    return "/signup", {"email": f"user{number}@{domain}"}


def report(number: int, numbers: list[float], **more: Any) -> tuple[str, dict[str, Any]]:
    return "/reports", {"title": f"Report {number}", "numbers": numbers, **more}


def loopback(url: str) -> str:
    """The URL, if it is of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise argparse.ArgumentTypeError(f"{url!r}: only of this machine, http://127.0.0.1:8000")
    return url.rstrip("/")


def moments(rate: float, seconds: float, most: int) -> Iterator[float]:
    """When to send, in seconds from the begin: ``rate`` a second in waves of twenty seconds."""
    at = 0.0
    for _ in range(most):
        at += 1 / (rate * (1 + 0.8 * math.sin(at * math.tau / 20)))
        if at >= seconds:
            return
        yield at


async def run(options: argparse.Namespace, say: Callable[[str], object]) -> Counter[str]:
    """Send, and count the answers: by status, or what went wrong."""
    luck = random.Random(options.seed)
    weights = [often for often, _ in KINDS.values()]
    answers: Counter[str] = Counter()
    places, said_at = asyncio.Semaphore(AT_ONE_TIME), 0.0
    limits = httpx.Limits(max_connections=AT_ONE_TIME)

    async def send(path: str, body: dict[str, Any]) -> None:
        try:
            answers[str((await client.post(path, json=body)).status_code)] += 1
        except httpx.HTTPError as exc:
            answers[type(exc).__name__] += 1
        finally:
            places.release()

    async with (
        httpx.AsyncClient(base_url=options.url, timeout=options.patience, limits=limits) as client,
        asyncio.TaskGroup() as sending,
    ):
        begin = time.monotonic()
        for number, at in enumerate(moments(options.rate, options.seconds, options.requests), 1):
            await asyncio.sleep(begin + at - time.monotonic())
            await places.acquire()
            if time.monotonic() - begin >= options.seconds:
                break
            ((_, make),) = luck.choices(list(KINDS.values()), weights)
            sending.create_task(send(*make(luck, number)))
            if number == 1 or at >= said_at + 1.0:
                said_at = at
                say(f"{number} of at most {options.requests}, {at:.0f} of {options.seconds:g} s")
    return answers


def main() -> int:
    """Exit code 1: nobody has answered."""
    described = (__doc__ or "").partition("\n\nRule")[0]
    parser = argparse.ArgumentParser(
        "python -m demos.mail.load",
        description=described,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--url", type=loopback, default="http://127.0.0.1:8000", help="(%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="to go on (60)")
    parser.add_argument("--requests", type=int, default=5_000, help="at most (5000)")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second (20)")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds for an answer (10)")
    parser.add_argument("--seed", type=int, default=None, help="for the same requests again")
    options = parser.parse_args()
    with Progress() as progress:
        answers = asyncio.run(run(options, progress.show))
    print(", ".join(f"{count} x {what}" for what, count in answers.most_common()) or "nothing sent")
    return 0 if any(answer.isdecimal() for answer in answers) else 1


if __name__ == "__main__":
    command.run(main)

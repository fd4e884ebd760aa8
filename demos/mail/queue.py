"""What both applications do after they have answered: a mail that is sent, a report that is made.

``python -m miniasgi worker demos.mail.queue:queue`` does it in a process of its own, and may be
started, stopped and killed at any time. Where the jobs are says ``$MINIASGI_BROKER``.

A job may run twice if its process dies in mid-work, so each is written to be safe to repeat: the
mail has an id that a mail server can tell apart, the report is written beside and then renamed.
"""

import json
import logging
import math
import os
import random
import time
from email.message import EmailMessage
from email.utils import localtime
from pathlib import Path
from typing import Any

from miniasgi.queue import AsyncResult, Queue
from miniasgi.queue.store import Job

logger = logging.getLogger("demos.mail")

#: Where mails and reports go; a real application has an SMTP server and a bucket.
FOLDER = Path(os.environ.get("MAIL_FOLDER", "mail-out"))

queue = Queue("mail")


@queue.task(bind=True, max_retries=5, retry_backoff=2.0, timeout=30.0, priority=1)
def send_welcome(job: Job, to: str) -> str:
    """Put a mail into the outbox, once however often it runs. Returns the Message-ID."""
    mail = EmailMessage()
    mail["To"] = to
    mail["From"] = "hello@example.com"
    mail["Subject"] = "Welcome"
    mail["Date"] = localtime()
    mail["Message-ID"] = f"<{job.id}@example.com>"
    mail.set_content("Good to have you here.")
    deliver(mail, FOLDER / "outbox" / f"{job.id}.eml")
    logger.info("attempt %d sent a mail to %s", job.attempt, to)
    return str(mail["Message-ID"])


@queue.task(bind=True, max_retries=2, timeout=300.0)
def make_report(job: Job, title: str, numbers: list[float]) -> dict[str, Any]:
    """Add up, and write the report to its place. Returns what the status endpoint shows."""
    if not numbers:
        raise ValueError(f"{title!r}: a report on no numbers")
    time.sleep(len(numbers) / 1_000)  # a report of many numbers takes its time
    report = {"title": title, "count": len(numbers), "sum": math.fsum(numbers)}
    write(FOLDER / "reports" / f"{job.id}.json", json.dumps(report).encode())
    return report


class MailRefused(Exception):
    """The other mail server will not have it."""


def deliver(mail: EmailMessage, path: Path) -> None:
    """As a mail server would: what becomes of a mail depends on where it goes.

    Nobody lives at bounces.example, slow.example takes seconds, and busy.example is often so.
    """
    domain = str(mail["To"]).rpartition("@")[2]
    if domain == "bounces.example":
        raise MailRefused(f"550 5.1.1 <{mail['To']}>: no such mailbox")
    if domain == "busy.example" and random.random() < 0.7:
        raise ConnectionRefusedError(f"421 {domain} is busy, try again later")
    if domain == "slow.example":
        time.sleep(random.uniform(1.0, 5.0))
    write(path, mail.as_bytes())


def write(path: Path, content: bytes) -> None:
    """Whole or not at all, also if the process dies here; the last of several writers stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def about(result: AsyncResult) -> dict[str, Any] | None:
    """What a client may know of a report that it asked for; None if nobody asked for it.

    Only reports: the id of a mail says nothing here. An error's text is for the log, not for them.
    """
    row = result.row
    if row is None or row["task"] != make_report.name:
        return None
    report = result.result if result.successful() else None
    return {"id": result.id, "status": result.phase, "report": report}

"""What both applications do after they have answered: a mail that is sent, a report that is made.

``python -m miniasgi worker demos.mail.queue:queue`` does it in a process of its own, and may be
started, stopped and killed at any time. Where the jobs are says ``$MINIASGI_BROKER``.

A job may run twice if its process dies in mid-work, so each is written to be safe to repeat: the
mail has an id that a mail server can tell apart, the report is written beside and then renamed.
"""

import json
import logging
import os
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
    write(FOLDER / "outbox" / f"{job.id}.eml", mail.as_bytes())
    logger.info("attempt %d sent a mail to %s", job.attempt, to)
    return str(mail["Message-ID"])


@queue.task(bind=True, max_retries=2, timeout=300.0)
def make_report(job: Job, title: str, numbers: list[float]) -> dict[str, Any]:
    """Add up, and write the report to its place. Returns what the status endpoint shows."""
    report = {"title": title, "count": len(numbers), "sum": sum(numbers)}
    write(FOLDER / "reports" / f"{job.id}.json", json.dumps(report).encode())
    return report


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

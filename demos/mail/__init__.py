"""Sign-up and report, with mails and reports that are not lost: see docs/queue.md."""

"""What a caller of the queue may have to catch: the file cannot be used, a job did not succeed."""


class QueueUnavailable(Exception):
    """The queue cannot be used now: its file is locked, full, read-only or not ours, or its broker
    cannot be reached. Nothing was done.

    A response whose background raises it from accept is answered with ``status_code``.
    """

    status_code = 503


class JobFailed(Exception):
    """Raised by `AsyncResult.get`: the job ended in ``state`` FAILURE or REVOKED."""

    def __init__(self, error: str, state: str = "FAILURE") -> None:
        super().__init__(error)
        self.state = state

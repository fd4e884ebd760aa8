"""The exceptions that somebody has to catch: an answer as an exception, a client gone."""

from collections.abc import Mapping


class HTTPException(Exception):
    """Answer with ``status_code`` and ``detail`` from anywhere below an endpoint.

    ``detail`` defaults to the reason phrase of the status; ``headers`` go into the answer.
    """

    def __init__(
        self, status_code: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = status_code
        self.detail = _reason(status_code) if detail is None else detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code!r}, detail={self.detail!r})"


def _reason(status_code: int) -> str:
    from http import HTTPStatus  # on use: it costs an application that never raises 5 ms of start

    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


class ClientDisconnect(Exception):
    """The client left while its request body was being read."""

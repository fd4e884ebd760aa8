"""The exceptions that somebody has to catch: an answer as an exception, a client gone."""

from typing import Any


class HTTPException(Exception):
    """Answer with ``status_code`` and ``detail`` from anywhere below an endpoint.

    ``detail`` defaults to the reason phrase of the status; ``headers`` (a mapping) go with it.
    """

    def __init__(self, status_code: int, detail: str | None = None, headers: Any = None) -> None:
        if detail is None:
            from http import HTTPStatus  # on use: an application that never raises starts sooner

            detail = next((status.phrase for status in HTTPStatus if status == status_code), "")
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"


class RequestValidationError(Exception):
    """The request does not fit a typed endpoint: 422; ``detail`` lists what is wrong, and where."""

    status_code = 422

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        super().__init__(detail)
        self.detail = detail

    def errors(self) -> list[dict[str, Any]]:
        """FastAPI's name for ``detail``."""
        return self.detail


class ClientDisconnect(Exception):
    """The client left while its request body was being read."""

"""An answer as an exception."""

import pickle

import pytest

from miniasgi import HTTPException


@pytest.mark.parametrize(
    ("status", "detail", "text"),
    [
        (404, None, "404: Not Found"),
        (418, None, "418: I'm a Teapot"),
        (599, None, "599: "),
        (400, "no such user", "400: no such user"),
        (400, "", "400: "),
    ],
)
def test_the_detail_is_the_reason_phrase_if_nobody_says_otherwise(status, detail, text):
    assert str(HTTPException(status, detail)) == text


def test_headers_go_with_it():
    exc = HTTPException(401, headers={"WWW-Authenticate": "Basic"})

    assert (exc.status_code, exc.detail) == (401, "Unauthorized")
    assert exc.headers == {"WWW-Authenticate": "Basic"}


def test_it_shows_what_it_is_and_survives_a_pickle():
    exc = pickle.loads(pickle.dumps(HTTPException(404, "no such user")))

    assert repr(exc) == "HTTPException(404, 'no such user')"
    assert (exc.status_code, exc.detail, exc.headers) == (404, "no such user", None)

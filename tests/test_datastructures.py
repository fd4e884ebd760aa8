"""Views on bytes (test_parity.py compares them with Starlette's, operation by operation)."""

import pytest

from miniasgi.datastructures import URL, Address, Headers, MutableHeaders, QueryParams, State
from tests.asgi import http

RAW = [(b"accept", b"*/*"), (b"x-tag", b"1"), (b"x-tag", b"2"), (b"x-raw", b"\xe9\xff")]


# Headers


def test_headers_are_found_in_any_case_and_the_first_of_several_wins():
    headers = Headers(raw=RAW)

    assert (headers["X-Tag"], headers["x-tag"], headers.getlist("X-TAG")) == ("1", "1", ["1", "2"])
    assert ("ACCEPT" in headers, "cookie" in headers, headers.get("cookie")) == (True, False, None)
    with pytest.raises(KeyError):
        headers["cookie"]


def test_bytes_that_are_not_text_become_characters_and_back():
    headers = MutableHeaders(raw=[])

    headers["x-raw"] = Headers(raw=RAW)["x-raw"]

    assert headers.raw == [(b"x-raw", b"\xe9\xff")]


def test_a_server_may_give_its_headers_as_any_iterable():
    assert dict(Headers(scope={"headers": iter(RAW[:1])})) == {"accept": "*/*"}


def test_a_header_is_replaced_where_it_stands_and_its_others_are_dropped():
    headers = MutableHeaders(raw=list(RAW))

    headers["X-TAG"] = "3"
    headers["x-new"] = "4"

    assert headers.raw == [RAW[0], (b"x-tag", b"3"), RAW[3], (b"x-new", b"4")]


def test_a_header_that_is_not_there_is_deleted_without_complaint():
    headers = MutableHeaders(raw=list(RAW))

    del headers["x-tag"]
    del headers["x-tag"]

    assert headers.raw == [RAW[0], RAW[3]]


def test_a_mutable_view_writes_into_the_list_it_was_given():
    raw = [(b"a", b"1")]

    MutableHeaders(raw=raw).append("B", "2")

    assert raw == [(b"a", b"1"), (b"b", b"2")]


def test_headers_are_equal_if_all_their_values_are():
    assert Headers(raw=RAW) == Headers(raw=list(RAW))
    assert Headers(raw=RAW) != Headers(raw=[pair for pair in RAW if pair != (b"x-tag", b"2")])


def test_a_header_that_latin_1_cannot_write_is_refused():
    with pytest.raises(UnicodeEncodeError):
        MutableHeaders(raw=[])["x-name"] = "€"


# Query


@pytest.mark.parametrize(
    ("query", "items"),
    [
        (b"", []),
        (b"a=1&b=&c&a=2", [("a", "1"), ("b", ""), ("c", ""), ("a", "2")]),
        (b"q=a+b%20c%2B", [("q", "a b c+")]),
        (b"q=%C3%A9&r=%ff", [("q", "é"), ("r", "�")]),
        ("q=é", [("q", "é")]),
        (b"&&=&=1", [("", ""), ("", "1")]),
    ],
)
def test_a_query_is_its_names_and_values_in_order(query, items):
    assert QueryParams(query).multi_items() == items


def test_of_several_values_of_a_query_the_last_wins():
    query = QueryParams("a=1&b=2&a=3")

    assert (query["a"], query.getlist("a"), dict(query)) == ("3", ["1", "3"], {"a": "3", "b": "2"})
    assert repr(query) == "QueryParams([('a', '1'), ('b', '2'), ('a', '3')])"


# URL


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        (http("/a?b=c"), "http://testserver:8000/a?b=c"),
        (http("/a", headers={"host": "example.org"}), "http://example.org/a"),
        (http("/a", headers={"host": "[::1]:80"}), "http://[::1]:80/a"),
        (http("/a", headers={"host": "evil/path"}), "http://testserver:8000/a"),
        (http("/a", server=("::1", 8000)), "http://[::1]:8000/a"),
        (http("/a", server=("example.org", 80)), "http://example.org/a"),
        (http("/a", server=("example.org", 443), scheme="https"), "https://example.org/a"),
        (http("/a", server=("example.org", 443)), "http://example.org:443/a"),
        (http("/a", server=("/run/app.sock", None)), "http://localhost/a"),
        (
            http("/a", server=("testserver", 80)) | {"query_string": b"q=\xff"},
            "http://testserver/a?q=%FF",
        ),
        (http("/a", server=None) | {"query_string": "q=ü".encode()}, "http://localhost/a?q=%C3%BC"),
        (http("/a", server=None), "http://localhost/a"),
        (http("/a b/é", server=None), "http://localhost/a%20b/%C3%A9"),
        (http("/a%3Fb", server=None), "http://localhost/a%253Fb"),
        (http(server=None) | {"path": "/a?b#c"}, "http://localhost/a%3Fb%23c"),
        (http("//evil.org/", server=None), "http://localhost//evil.org/"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_url_is_what_was_asked_for(scope, url):
    assert URL.of(scope) == url


def test_the_parts_of_a_url():
    url = URL("https://Ada@example.org:8080/a/b?c=d#e")

    assert (url.scheme, url.netloc, url.hostname, url.port) == (
        "https",
        "Ada@example.org:8080",
        "example.org",
        8080,
    )
    assert (url.path, url.query, url.fragment) == ("/a/b", "c=d", "e")
    with pytest.raises(AttributeError):
        url.colour  # noqa: B018


# State and address


def test_a_state_is_a_view_on_its_dictionary():
    values = {"db": "pool"}
    state = State(values)

    state.user = "Ada"
    del state.db

    assert values == {"user": "Ada"}


def test_what_a_state_has_not_is_named_and_so_is_what_it_has():
    state = State({"db": 1, "user": 2})

    with pytest.raises(AttributeError, match="no 'pool'; it has: db, user"):
        state.pool  # noqa: B018


def test_two_states_share_nothing():
    first, second = State(), State()

    first.name = "Ada"

    assert not hasattr(second, "name")


def test_an_address_is_a_tuple_with_names():
    address = Address("127.0.0.1", 8000)

    assert (address.host, address.port) == address == ("127.0.0.1", 8000)

"""Views on what the server gave: bytes on the wire, str in our hands, one crossing each.

``scope["headers"]`` is a list of ``(name, value)`` pairs of bytes, names in lower case, in the
order of the wire, repeated ones included. HTTP gives header bytes no encoding: latin-1 maps each
byte to one character, so no header can fail to decode.

Names are Starlette's. Source: ASGI 3.0 HTTP spec, "HTTP Connection Scope"; RFC 9110, 5.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from miniasgi.types import Scope

V = TypeVar("V")
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
#: Headers as a caller gives them: names in any case to values, or nothing.
Given: TypeAlias = Mapping[str, str] | None


class Address(NamedTuple):
    """Where a client is: ``host`` an address as text, ``port`` a number."""

    host: str
    port: int


class MultiDict(Mapping[str, V], Generic[V]):
    """Names and values, in order, names repeated: ``d[name]`` is one value, `getlist` has all."""

    _which = -1  # of several values the last wins, as in Starlette

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = list(pairs)

    def multi_items(self) -> list[tuple[str, V]]:
        return list(self._pairs)

    def getlist(self, key: str) -> list[V]:
        return [value for name, value in self.multi_items() if name == key]

    def __getitem__(self, key: str) -> V:
        values = self.getlist(key)
        if not values:
            raise KeyError(key)
        return values[self._which]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.multi_items()))

    def __len__(self) -> int:
        return len(dict(self.multi_items()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MultiDict):
            return sorted(self.multi_items(), key=repr) == sorted(other.multi_items(), key=repr)
        return dict(self) == other

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.multi_items()!r})"


class Headers(MultiDict[str]):
    """Headers by name in any case; of several the first wins. ``raw`` is the list, not a copy."""

    _which = 0

    def __init__(self, headers: Given = None, raw: Any = None, scope: Any = None) -> None:
        if scope is not None:
            raw = list(scope["headers"])  # a server may give any iterable
        elif headers is not None:
            raw = [(_raw_name(name), value.encode("latin-1")) for name, value in headers.items()]
        self.raw: RawHeaders = [] if raw is None else raw

    def multi_items(self) -> list[tuple[str, str]]:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw]

    def getlist(self, key: str) -> list[str]:
        raw_key = _raw_name(key)
        return [value.decode("latin-1") for name, value in self.raw if name == raw_key]


class MutableHeaders(Headers, MutableMapping[str, str]):
    """Headers of a response: writing here writes its ``raw_headers``."""

    def __setitem__(self, key: str, value: str) -> None:
        """Replace the first of this name and drop its others, or append."""
        raw_key = _raw_name(key)
        where = next((i for i, (name, _) in enumerate(self.raw) if name == raw_key), len(self.raw))
        self.raw[:] = [pair for pair in self.raw if pair[0] != raw_key]
        self.raw.insert(where, (raw_key, value.encode("latin-1")))

    def __delitem__(self, key: str) -> None:
        self.raw[:] = [pair for pair in self.raw if pair[0] != _raw_name(key)]

    def append(self, key: str, value: str) -> None:
        """Add another of this name, as ``set-cookie`` needs."""
        self.raw.append((_raw_name(key), value.encode("latin-1")))


def _raw_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


class QueryParams(MultiDict[str]):
    """A query string taken apart. Bytes that are not UTF-8 become U+FFFD, never an error."""

    def __init__(self, query: str | bytes = "") -> None:
        text = query.decode("latin-1") if isinstance(query, bytes) else query
        if "%" in text or "+" in text:
            from urllib.parse import parse_qsl  # on use: 10 ms of import

            super().__init__(parse_qsl(text, keep_blank_values=True))
        else:  # nothing is quoted: 8 us less
            pairs = [pair.partition("=") for pair in text.split("&") if pair]
            super().__init__([(name, value) for name, _, value in pairs])


# What may stand in a Host header; anything else could change the path or the authority of a URL.
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_SAFE = "/:@!$&'()*+,;="


class URL(str):
    """A URL as text, whose parts are read when asked for."""

    # Left out: URLs with parts replaced, url_for and base_url (Starlette: URL, Request).

    __slots__ = ()

    @classmethod
    def of(cls, scope: Scope) -> "URL":
        """What was asked for, by the Host header if it can stand in a URL."""
        from urllib.parse import quote

        scheme = scope.get("scheme", "http")
        netloc = Headers(scope=scope).get("host", "")
        if not _can_be_netloc(netloc):
            host, port = scope.get("server") or ("localhost", None)
            host = "localhost" if port is None else f"[{host}]" if ":" in host else host
            is_usual = port in (None, {"http": 80, "https": 443}.get(scheme))
            netloc = host if is_usual else f"{host}:{port}"
        path = quote(scope["path"], safe=_SAFE)
        if path and not path.startswith("/"):  # "*", or a URL: it must not reach into the authority
            path = f"/{path}"
        query = quote(scope.get("query_string", b""), safe=_SAFE + "?%[]")  # is quoted already
        return cls(f"{scheme}://{netloc}{path}" + (query and f"?{query}"))

    def __getattr__(self, name: str) -> Any:
        """``scheme``, ``netloc``, ``path``, ``query``, ``hostname``, ``port``: see ``urlsplit``."""
        from urllib.parse import urlsplit

        return getattr(urlsplit(self), name)


def _can_be_netloc(host: str) -> bool:
    from urllib.parse import urlsplit

    try:
        return bool(_HOST.fullmatch(host)) and urlsplit(f"//{host}").port != -1
    except ValueError:  # a port above 65535, an address that is none
        return False


class State:
    """A dictionary with attributes: ``app.state``, and ``request.state`` over the scope's own."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__setattr__("__dict__", {} if state is None else state)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:  # only called for what is not there
        raise AttributeError(f"the state has no {name!r}; it has: {', '.join(self.__dict__)}")

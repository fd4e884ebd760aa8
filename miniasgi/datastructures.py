"""Views on what the server gave: bytes on the wire, str in our hands, one crossing each.

``scope["headers"]`` is a list of ``(name, value)`` pairs of bytes, names in lower case, in the
order of the wire, repeated ones included. HTTP gives header bytes no encoding: latin-1 maps each
byte to one character, so no header can fail to decode.

Names are Starlette's. Source: ASGI 3.0 HTTP spec, "HTTP Connection Scope"; RFC 9110, 5.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from miniasgi.types import Scope

V = TypeVar("V")
RawHeaders = list[tuple[bytes, bytes]]


class Address(NamedTuple):
    """Where a client is: ``host`` an address as text, ``port`` a number."""

    host: str
    port: int


class Headers(Mapping[str, str]):
    """Headers by name in any case; the first of several wins, `getlist` has them all."""

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        raw: RawHeaders | None = None,
        scope: Scope | None = None,
    ) -> None:
        if headers is not None:
            self._list = [(_raw_name(name), _raw(value)) for name, value in headers.items()]
        elif scope is not None:
            self._list = list(scope["headers"])  # a server may give any iterable
        else:
            self._list = [] if raw is None else raw

    @property
    def raw(self) -> RawHeaders:
        return self._list

    def getlist(self, key: str) -> list[str]:
        raw_key = _raw_name(key)
        return [value.decode("latin-1") for name, value in self._list if name == raw_key]

    def keys(self) -> list[str]:  # type: ignore[override]
        return [name.decode("latin-1") for name, _ in self._list]

    def values(self) -> list[str]:  # type: ignore[override]
        return [value.decode("latin-1") for _, value in self._list]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return list(zip(self.keys(), self.values(), strict=True))

    def __getitem__(self, key: str) -> str:
        raw_key = _raw_name(key)
        for name, value in self._list:
            if name == raw_key:
                return value.decode("latin-1")
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and sorted(self._list) == sorted(other._list)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.items()!r})"


class MutableHeaders(Headers):
    """Headers of a response: writing here writes its ``raw_headers``."""

    def __setitem__(self, key: str, value: str) -> None:
        """Replace the first of this name, drop the others; or append."""
        raw_key = _raw_name(key)
        where = [i for i, (name, _) in enumerate(self._list) if name == raw_key]
        for i in reversed(where[1:]):
            del self._list[i]
        if where:
            self._list[where[0]] = (raw_key, _raw(value))
        else:
            self._list.append((raw_key, _raw(value)))

    def __delitem__(self, key: str) -> None:
        raw_key = _raw_name(key)
        self._list[:] = [pair for pair in self._list if pair[0] != raw_key]

    def setdefault(self, key: str, value: str) -> str:
        if key not in self:
            self.append(key, value)
        return self[key]

    def update(self, other: Mapping[str, str]) -> None:
        for key, value in other.items():
            self[key] = value

    def append(self, key: str, value: str) -> None:
        """Add another of this name, as ``set-cookie`` needs."""
        self._list.append((_raw_name(key), _raw(value)))


def _raw(text: str) -> bytes:
    return text.encode("latin-1")


def _raw_name(name: str) -> bytes:
    return _raw(name.lower())


class ImmutableMultiDict(Mapping[str, V], Generic[V]):
    """Names and values, in order, names repeated; the last of several wins, as in Starlette."""

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()) -> None:
        self._list: list[tuple[str, V]] = list(
            items.items() if isinstance(items, Mapping) else items
        )
        self._dict: dict[str, V] = dict(self._list)

    def getlist(self, key: str) -> list[V]:
        return [value for name, value in self._list if name == key]

    def multi_items(self) -> list[tuple[str, V]]:
        return list(self._list)

    def __getitem__(self, key: str) -> V:
        return self._dict[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._list == other._list

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._list!r})"


class QueryParams(ImmutableMultiDict[str]):
    """A query string taken apart. Bytes that are not UTF-8 become U+FFFD, never an error."""

    def __init__(
        self, query: str | bytes | Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> None:
        if isinstance(query, bytes):
            query = query.decode("latin-1")
        if isinstance(query, str):
            from urllib.parse import parse_qsl  # on use: 10 ms of import

            query = parse_qsl(query, keep_blank_values=True)
        super().__init__(query)

    def __str__(self) -> str:
        from urllib.parse import urlencode

        return urlencode(self._list)


# What may stand in a Host header; anything else could change the path or the authority of a URL.
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class URL:
    """A URL as text, or built from a scope; its parts are read when asked for."""

    # Left out: changing user name, password, host and port of a URL (Starlette: URL.replace).

    def __init__(self, url: str = "", scope: Scope | None = None) -> None:
        self._url = url if scope is None else _url_of(scope)

    @cached_property
    def components(self) -> Any:
        from urllib.parse import urlsplit

        return urlsplit(self._url)

    def __getattr__(self, name: str) -> Any:
        """``scheme``, ``netloc``, ``path``, ``query``, ``fragment``, ``hostname``, ``port``."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.components, name)

    def replace(self, **components: str) -> "URL":
        """The same URL with other components: ``scheme``, ``netloc``, ``path``, ``query``..."""
        return URL(self.components._replace(**components).geturl())

    def include_query_params(self, **params: Any) -> "URL":
        kept = [pair for pair in QueryParams(self.query).multi_items() if pair[0] not in params]
        added = [(name, str(value)) for name, value in params.items()]
        return self.replace(query=str(QueryParams(kept + added)))

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"URL({self._url!r})"


def _url_of(scope: Scope) -> str:
    from urllib.parse import quote

    scheme = scope.get("scheme", "http")
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~%")
    query = scope.get("query_string", b"").decode("latin-1")
    netloc = Headers(scope=scope).get("host", "")
    if not _HOST.fullmatch(netloc):
        netloc = _netloc_of(scope.get("server"), scheme)
    if not netloc:
        path = "/%2F" + path[2:] if path.startswith("//") else path  # or it would name a host
    origin = f"{scheme}://{netloc}" if netloc else ""
    return f"{origin}{path}?{query}" if query else f"{origin}{path}"


def _netloc_of(server: tuple[str, int | None] | None, scheme: str) -> str:
    if server is None:
        return ""
    host, port = server
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, {"http": 80, "https": 443}.get(scheme)) else f"{host}:{port}"


class State:
    """A dictionary with attributes: ``app.state`` and ``request.state``."""

    _state: dict[str, Any]

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__setattr__("_state", {} if state is None else state)

    def __getattr__(self, key: str) -> Any:
        try:
            return self._state[key]
        except KeyError:
            raise AttributeError(f"the state has no {key!r}; it has {list(self._state)}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self._state[key] = value

    def __delattr__(self, key: str) -> None:
        del self._state[key]

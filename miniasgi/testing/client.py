"""The client's end: an application between its startup and its shutdown, and requests to it.

Rules of this file: an answer is awaited, never a return; leaving waits for everything, and a block
left by an exception waits for nothing, so that a failed assertion does not hang.
Source: ASGI 3.0, "Connection Scope" and "Lifespan Protocol".
"""

# Left out: multipart uploads (httpx: files=). Encode the body, then send it with content=.
# Left out: following redirects (Starlette: TestClient). A redirect is an answer like any other.

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypedDict, Unpack
from urllib.parse import quote, unquote, urlencode, urlsplit

import anyio
from anyio.abc import TaskGroup

from miniasgi.testing.reply import Chunks, Reply, task_group
from miniasgi.types import ASGIApp, Message, Scope

Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]

_SAFE = "/%:@!$&'()*+,;=~"  # what a path may hold as it is; what is quoted already stays so


class Options(TypedDict, total=False):
    """What a request may carry; at most one of ``json``, ``content`` and ``data``."""

    params: Pairs  #: added to the path's query string
    headers: Pairs  #: take the place of the client's own of that name
    json: Any
    content: bytes | str | Chunks  #: chunks that raise ConnectionError: it left in mid-upload
    data: Pairs  #: an urlencoded form
    cookies: Mapping[str, str]  #: for this request only, over those that the client keeps
    disconnect: str  #: leave after this event of `Reply.events`, or after the "request" itself


class Client:
    """A client of one application, and its server: ``async with Client(app) as client:``.

    Leaving waits for all background work and then runs the lifespan's shutdown, as uvicorn does.
    What an application raised and nobody saw at `Reply.finished` is raised then.

    With ``raise_background=False`` it is served as in production: what is raised after a complete
    response stays in `Reply.exception`. Cookies are kept by name, for all paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        base_url: str = "http://testserver",
        *,
        raise_background: bool = True,
        lifespan: bool = True,
        spec_version: str = "2.3",
    ) -> None:
        self.app = app
        self.base_url = base_url
        self.raise_background = raise_background
        self.lifespan = lifespan
        self.spec_version = spec_version
        self.cookies: dict[str, str] = {}
        self.state: dict[str, Any] = {}  #: the lifespan's; each request gets a shallow copy
        self.replies: list[Reply] = []
        self._calls: TaskGroup | None = None
        self._serving: AbstractAsyncContextManager[None]

    async def __aenter__(self) -> "Client":
        self._serving = self._serve()
        await self._serving.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._serving.__aexit__(*raised)

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[None]:
        async with task_group() as outside:
            lifespan = _Lifespan(self.app, self.state)
            if self.lifespan:
                outside.start_soon(lifespan.run)
                await lifespan.startup()
            try:
                async with task_group() as self._calls:
                    yield
            except BaseException as exc:
                self._note_unseen(exc)
                raise
            finally:
                self._calls = None
                if self.lifespan:
                    await self._shut_down(lifespan)
            outside.cancel_scope.cancel()  # an application may forget to return
        failures = self._unseen()
        if len(failures) > 1:
            raise ExceptionGroup("applications failed after their responses", failures)
        if failures:
            raise failures[0]

    async def _shut_down(self, lifespan: "_Lifespan") -> None:
        try:
            await lifespan.shutdown()
        except Exception as exc:
            self._note_unseen(exc)
            raise

    def _note_unseen(self, exc: BaseException) -> None:
        for failure in self._unseen():
            exc.add_note(f"and an application had raised {failure!r}")

    def _unseen(self) -> list[Exception]:
        if not self.raise_background:
            return []
        return [reply.exception for reply in self.replies if reply.exception and not reply.is_seen]

    async def request(self, method: str, path: str, **options: Unpack[Options]) -> Reply:
        """The reply, as soon as the last body message was sent or the client left.

        The application's ``send`` of that message returns when you have the reply: at first sight
        nothing later is in its events. Raises what the application raised before. A cancel leaves.
        """
        reply = self._call(method, path, options)
        try:
            await reply.wait_complete()
        except BaseException:
            reply.disconnect()
            raise
        self._keep_cookies(reply)
        return reply

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Unpack[Options]
    ) -> AsyncIterator[Reply]:
        """The reply, as soon as its head was sent; `Reply.chunks` reads on at your pace.

        Leaving the block before the end is leaving the server.
        """
        reply = self._call(method, path, options, streamed=True)
        try:
            await reply.wait_begun()
            self._keep_cookies(reply)
            yield reply
        finally:
            reply.disconnect()

    async def get(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("GET", path, **options)

    async def head(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("HEAD", path, **options)

    async def post(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("DELETE", path, **options)

    async def options(self, path: str, **options: Unpack[Options]) -> Reply:
        return await self.request("OPTIONS", path, **options)

    def _call(self, method: str, path: str, options: Options, *, streamed: bool = False) -> Reply:
        if unknown := options.keys() - Options.__annotations__.keys():
            known = ", ".join(sorted(Options.__annotations__))
            raise TypeError(f"a request has no {min(unknown)!r}; known: {known}")
        if self._calls is None:
            raise RuntimeError("requests are sent inside `async with Client(app) as client:`")
        body, headers = _encode(options)
        scope = self._scope(method, path, options, headers)
        reply = Reply(scope, disconnect=options.get("disconnect", ""), streamed=streamed)
        self.replies.append(reply)
        self._calls.start_soon(reply.run, self.app, body)
        return reply

    def _scope(self, method: str, path: str, options: Options, headers: dict[str, str]) -> Scope:
        url = urlsplit(self.base_url)
        raw_path, _, query = path.partition("?")
        raw_path, query = quote(raw_path, safe=_SAFE), quote(query, safe=_SAFE + "?")
        params = urlencode(_pairs(options.get("params", ())), doseq=True)
        cookies = self.cookies | dict(options.get("cookies", {}))
        if cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        given = [(name.lower(), str(value)) for name, value in _pairs(options.get("headers", ()))]
        own = {"host": url.netloc, "accept": "*/*", "user-agent": "miniasgi"} | headers
        fields = [field for field in own.items() if field[0] not in dict(given)] + given
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": self.spec_version},
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": url.scheme,
            "path": unquote(raw_path),
            "raw_path": raw_path.encode("ascii"),
            "query_string": "&".join(filter(None, (query, params))).encode("ascii"),
            "root_path": "",
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in fields
            ],
            "client": ("127.0.0.1", 50000),
            "server": (url.hostname, url.port or (443 if url.scheme == "https" else 80)),
            "state": self.state.copy(),
            "miniasgi.raise_background": self.raise_background,
        }

    def _keep_cookies(self, reply: Reply) -> None:
        for field in reply.headers.getlist("set-cookie"):
            pair, *rest = field.split(";")  # as browsers do: RFC 6265, 5.2
            if "=" not in pair:
                continue
            name, _, value = (part.strip() for part in pair.partition("="))
            said = {
                k.strip().lower(): v.strip() for k, _, v in (one.partition("=") for one in rest)
            }
            self.cookies[name] = value
            if _is_over(said.get("max-age", ""), said.get("expires", "")):
                del self.cookies[name]


def _is_over(max_age: str, expires: str) -> bool:
    if max_age.removeprefix("-").isdecimal():  # it counts before the other
        return max_age.startswith("-") or not max_age.strip("0")
    try:
        return parsedate_to_datetime(expires).astimezone(UTC) <= datetime.now(UTC)
    except (ValueError, OverflowError):  # no date: as if it were not there
        return False


def _encode(options: Options) -> tuple[bytes | Chunks, dict[str, str]]:
    given = [name for name in ("json", "content", "data") if name in options]
    if len(given) > 1:
        raise ValueError(f"a request has one body, not {' and '.join(given)}")
    body, headers = options.get("content", b""), {}
    if "json" in options:
        body = json.dumps(options["json"], separators=(",", ":"), ensure_ascii=False)
        headers["content-type"] = "application/json"
    if "data" in options:
        body = urlencode(_pairs(options["data"]), doseq=True)
        headers["content-type"] = "application/x-www-form-urlencoded"
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        headers["transfer-encoding"] = "chunked"
    elif given:
        headers["content-length"] = str(len(body))
    return body, headers


def _pairs(given: Pairs) -> list[tuple[str, Any]]:
    return list(given.items() if isinstance(given, Mapping) else given)


class _Lifespan:
    """One lifespan call. Each of its two answers is awaited at `_answered`."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self.app = app
        self.scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": state,
        }
        self._questions = ["lifespan.shutdown", "lifespan.startup"]
        self._leaving, self._answered = anyio.Event(), anyio.Event()
        self._has_ended = False
        self._failure: Exception | None = None

    async def run(self) -> None:
        try:
            await self.app(self.scope, self._receive, self._send)
        except Exception as exc:
            # Raised before it asked anything: an application that does not speak lifespan.
            if len(self._questions) < 2:
                self._failure = exc
        finally:
            self._has_ended = True
            self._answered.set()

    async def startup(self) -> None:
        await self._answer()
        if not self._has_ended:
            self._answered = anyio.Event()

    async def shutdown(self) -> None:
        self._leaving.set()
        await self._answer()

    async def _answer(self) -> None:
        await self._answered.wait()
        if self._failure is not None:
            raise self._failure

    async def _receive(self) -> Message:
        if len(self._questions) < 2:
            await self._leaving.wait()
        return {"type": self._questions.pop() if self._questions else "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if not message["type"].startswith("lifespan."):
            raise RuntimeError(f"{message['type']} in answer to a lifespan")
        if message["type"].endswith(".complete"):
            self._answered.set()
        else:
            # Most applications raise now, and their own exception says more: see `run`.
            self._failure = RuntimeError(f"{message['type']}: {message.get('message', '')}")
            self._leaving.set()

"""Finding the way: the table answers as a scan from the top would, whatever the routes."""

import threading
import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse as StarlettePlainText
from starlette.routing import Route as StarletteRoute

from miniasgi import HTTPException, MiniASGI, Mount, PlainTextResponse, Request, Route, Router
from miniasgi.routing import BaseRoute, NoMatchFound
from miniasgi.testing import Client
from tests.asgi import body_of, call, headers_of, http, receiving

pytestmark = pytest.mark.anyio


def show(request: Request) -> PlainTextResponse:
    return PlainTextResponse(repr(request.path_params))


def answer_of(routes: list[BaseRoute], path: str, method: str = "GET") -> tuple[Any, Any]:
    """What the table finds: a route and its parameters, a status, or where it redirects to."""
    scope = http(method=method) | {"path": path}
    try:
        respond = Router(routes).find(scope)
    except HTTPException as exc:
        return exc.status_code, (exc.headers or {}).get("Allow")
    if "route" not in scope:
        return 307, respond
    return scope["route"], scope.get("path_params", {})


# A scan from the top, as naive as it gets: the oracle


def scan(routes: list[BaseRoute], path: str, method: str) -> tuple[Any, Any]:
    matching = [(one, one.match(path)) for one in routes if one.match(path) is not None]
    for route, params in matching:
        if not route.methods or method in route.methods:
            return route, {k: v for k, v in params.items() if not isinstance(route, Mount)}
    if matching:
        return 405, ", ".join(sorted({method for route, _ in matching for method in route.methods}))
    other = path.rstrip("/") if path.endswith("/") else path + "/"
    redirects = other and any(route.match(other) is not None for route in routes)
    return (307, None) if redirects else (404, None)


#: Few words, so that routes get into each other's way.
SEGMENTS = ["a", "b", "ab", "{x}", "{x:int}", "{x:float}", "{x:path}", "a{x}", "{x}.b", "a-{x:int}"]
VALUES = ["a", "b", "ab", "1", "12", "1.5", "a.b", "a-1", "", "a1", "{x}", "..", "\n"]


def unique_names(segments: list[str]) -> list[str]:
    return [one.replace("{x", f"{{x{i}") for i, one in enumerate(segments)]


segments = st.lists(st.sampled_from(SEGMENTS), max_size=4).map(unique_names)
route_paths = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + ("/" if slash and parts else ""),
    segments,
    st.booleans(),
)
methods = st.sets(st.sampled_from(["GET", "POST", "PUT"]), min_size=1, max_size=2)
routes = st.one_of(
    st.builds(lambda path, methods: Route(path, show, methods=methods), route_paths, methods),
    st.builds(
        lambda path: Mount(path, show), st.sampled_from(["", "/a", "/a/b", "/{y}", "/a/{y}"])
    ),
)
tables = st.lists(routes, max_size=12)
asked_paths = st.lists(st.sampled_from(VALUES), max_size=5).map(lambda parts: "/" + "/".join(parts))
asked_methods = st.sampled_from(["GET", "HEAD", "POST", "DELETE"])


@settings(max_examples=600)
@given(table=tables, path=asked_paths, method=asked_methods)
@example(table=[Route("/{x}", show), Route("/a", show)], path="/a", method="GET")
@example(table=[Route("/a", show), Route("/{x}", show, methods=["POST"])], path="/a", method="POST")
@example(table=[Route("/{x:path}", show), Route("/a/b/{x}", show)], path="/a/b/c", method="GET")
def test_the_table_answers_as_a_scan_from_the_top_does(
    table: list[BaseRoute], path: str, method: str
):
    found, detail = answer_of(table, path, method)

    expected, expected_detail = scan(table, path, method)
    if found == 307:
        detail = None
    if isinstance(found, Mount):
        detail, expected_detail = None, None  # the mount's own parameters: see below
    assert (found, detail) == (expected, expected_detail)


@settings(max_examples=200)
@given(table=tables, more=tables, path=asked_paths, method=asked_methods)
def test_a_route_added_later_is_found_as_if_it_had_been_there(table, more, path, method):
    router = Router(table)
    for route in more:
        with suppress(HTTPException):
            router.find(http(method=method) | {"path": path})
        router.add(route)

    scope = http(method=method) | {"path": path}
    try:
        router.find(scope)
        found = scope.get("route", 307)
    except HTTPException as exc:
        found = exc.status_code

    assert found == scan([*table, *more], path, method)[0]


def test_lookup_does_not_ask_routes_that_cannot_match():
    asked = []

    class Counted(Route):
        def match(self, path: str) -> dict[str, Any] | None:
            asked.append(self.path)
            return super().match(path)

    table = [Counted(f"/users{n}/{{id}}", show) for n in range(1000)]
    router = Router(table)
    router.find(http("/users0/7"))  # builds the table
    asked.clear()

    router.find(http("/users999/7"))

    assert asked == ["/users999/{id}"]


# One by one: parameters


@pytest.mark.parametrize(
    ("path", "asked", "params"),
    [
        ("/{x}", "/a", {"x": "a"}),
        ("/{x}", "/a/b", None),
        ("/{x}", "/", None),
        ("/{x}", "/a\nb", {"x": "a\nb"}),
        ("/{x}/b", "/a/b", {"x": "a"}),
        ("/a{x}c", "/abc", {"x": "b"}),
        ("/{x}.{y}", "/a.b", {"x": "a", "y": "b"}),
        ("/a.b", "/a+b", None),
        ("/{x:int}", "/12", {"x": 12}),
        ("/{x:int}", "/0012", {"x": 12}),
        ("/{x:int}", "/-1", None),
        ("/{x:int}", "/1.0", None),
        ("/{x:int}", "/٣", None),
        ("/{x:int}", "/" + "9" * 5000, None),
        ("/{x:float}", "/1", {"x": 1.0}),
        ("/{x:float}", "/1.25", {"x": 1.25}),
        ("/{x:float}", "/1e5", None),
        ("/{x:float}", "/.5", None),
        ("/{x:path}", "/", {"x": ""}),
        ("/{x:path}", "/a/b", {"x": "a/b"}),
        ("/a/{x:path}/z", "/a/b/c/z", {"x": "b/c"}),
        ("/{x:uuid}", "/" + "1" * 32, {"x": uuid.UUID("1" * 32)}),
        ("/{x:uuid}", f"/{uuid.UUID(int=7)}", {"x": uuid.UUID(int=7)}),
        ("/{x:uuid}", "/" + "1" * 31, None),
        ("/{not closed", "/{not closed", {}),
    ],
)
def test_a_path_matches_whole_and_its_parameters_are_converted(path, asked, params):
    assert Route(path, show).match(asked) == params


@pytest.mark.parametrize("path", ["a", "{x}", "/{x:colour}", "/{x}/{x}"])
def test_an_impossible_path_is_refused_at_registration_with_the_path(path):
    with pytest.raises(ValueError, match=path.replace("{", r"\{")):
        Route(path, show)


# Methods


async def test_head_is_there_where_get_is():
    app = MiniASGI(routes=[Route("/", show), Route("/form", show, methods=["post"])])

    statuses = [
        (await call(app, http("/", "HEAD")))[0]["status"],
        (await call(app, http("/form", "HEAD")))[0]["status"],
        (await call(app, http("/form", "POST")))[0]["status"],
    ]

    assert statuses == [200, 405, 200]


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/static", "DELETE, GET, HEAD, POST"), ("/users/7", "GET, HEAD, PUT")],
)
async def test_a_wrong_method_is_a_405_that_names_all_right_ones(path: str, allow: str):
    table = [
        Route("/static", show),
        Route("/static", show, methods=["POST", "DELETE"]),
        Route("/users/{id}", show, methods=["PUT"]),
        Route("/users/{id:int}", show),
    ]

    messages = await call(MiniASGI(routes=table), http(path, "PATCH"))

    assert (messages[0]["status"], headers_of(messages)["allow"]) == (405, allow)
    assert body_of(messages) == b"Method Not Allowed"


# Slashes


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/a/", "http://testserver:8000/a"),
        ("/b", "http://testserver:8000/b/"),
        ("/b?q=1&q=%20", "http://testserver:8000/b/?q=1&q=%20"),
        ("/users/7/", "http://testserver:8000/users/7"),
        ("/mounted", "http://testserver:8000/mounted/"),
        ("/mounted/inside", "http://testserver:8000/mounted/inside/"),
        ("/base/b", "http://testserver:8000/base/b/"),
        ("//evil.example/", None),
        ("/none/", None),
        ("//", None),
    ],
)
async def test_a_path_that_only_lacks_a_slash_or_has_one_too_many_is_redirected(asked, location):
    app = MiniASGI(
        routes=[
            Route("/a", show),
            Route("/b/", show, methods=["POST"]),
            Route("/users/{id}", show),
            Mount("/mounted", routes=[Route("/inside/", show)]),
        ]
    )
    root_path = "/base" if asked.startswith("/base") else ""

    messages = await call(app, http(asked, root_path=root_path))

    expected = 404 if location is None else 307
    assert (messages[0]["status"], headers_of(messages).get("location")) == (expected, location)


async def test_redirects_can_be_turned_off():
    router = Router([Route("/a", show)], redirect_slashes=False)

    messages = await call(MiniASGI(routes=[Mount("", router)]), http("/a/"))

    assert messages[0]["status"] == 404


# Mounts


async def test_a_mount_leaves_the_path_whole_and_grows_the_root_path():
    seen = []

    async def inner(scope, receive, send):
        seen.append((scope["root_path"], scope["path"], scope["path_params"]))
        await PlainTextResponse("")(scope, receive, send)

    app = MiniASGI(
        routes=[Mount("/api", routes=[Mount("/{team}", routes=[Mount("/files", inner)])])]
    )
    await call(app, http("/api/red/files/a/b"))
    await call(app, http("/proxy/api/red/files/", root_path="/proxy"))

    assert seen == [
        ("/api/red/files", "/api/red/files/a/b", {"team": "red"}),
        ("/proxy/api/red/files", "/proxy/api/red/files/", {"team": "red"}),
    ]


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("", "/a", 200),
        ("/base", "/base/a", 200),
        ("/base", "/a", 200),
        ("/base", "/based/a", 404),
        ("/base", "/base", 307),
    ],
)
async def test_a_root_path_is_taken_off_where_it_stands_whole(root_path, path, status):
    app = MiniASGI(routes=[Route("/", show), Route("/a", show)])

    messages = await call(app, http(path, root_path=root_path))

    assert messages[0]["status"] == status


async def test_parameters_of_a_mount_and_of_what_is_in_it_come_together():
    app = MiniASGI(routes=[Mount("/teams/{team:int}", routes=[Route("/users/{user}", show)])])

    assert body_of(await call(app, http("/teams/7/users/Ada"))) == b"{'team': 7, 'user': 'Ada'}"


async def test_a_mounted_application_answers_its_own_404_with_its_own_handlers():
    async def not_found(request, exc):
        return PlainTextResponse("inner says no", 404)

    inner = MiniASGI(routes=[Route("/a", show)], exception_handlers={404: not_found})
    app = MiniASGI(routes=[Mount("/inner", inner), Route("/inner/b", show)])

    bodies = [body_of(await call(app, http(path))) for path in ("/inner/a", "/inner/b", "/b")]

    assert bodies == [b"{}", b"inner says no", b"Not Found"]


async def test_starlette_is_mounted_in_miniasgi_and_miniasgi_in_starlette():
    async def hello(request):
        return StarlettePlainText(f"starlette {request.scope['root_path']}")

    def ours(request):
        return PlainTextResponse(f"miniasgi {request.scope['root_path']}")

    starlette = Starlette(routes=[StarletteRoute("/x", hello)])
    starlette.mount("/ours", MiniASGI(routes=[Route("/x", ours)]))
    app = MiniASGI(routes=[Mount("/theirs", starlette)])

    async with Client(app) as client:
        replies = [await client.get(path) for path in ("/theirs/x", "/theirs/ours/x", "/theirs/y")]

    assert [reply.text for reply in replies] == [
        "starlette /theirs",
        "miniasgi /theirs/ours",
        "Not Found",
    ]


@pytest.mark.parametrize(
    ("asked", "status"), [(http("/a"), 200), (http("/b"), 404), (http("/a", "POST"), 405)]
)
async def test_a_router_without_an_application_answers_by_itself(asked, status):
    messages = await call(Router([Route("/a", show)]), asked)

    assert messages[0]["status"] == status


# From a name to a path


NAMED = Router(
    [
        Route("/users/{id:int}", show, name="user"),
        Route("/users/{id:int}/{tab}", show, name="user"),
        Route("/plain", show),
        Route("/prices/{price:float}", show, name="price"),
        Route("/ids/{id:uuid}", show, name="id"),
        Mount("/static", show, name="static"),
        Mount("/teams/{team}", name="team", routes=[Route("/{member}/", show, name="member")]),
        Mount("/bare", routes=[Route("/inside", show, name="inside")]),
    ]
)


@pytest.mark.parametrize(
    ("name", "params", "path"),
    [
        ("user", {"id": 7}, "/users/7"),
        ("user", {"id": 7, "tab": "mail"}, "/users/7/mail"),
        ("show", {}, "/plain"),
        ("price", {"price": 1.5}, "/prices/1.5"),
        ("price", {"price": 2}, "/prices/2"),
        ("price", {"price": 1e-7}, "/prices/0.0000001"),
        ("id", {"id": uuid.UUID(int=7)}, f"/ids/{uuid.UUID(int=7)}"),
        ("static", {"path": "css/a.css"}, "/static/css/a.css"),
        ("static", {"path": "/css/a.css"}, "/static/css/a.css"),
        ("team:member", {"team": "red", "member": "Ada"}, "/teams/red/Ada/"),
        ("inside", {}, "/bare/inside"),
    ],
)
def test_a_name_and_its_parameters_are_a_path_that_leads_back(name, params, path):
    made = NAMED.url_path_for(name, **params)

    assert made == path
    assert answer_of(NAMED.routes, made)[0] in NAMED.routes


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("nobody", {}),
        ("user", {}),
        ("user", {"id": 7, "more": 1}),
        ("team:nobody", {"team": "red"}),
        ("team:member", {"member": "Ada"}),
        ("member", {"team": "red", "member": "Ada"}),
    ],
)
def test_a_name_that_nothing_has_with_these_parameters_is_not_found(name, params):
    with pytest.raises(NoMatchFound, match=name):
        NAMED.url_path_for(name, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [("user", {"id": -1}), ("user", {"id": 7, "tab": "a/b"}), ("user", {"id": 7, "tab": ""})],
)
def test_a_value_that_cannot_stand_in_the_path_is_refused(name, params):
    with pytest.raises(ValueError, match="cannot stand in"):
        NAMED.url_path_for(name, **params)


# What an endpoint may be, and what it may return


async def test_endpoints_may_be_functions_methods_lambdas_and_objects():
    class Endpoints:
        async def method(self, request):
            return PlainTextResponse("method")

        def __call__(self, request):
            return PlainTextResponse("object")

    async def coroutine(request):
        return PlainTextResponse("coroutine")

    app = MiniASGI(
        routes=[
            Route("/method", Endpoints().method),
            Route("/object", Endpoints()),
            Route("/coroutine", coroutine),
            Route("/lambda", lambda request: coroutine(request)),
        ]
    )

    bodies = [
        body_of(await call(app, http(path)))
        for path in ("/method", "/object", "/coroutine", "/lambda")
    ]

    assert bodies == [b"method", b"object", b"coroutine", b"coroutine"]


async def test_a_plain_endpoint_runs_in_a_thread_and_an_async_one_on_the_loop():
    threads = []

    def plain(request):
        threads.append(threading.current_thread())
        return PlainTextResponse("")

    async def coroutine(request):
        return plain(request)

    app = MiniASGI(routes=[Route("/plain", plain), Route("/coroutine", coroutine)])
    for path in ("/plain", "/coroutine"):
        await call(app, http(path))

    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False, True]


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("returned", [None, "hello", {"a": 1}, 200], ids=repr)
async def test_an_endpoint_that_returns_no_response_gets_an_error_that_names_it(kind, returned):
    async def forgot_async(request):
        return returned

    def forgot_plain(request):
        return returned

    endpoint = {"async": forgot_async, "plain": forgot_plain}[kind]
    app = MiniASGI(routes=[Route("/", endpoint)])

    async with Client(app) as client:
        reply = await client.get("/")
        with pytest.raises(TypeError) as raised:
            await reply.finished()

    assert reply.status == 500
    assert f"{endpoint.__qualname__} returned {returned!r}; return a Response" in str(raised.value)


async def test_a_class_of_responses_in_the_place_of_a_response_is_a_500_and_not_silence():
    async def forgot_to_call(request):
        return PlainTextResponse

    app = MiniASGI(routes=[Route("/", forgot_to_call)])

    async with Client(app, raise_background=False) as client:
        reply = await client.get("/")

    assert (reply.status, reply.text) == (500, "Internal Server Error")


async def test_an_endpoint_may_return_any_asgi_application():
    async def theirs(request):
        return StarlettePlainText("theirs")

    messages = await call(MiniASGI(routes=[Route("/", theirs)]))

    assert body_of(messages) == b"theirs"


async def test_the_scope_says_what_was_found():
    route = Route("/users/{id:int}", show)
    scope = http("/users/7")

    await MiniASGI(routes=[route])(scope, receiving(), _drop)

    assert (scope["route"], scope["endpoint"], scope["path_params"]) == (route, show, {"id": 7})


async def _drop(message: Any) -> None:
    pass

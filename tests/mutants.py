"""Named mistakes: edits of the source that the tests must notice.

Many of them are small, likely, and invisible to a client that waits: the task before the first
chunk of a stream, a plain function on the event loop, an error that nobody hears of. Each names a
test that fails because of it; `tests.test_mutants` makes the edit in a copy and looks.

``old`` stands exactly once in the file: who rewrites that line rewrites its mutants too.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str  #: below ``miniasgi/``
    old: str
    new: str
    caught_by: str  #: a test: ``test_order.py::test_name``, without parameters


_SEND = "            drained = await self.transmit(scope, receive, send)\n"


def _when(condition: str, call: str) -> str:
    """`_SEND`, but at the first such message something else is called before it goes out."""
    return f"""\
            has_called = False

            async def send_later(message):
                nonlocal has_called
                if {condition} and not has_called:
                    has_called = True
                    await {call}()
                await send(message)

            drained = await self.transmit(scope, receive, send_later)
"""


def _early(condition: str) -> str:
    return _when(condition, "background") + "            if has_called:\n                return\n"


_ACCEPT = """\
        await background.accept()
        if listeners.get():
            tell("accept")
        try:
"""

EVERY_KIND = "test_order.py::test_background_work_follows_the_last_message"
CLIENT_LEAVES = "test_order.py::test_a_client_that_leaves_ends_the_stream_and_the_background_runs"
STREAM_RAISES = "test_order.py::test_a_stream_that_raises_stays_cut_and_its_background_is_abandoned"

ENDPOINTS = "test_endpoints.py::test_"

MUTANTS = [
    # The order of a response
    Mutant(
        "the body is sent before the start",
        "responses.py",
        """\
        status, headers = self.status_code, self.raw_headers
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if self.background is None or len(self.body) <= DRAIN_OVER:
            # No more_body: this is the last message, and servers write the final bytes now.
            await send({"type": "http.response.body", "body": self.body})
            return True
""",
        """\
        if self.background is None or len(self.body) <= DRAIN_OVER:
            await send({"type": "http.response.body", "body": self.body})
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return True
        await send({"type": "http.response.start", "status": 200, "headers": []})
""",
        EVERY_KIND,
    ),
    Mutant(
        "the task runs before the first message",
        "responses.py",
        _SEND,
        "            await background()\n" + _SEND + "            return\n",
        EVERY_KIND,
    ),
    Mutant(
        "the task runs between start and body",
        "responses.py",
        _SEND,
        _early('message.get("body") and not message.get("more_body")'),
        EVERY_KIND,
    ),
    Mutant(
        "the task runs before the first chunk of a stream",
        "responses.py",
        _SEND,
        _early('message.get("more_body")'),
        EVERY_KIND,
    ),
    Mutant(
        "the task runs before more_body is false",
        "responses.py",
        _SEND,
        _early('message.get("more_body") is False'),
        EVERY_KIND,
    ),
    Mutant(
        "the task runs beside the messages",
        "responses.py",
        _SEND,
        """\
            import anyio

            async with anyio.create_task_group() as group:
                group.start_soon(background)
                await self.transmit(scope, receive, send)
            return
""",
        EVERY_KIND,
    ),
    Mutant(
        "a stream ends only after its task",
        "responses.py",
        "            return await self._send_last(send)\n        except ClientDisconnect:",
        "            return self.background is None\n        except ClientDisconnect:",
        EVERY_KIND,
    ),
    Mutant(
        "the short way of a plain response forgets its background",
        "applications.py",
        "cannot_fail = response.is_plain and response.background is None",
        "cannot_fail = response.is_plain",
        EVERY_KIND,
    ),
    Mutant(
        "a function middleware loses the background",
        "middleware/__init__.py",
        "            return response\n\n        return respond\n",
        """\
            response.background = None
            return response

        return respond
""",
        EVERY_KIND,
    ),
    Mutant(
        "a function middleware that raises drops the background in silence",
        "middleware/__init__.py",
        "                await _abandon(given, because)\n",
        "",
        "test_middleware.py::test_a_function_that_raises_drops_the_background_and_the_log_says_so",
    ),
    # The end of a large body
    Mutant(
        "a large body has no empty last message",
        "responses.py",
        "if self.background is None or len(self.body) <= DRAIN_OVER:",
        "if True:",
        "test_order.py::test_a_large_body_ends_with_an_empty_message_that_waits_for_the_drain",
    ),
    Mutant(
        "drain_timeout is ignored",
        "responses.py",
        'patience = float("inf") if self.background is None else self.drain_timeout',
        'patience = float("inf")',
        "test_order.py::test_a_reader_that_stalls_delays_the_task_no_longer_than_drain_timeout",
    ),
    # The two moments of a background
    Mutant(
        "accept is forgotten",
        "responses.py",
        "        await background.accept()\n",
        "",
        "test_order.py::test_work_is_promised_before_the_first_message",
    ),
    Mutant(
        "accept comes after the start",
        "responses.py",
        _ACCEPT + _SEND,
        "        try:\n" + _when('"body" in message', "background.accept"),
        "test_order.py::test_work_is_promised_before_the_first_message",
    ),
    Mutant(
        "abandon is forgotten",
        "responses.py",
        "                await shielded(background.abandon, because)\n",
        "",
        "test_order.py::test_a_promise_is_let_go_when_the_response_cannot_be_sent",
    ),
    Mutant(
        "what stands behind a failed task is not let go",
        "background.py",
        "            await shielded(partial(self.abandon, because, after=begun))\n",
        "",
        "test_order.py::test_a_promise_behind_a_failed_task_is_let_go",
    ),
    # Tasks
    Mutant(
        "tasks run in reverse",
        "background.py",
        "enumerate(self.tasks, 1):  # the live list",
        "enumerate(reversed(self.tasks), 1):  # the live list",
        EVERY_KIND,
    ),
    Mutant(
        "a task cannot add a task",
        "background.py",
        "enumerate(self.tasks, 1):  # the live list",
        "enumerate(list(self.tasks), 1):  # the live list",
        "test_order.py::test_a_task_may_add_a_task",
    ),
    Mutant(
        "on_error=continue stops at the first failure",
        "background.py",
        '                    if self.on_error == "stop":\n',
        "                    if True:\n",
        "test_order.py::test_on_error_continue_runs_the_rest_and_raises_all_failures_at_the_end",
    ),
    Mutant(
        "a task's error is swallowed",
        "background.py",
        """\
            self._note_failure(exc)
            raise
""",
        """\
            self._note_failure(exc)
""",
        "test_order.py::test_a_response_by_itself_raises_what_its_task_raised",
    ),
    Mutant(
        "a failed task is not named",
        "background.py",
        "            exc.add_note(note)\n",
        "            pass\n",
        "test_order.py::test_a_failing_task_is_logged_by_its_name_and_contained",
    ),
    Mutant(
        "a cancelled task is not on record",
        "background.py",
        '            _log("background task %r was cancelled before its end", self.name)\n',
        "",
        "test_order.py::test_a_cancelled_task_is_on_record_and_the_cancel_goes_on",
    ),
    Mutant(
        "a cancel is no outcome",
        "background.py",
        '            tell("task.cancelled", self.name)\n',
        "",
        "test_order.py::test_a_cancelled_task_is_on_record_and_the_cancel_goes_on",
    ),
    Mutant(
        "a lambda's awaitable is dropped",
        "background.py",
        'if hasattr(result, "__await__"):',
        "if self.is_async:",
        "test_order.py::test_a_coroutine_function_runs_also_inside_a_wrapper",
    ),
    Mutant(
        "a coroutine object is taken for a task",
        "background.py",
        "        if not callable(func):\n",
        "        if False:\n",
        "test_order.py::test_a_coroutine_object_is_refused_before_anything_is_promised",
    ),
    # What becomes of an exception
    Mutant(
        "a failed task reaches the server",
        "middleware/errors.py",
        "            _contain(exc, scope)\n            return\n",
        "            raise exc\n",
        "test_order.py::test_a_failing_task_is_logged_by_its_name_and_contained",
    ),
    Mutant(
        "half a response is taken for a whole one",
        "middleware/errors.py",
        'last["type"] in kinds and not last.get("more_body")',
        'last["type"] in kinds',
        "test_middleware.py::test_an_error_in_mid_stream_is_raised_on_and_nothing_more_is_sent",
    ),
    Mutant(
        "a tester cannot have the task's error",
        "middleware/errors.py",
        'if scope.get("miniasgi.raise_background") or NOT_SENT in notes or ANSWERED in notes:',
        "if NOT_SENT in notes or ANSWERED in notes:",
        "test_order.py::test_a_failing_task_is_raised_on_if_the_caller_asks_for_it",
    ),
    Mutant(
        "the handler of the farthest class answers",
        "middleware/errors.py",
        "keys = (status_code, *type(exc).__mro__)",
        "keys = (status_code, *reversed(type(exc).__mro__))",
        "test_order.py::test_the_handler_of_the_nearest_class_answers",
    ),
    # Streams that do not come to their end
    Mutant(
        "a send that says that the client left skips the background",
        "responses.py",
        "        raise ClientDisconnect from exc\n",
        "        raise\n",
        CLIENT_LEAVES,
    ),
    Mutant(
        "a receive that says that the client left skips the background",
        "responses.py",
        "            raise ClientDisconnect\n\n        try:",
        '            raise RuntimeError("the client has left")\n\n        try:',
        CLIENT_LEAVES,
    ),
    Mutant(
        "nobody listens for a client that leaves",
        "responses.py",
        "            raise ClientDisconnect\n\n        try:",
        "            await anyio.sleep_forever()\n\n        try:",
        CLIENT_LEAVES,
    ),
    Mutant(
        "a generator's error runs the background",
        "responses.py",
        "        except ClientDisconnect:\n            return True\n",
        "        except Exception:\n            return True\n",
        STREAM_RAISES,
    ),
    # Threads
    Mutant(
        "a plain task runs on the event loop",
        "background.py",
        "begin() if self.is_async else await threads_here.get().run(begin)",
        "begin()",
        EVERY_KIND,
    ),
    Mutant(
        "a plain endpoint runs on the event loop",
        "concurrency.py",
        "result = await run_in_threadpool(func, *args, **kwargs)",
        "result = func(*args, **kwargs)",
        "test_order.py::test_a_plain_endpoint_runs_in_a_thread",
    ),
    Mutant(
        "a plain iterator runs on the event loop",
        "concurrency.py",
        "await run_in_threadpool(next, iterator, _END)",
        "next(iterator, _END)",
        "test_order.py::test_a_plain_iterator_runs_and_is_closed_in_a_thread",
    ),
    Mutant(
        "a plain iterator is closed on the event loop",
        "concurrency.py",
        "await shielded(run_in_threadpool, iterator.close)",
        "iterator.close()",
        "test_order.py::test_a_plain_iterator_that_is_left_is_closed_in_a_thread",
    ),
    Mutant(
        "a plain error handler runs on the event loop",
        "middleware/errors.py",
        "return checked(await call(handler, request, exc), handler)",
        "return checked(handler(request, exc), handler)",
        "test_order.py::test_a_plain_error_handler_runs_in_a_thread",
    ),
    Mutant(
        "background work takes the requests' tokens",
        "concurrency.py",
        "        call = partial(copy_context().run, _call, func)\n",
        "        return await run_in_threadpool(func)\n",
        "test_order.py::test_background_threads_take_no_token_from_those_of_the_requests",
    ),
    Mutant(
        "background_threads is ignored",
        "applications.py",
        "threads_here.set(self._threads or threads_here.get())",
        "threads_here.set(threads_here.get())",
        "test_order.py::test_an_application_runs_as_many_plain_tasks_at_one_time_as_it_was_told",
    ),
    Mutant(
        "a task in a thread forgets its context",
        "concurrency.py",
        "partial(copy_context().run, _call, func)",
        "partial(_call, func)",
        "test_order.py::test_marks_stand_in_the_order_of_events",
    ),
    # Requests and routes
    Mutant(
        "the last registered route wins",
        "routing.py",
        "sorted(pairs, key=lambda pair: pair[0])",
        "sorted(pairs, key=lambda pair: -pair[0])",
        "test_routing.py::test_the_table_answers_as_a_scan_from_the_top_does",
    ),
    Mutant(
        "HEAD is lost",
        "routing.py",
        '            self.methods.add("HEAD")\n',
        "            pass\n",
        "test_routing.py::test_head_is_there_where_get_is",
    ),
    Mutant(
        "405 does not say what is allowed",
        "routing.py",
        'HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})',
        "HTTPException(405)",
        "test_routing.py::test_a_wrong_method_is_a_405_that_names_all_right_ones",
    ),
    Mutant(
        "the limit of a body is one byte too low",
        "requests.py",
        "len(reader.read) > limit:",
        "len(reader.read) >= limit:",
        "test_requests.py::test_a_body_of_max_body_size_is_read_and_none_is_no_limit",
    ),
    Mutant(
        "the limit of a body is ignored",
        "requests.py",
        "if limit is not None and len(reader.read) > limit:",
        "if False:",
        "test_requests.py::test_a_body_over_max_body_size_is_a_413",
    ),
    # Typed endpoints
    Mutant(
        "the exits that belong before the tasks come after them",
        "dependencies.py",
        """\
            try:
                await self.before.aclose()
            except BaseException as because:
                await self.tasks.abandon(because)
                raise
            await self.tasks()
""",
        """\
            await self.tasks()
            await self.before.aclose()
""",
        f"{ENDPOINTS}the_three_scopes_close_before_accept_before_the_tasks_and_after_them",
    ),
    Mutant(
        "a promise that fails leaves its dependencies open",
        "dependencies.py",
        """\
            async with self.after, self.before:
                pass
            raise
""",
        """\
            raise
""",
        f"{ENDPOINTS}exits_run_when_accept_fails_and_the_client_gets_the_error",
    ),
    Mutant(
        "a lone parameter is the request, whatever stands in for it",
        "endpoints.py",
        "if wanted[0].default is not wanted[0].empty:",
        "if False:",
        f"{ENDPOINTS}a_dependency_is_called_though_it_is_the_only_parameter",
    ),
    Mutant(
        "the shield of an exit stands inside what it closes",
        "dependencies.py",
        "if is_cancelled or not is_async else nullcontext()",
        "if True else nullcontext()",
        f"{ENDPOINTS}a_dependency_may_yield_inside_a_cancel_scope_of_its_own",
    ),
    Mutant(
        "an exit is struck by the cancel of its request",
        "dependencies.py",
        "anyio.CancelScope(shield=True)",
        "anyio.CancelScope()",
        f"{ENDPOINTS}exits_run_when_the_request_is_cancelled",
    ),
    Mutant(
        "a dependency may swallow what the endpoint raised",
        "dependencies.py",
        """\
                await context.__aexit__(*raised)
                return
""",
        """\
                return await context.__aexit__(*raised)
""",
        f"{ENDPOINTS}a_dependency_can_answer_with_another_exception_but_not_swallow_one",
    ),
    Mutant(
        "a response that is returned again keeps the tasks of the request before",
        "dependencies.py",
        "response = copy(response)",
        "response = response",
        f"{ENDPOINTS}a_response_object_that_is_returned_again_carries_no_tasks_of_before",
    ),
    Mutant(
        "the response's own background comes first",
        "dependencies.py",
        "tasks.tasks.append(own if",
        "tasks.tasks.insert(0, own if",
        f"{ENDPOINTS}injected_and_own_background_are_merged_in_order",
    ),
    Mutant(
        "tasks that were added before an exception are dropped in silence",
        "plans.py",
        "            await asked.tasks.abandon(because)  # nobody will run them\n",
        "",
        f"{ENDPOINTS}tasks_that_were_added_before_an_exception_are_logged_by_name_as_dropped",
    ),
    Mutant(
        "a dependency is called by everybody who asks",
        "plans.py",
        "        if self.key in asked.returned:\n",
        "        if False:\n",
        f"{ENDPOINTS}a_dependency_is_called_once_a_request_whoever_asks",
    ),
    Mutant(
        "one default object serves all requests",
        "inputs.py",
        "return deepcopy(self.default)",
        "return self.default",
        f"{ENDPOINTS}a_default_that_can_change_is_new_for_every_request",
    ),
    Mutant(
        "anything is read as JSON",
        "inputs.py",
        "is_json = bool(kinds) and _is_json(kinds[0])",
        "is_json = True",
        f"{ENDPOINTS}json_that_does_not_call_itself_json_is_not_read_as_json",
    ),
]

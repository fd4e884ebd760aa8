"""Who listens to the order of things: nobody, one, or one inside another."""

import threading
from contextvars import copy_context

from miniasgi.events import listeners, listening, mark, tell


def test_nobody_listens_and_telling_does_nothing():
    tell("accept")
    mark("a word")

    assert listeners.get() == ()


def test_a_listener_hears_what_is_told_inside_its_block_only():
    heard = []

    tell("mark", "before")
    with listening(lambda *what: heard.append(what)):
        tell("accept")
        mark("charge card")
    tell("mark", "after")

    assert heard == [("accept", ""), ("mark", "charge card")]


def test_a_listener_outside_hears_everything_and_first():
    heard = []

    with listening(lambda kind, name: heard.append(f"outer {name}")):
        with listening(lambda kind, name: heard.append(f"inner {name}")):
            mark("one")
        mark("two")

    assert heard == ["outer one", "inner one", "outer two"]


def test_a_listener_is_heard_in_a_thread_that_got_the_context():
    heard = []

    with listening(lambda kind, name: heard.append(name)):
        threads = [
            threading.Thread(target=copy_context().run, args=(mark, "with the context")),
            threading.Thread(target=mark, args=("without",)),
        ]
    for thread in threads:
        thread.start()
        thread.join()

    assert heard == ["with the context"]


def test_a_block_that_fails_ends_the_listening():
    try:
        with listening(lambda kind, name: None):
            raise ValueError
    except ValueError:
        pass

    assert listeners.get() == ()

"""The faces of a recording, from fixed numbers: text, SVG and Chrome's trace."""

import json
from xml.etree import ElementTree

import pytest

from miniasgi.timeline import Moment, Recording, chrome_trace, svg, text

MS = 10**6
SVG = "{http://www.w3.org/2000/svg}"


def moment(at, place, kind, name="", detail="", **more):
    where = {"request": 1, "process": 1, "thread": 10, "thread_name": "MainThread"}
    return Moment(5 * MS + int(at * MS), place, kind, name, detail, **{**where, **more})


KEPT = Recording(
    [
        moment(0, "client", "request.start", "POST /signup", process=2),
        moment(0.5, "server", "app.start", "POST /signup"),
        moment(0.6, "server", "receive", "request", "9 bytes"),
        moment(20, "event loop", "accept"),
        moment(21, "server", "response.start", detail="202"),
        moment(21.5, "server", "response.body", detail="16 bytes"),
        moment(22, "server", "response.end"),
        moment(23, "client", "request.end", "POST /signup", process=2),
        moment(24, "event loop", "task.start", "send_email"),
        moment(90, "event loop", "mark", "connected"),
        moment(160, "event loop", "task.end", "send_email"),
        moment(161, "worker thread", "task.start", "write_log", thread=11),
        moment(190, "event loop", "task.end", "write_log"),
        moment(191, "server", "app.end", "POST /signup"),
    ]
)

BROKEN = Recording(
    [
        moment(0, "client", "request.start", "POST /signup"),
        moment(0.5, "server", "app.start", "POST /signup"),
        moment(22, "server", "response.start", detail="202"),
        moment(22.5, "server", "response.end"),
        moment(23, "client", "request.end", "POST /signup"),
        moment(24, "event loop", "task.start", "send_email"),
        moment(60, "event loop", "task.failed", "send_email"),
        moment(61, "server", "app.failed", "POST /signup", "ValueError"),
        moment(63, "client", "connection closed"),
    ]
)

LOST = Recording(
    [
        moment(0, "server", "app.start", "GET /"),
        moment(1, "event loop", "task.start", "a"),
        moment(1, "event loop", "task.start", "b"),
        moment(80, "event loop", "task.cancelled", "b"),
        moment(100, "queue worker", "mark", "killed"),
    ]
)


# Text


def test_text_shows_lanes_and_when_the_client_has_its_answer():
    assert text(KEPT, color=False).splitlines() == [
        "              0 ms             50 ms            100 ms           150 ms",
        "client        ░░░░░░░┊ POST /signup 23.0 ms",
        "server        ├─────▓┊ app 190 ms ─────────────────────────────────────────────┤",
        "event loop          ◆┊█ send_email 136 ms ███◆ connected █████████████",
        "worker thread        ┊                             write_log 29.0 ms ███████████",
        "                     ┊ the client has its answer: 23.0 ms",
    ]


def test_text_puts_recordings_on_one_scale_and_says_how_a_bar_ended():
    assert text({"kept": KEPT, "broken": BROKEN}, width=60, color=False).splitlines() == [
        "kept          0 ms        50 ms       100 ms      150 ms",
        "client        ░░░░░┊ POST /signup 23.0 ms",
        "server        ├───▓┊ app 190 ms ───────────────────────────┤",
        "event loop        ◆┊█ send_email ██◆ connected ██████",
        "worker thread      ┊              write_log 29.0 ms ████████",
        "                   ┊ the client has its answer: 23.0 ms",
        "",
        "broken        0 ms        50 ms       100 ms      150 ms",
        "client        ░░░░░┊         • connection closed",
        "server        ├───▓┊────────✗ app (failed) 60.5 ms",
        "event loop         ┊████████✗ send_email (failed) 36.0 ms",
        "                   ┊ the client has its answer: 23.0 ms",
    ]


def test_text_of_what_never_ended_and_was_never_answered():
    assert text(LOST, width=50, color=False).splitlines() == [
        "              0 ms              50 ms",
        "server        ├ app (open) 100 ms ───────────────→",
        "event loop    █ a (open) 99.0 ms ████████████████→",
        "              █ b (cancelled) 79.0 ms ████~",
        "queue worker                              killed ◆",
    ]


def test_in_text_what_comes_after_the_answer_is_right_of_it_however_soon():
    recording = Recording(
        [
            moment(0, "client", "request.start", "GET /"),
            moment(0.1, "event loop", "accept"),
            moment(1, "client", "request.end", "GET /"),
            moment(1.001, "event loop", "task.start", "task"),
            moment(1000, "event loop", "task.end", "task"),
        ]
    )

    assert text(recording, width=60, color=False).splitlines() == [
        "              0 ms                   500 ms",
        "client        ░░┊ GET / 1.0 ms",
        "event loop    ◆ ┊█ task 999 ms █████████████████████████████",
        "                ┊ the client has its answer: 1.0 ms",
    ]


def test_in_text_a_late_answer_is_captioned_to_its_left():
    recording = Recording([moment(0, "server", "app.start"), moment(100, "server", "response.end")])

    assert text(recording, width=60, color=False).splitlines() == [
        "              0 ms                   50 ms",
        "server        ├ app (open) 100 ms ───────────────────────→┊",
        "                        the client has its answer: 100 ms ┊",
    ]


def test_in_text_a_bar_that_begins_a_hair_before_the_answer_begins_on_its_line():
    recording = Recording(
        [
            moment(0, "server", "app.start"),
            moment(399.9, "event loop", "task.start", "task"),
            moment(400, "client", "request.end"),
            moment(1000, "event loop", "task.end", "task"),
        ]
    )

    assert text(recording, width=60, color=False).splitlines() == [
        "              0 ms                   500 ms",
        "client                         •┊ request.end",
        "server        ├─────────────────┊ app (open) 1000 ms ──────→",
        "event loop                      ┊█ task 600 ms █████████████",
        "                                ┊ the client has its answer: 400 ms",
    ]


def test_text_lists_the_moments():
    lines = text(BROKEN, color=False, moments=True).splitlines()

    assert lines[-9:] == [
        "    0.0 ms  client         request.start POST /signup",
        "    0.5 ms  server         app.start POST /signup",
        "   22.0 ms  server         response.start 202",
        "   22.5 ms  server         response.end",
        "   23.0 ms  client         request.end POST /signup",
        "   24.0 ms  event loop     task.start send_email",
        "   60.0 ms  event loop     task.failed send_email",
        "   61.0 ms  server         app.failed POST /signup ValueError",
        "   63.0 ms  client         connection closed",
    ]


def test_text_is_coloured_on_demand():
    plain, coloured = text(KEPT, color=False), text(KEPT, color=True)

    assert "\x1b[33m█\x1b[0m" in coloured
    assert "\x1b" not in plain


def test_an_empty_recording_has_faces_too():
    empty = Recording()

    assert "0 ms" in text(empty, color=False)
    assert ElementTree.fromstring(svg(empty)).tag == f"{SVG}svg"
    assert json.loads(chrome_trace(empty))["traceEvents"] == []


# SVG


def test_the_picture_is_an_image_with_a_title_and_a_story():
    root = ElementTree.fromstring(svg({"broken": BROKEN}, title="A 200 that fails"))

    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "A 200 that fails"
    assert root.find(f"{SVG}desc").text == (
        "broken: request.start POST /signup (client, 0.0 ms); "
        "app.start POST /signup (server, 0.5 ms); "
        "response.start 202 (server, 22.0 ms); "
        "response.end (server, 22.5 ms); "
        "request.end POST /signup (client, 23.0 ms), and the client has its answer; "
        "task.start send_email (event loop, 24.0 ms); "
        "task.failed send_email (event loop, 60.0 ms); "
        "app.failed POST /signup ValueError (server, 61.0 ms); "
        "connection closed (client, 63.0 ms)."
    )


def test_the_picture_names_lanes_bars_and_the_answer():
    root = ElementTree.fromstring(svg({"kept": KEPT, "broken": BROKEN}))

    assert [element.text for element in root.iter(f"{SVG}text")] == [
        "kept",
        *("client", "POST /signup 23.0 ms"),
        *("server", "app 190 ms"),
        *("event loop", "connected", "send_email 136 ms"),
        *("worker thread", "write_log 29.0 ms"),
        "the client has its answer · 23.0 ms",
        "broken",
        *("client", "connection closed", "POST /signup 23.0 ms"),
        *("server", "app (failed) 60.5 ms"),
        *("event loop", "send_email (failed) 36.0 ms"),
        "the client has its answer · 23.0 ms",
        *("0 ms", "50 ms", "100 ms", "150 ms"),
    ]


def test_the_picture_has_a_title_for_each_bar_and_point():
    root = ElementTree.fromstring(svg(BROKEN))

    assert [group.find(f"{SVG}title").text for group in root.iter(f"{SVG}g")] == [
        "POST /signup: from 0.0 ms, for 23.0 ms",
        "connection closed: at 63.0 ms",
        "app (failed): from 0.5 ms, for 60.5 ms",
        "response: from 22.0 ms, for 0.5 ms",
        "send_email (failed): from 24.0 ms, for 36.0 ms",
    ]


def test_what_failed_or_has_no_end_is_told_by_more_than_colour():
    broken, lost = svg(BROKEN), svg(LOST)

    assert 'class="tl-task tl-failed"' in broken
    assert 'class="tl-task tl-cancelled"' in lost
    assert 'class="tl-task tl-open"' in lost


def test_the_picture_escapes_everything_and_asks_nobody():
    evil = '"><script>alert(1)</script>'
    recording = Recording([moment(0, evil, "mark", evil), moment(1, "client", "mark", evil)])

    picture = svg({evil: recording}, title=evil)

    assert "<script" not in picture
    assert ElementTree.fromstring(picture).find(f"{SVG}title").text == evil
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg")


def test_the_picture_has_all_style_in_one_element():
    root = ElementTree.fromstring(svg({"broken": BROKEN, "lost": LOST}))

    assert [element for element in root.iter() if element.get("style")] == []
    assert len(list(root.iter(f"{SVG}style"))) == 1


@pytest.mark.parametrize("width", [340, 900])
def test_no_word_and_no_bar_of_the_picture_leaves_it_whatever_its_width(width):
    root = ElementTree.fromstring(svg({"kept": KEPT, "lost": LOST}, width=width))

    assert root.get("width") == str(width)
    edges = [float(x) for x in (element.get("x") for element in root.iter()) if x]
    assert min(edges) >= 0 and max(edges) <= width


def test_pictures_that_share_a_span_share_their_scale():
    one = ElementTree.fromstring(svg(KEPT, span=400 * MS))

    axis = [text.text for text in one.iter(f"{SVG}text")][-3:]
    assert axis == ["200 ms", "300 ms", "400 ms"]


def test_the_picture_has_no_row_below_its_edge():
    root = ElementTree.fromstring(svg({"kept": KEPT, "lost": LOST}))

    height = float(root.get("height"))
    assert all(float(element.get("y")) < height for element in root.iter(f"{SVG}text"))


# Chrome's trace


def test_the_trace_has_a_begin_and_an_end_for_each_bar():
    events = json.loads(chrome_trace(BROKEN))["traceEvents"]

    assert [(event["ph"], event["name"]) for event in events] == [
        ("M", "thread_name"),
        ("M", "process_name"),
        *[("b", "POST /signup"), ("e", "POST /signup")],
        *[("b", "app (failed)"), ("e", "app (failed)")],
        *[("b", "response"), ("e", "response")],
        *[("b", "send_email (failed)"), ("e", "send_email (failed)")],
        ("i", "connection closed"),
    ]
    assert events[5] == {
        "ph": "e",
        "id": 1,
        "name": "app (failed)",
        "cat": "server",
        "ts": 61000.0,
        "pid": 1,
        "tid": 10,
        "args": {"kind": "app.failed", "detail": "ValueError", "request": 1},
    }


def test_a_bar_without_an_end_has_no_end_in_the_trace():
    events = json.loads(chrome_trace(LOST))["traceEvents"]

    phases = [(event["ph"], event["name"]) for event in events if event["ph"] in "be"]
    assert phases == [
        ("b", "app (open)"),
        ("b", "a (open)"),
        *[("b", "b (cancelled)"), ("e", "b (cancelled)")],
    ]


def test_the_end_of_a_bar_has_the_category_of_its_beginning():
    """These viewers pair them by it; a thread's task is told to have ended on the loop."""
    events = json.loads(chrome_trace(KEPT))["traceEvents"]

    categories = [(e["ph"], e["cat"]) for e in events if e["name"] == "write_log"]

    assert categories == [("b", "worker thread"), ("e", "worker thread")]


def test_no_face_shows_what_no_page_and_no_terminal_can():
    odd = Recording([moment(0, "event loop", "mark", "a\x00b\x1b[2J\ud800")])

    shown = Recording([moment(0, "event loop", "mark", "5\xa0\u20ac \U0001f469\u200d\U0001f4bb")])
    label = "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}"

    assert label in text(odd, moments=True)
    assert "5\xa0\u20ac \U0001f469\u200d\U0001f4bb" in text(shown, moments=True)
    assert label in "".join(ElementTree.fromstring(svg(odd)).itertext())


def test_jobs_of_one_name_that_overlap_end_in_the_order_of_their_beginning():
    outside = {"request": None}
    both = Recording(
        [
            moment(0, "queue worker", "job.start", "send", **outside),
            moment(50, "queue worker", "job.start", "send", **outside),
            moment(100, "queue worker", "job.failed", "send", **outside),
            moment(200, "queue worker", "job.end", "send", **outside),
        ]
    )

    assert [(bar.label, bar.length(0) // MS) for bar in both.bars()] == [
        ("send (failed)", 100),
        ("send", 150),
    ]

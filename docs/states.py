"""The states of a job: one table, and the picture and the page that are drawn from it.

A test has every function of the store move jobs about, records each change of a row's state with a
trigger, and compares what it saw with this table: a move that is not here, or never happens, fails.

Rule of this file: the picture knows where a box stands, and nothing of what leads where.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

#: Before its row exists, and after.
NEW, GONE = "", "gone"
ENDED = ("success", "failure", "revoked")


class Move(NamedTuple):
    """One change of a job's state, by a function of `miniasgi.queue.store`, and when it comes."""

    before: str
    after: str
    function: str
    when: str
    is_asked: bool = False  #: somebody asked for it by name: an operator, or the application


MOVES = (
    Move(NEW, "ready", "insert", "`delay`: committed, and it may start at once"),
    Move(NEW, "scheduled", "insert", "the same with a countdown or an eta"),
    Move(NEW, "held", "insert", "a response has accepted it, and its last byte is to come"),
    Move("scheduled", "ready", "promote", "its time has come"),
    Move("ready", "running", "claim", "a worker has a free slot"),
    Move("running", "revoked", "claim", "it was claimed after its `expires`, and does not begin"),
    Move("running", "success", "settle", "its function returned"),
    Move("running", "failure", "settle", "it raised, and no retry is left"),
    Move("running", "scheduled", "settle", "it is tried again later; or nobody knows its task yet"),
    Move("running", "ready", "settle", "its worker stops and gives it back"),
    Move("running", "revoked", "settle", "it was revoked while it ran"),
    Move("running", "ready", "recover", "its worker died, for the first time"),
    Move("running", "scheduled", "recover", "its worker died again: with a backoff"),
    Move("running", "failure", "recover", "`max_crashes` workers have died of it"),
    Move("running", "revoked", "recover", "its worker died, and it was revoked meanwhile"),
    Move("held", "ready", "settle", "the response has ended, and any worker may have it"),
    Move(
        "held",
        "scheduled",
        "settle",
        "the same, and its time has not come; or it is to be tried again",
    ),
    Move("held", "running", "mark_running", "it runs in its own process for more than a second"),
    Move("held", "success", "settle", "it ran in its own process and returned"),
    Move("held", "failure", "settle", "it ran in its own process and raised, without a retry"),
    Move("held", "revoked", "settle", "it ran too late, or was revoked while it ran"),
    Move("held", "ready", "recover", "its process died between the promise and the end"),
    Move("held", "scheduled", "recover", "the same, and it is to start later or died before"),
    Move("held", "revoked", "recover", "the same, and it was revoked meanwhile"),
    Move("held", "failure", "recover", "the same, and `max_crashes` is 1"),
    Move("held", GONE, "withdraw", "its response was promised more, and that failed: all or none"),
    Move("ready", "revoked", "revoke", "it waits, and shall never run", True),
    Move("scheduled", "revoked", "revoke", "it waits, and shall never run", True),
    Move("failure", "ready", "retry", "its retries and crashes count from the start", True),
    Move("revoked", "ready", "retry", "its retries and crashes count from the start", True),
    Move("ready", "held", "take_out", "`miniasgi move` carries it to a broker", True),
    Move("scheduled", "held", "take_out", "`miniasgi move` carries it to a broker", True),
    Move("held", GONE, "delete_owned", "the broker has it", True),
    Move("held", "ready", "give_back_moved", "the mover was killed: it waits as before", True),
    Move("held", "scheduled", "give_back_moved", "the mover was killed: it waits as before", True),
    *(Move(state, GONE, "delete", "its time to be kept is over, or `purge`") for state in ENDED),
    *(Move(state, GONE, "delete", "`purge --state`", True) for state in ("ready", "scheduled")),
    *(Move(state, GONE, "forget", "`AsyncResult.forget`", True) for state in ENDED),
)

MEANING = {
    "scheduled": "It waits for its time.",
    "ready": "It waits for a worker.",
    "held": "A response has promised it, and the process of that response owns it.",
    "running": "Its process owns it: its code runs, or that died and no worker has looked since.",
    "success": "Its function returned, and the result is kept.",
    "failure": "It raised and no retry is left, or the processes that ran it died.",
    "revoked": "It shall not run, and does not.",
}

# Where a box stands: its middle. What has ended stands in one frame, so that one arrow is enough
# for what may end in each of the three ways.
_AT = {
    NEW: (24, 170), "scheduled": (230, 60), "ready": (230, 170), "held": (230, 290),
    "running": (500, 170), "success": (770, 80), "failure": (770, 170), "revoked": (770, 260),
}  # fmt: skip
_WIDE, _HIGH = 116, 40
_FRAME = (694, 34, 152, 280)
_END = "ended"
_STYLE = """
.st{--ink:#1b1f24;--dim:#59636e;--paper:#fff;font:13px system-ui,sans-serif;max-width:100%;
height:auto}
@media(prefers-color-scheme:dark){.st{--ink:#f0f3f6;--dim:#9ea7b3;--paper:#15191f}}
.st text{fill:var(--ink)}.st .st-why{fill:var(--dim);font-size:12px;paint-order:stroke;
stroke:var(--paper);stroke-width:4px}.st rect,.st circle{stroke:var(--ink);fill:var(--paper)}
.st .st-ended{stroke:var(--dim);stroke-dasharray:4 4}.st path{stroke:var(--dim);fill:none}
.st marker path{fill:var(--dim)}.st .st-paper{stroke:none}
"""


def arrows(moves: Iterable[Move] = MOVES) -> dict[tuple[str, str], list[str]]:
    """What leads from box to box by itself, with the functions that do it.

    Three arrows to three ways to end by one function are one.
    """
    led: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        if not (move.is_asked or move.after == GONE):
            after = _END if move.after in ENDED else move.after
            functions = led.setdefault((move.before, after), [])
            if move.function not in functions:
                functions.append(move.function)
    return led


def picture() -> str:
    """An SVG of the moves that nobody asks for."""
    x, y, wide, high = _FRAME
    parts = [
        f'<rect class="st-ended" x="{x}" y="{y}" width="{wide}" height="{high}" rx="8"/>',
        '<circle cx="24" cy="170" r="6"/>',
    ]
    parts += [part for ends, why in arrows().items() for part in _arrow(*ends, ", ".join(why))]
    for state, (x, y) in _AT.items():
        if state:
            box = f'x="{x - _WIDE / 2}" y="{y - _HIGH / 2}" width="{_WIDE}" height="{_HIGH}"'
            parts.append(f'<rect {box} rx="6"/>{_text(x, y + 5, state)}')
    told = "; ".join(
        f"{before or 'new'} to {after} by {', '.join(why)}"
        for (before, after), why in arrows().items()
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 336" width="860" height="336"'
        ' class="st" role="img"><title>The states of a job</title>'
        f"<desc>{escape(told)}.</desc><style>{_STYLE}</style>"
        '<defs><marker id="st-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        '<rect class="st-paper" width="100%" height="100%" rx="6"/>' + "".join(parts) + "</svg>\n"
    )


def _arrow(before: str, after: str, why: str) -> Iterator[str]:
    """One arrow and its words. Two boxes with arrows both ways have them side by side."""
    x1, y1 = _AT[before]
    x2, y2 = _AT.get(after, (_FRAME[0] + _WIDE / 2, y1))
    if x1 == x2:
        yield from _upright(x1, y1, y2, why)
        return
    way = 1 if x2 > x1 else -1
    start, end = x1 + way * (_WIDE / 2 if before else 8), x2 - way * _WIDE / 2
    if before and y1 != y2:  # aslant: at the box on the right it meets the upper or lower edge
        start, y1 = (start, y1) if way > 0 else (x1, y1 - _HIGH / 2)
        end, y2 = (x2, y2 + _HIGH / 2) if way > 0 else (end, y2)
    elif (after, before) in arrows():
        y1, y2 = y1 - 11 * way, y2 - 11 * way
    below = 17 if way < 0 and y1 == y2 else -6
    yield _path(f"M{start} {y1}L{end} {y2}")
    yield _text((start + end) / 2, (y1 + y2) / 2 + below, why, "st-why")


def _upright(x: float, y1: float, y2: float, why: str) -> Iterator[str]:
    """To the box above or below; to one further away round the box between."""
    down = 1 if y2 > y1 else -1
    if abs(y2 - y1) < 150:
        yield _path(f"M{x} {y1 + down * _HIGH / 2}V{y2 - down * _HIGH / 2}")
        yield _text(x + 8, (y1 + y2) / 2 + 4, why, "st-why", "start")
        return
    edge = x - _WIDE / 2
    yield _path(f"M{edge} {y1 - 9}C{edge - 36} {y1} {edge - 36} {y2} {edge} {y2 + 9}")
    yield _text(edge - 34, (y1 + y2) / 2 - 50, why, "st-why")


def _path(drawn: str) -> str:
    return f'<path d="{drawn}" marker-end="url(#st-tip)"/>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def page(made: str) -> str:
    """The page of the reference."""
    store = "../miniasgi/queue/store.py"
    parts = [
        "# The states of a job\n\n"
        "A job is a row of the queue's file, and its state is a column of that row. "
        f"[`docs/states.py`](states.py) has the moves as a table; the picture and this page are "
        f"drawn from it, and a test moves jobs about, records each change with a trigger in "
        f"SQLite, and compares. {made}\n\n"
        f"![From scheduled, ready and held through running to an end](pictures/states.svg)\n\n"
        "An arrow is a change that comes by itself, with the function of the store that makes it. "
        "The dashed frame is the end of a job: an arrow to the frame may end in each of the three. "
        "What people ask for (to revoke, to retry, to purge, to move) stands in the table only.\n\n"
        "| state | meaning |\n|---|---|\n",
        *(f"| {state} | {meaning} |\n" for state, meaning in MEANING.items()),
        "\n## Every move\n\n| from | to | by | when |\n|---|---|---|---|\n",
        *(
            f"| {move.before or '(new)'} | {move.after} | "
            f"[`{move.function}`]({store}#{move.function}) | {move.when} |\n"
            for move in MOVES
        ),
        "\nA caller sees Celery's words: [`state_of`](../miniasgi/queue/results.py#state_of) says"
        " PENDING for what waits, RETRY for what waits after a failure, STARTED for what runs,"
        " and UNKNOWN for an id that has no row.\n",
    ]
    return "".join(parts)

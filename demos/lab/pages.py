"""What stands on the pages: scenarios in order, results, the table, what was seen."""

import re
import time
from functools import cache
from typing import Any

from markupsafe import Markup, escape

from demos.card import Source
from demos.chapter.ledger import VERDICTS, Claim, claims, counts
from demos.lab import example, pictures
from demos.lab.runs import Run
from demos.lab.shelf import Entry, Shelf
from demos.scenario import FRAMEWORKS, NAMES, Scenario, all_names, chapter_names, load
from demos.servers import ROOT
from miniasgi import HTTPException

#: The first number of each group of scenarios.
GROUPS = (
    (1, "After the answer"),
    (3, "Threads and the loop"),
    (7, "When a task fails"),
    (9, "On the wire"),
    (13, "Around the endpoint"),
    (18, "Stopping"),
    (21, "Testing"),
    (22, "Work that must not be lost"),
    (31, "With Celery"),
)
SAMPLES = "The tutorial's samples"  #: the group of those in `demos.chapter`
#: Words of titles that file names cannot spell.
_SPELLED = {
    "fin": "FIN",
    "sigterm": "SIGTERM:",
    "celery": "Celery",
    "url": "URL",
    "half way": "half-way",
    "keep alive": "keep-alive",
    "mid work": "mid-work",
    "middlewares": "middleware's",
    "promise send run": "promise, send, run",
}
CRASHES = ("s23_killed_before_work", "s24_killed_in_mid_work")
_STEPS = {
    "said": "recording",
    "starting": "starting servers",
    "stopping": "stopping servers",
    "kept": "recording kept",
}


def words(text: str) -> Markup:
    """Text with `code` in it, as HTML."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def sentence(text: str) -> str:
    """With a capital letter; what begins with code stays as it is."""
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def titled(scenario: Scenario) -> str:
    title = scenario.title
    for plain, spelled in _SPELLED.items():
        title = re.sub(rf"\b{plain}\b", spelled, title)
    return sentence(title)


def seconds(passed: float) -> str:
    return f"{passed:.3f} s"


def when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


@cache
def scenarios() -> tuple[Scenario, ...]:
    """All of them, in teaching order, and at the end the tutorial's samples."""
    numbered = sorted(map(load, all_names()), key=lambda scenario: scenario.order)
    return (*numbered, *map(load, chapter_names()))


def is_sample(scenario: Scenario) -> bool:
    return scenario.number.startswith("c")


def find(name: str) -> Scenario:
    for scenario in scenarios():
        if scenario.name == name:
            return scenario
    raise HTTPException(404, "There is no such scenario.")


def groups() -> list[tuple[str, list[Scenario]]]:
    found: dict[str, list[Scenario]] = {title: [] for _, title in (*GROUPS, (0, SAMPLES))}
    for scenario in scenarios():
        group = [title for first, title in GROUPS if first <= scenario.order][-1:]
        found[SAMPLES if is_sample(scenario) else group[0]].append(scenario)
    return [(title, members) for title, members in found.items() if members]


def about(scenario: Scenario) -> dict[str, Any]:
    """A scenario before any run: its sources, its neighbours, what the tutorial says of it."""
    every = scenarios()
    at = every.index(scenario)
    return {
        "scenario": scenario,
        "place": at + 1,
        "count": len(every),
        "before": every[at - 1] if at else None,
        "after": every[at + 1] if at + 1 < len(every) else None,
        "chapters": chapters(scenario),
        "claims": [claim for claim in claims() if scenario.name in claim.proof],
        "sources": [
            (NAMES[name], [(source, Markup(pictures.code(source))) for source in found])
            for name in scenario.applications(FRAMEWORKS)
            if (found := scenario.sources(name))
        ],
        "decisive": decisive(scenario),
        "runs": [],
        "guess": None,
        "base": NAMES[base(scenario)],
        "played": played(scenario),
        "absent": [
            (NAMES[name], reason(scenario, name))
            for name in scenario.applications(FRAMEWORKS)
            if scenario.is_absent(name)
        ],
        "said": {},
    }


def decisive(scenario: Scenario) -> list[tuple[str, Source, Markup]]:
    """The code of the frameworks, each function once, with the first that it decides for."""
    found: dict[str, tuple[str, Source, Markup]] = {}
    for name in scenario.applications(FRAMEWORKS):
        for source in scenario.decisive(name):
            found.setdefault(source.name, (NAMES[name], source, Markup(pictures.code(source))))
    return list(found.values())


def chapters(scenario: Scenario) -> list[tuple[str, str]]:
    """Titles and pages of the book's chapters that name it."""
    found = []
    for path in sorted((ROOT / "docs" / "chapters").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if re.search(rf"\b{scenario.number}(\b|_)", text):
            found.append((text.partition("\n")[0].lstrip("# "), f"{path.stem}.html"))
    return found


def base(scenario: Scenario) -> str:
    """Whom the reader is asked about: whom others are compared with, if that can be run here."""
    return "miniasgi" if scenario.is_absent(scenario.base) else scenario.base


def played(scenario: Scenario) -> list[str]:
    """The applications that are run."""
    return [name for name in scenario.applications(FRAMEWORKS) if not scenario.is_absent(name)]


def reason(scenario: Scenario, name: str) -> str:
    """Why this application is not run."""
    return scenario.expected(name).partition(": ")[2]


def result(scenario: Scenario, entry: Entry | None) -> dict[str, Any]:
    """What a run showed: pictures, outcomes, and whether the guess was right."""
    if entry is None:
        return {"entry": None}
    drawn = timelines(scenario, entry)
    more = {"guess": guessed(scenario, entry), "said": entry.get("said", {})}
    return {"entry": entry, "runs": drawn, **more}


def timelines(scenario: Scenario, entry: Entry) -> list[dict[str, Any]]:
    found = []
    for run, drawn in zip(
        entry["runs"], pictures.timelines(entry["runs"], scenario.question), strict=True
    ):
        picture = {size: Markup(svg) for size, svg in drawn.items()}
        details = scenario.details(pictures.recording(run)) if drawn and run["is_expected"] else []
        found.append({**run, "picture": picture, "details": details})
    return found


def guessed(scenario: Scenario, entry: Entry) -> dict[str, Any] | None:
    """The reader's answer, and the right one, by what was seen on whom was asked about."""
    answers, number = scenario.card.answers, entry["guess"]
    if number is None or not 0 <= number < len(answers):
        return None
    outcomes = {run["framework"]: run["outcome"] for run in entry["runs"]}
    outcome = outcomes.get(base(scenario), "")
    right = [answer.words for answer in answers if answer.is_right(outcome)]
    is_right = answers[number].is_right(outcome)
    return {"words": answers[number].words, "is_right": is_right, "right": right}


def seen(cookie: str) -> dict[str, str]:
    """Scenarios that the reader has seen, with + or - for a guess."""
    known = {scenario.number for scenario in scenarios()}
    parts = re.findall(r"([sc]\d+)([+-]?)", cookie)
    return {number: sign for number, sign in parts if number in known}


def with_seen(cookie: str, scenario: Scenario, entry: Entry) -> str:
    found = seen(cookie)
    guess = guessed(scenario, entry)
    if guess:
        found[scenario.number] = "+" if guess["is_right"] else "-"
    found.setdefault(scenario.number, "")
    return ".".join(f"{number}{sign}" for number, sign in found.items())


def hero(shelf: Shelf) -> dict[str, Any] | None:
    """The newest recording of the first scenario, else the example: nothing is drawn by hand."""
    first = scenarios()[0]
    head = shelf.latest().get(first.name)
    entry = (shelf.get(head["id"]) if head else None) or example.read()
    if entry is None:
        return None
    runs = [run for run in timelines(first, entry) if run["framework"] == "starlette"]
    return {"entry": entry, "run": runs[0], "is_example": head is None}


def table(shelf: Shelf) -> list[dict[str, Any]]:
    """A row for each scenario, from the newest recordings."""
    latest = shelf.latest()
    rows = []
    for scenario in scenarios():
        head = latest.get(scenario.name)
        by_name = {run["framework"]: run for run in head["runs"]} if head else {}
        rows.append({"scenario": scenario, "head": head, "runs": by_name})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How miniasgi did, and the version of each framework if all rows have the same."""
    ours = [row["runs"]["miniasgi"]["than_starlette"] for row in rows if "miniasgi" in row["runs"]]
    counts = {word: ours.count(word) for word in ("better", "same", "worse")}
    counts["not run yet"] = len(rows) - len(ours)
    versions: dict[str, str] = {}
    for name in FRAMEWORKS:
        found = {row["head"]["versions"].get(name, "") for row in rows if row["head"]}
        versions[name] = found.pop() if len(found) == 1 else ""
    return {"counts": counts, "versions": versions}


def ledger(found: list[Claim]) -> dict[str, Any]:
    known = {scenario.name: scenario for scenario in scenarios()}
    return {"claims": found, "known": known, "counts": counts(), "verdicts": VERDICTS}


def crashes(shelf: Shelf) -> list[dict[str, Any]]:
    latest = shelf.latest()
    found = []
    for name in CRASHES:
        head = latest.get(name)
        entry = shelf.get(head["id"]) if head else None
        scenario = find(name)
        more = {"said": entry.get("said", {}) if entry else {}, "played": played(scenario)}
        found.append({"scenario": scenario, "head": head, **more})
    return found


def step_words(step: dict[str, Any], run: Run) -> dict[str, Any]:
    """A step for people, and how far the whole run is."""
    what = _STEPS.get(step["what"], step["what"])
    framework = NAMES.get(step.get("framework", ""), "")
    told = {"words": f"{step['name'].partition('_')[0]}: {what} {framework}".strip()}
    here = run.names.index(step["name"])
    share = step["done"] / step["of"] if "of" in step else 1.0
    told |= {"share": (here + share) / len(run.names)}
    if "said" in step:
        mine = (one for one in run.steps if "said" in one and one["name"] == step["name"])
        first = next(one["at"] for one in mine if one["framework"] == step["framework"])
        told |= {"framework": step["framework"], "said": step["said"]}
        told |= {"at": seconds(step["at"] - first)}
    return told

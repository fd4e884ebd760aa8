"""The tutorial's decision tree, as questions, mended by what was measured.

The tutorial asks for less than five seconds, and ends at ``asyncio.create_task``. No such limit was
found, and create_task is weaker than a background task in every way that was tried.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    words: str
    why: str
    claims: tuple[str, ...]  #: of the ledger
    yes: "Question | Advice"
    no: "Question | Advice"


@dataclass(frozen=True)
class Advice:
    words: str
    why: str


MANY = Advice(
    "A queue over several machines: Celery, set up to be safe",
    "Acknowledge late, give back what a dead worker held, let Redis write every change down: by "
    "default a kill -9 loses the job. It runs at least once, so make it safe to repeat.",
)
ONE = Advice(
    "A queue in a file of this machine: miniasgi.queue",
    "The job is on disk before the answer leaves, and another process finds it after kill -9. It "
    "runs at least once, so make it safe to repeat.",
)
THREAD = Advice(
    "A BackgroundTask, as a plain def",
    "It runs in a thread and blocks nobody, as long as few run at once: forty threads are shared "
    "with every plain endpoint, except on miniasgi.",
)
LOOP = Advice(
    "A BackgroundTask, as an async def",
    "It waits without blocking. Not asyncio.create_task: a stop does not wait for that one, nobody "
    "hears of its errors, and it may be collected in mid-work.",
)
MACHINES = Question(
    "Must the work be spread over several machines?",
    "A file has one machine. Redis can have many, if it is set up to keep what it was given.",
    ("L46", "L47", "L58"),
    MANY,
    ONE,
)
BLOCKS = Question(
    "Does it block: files, a plain database driver, sums?",
    "An async def that blocks freezes every other request. The tutorial advises the opposite.",
    ("L39", "L41"),
    THREAD,
    LOOP,
)
STOP = Question(
    "May it take longer than your server waits at a stop?",
    "The tutorial says: under five seconds. There is no such limit in the code: what counts is how "
    "long a stop waits, and how much may be lost then.",
    ("L59", "L60"),
    MACHINES,
    BLOCKS,
)
AGAIN = Question(
    "Must it be tried again, start later, or tell its state?",
    "A background task runs once, in the order of adding, and its result is dropped.",
    ("L48", "L52", "L54"),
    MACHINES,
    STOP,
)
FIRST = Question(
    "Must the work survive a restart or a crash?",
    "A background task lives in its process and dies with it. A stop waits for it.",
    ("L45", "L58"),
    MACHINES,
    AGAIN,
)


def walk(answers: str) -> tuple[list[tuple[Question, str]], Question | Advice]:
    """What was answered, ``y`` or ``n`` a letter, and where that leads."""
    at: Question | Advice = FIRST
    path = []
    for letter in answers:
        if not isinstance(at, Question) or letter not in "yn":
            break
        path.append((at, letter))
        at = at.yes if letter == "y" else at.no
    return path, at

"""``python -m demos.lab.example``: record the picture that a fresh home page shows, anew.

It is kept beside this file, with when, where and with which versions it was recorded: an entry as
the shelf has them. A lab that has recorded the first scenario itself shows that.
"""

import json
import platform
import sys
import time
from pathlib import Path

from demos.lab.shelf import Entry
from demos.runner import run
from demos.scenario import all_names, load

FILE = Path(__file__).parent / "example.json"


def read() -> Entry | None:
    try:
        entry: Entry = json.loads(FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return entry


def main() -> int:
    result = run(load(all_names()[0]))
    if not result.is_expected:
        print("example: it did not go as expected; nothing is written", file=sys.stderr)
        return 1
    more = {"id": "example", "recorded_at": time.time(), "guess": None, "is_kept": True}
    system = f"{platform.system()} on {platform.machine()}"
    entry = {**more, "system": system, **result.as_data()}
    FILE.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

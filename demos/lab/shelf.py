"""Where recordings are kept: one JSON file for each run of a scenario, in one folder.

An entry is what `Result.as_data` gives, with an ``id``, ``recorded_at`` (Unix seconds), a
``guess`` (the number of an answer, or None) and ``is_kept``. Only the newest `MOST` stay, besides
those that somebody keeps.

Rules of this file: a file is whole or not there; what cannot be read is not on the shelf.
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

logger = logging.getLogger("demos.lab")

Entry = dict[str, Any]

MOST = 100  #: entries that stay without being kept
_ID = re.compile(r"[0-9a-z-]{8,64}(\.[a-z0-9_]+)?")


class Shelf:
    """The entries of one folder: heads are in memory, moments on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._heads: dict[str, Entry] = {}  # by id, the oldest first
        folder.mkdir(parents=True, exist_ok=True)
        found = [entry for path in folder.glob("*.json") if (entry := _read(path))]
        for entry in sorted(found, key=lambda entry: float(entry["recorded_at"])):
            self._heads[entry["id"]] = _head(entry)

    def put(self, entry: Entry) -> None:
        """Write an entry, new or changed, and let go of the oldest that nobody keeps."""
        path = self._path(entry["id"])
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(entry), encoding="utf-8")
        beside.replace(path)
        self._heads[entry["id"]] = _head(entry)
        loose = [id for id, head in self._heads.items() if not head["is_kept"]]
        for id in loose[: max(0, len(loose) - MOST)]:
            self.remove(id)

    def remove(self, id: str) -> None:
        self._heads.pop(id, None)
        self._path(id).unlink(missing_ok=True)

    def get(self, id: str) -> Entry | None:
        """The whole entry."""
        return _read(self._path(id)) if id in self._heads else None

    def keep(self, id: str, is_kept: bool) -> bool:
        """Keep it, or let it go with the others. False if there is none."""
        entry = self.get(id)
        if entry is not None:
            self.put({**entry, "is_kept": is_kept})
        return entry is not None

    def heads(self) -> list[Entry]:
        """All entries without their moments, the newest first."""
        return list(reversed(self._heads.values()))

    def latest(self) -> dict[str, Entry]:
        """The newest entry of each scenario, without its moments."""
        return {head["name"]: head for head in self._heads.values()}

    def _path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise ValueError(f"{id!r} is no id of a recording")
        return self.folder / f"{id}.json"


def _read(path: Path) -> Entry | None:
    try:
        entry: Entry = json.loads(path.read_text(encoding="utf-8"))
        _head(entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        logger.warning("%s is not a recording of the lab: %r", path.name, exc)
        return None
    return entry


def _head(entry: Entry) -> Entry:
    runs = [{key: run[key] for key in run if key != "moments"} for run in entry["runs"]]
    wanted = ("id", "name", "recorded_at", "guess", "is_kept", "versions")
    return {**{key: entry[key] for key in wanted}, "runs": runs}

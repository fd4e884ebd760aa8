"""The ledger: the tutorial's claims, restated, each with its verdict and what proves it.

``ledger.json`` is the data, and ``ledger.zh.json`` its sentences in Chinese: the pages in the docs
(`demos.chapter.ledger_page`), and whatever shows the ledger elsewhere, are made from them. A proof
is a scenario's name or a test's node id, and is run by the tests; a claim without one says why.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
#: What a verdict means.
VERDICTS = {
    "true": "true as it stands",
    "false": "not so",
    "conditional": "true only with the condition that is named",
    "version": "depends on the version",
    "opinion": "an opinion or a rule of thumb: nothing that could be measured",
}


@dataclass(frozen=True)
class Claim:
    """One claim: ``place`` is the tutorial's section, ``seen`` what happened when it was tried."""

    id: str
    place: str
    claim: str
    verdict: str
    seen: str
    proof: list[str]
    reason: str  #: why there is no proof; empty if there is one


def claims() -> list[Claim]:
    """All of them, in the order of the tutorial."""
    return [Claim(**claim) for claim in json.loads((HERE / "ledger.json").read_text("utf-8"))]


def claims_in_chinese() -> list[Claim]:
    """The same, their sentences in Chinese."""
    chinese = json.loads((HERE / "ledger.zh.json").read_text("utf-8"))
    return [replace(claim, **chinese[claim.id]) for claim in claims()]


def counts() -> dict[str, int]:
    """How many claims have each verdict, in the order of `VERDICTS`."""
    found = Counter(claim.verdict for claim in claims())
    return {verdict: found[verdict] for verdict in VERDICTS}


def unproved() -> list[str]:
    """The ids of the claims that have no proof."""
    return [claim.id for claim in claims() if not claim.proof]

"""The ledger: the tutorial's claims, restated, each with its verdict and what proves it.

``ledger.json`` is the data: the page in the docs, and whatever shows the ledger elsewhere, is made
from it. ``python -m demos.chapter.ledger`` prints it and writes the page. A proof is a scenario's
name or a test's node id, and is run by the tests; a claim without one says why.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from demos.scenario import chapter_names

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "ledger.md"
#: What a verdict means.
VERDICTS = {
    "true": "true as it stands",
    "false": "not so",
    "conditional": "true only with the condition that is named",
    "version": "depends on the version",
    "opinion": "an opinion or a rule of thumb: nothing that could be measured",
}
HEAD = """# The ledger

The tutorial that this project grew from makes {count} claims about what happens after the response.
Here they are in our words, with what was seen when they were tried. This page is made from
[`demos/chapter/ledger.json`](../demos/chapter/ledger.json) by `python -m demos.chapter.ledger`.
A proof is a scenario of the lab (`make demo`) or a test; where there is none, the reason stands in
its place.

"""


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
    return [Claim(**claim) for claim in json.loads((HERE / "ledger.json").read_text())]


def counts() -> str:
    """``21 true, 23 false, ...``, in the order of `VERDICTS`."""
    found = Counter(claim.verdict for claim in claims())
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS)


def proved() -> str:
    """How many have a proof, and which have none."""
    without = [claim.id for claim in claims() if not claim.proof]
    number = len(claims()) - len(without)
    return f"{number} of {len(claims())} are proved" + (
        f"; without a proof: {', '.join(without)}" if without else ""
    )


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD.format(count=len(claims()))]
    lines += [f"- *{verdict}*: {meaning}\n" for verdict, meaning in VERDICTS.items()]
    lines.append(f"\nIn numbers: {counts()}. {proved()}.\n")
    place = ""
    for claim in claims():
        if claim.place != place:
            place = claim.place
            lines.append(f"\n## {place[:1].upper()}{place[1:]}\n")
        proof = ", ".join(map(_linked, claim.proof)) or f"no proof: {claim.reason}"
        lines.append(f"\n**{claim.id}** {claim.claim} *{claim.verdict.capitalize()}.* {claim.seen}")
        lines.append(f"\n({proof})\n")
    return "".join(lines)


def _linked(proof: str) -> str:
    file, _, test = proof.partition("::")
    if not test:
        folder = "chapter/" if proof in chapter_names() else ""
        return f"[`{proof}`](../demos/{folder}{proof}.py)"
    return f"[`{test}`](../{file})"


def main() -> None:
    for claim in claims():
        print(f"{claim.id} {claim.verdict:12} {claim.claim}\n{'':17}{claim.seen}\n")
    print(f"{counts()}. {proved()}.")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()

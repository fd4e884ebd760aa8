"""The ledger as a page, in English and in Chinese: ``python -m demos.chapter.ledger_page``.

Writes ``docs/ledger.md`` and ``docs/zh/ledger.md``, and prints the first. Both are made from the
same verdicts and proofs; a test holds that they are what is committed.
"""

# ruff: noqa: RUF001 (the punctuation of Chinese is meant)

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demos.chapter.ledger import VERDICTS, Claim, claims, claims_in_chinese, counts, unproved
from demos.scenario import chapter_names

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Language:
    """The words of one page; ``verdicts`` are names, ``meanings`` what they mean."""

    page: str
    head: str
    verdicts: Mapping[str, str]
    meanings: Mapping[str, str]
    numbers: str
    count: str
    comma: str
    places: Mapping[str, str]
    no_proof: str

    def claims(self) -> list[Claim]:
        return claims_in_chinese() if self is CHINESE else claims()


ENGLISH = Language(
    page="docs/ledger.md",
    head="""# The ledger

The tutorial that this project grew from makes {count} claims about what happens after the response.
Here they are in our words, with what was seen when they were tried. This page is made from
[`demos/chapter/ledger.json`]({root}demos/chapter/ledger.json)
by `python -m demos.chapter.ledger_page`. A proof is a scenario of the lab (`make demo`) or a test;
where there is none, the reason stands in its place.
""",
    verdicts={verdict: verdict for verdict in VERDICTS},
    meanings=VERDICTS,
    numbers="In numbers: {counts}. {proved} of {count} are proved; without a proof: {unproved}.",
    count="{number} {verdict}",
    comma=", ",
    places={},
    no_proof="no proof: ",
)
CHINESE = Language(
    page="docs/zh/ledger.md",
    head="""# 账本

这个项目起源于一篇教程，它对“响应之后发生什么”作了 {count} 条断言。下面用我们自己的话逐条列出，\
并写明实际尝试时看到了什么。本页由 \
[`demos/chapter/ledger.json`]({root}demos/chapter/ledger.json) \
经 `python -m demos.chapter.ledger_page` 生成。\
每条证明是实验室里的一个场景（`make demo`）或一个测试；没有证明的，写明理由。
""",
    verdicts={
        "true": "正确",
        "false": "错误",
        "conditional": "有条件",
        "version": "看版本",
        "opinion": "看法",
    },
    meanings={
        "true": "原样成立",
        "false": "并非如此",
        "conditional": "只在写明的条件下成立",
        "version": "取决于版本",
        "opinion": "看法或经验法则：没有可以测量的东西",
    },
    numbers="统计：{counts}。{count} 条中 {proved} 条有证明；没有证明的：{unproved}。",
    count="{verdict} {number}",
    comma="，",
    places={
        "title": "标题",
        "4.1, the diagram": "4.1 流程图",
        "4.1, the sketch": "4.1 源码示意",
        "4.1, the tick": "4.1 事件循环的 tick",
        "4.2, the tree": "4.2 决策树",
    },
    no_proof="没有证明：",
)


def page(language: Language) -> str:
    """The page, in Markdown."""
    root = "../" * language.page.count("/")
    lines = [language.head.format(count=len(claims()), root=root), "\n"]
    lines += [f"- *{language.verdicts[one]}*: {language.meanings[one]}\n" for one in VERDICTS]
    lines.append(f"\n{_in_numbers(language)}\n")
    place = ""
    for claim in language.claims():
        if claim.place != place:
            place = claim.place
            name = language.places.get(place, place)
            lines.append(f"\n## {name[:1].upper()}{name[1:]}\n")
        verdict = language.verdicts[claim.verdict].capitalize()
        stop = "。" if language is CHINESE else "."
        lines.append(f"\n**{claim.id}** {claim.claim} *{verdict}{stop}* {claim.seen}")
        proof = language.comma.join(_linked(one, root) for one in claim.proof)
        lines.append(f"\n({proof or language.no_proof + claim.reason})\n")
    return "".join(lines)


def _in_numbers(language: Language) -> str:
    counted = language.comma.join(
        language.count.format(number=number, verdict=language.verdicts[verdict])
        for verdict, number in counts().items()
    )
    return language.numbers.format(
        counts=counted,
        count=len(claims()),
        proved=len(claims()) - len(unproved()),
        unproved=language.comma.join(unproved()),
    )


def _linked(proof: str, root: str) -> str:
    file, _, test = proof.partition("::")
    if not test:
        folder = "chapter/" if proof in chapter_names() else ""
        return f"[`{proof}`]({root}demos/{folder}{proof}.py)"
    return f"[`{test}`]({root}{file})"


def main() -> None:
    for language in (ENGLISH, CHINESE):
        path = ROOT / language.page
        path.parent.mkdir(exist_ok=True)
        path.write_text(page(language), "utf-8")
    print(page(ENGLISH))


if __name__ == "__main__":
    main()

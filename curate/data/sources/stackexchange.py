"""Stack Exchange dumps to instruction rows by LIMA's recipe (arXiv 2305.11206, section 2.1).

Where the paper is silent or pulls two ways, this is what we do:

- The top answer is the one of highest score, and of these the oldest (lowest id). The floor of +10 is the answer's;
  questions are only ranked by theirs.
- 1,200 to 4,096 characters are those of the answer's HTML, before anything is cleaned: of LIMA's own 400 answers 45 are
  shorter once clean.
- First person and references are looked for in the answer alone, without code, quotations, URLs and LaTeX.
- "Self-contained in the title (no body)", and yet the body is the prompt half of the time: here every title has to
  stand by itself (`stands_alone`), and the body, if it is drawn, replaces the title. A seeded hash of the id draws.
- An exchange is weighted by the rows it has left after all rules, to the power 1/tau.

A dump is read three times, so that nothing of it has to be kept: for the top answers, for the rules, and for the texts
of the few posts that the quota took. Held are 26 bytes for each question with a good answer, and while they are sorted
four times as much. Every post is counted once, under the first rule that dropped it.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from curate.config import option, parse_positive, parse_seed, parse_share, parse_whole
from curate.data import quota
from curate.data.lexicon import EN_FIRST, EN_REF, prose
from curate.data.sources import Extract, Output, build_extract, draw, message_row
from curate.data.sources._files import Dump, find
from curate.data.sources._html import markdown, own_words
from curate.data.sources._posts import ANSWER, QUESTION, Post, read_posts
from curate.data.sources._sites import GROUPS, answer_url, load_groups, site_of
from curate.errors import UsageError
from curate.report.progress import Stages

# What became of a question or an answer: its place here is its code.
_UNSEEN, _FINE = 0, 1
_VERDICTS = (
    "unseen", "fine", "unreadable", "title.not_self_contained", "answer.too_short", "answer.too_long",
    "answer.first_person", "answer.references", "answer.empty",
)  # fmt: skip
_NUMBERS, _VERDICTS_OF = ("question", "answer", "score"), ("question_verdict", "answer_verdict")


@dataclass(frozen=True)
class Config(Output):
    """Questions and top answers of Stack Exchange.

    DUMP is a Posts.xml (plain, .gz or .zst; unpack a .7z first: 7z x FILE), or a directory with such files below it.
    The site is --site, or the name of the file (physics_Posts.xml) or of its folder.

    \b
    curate source stackexchange physics/Posts.xml cooking/Posts.xml --out se.jsonl
    curate source stackexchange dumps/ --stem 200 --other 200 --tau 3 --out se.jsonl
    curate source stackexchange Posts.xml --site physics --min-score 5 --json
    """

    site: str | None = option("the site, where there is one dump and its name does not tell", metavar="NAME")
    sites: str | None = option("table of STEM and other sites of your own", metavar="FILE.toml")
    stem: int = option("rows from STEM sites", default=200, parse=parse_seed, metavar="K")
    other: int = option("rows from other sites", default=200, parse=parse_seed, metavar="K")
    tau: float = option("a site's share of its group is rows^(1/tau)", default=3.0, parse=parse_positive, metavar="T")
    min_score: int = option("least score of an answer", default=10, parse=parse_seed, metavar="N")
    min_chars: int = option("least characters of an answer's HTML", default=1200, parse=parse_seed, metavar="N")
    max_chars: int = option("most characters of an answer's HTML", default=4096, parse=parse_whole, metavar="N")
    title_share: Decimal = option("share of prompts that are the title; the others are the body of the question",
                                  default=Decimal("0.5"), parse=parse_share, metavar="F")  # fmt: skip


@dataclass
class _Site:
    """A dump, and its questions with a good answer: ids, scores and verdicts, position by position."""

    name: str
    group: str
    dump: Dump
    counts: Counter[str] = field(default_factory=Counter)
    question: array[int] = field(default_factory=lambda: array("q"))  # ascending
    answer: array[int] = field(default_factory=lambda: array("q"))
    score: array[int] = field(default_factory=lambda: array("q"))  # of the question
    question_verdict: bytearray = field(default_factory=bytearray)
    answer_verdict: bytearray = field(default_factory=bytearray)

    def posts(self, stages: Stages) -> Iterator[Post | None]:
        """Read the dump from its beginning."""
        return read_posts(self.dump.lines(stages.advance))

    def once(self, what: str, stages: Stages, read: Callable[[], None]) -> None:
        """Let `read` fill the site in one pass over the dump, unless an interrupted run did."""

        def filled() -> dict[str, Any]:
            read()
            arrays = {name: getattr(self, name).tobytes() for name in _NUMBERS}
            verdicts = {name: getattr(self, name) for name in _VERDICTS_OF}
            return {"counts": self.counts, **arrays, **verdicts, "about": self.dump.about, "fault": self.dump.fault}

        piece = stages.kept.once(f"{what}/{self.name}", filled)
        self.counts = Counter(piece["counts"])
        for name in _NUMBERS:
            setattr(self, name, array("q", piece[name]))
        for name in _VERDICTS_OF:
            setattr(self, name, bytearray(piece[name]))
        self.dump.about, self.dump.fault = piece["about"], piece["fault"]

    def place(self, question: int) -> int | None:
        """Return the position of a question, if it has a good answer."""
        at = bisect_left(self.question, question)
        return at if at < len(self.question) and self.question[at] == question else None


def extract(inputs: list[str], config: Config, stages: Stages) -> Extract:
    """Choose rows from dumps. Raises UsageError where a site is not known or stands there twice, or files are not."""
    sites, notes = _sites(inputs, config)
    for site in sites:
        with stages("top answers"):
            site.once("top answers", stages, partial(_find_top_answers, site, config.min_score, stages))
        with stages("rules"):
            site.once("rules", stages, partial(_judge, site, config, stages))
        notes += site.dump.notes()
    chosen, groups = _share_out(sites, config)
    rows = []
    for site in sites:
        with stages("texts"):
            fetched = partial(_fetch, site, chosen[site.name], config, stages)
            rows += stages.kept.once(f"texts/{site.name}", fetched)
    counts = sum((site.counts for site in sites), Counter[str]())
    return build_extract(
        "stackexchange", config, rows, unit="posts", read=counts.pop("read", 0), dropped=counts, used=2 * len(rows),
        groups=groups, sources=[site.dump.about | {"site": site.name} for site in sites], notes=notes,
    )  # fmt: skip


def _sites(inputs: list[str], config: Config) -> tuple[list[_Site], list[str]]:
    files = find(inputs, "*Posts.xml", "*Posts.xml.gz", "*Posts.xml.zst")
    if config.site and len(files) > 1:
        raise UsageError(
            f"--site {config.site}: there are {len(files)} dumps", "Let their folders be named after sites."
        )
    groups = load_groups(config.sites)
    named: dict[str, Path] = {}
    for file in files:
        name = config.site or site_of(file)
        if name in named:
            raise UsageError(f"{named[name]} and {file} are both of the site {name}", "Give one dump of a site.")
        named[name] = file
    strangers = sorted(name for name in named if name not in groups)
    notes = [f"in neither list of sites, counted as other: {', '.join(strangers)}"] if strangers else []
    sites = [_Site(name, groups.get(name, "other"), Dump(file, config.max_expand)) for name, file in named.items()]
    return sorted(sites, key=lambda site: (GROUPS.index(site.group), site.name)), notes


def _find_top_answers(site: _Site, min_score: int, stages: Stages) -> None:
    """Count the posts, and put down the top answer of each question that has one of `min_score`."""
    import numpy as np

    good = [array("q"), array("q"), array("q")]  # question, score, answer
    counts = site.counts
    for post in site.posts(stages):
        counts["read"] += 1
        if post is None:
            counts["unreadable"] += 1
        elif post.kind == QUESTION:
            counts["question.no_good_answer"] += 1  # until one is found
        elif post.kind != ANSWER:
            counts["post.other_kind"] += 1
        elif post.score < min_score:
            counts["answer.low_score"] += 1
        else:
            for column, value in zip(good, (post.parent, post.score, post.id), strict=True):
                column.append(value)
    question, score, answer = (np.array(column) for column in good)
    order = np.lexsort((answer, -score, question))
    top = order[np.diff(question[order], prepend=-(2**63)) != 0]
    counts["answer.not_top"] += len(order) - len(top)
    site.question, site.answer = array("q", question[top].tobytes()), array("q", answer[top].tobytes())
    site.score = array("q", bytes(8 * len(top)))
    site.question_verdict, site.answer_verdict = bytearray(len(top)), bytearray(len(top))


def _judge(site: _Site, config: Config, stages: Stages) -> None:
    """Give a verdict on each question with a good answer and on that answer, and count those that are dropped."""
    for post in site.posts(stages):
        if post is None or post.kind not in (QUESTION, ANSWER):
            continue
        at = site.place(post.id if post.kind == QUESTION else post.parent)
        if at is None:
            continue
        if post.kind == QUESTION and not site.question_verdict[at]:
            site.question_verdict[at] = _VERDICTS.index(_verdict(_about_question, post, config))
            site.score[at] = post.score
        elif post.id == site.answer[at] and not site.answer_verdict[at] and site.question_verdict[at] <= _FINE:
            site.answer_verdict[at] = _VERDICTS.index(_verdict(_about_answer, post, config))
    counts = site.counts
    for (question, answer), pairs in Counter(zip(site.question_verdict, site.answer_verdict, strict=True)).items():
        counts["question.no_good_answer"] -= pairs if question else 0
        if question == _UNSEEN:
            counts["answer.no_question"] += pairs
        elif question != _FINE:
            counts[_VERDICTS[question]] += pairs
            counts["answer.question_dropped"] += pairs
        elif answer != _FINE:
            counts[_VERDICTS[answer]] += pairs
            counts["question.answer_dropped"] += pairs


def _verdict(about: Callable[[Post, Config], str], post: Post, config: Config) -> str:
    try:
        post.row.decode()
        return about(post, config)
    except UnicodeDecodeError:
        return "unreadable"


def _about_question(post: Post, _: Config) -> str:
    return "fine" if stands_alone(post.text("Title")) else "title.not_self_contained"


def _about_answer(post: Post, config: Config) -> str:
    html = post.text("Body")
    if len(html) < config.min_chars:
        return "answer.too_short"
    if len(html) > config.max_chars:
        return "answer.too_long"
    said = prose(own_words(html))
    if EN_FIRST.search(said):
        return "answer.first_person"
    if EN_REF.search(said):
        return "answer.references"
    return "fine" if markdown(html) else "answer.empty"


_ASKS = re.compile(
    r"(?:how|what|why|when|where|which|who|whose|is|are|was|were|can|could|does|do|did|should|would|will|has|have|must)\b",
    re.I,
)
_POINTS = re.compile(r"\b(?:this|these|those|following|below|above|here|my|our|mine|ours)\b", re.I)


def stands_alone(title: str) -> bool:
    """Whether a title can be answered without the body: a question of three words or more that points at nothing else.

    It ends in a question mark or begins as questions do, and has no "this", "these", "those", "following", "below",
    "above", "here", "my" or "our". The paper does not say how its authors decided; this rule is our choice.
    """
    asks = title.rstrip().endswith("?") or _ASKS.match(title.lstrip())
    return bool(asks) and len(title.split()) >= 3 and not _POINTS.search(title)


def _share_out(sites: list[_Site], config: Config) -> tuple[dict[str, list[int]], list[dict[str, Any]]]:
    """Return the positions that each site gives, its highest-scored questions first, and the table of groups."""
    chosen: dict[str, list[int]] = {}
    table = []
    for group in GROUPS:
        members = [site for site in sites if site.group == group]
        left = [_ranked(site) for site in members]
        asked = {"stem": config.stem, "other": config.other}[group]
        quotas = quota.water_fill([len(places) for places in left], asked, config.tau)
        if members or asked:
            available = sum(map(len, left))
            table.append({"group": group, "name": None, "asked": asked, "available": available, "given": sum(quotas)})
        for site, places, given in zip(members, left, quotas, strict=True):
            chosen[site.name] = places[:given]
            for kind in ("question", "answer"):
                site.counts[f"{kind}.over_quota"] += len(places) - given
            table.append({"group": group, "name": site.name, "available": len(places), "given": given})
    return chosen, table


def _ranked(site: _Site) -> list[int]:
    """Return the positions of the pairs that are left, by score of the question, then by its id."""
    fine = [
        at
        for at, verdicts in enumerate(zip(site.question_verdict, site.answer_verdict, strict=True))
        if verdicts == (_FINE, _FINE)
    ]
    return sorted(fine, key=lambda at: (-site.score[at], at))


def _fetch(site: _Site, places: list[int], config: Config, stages: Stages) -> list[dict[str, Any]]:
    """Read the dump until all posts of the pairs at `places` are found; return their rows in this order."""
    wanted = {(QUESTION, site.question[at]) for at in places} | {(ANSWER, site.answer[at]) for at in places}
    found: dict[tuple[int, int], Post] = {}
    for post in site.posts(stages) if wanted else ():
        if post is not None and (post.kind, post.id) in wanted:
            found.setdefault((post.kind, post.id), post)
            if len(found) == len(wanted):
                break
    return [_row(site, found[QUESTION, site.question[at]], found[ANSWER, site.answer[at]], config) for at in places]


def _row(site: _Site, question: Post, answer: Post, config: Config) -> dict[str, Any]:
    by_title = draw(config.seed, site.name, question.id) < config.title_share
    body = "" if by_title else markdown(question.text("Body"))
    return message_row(
        f"stackexchange:{site.name}:{question.id}",
        body or question.text("Title").strip(),
        markdown(answer.text("Body")),
        source="stackexchange",
        site=site.name,
        group=site.group,
        question_id=question.id,
        answer_id=answer.id,
        question_score=question.score,
        answer_score=answer.score,
        prompt_from="body" if body else "title",
        licence=answer.text("ContentLicense") or "CC BY-SA",
        url=answer_url(site.name, answer.id),
    )

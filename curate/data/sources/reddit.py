"""Reddit dumps to instruction rows: stories of r/WritingPrompts to train on, titles of r/AskReddit to test on.

LIMA takes 150 prompts and stories of r/WritingPrompts, chosen by hand, and 70 titles of r/AskReddit as test prompts
(arXiv 2305.11206, section 2.1). A hand cannot be had here: the submissions of highest score that are left come first,
each with its best comment. Look them through before you train on them.

The dumps are Pushshift's: `RS_*.zst` holds submissions, `RC_*.zst` comments, JSON lines with a zstd window of up to
2 GB. That window is memory that a file may ask for, and the one exception to the bound of the other sources. Both kinds
of files are given together and are read twice: submissions first, then the comments of the best of them. Which kind a
record is it tells itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import heappush, heappushpop
from typing import Any, NamedTuple

from curate.config import option, parse_seed, parse_whole
from curate.data.lexicon import EN_REF, prose
from curate.data.sources import Extract, Output, build_extract, message_row
from curate.data.sources._files import Dump, find
from curate.data.sources._records import Record, records
from curate.report.progress import Stages

_WINDOW = 1 << 31
_SPARE = 20  # so many times the rows wanted are kept, for comments that are dropped
_DEFAULT_COUNT = {"WritingPrompts": 150, "AskReddit": 70}  # LIMA's


@dataclass(frozen=True)
class Config(Output):
    """Stories of r/WritingPrompts, or AskReddit titles.

    DUMP is a Pushshift file of submissions (RS_*) or comments (RC_*), JSON lines, plain, .gz or .zst, or a directory
    with such files. WritingPrompts wants both kinds. AskReddit gives prompts without answers.

    \b
    curate source reddit RS_2019-04.zst RC_2019-04.zst --out prompts.jsonl
    curate source reddit RS_2019-04.zst --subreddit AskReddit --out test.jsonl
    """

    subreddit: str = option("what to take", default="WritingPrompts", choices=tuple(_DEFAULT_COUNT))
    count: int | None = option("rows wanted [default: 150 stories, or 70 titles]", parse=parse_whole, metavar="K")
    min_score: int = option("least score of a submission, and of its comment", default=10, parse=parse_seed,
                            metavar="N")  # fmt: skip


class _Submission(NamedTuple):
    """Ordered by score, then by age: the lower id is the older."""

    score: int
    age: int
    id: str
    title: str


def extract(inputs: list[str], config: Config, stages: Stages) -> Extract:
    """Choose submissions and comments from dumps."""
    count = config.count or _DEFAULT_COUNT[config.subreddit]
    files = find(inputs, *(f"R{kind}_*" for kind in "SC"), "*.zst", "*.jsonl")
    dumps = [Dump(path, config.max_expand, zstd_window=_WINDOW) for path in files]
    counts: Counter[str] = Counter()
    stories = config.subreddit == "WritingPrompts"
    with stages("submissions"):
        found = partial(_best_submissions, dumps, config, count * _SPARE if stories else count, counts, stages)
        best = [_Submission(*item) for item in _once("submissions", found, dumps, counts, stages)]
    answers: dict[str, _Comment] = {}
    if stories:
        with stages("comments"):
            answers = _best_comments(dumps, {item.id for item in best}, config.min_score, counts, stages)
    usable = [item for item in best if item.id in answers] if stories else best
    chosen = usable[:count]
    strangers = counts["record.other_subreddit"] + counts["unreadable"] == counts["read"]
    counts["submission.no_comment"] += len(best) - len(usable)
    counts["submission.over_quota"] += len(usable) - len(chosen)
    counts["comment.over_quota"] += len(answers) - len(chosen) if stories else 0
    rows = [_row(item, answers.get(item.id), config.subreddit) for item in chosen]
    table = [{"group": f"r/{config.subreddit}", "name": None, "asked": count, "available": len(usable),
              "given": len(rows)}]  # fmt: skip
    return build_extract(
        "reddit", config, rows, unit="records", read=counts.pop("read", 0), dropped=counts,
        used=len(rows) * (2 if stories else 1), groups=table, sources=[dump.about for dump in dumps],
        notes=[note for dump in dumps for note in dump.notes()]
        + [f"no record is of r/{config.subreddit}: dumps of Pushshift name it in `subreddit`"] * strangers,
    )  # fmt: skip


def _once(name: str, read: Callable[[], Any], dumps: list[Dump], counts: Counter[str], stages: Stages) -> Any:
    """Return what `read` finds in a pass over the dumps, and leave its counts, unless an interrupted run did."""
    piece = stages.kept.once(
        name, lambda: {"found": read(), "counts": dict(counts), "dumps": [[dump.about, dump.fault] for dump in dumps]}
    )
    counts.clear()
    counts.update(piece["counts"])
    for dump, (about, fault) in zip(dumps, piece["dumps"], strict=True):
        dump.about, dump.fault = about, fault
    return piece["found"]


def _records(dumps: list[Dump], stages: Stages) -> Iterator[Record | None]:
    for dump in dumps:
        yield from records(dump, stages.advance)


def _best_submissions(
    dumps: list[Dump], config: Config, most: int, counts: Counter[str], stages: Stages
) -> list[_Submission]:
    """Count every record but comments on the subreddit, and return the best submissions, the best first."""
    heap: list[_Submission] = []
    for record in _records(dumps, stages):
        counts["read"] += 1
        rule = _kind(record, config.subreddit)
        if rule == "comment":
            counts["comment.other_submission"] += 1  # until one is found to be on the best
        elif rule != "submission":
            counts[rule] += 1
        elif record is not None:
            reason = _dropped_submission(record, config)
            if reason:
                counts[reason] += 1
                continue
            item = _Submission(int(record["score"]), -int(record["id"], 36), record["id"], _title(record))
            if len(heap) < most:
                heappush(heap, item)
            else:
                heappushpop(heap, item)
                counts["submission.over_quota"] += 1
    once = {item.id: item for item in sorted(heap)}
    counts["submission.repeated"] += len(heap) - len(once)
    return sorted(once.values(), reverse=True)


def _kind(record: Record | None, subreddit: str) -> str:
    """Return whether a record is a submission or a comment of the subreddit, or the rule under which it goes."""
    if record is None:
        return "unreadable"
    if record.get("subreddit") != subreddit:
        return "record.other_subreddit"
    if not (isinstance(record.get("id"), str) and re.fullmatch(r"[0-9a-z]{1,12}", record["id"])
            and isinstance(record.get("score"), int)):  # fmt: skip
        return "unreadable"
    if isinstance(record.get("title"), str):
        return "submission"
    return "comment" if isinstance(record.get("body"), str) else "unreadable"


_TAG = re.compile(r"^\s*[\[(](?:wp|serious)[\])]\s*|\s*[\[(]serious[\])]\s*$", re.I)


def _title(record: Record) -> str:
    return _TAG.sub("", record["title"]).strip()


def _dropped_submission(record: Record, config: Config) -> str | None:
    if record["score"] < config.min_score:
        return "submission.low_score"
    if config.subreddit == "WritingPrompts":
        return (
            None if re.match(r"\s*[\[(]wp[\])]", record["title"], re.I) and _title(record) else "submission.no_prompt"
        )
    if record.get("selftext") not in ("", None):
        return "submission.has_body"
    return None if _title(record).endswith("?") else "submission.no_question"


class _Comment(NamedTuple):
    """Ordered by score, then by age."""

    score: int
    age: int
    id: str
    text: str


def _best_comments(
    dumps: list[Dump], wanted: set[str], min_score: int, counts: Counter[str], stages: Stages
) -> dict[str, _Comment]:
    """Return the best comment on each submission in `wanted` that no rule drops, and count the others on them."""
    best: dict[str, _Comment] = {}
    for record in _records(dumps, stages):
        if record is None or _kind(record, "WritingPrompts") != "comment":
            continue
        link = str(record.get("link_id")).removeprefix("t3_")
        if link not in wanted:
            continue
        counts["comment.other_submission"] -= 1
        rule = _dropped_comment(record, min_score)
        if rule:
            counts[rule] += 1
            continue
        comment = _Comment(record["score"], -int(record["id"], 36), record["id"], story(record["body"]))
        counts["comment.not_top"] += link in best
        best[link] = max(best.get(link, comment), comment)
    return best


def _dropped_comment(record: Record, min_score: int) -> str | None:
    if record.get("parent_id") != record.get("link_id"):
        return "comment.reply"
    if record["score"] < min_score:
        return "comment.low_score"
    if record.get("stickied") or record.get("author") in ("AutoModerator", "[deleted]") or not story(record["body"]):
        return "comment.removed"
    return "comment.references" if EN_REF.search(prose(story(record["body"]))) else None


_NOT_STORY = re.compile(
    r"!?\[[^\[\]\n]*\]\((?:https?://|/r/|/u/)[^()\n]*\)|(?:https?://|www\.)\S+"
    r"|^[ \t]*\[(?:deleted|removed)\][ \t]*$|^.*\br/\w+.*$|^[^\w\n]*edit ?\d*:.*$",
    re.I | re.M,
)


def story(body: str) -> str:
    """Return the text of a comment without links, lines that name a subreddit, and what was added in an edit."""
    from html import unescape

    return re.sub(r"\n{3,}", "\n\n", _NOT_STORY.sub("", unescape(body))).strip()


def _row(item: _Submission, comment: _Comment | None, subreddit: str) -> dict[str, Any]:
    about: dict[str, Any] = {"source": "reddit", "subreddit": subreddit, "submission_score": item.score}
    if comment:
        about |= {"comment_id": comment.id, "comment_score": comment.score}
    return message_row(
        f"reddit:{item.id}", item.title, comment.text if comment else None, **about,
        licence=None, url=f"https://www.reddit.com/comments/{item.id}",
    )  # fmt: skip

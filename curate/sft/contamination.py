"""Contamination: rows of the pool that hold an evaluation item, found by runs of words that both have.

Words are those of near-duplicate search (`corpus/words.py`): case, punctuation and white space do not count, digits do,
a Chinese character is a word. The names of functions that a text defines are taken out of it first, since they are
anybody's choice and stand in each line of a doctest. What is compared are runs of five words. A run that stands in more
than ten different evaluation items is boilerplate ("which of the following is") and counts nowhere; one that a text
repeats counts where it stands first. A row is contaminated by an item when

- 13 words in a row of one of its prompts stand in the row (prompt and answer together), each five of them next to each
  other: the usual 13-gram (Brown et al. 2020, arXiv 2005.14165, appendix C). This also finds parts of a long passage;
- or at least 60 % of the words of a prompt do, in runs of five or more, and at least eight words: a short prompt, or
  one with a name changed here and there;
- or a prompt of fewer than eight words is the row's whole prompt;
- or a prompt of three to forty words stands in the row's prompt as whole sentences, but for a name if it has six
  more (`sentences.py`): inside a sentence a few words may be a stock phrase;
- or 13 words in a row of another text of the item (an answer, a solution, tests) and at least 60 % of its words: the
  shared quotation, list of numbers, or recipe step that answers have in common is not a copy of the item.

A character of a script without spaces is a word here, but says less: where a text is mostly written so, 20 and 13
characters stand for the 13 and 8 words (a word of Chinese has about 1.6).

All thresholds but the first are our choice; docs/contamination.md has what they find and what they flag wrongly.
Common runs of the *pool* are not left out: in a pool with a hundred rewritings of a benchmark, that would hide them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.corpus.words import hash_words, word_spans
from curate.engine.blocks import map_blocks
from curate.sft.evaluation import Item
from curate.sft.ledger import mark
from curate.sft.sentences import Forms, find_sentences, index_sentences

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

REASON = "contamination"
RUN, RUN_UNSPACED = 13, 20
SHORT, SHORT_UNSPACED = 8, 13
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
SHARE = 0.6
NGRAM = 5
BOILERPLATE = 10  # items
STOCK = 2  # items: a short prompt has little besides
_ROWS = 8192  # rows of the pool compared at a time
_BITS = 24  # of a hash, for a first look that turns most runs of the pool away: 16 MB
_DEFINES = re.compile(r"(?i)\b(?:def|function|func|fn)\s+(\w+)\s*\(")
_NAME = re.compile(r"\w+")
_SPAN = 200  # characters of the span in the ledger
HITS = {
    "id": pl.String, "source": pl.String, "line": pl.Int64, "evaluation": pl.String, "item": pl.Int64,
    "where": pl.String, "words": pl.Int64, "share": pl.Float64, "span": pl.String, "prompt": pl.String,
    "response": pl.String, "item_text": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Index:
    """The texts of all evaluation items (nameless: what is compared), by the runs of five words that count.

    keys (k,) ascending; their places are places[starts[j]:starts[j + 1]], ascending; a place is the number of a word
    among the words of all texts. Of each text: `item`, `is_prompt`, `first` (its first word), `counting` (words in runs
    that count), `run` and `few`: how many words make a run, and a prompt that is not short. `short` maps the hash of
    each short prompt to the texts that are it, `sentences` are the forms in which it may stand inside a longer one.
    """

    texts: list[str]
    nameless: list[str]
    item: I64
    is_prompt: Bool
    first: I64
    counting: I64
    run: I64
    few: I64
    keys: U64
    starts: I64
    places: I64
    seen: Bool
    short: dict[int, list[int]]
    sentences: Forms


@dataclass(frozen=True)
class Contamination:
    """What was found: `hits` (columns of `HITS`), and how many items each evaluation file has."""

    hits: pl.DataFrame
    items: dict[str, int]

    def about(self) -> dict[str, Any]:
        """Return what the report says: rows, hits, and rows and items of each file."""
        counts = self.hits.group_by("evaluation").agg(items=pl.col("item").n_unique(), rows=pl.col("id").n_unique())
        found = {path: (items, rows) for path, items, rows in counts.iter_rows()}
        files = []
        for path, count in sorted(self.items.items()):
            items, rows = found.get(path, (0, 0))
            files.append({"path": path, "items": count, "items_found": items, "rows": rows})
        return {"rows": self.hits["id"].n_unique(), "hits": self.hits.height, "files": files}


def mark_contaminated(
    table: pl.DataFrame, items: Sequence[Item], workers: int = 1
) -> tuple[pl.DataFrame, Contamination]:
    """Mark the alive rows that hold one of `items`; `evidence` is its file, its line, and the words found."""
    alive = table.filter(pl.col("drop_reason").is_null())
    hits = find_hits(alive, items, workers)
    best = hits.sort("words", "evaluation", "item", descending=[True, False, False]).unique("id", maintain_order=True)
    evidence = pl.format("{}, line {}: {}", "evaluation", "item", pl.col("span").str.slice(0, _SPAN))
    marked = mark(table, best.select("id", evidence=evidence), REASON)
    return marked, Contamination(hits, dict(Counter(one.source for one in items)))


def find_hits(rows: pl.DataFrame, items: Sequence[Item], workers: int = 1) -> pl.DataFrame:
    """Return a row for each pair of a row (id, source, line, prompt, response) and an item that it holds.

    `where` is prompt or other, whichever text of the item was found; `words` the longest run, `share` the share of the
    words of that text, `span` the run as the item has it. In order of id, evaluation and item.
    """
    index = build_index(items)
    if not rows.height or not (len(index.keys) or index.short):
        return pl.DataFrame(schema=HITS)

    def block(start: int, stop: int) -> tuple[I64, ...]:
        part = rows.slice(start, stop - start)
        found = _match(index, part["prompt"], part["response"])
        return (found[0] + start, *found[1:])

    parts = map_blocks(block, rows.height, _ROWS, workers)
    row, text, words, share, at = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-share, -words, index.item[text], row))  # of the texts of an item the best one tells
    order = order[np.unique(row[order] * len(items) + index.item[text[order]], return_index=True)[1]]
    row, text, words, share, at = (column[order] for column in (row, text, words, share, at))
    one = [items[i] for i in index.item[text].tolist()]
    facts = {
        "evaluation": [i.source for i in one],
        "item": [i.line for i in one],
        "where": np.where(index.is_prompt[text], "prompt", "other").tolist(),
        "words": words,
        "share": share,
        "span": list(map(_span, (index.nameless[t] for t in text.tolist()), at.tolist(), words.tolist())),
        "item_text": [index.texts[t] for t in text.tolist()],
    }
    hits = rows.select("id", "source", "line", "prompt", "response")[row].with_columns(
        pl.Series(name, values, dtype=HITS[name]) for name, values in facts.items()
    )
    return hits.select(*HITS).sort("id", "evaluation", "item")


def build_index(items: Sequence[Item]) -> Index:
    """Index the runs of five words of all texts that stand in at most BOILERPLATE different items."""
    texts = [text for one in items for text in (*one.prompts, *one.others)]
    of = np.repeat(np.arange(len(items)), [len(one.prompts) + len(one.others) for one in items])
    is_prompt = np.array(
        [i < len(one.prompts) for one in items for i in range(len(one.prompts) + len(one.others))], bool
    )
    prompts = ["\n".join(one.prompts) for one in items]
    joined = pl.Series(["\n".join((*one.prompts, *one.others)) for one in items], dtype=pl.String)
    code = joined.str.contains(_DEFINES.pattern).to_list()  # few items define anything
    parts = zip(texts, of.tolist(), strict=True)
    nameless = pl.Series([without_names(t, prompts[i]) if code[i] else t for t, i in parts], dtype=pl.String)
    words = hash_words(nameless, NGRAM)
    text_of = np.repeat(np.arange(len(texts)), np.diff(words.offsets))
    same: dict[tuple[str, ...], int] = {}  # items with the same prompts, in one file or two, are one
    item_of = np.array([same.setdefault(tuple(one.prompts), i) for i, one in enumerate(items)], np.int64)

    places = np.flatnonzero(words.ngrams)
    keys, key = np.unique(words.ngrams[places], return_inverse=True)
    pairs = np.unique(key * len(items) + item_of[of[text_of[places]]])
    shared = np.bincount(pairs // max(len(items), 1), minlength=len(keys))  # by how many items
    rare = shared <= BOILERPLATE
    _, first = np.unique(text_of[places] * len(keys) + key, return_index=True)
    stock = np.zeros(len(words.ngrams), bool)
    stock[np.add.outer(places[shared[key] > STOCK], np.arange(NGRAM))] = True
    once = np.sort(first[rare[key[first]]])  # what a text repeats counts once: no text makes a long list of places
    places, key = places[once], (np.cumsum(rare) - 1)[key[once]]
    counting = np.zeros(len(texts), np.int64)
    first, covered, *_ = _runs(text_of[places], places)
    counting[text_of[places[first]]] = covered

    seen = np.zeros(1 << _BITS, bool)
    seen[keys[rare] >> np.uint64(64 - _BITS)] = True
    short: dict[int, list[int]] = {}
    sizes = np.diff(words.offsets)
    unspaced = 2 * nameless.str.count_matches(_UNSPACED).to_numpy() > sizes
    run, few = np.where(unspaced, RUN_UNSPACED, RUN), np.where(unspaced, SHORT_UNSPACED, SHORT)
    for text in np.flatnonzero(is_prompt & (sizes > 0) & (counting < few)).tolist():
        short.setdefault(int(words.whole[text]), []).append(text)
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(rare.sum() + 1))
    return Index(
        texts=texts, nameless=nameless.to_list(), item=of, is_prompt=is_prompt, first=words.offsets, counting=counting,
        run=run, few=few, keys=keys[rare], starts=starts, places=places[order], seen=seen, short=short,
        sentences=index_sentences(nameless, is_prompt, unspaced, stock),
    )  # fmt: skip


def without_names(text: str, prompts: str = "") -> str:
    """Return `text` without the names of functions that it, or `prompts`, defines."""
    names = {name.lower() for name in (*_DEFINES.findall(text), *_DEFINES.findall(prompts))}
    return _NAME.sub(lambda name: "" if name[0].lower() in names else name[0], text) if names else text


def _nameless(texts: pl.Series) -> pl.Series:
    code = texts.str.contains(_DEFINES.pattern).arg_true()
    return texts.clone().scatter(code, [without_names(text) for text in texts.gather(code)]) if len(code) else texts


def _match(index: Index, prompts: pl.Series, responses: pl.Series) -> tuple[I64, ...]:
    """Return row, text, longest run, share and the first word of that run in the text, for each contaminated pair."""
    words = hash_words(_nameless(prompts + "\n\n" + responses), NGRAM)
    maybe = np.flatnonzero(index.seen[words.ngrams >> np.uint64(64 - _BITS)])
    key = np.searchsorted(index.keys, words.ngrams[maybe])
    sure = index.keys[np.minimum(key, len(index.keys) - 1)] == words.ngrams[maybe] if len(index.keys) else maybe < 0
    row = np.searchsorted(words.offsets, maybe[sure], side="right") - 1
    row, key = np.divmod(np.unique(row * len(index.starts) + key[sure]), len(index.starts))
    sizes = np.diff(index.starts)[key]
    skip = index.starts[key] - (np.cumsum(sizes) - sizes)
    place = index.places[np.repeat(skip, sizes) + np.arange(sizes.sum())]
    row, place = np.divmod(np.sort(np.repeat(row, sizes) * (index.first[-1] + 1) + place), index.first[-1] + 1)
    text = np.searchsorted(index.first, place, side="right") - 1
    first, covered, longest, start = _runs(row * len(index.texts) + text, place)
    row, text = row[first], text[first]
    share = covered / index.counting[text]
    most, run = (share >= SHARE) & (covered >= index.few[text]), longest >= index.run[text]
    hit = np.where(index.is_prompt[text], most | run, most & run)
    nameless = _nameless(prompts)
    whole = hash_words(nameless, NGRAM).whole.tolist()
    sizes = np.diff(index.first)
    found = [(i, t, sizes[t], 1.0, 0) for i, value in enumerate(whole) for t in index.short.get(value, ())]
    found += find_sentences(index.sentences, nameless)
    runs = (row[hit], text[hit], longest[hit], share[hit], start[hit] - index.first[text[hit]])
    short = np.array(found, np.float64).reshape(-1, 5).T
    return tuple(np.concatenate((a, b.astype(a.dtype))) for a, b in zip(runs, short, strict=True))


def _runs(group: I64, place: I64) -> tuple[I64, I64, I64, I64]:
    """Tell of each group of places, ascending in both, how many words its runs of five cover, and the longest stretch.

    Returns for each group its first row, the words covered, the words of the longest stretch without a gap, and the
    place where that begins (the first of several).
    """
    new = np.ones(len(place), bool)
    new[1:] = group[1:] != group[:-1]
    step = np.full(len(place), NGRAM)
    step[:-1] = np.where(new[1:], NGRAM, np.minimum(np.diff(place), NGRAM))
    number = np.cumsum(new) - 1
    covered = np.bincount(number, step).astype(np.int64)
    begins = new.copy()
    begins[1:] |= np.diff(place) != 1
    starts = np.flatnonzero(begins)
    length = np.diff(np.append(starts, len(place))) + NGRAM - 1
    order = np.lexsort((starts, -length, number[starts]))
    best = order[np.unique(number[starts][order], return_index=True)[1]]
    return np.flatnonzero(new), covered, length[best], place[starts[best]]


def _span(text: str, first: int, words: int) -> str:
    """Return `words` words of `text` from the word `first` on, as they stand there."""
    text = normalize("NFC", text)
    spans = word_spans(text)[first : first + words]
    return text[spans[0][0] : spans[-1][1]]


def shared_words_reference(
    text: Sequence[str], row: Sequence[str], boilerplate: set[tuple[str, ...]]
) -> tuple[int, int]:
    """Return how many words of `text` stand in `row` in runs of five that count, and the longest stretch of them."""
    there = {tuple(row[i : i + NGRAM]) for i in range(len(row) - NGRAM + 1)} - boilerplate  # each is met once
    covered, longest, stretch = set(), 0, 0
    for i in range(len(text) - NGRAM + 1):
        if tuple(text[i : i + NGRAM]) in there:
            there.remove(tuple(text[i : i + NGRAM]))
            covered |= set(range(i, i + NGRAM))
            stretch += 1
            longest = max(longest, stretch + NGRAM - 1)
        else:
            stretch = 0
    return len(covered), longest

"""Short evaluation prompts as sentences of a row's prompt, word for word or with a name changed.

A prompt of a few words has no long run of words to be known by, and inside a sentence it may be a stock phrase. As a
whole sentence, or several in a row, it is the question itself. So the words of a row's prompt are cut at ends of
sentences and lines, quotes, colons and brackets, and a prompt of an evaluation is found

- where it fills the words from one cut to another, and has at least three;
- where it does but for a name, and has at least six others: with fewer, another name is another question ("What is the
  capital of ...?"). A name is a word that the evaluation writes with a capital inside a sentence; another word may
  stand in each of its places. With its choices even a short question has six others.

A prompt whose words, but for the name, all stand in runs of five that three items have ("which of the following is
true") is not looked for, nor is one of more than 40 words, which has runs to be known by. In scripts without spaces,
where a character is a word, five and ten stand for three and six.

A form is a number of words, and the places of the name among them. Each form has a table of hashes of the words that
are left, so a name that may be anything costs one look-up for each place where it may be.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, groupby, pairwise
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.corpus.reference import words_reference
from curate.corpus.words import hash_words, word_spans

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]
Places = tuple[int, ...]
Forms = dict[tuple[int, Places], tuple[U64, I64]]  # (words, places of the name) -> hashes ascending, text of each

SHORTEST, SHORTEST_UNSPACED = 3, 5
NAMED, NAMED_UNSPACED = 6, 10
LONGEST = 40
_CUT = r"""[.?!:;…"“”„«»‘()\[\]{}<>|\n\r。．？！：；「」『』（）【】《》]|\B['’]|['’]\B"""  # separates words anyway
_END = r"[.?!:\n\r。．？！：]"  # what a capital after it may owe to it
_WEIGHTS = np.cumprod(np.full(LONGEST, 0x9E3779B185EBCA87, np.uint64))  # odd: no bit of a word is lost


def index_sentences(texts: pl.Series, prompts: Bool, unspaced: Bool, stock: Bool) -> Forms:
    """Return the forms of those of `texts` that are `prompts`, and short.

    unspaced (n,) tells which texts are of characters, stock (words of all texts,) which words stand in boilerplate.
    """
    words = hash_words(texts, 1)
    sizes = np.diff(words.offsets)
    shortest = np.where(unspaced, SHORTEST_UNSPACED, SHORTEST)
    named = np.where(unspaced, NAMED_UNSPACED, NAMED)
    texts_of: dict[tuple[int, Places], list[int]] = defaultdict(list)
    for text in np.flatnonzero(prompts & (sizes >= shortest) & (sizes <= LONGEST)).tolist():
        size = int(sizes[text])
        telling = set(np.flatnonzero(~stock[words.offsets[text] : words.offsets[text + 1]]).tolist())
        for places in [(), *names(texts[text])]:
            least = named[text] if places else shortest[text]
            if size - len(places) >= least and telling.difference(places):
                texts_of[size, places].append(text)
    forms: Forms = {}
    for (size, places), found in texts_of.items():
        left = [k for k in range(size) if k not in places]
        hashes = _hash(words.ngrams, words.offsets[found], left)
        order = np.argsort(hashes, kind="stable")
        forms[size, places] = hashes[order], np.array(found)[order]
    return forms


def names(text: str) -> list[Places]:
    """Return the places, counted in words, of each word that has a capital somewhere inside a sentence of `text`."""
    sentences = re.split(_END, normalize("NFC", text))
    words = [[one[start:stop] for start, stop in word_spans(one)] for one in sentences]
    found = {word.lower() for sentence in words for word in sentence[1:] if word[0].isupper()}
    folded = [word.lower() for sentence in words for word in sentence]
    return [tuple(place for place, word in enumerate(folded) if word == name) for name in sorted(found)]


def find_sentences(forms: Forms, prompts: pl.Series) -> list[tuple[int, int, int, float, int]]:
    """Return of each prompt found: row, text, words in the longest stretch without the name, share, its place."""
    pieces = prompts.str.replace_all(_CUT, "\n").str.split("\n")
    rows = pl.DataFrame({"row": np.arange(len(prompts)), "piece": pieces}).explode("piece")
    words = hash_words(rows["piece"], 1)
    row = np.repeat(rows["row"].to_numpy(), np.diff(words.offsets))
    cut = np.zeros(len(row) + 1, bool)
    cut[words.offsets] = True
    found = []
    for size, group in groupby(sorted(forms), key=lambda form: form[0]):
        first = np.flatnonzero(cut[:-size] & cut[size:])
        first = first[row[first] == row[first + size - 1]]
        whole = _hash(words.ngrams, first, range(size))
        for _, places in group:
            hashes, texts = forms[size, places]
            before, after = max(pairwise((-1, *places, size)), key=lambda gap: gap[1] - gap[0])
            fact = (after - before - 1, 1 - len(places) / size, before + 1)
            left = whole - _hash(words.ngrams, first, places)
            begin, end = np.searchsorted(hashes, left), np.searchsorted(hashes, left, side="right")
            for at in np.flatnonzero(begin < end).tolist():
                found += [(int(row[first[at]]), text, *fact) for text in texts[begin[at] : end[at]].tolist()]
    return found


def _hash(words: U64, first: I64, places: Iterable[int]) -> U64:
    """Return a hash of the words at `places` after each of `first`; those of disjoint places add up."""
    value = np.zeros(len(first), np.uint64)
    for place in places:
        value += words[first + place] * _WEIGHTS[place]
    return value


def is_sentence_reference(text: str, row: str) -> bool:
    """Return whether `text` stands in `row` as whole sentences, but for a name; nothing is boilerplate."""
    wanted = words_reference(normalize("NFC", text))
    pieces = [words_reference(normalize("NFC", piece)) for piece in re.split(_CUT, row)]
    spans = [list(chain.from_iterable(pieces[i:j])) for i in range(len(pieces)) for j in range(i + 1, len(pieces) + 1)]
    for places in [(), *names(text)]:
        left = len(wanted) - len(places)
        for span in spans:
            same = [a == b or place in places for place, (a, b) in enumerate(zip(wanted, span, strict=False))]
            if len(wanted) == len(span) <= LONGEST and left >= (NAMED if places else SHORTEST) and all(same):
                return True
    return False

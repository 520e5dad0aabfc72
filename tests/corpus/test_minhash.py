"""Parameters, permutations, and how often a pair of given similarity becomes a candidate."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from curate.corpus.minhash import KEYS_VERSION, MinHashParameters, permutations, sign
from curate.corpus.reference import jaccard_reference
from curate.corpus.text import buffers
from curate.errors import UsageError


def signed(*texts: str, **parameters):
    return sign(*buffers(pl.Series(texts)), MinHashParameters(**parameters))


def share_a_band(signed) -> bool:
    return bool((signed.keys[0] == signed.keys[1]).any())


def rows(signed):
    return np.split(signed.shingles, signed.shingle_offsets[1:-1])


def test_importing_costs_no_compiler():
    """The public modules import neither numba nor pyarrow: options can be read and errors told without them."""
    modules = "curate.corpus.clusters, curate.corpus.lines, curate.corpus.saved_index"
    code = f"import sys, {modules}; print([m for m in ('numba', 'pyarrow', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("bands", "rows", "curve"),
    [(14, 8, [0.053, 0.211, 0.565, 0.924, 1.0]), (20, 5, [0.470, 0.802, 0.975, 1.0, 1.0])],
)
def test_collision_probability(bands, rows, curve):
    """The S-curve is that of the published tables of FineWeb's and duplodocus's settings, at .5 to .9."""
    parameters = MinHashParameters(bands=bands, rows=rows)
    assert [round(parameters.collision_probability(s), 3) for s in (0.5, 0.6, 0.7, 0.8, 0.9)] == curve
    assert (parameters.collision_probability(0), parameters.collision_probability(1)) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ngram": 0}, "--ngram 0"), ({"ngram": 101}, "--ngram 101"), ({"bands": 0}, "--bands 0 times --rows 8"),
        ({"rows": 5000}, "--rows 5000"), ({"threshold": 0}, "--threshold 0"), ({"threshold": 1.1}, "--threshold 1.1"),
    ],
)  # fmt: skip
def test_parameters_out_of_range(wrong, message):
    """A value out of range is refused, with the value and what is usual."""
    with pytest.raises(UsageError, match=message):
        MinHashParameters(**wrong)


def test_hashes_are_those_of_this_version():
    """Keys, shingles and exact hashes never change without a new KEYS_VERSION: saved indexes depend on them."""
    one = signed("The quick brown fox jumps over the lazy dog. Das Mädchen 中文文本 one more!")
    assert KEYS_VERSION == 1
    assert [hex(h) for h in one.exact[0].tolist()] == ["0xd271d9d53e4b6ce0", "0xd638bea32956f2f"]
    assert [hex(h) for h in one.keys[0, :2].tolist()] == ["0x9056b8471ac0f799", "0x29d580b3f2b087f1"]
    assert [hex(h) for h in one.shingles[:2].tolist()] == ["0xd8107c9c", "0x8d8f041d"]


def test_permutations_agree_like_independent_coins():
    """Of 112 permutations, 112 J agree on two sets of similarity J on average, with the variance of 112 coins."""
    constants = permutations(MinHashParameters())
    generator = np.random.default_rng(0)
    for similarity in (0.3, 0.5, 0.7, 0.9):
        size, trials = 60, 1500
        both = round(2 * size * similarity / (1 + similarity))
        true = both / (2 * size - both)
        union = generator.integers(0, 2**32, (trials, 2 * size - both), dtype=np.uint32)
        agree = np.zeros(trials)
        for s, a in constants.T:
            values = (union ^ s) * a
            agree += values[:, :size].min(axis=1) == values[:, size - both :].min(axis=1)
        expected, variance = 112 * true, 112 * true * (1 - true)
        assert abs(agree.mean() - expected) < 4 * np.sqrt(variance / trials)
        assert abs(agree.var() / variance - 1) < 4 * np.sqrt(2 / trials)


def test_recall_on_planted_edits_follows_the_curve():
    """In each bin of true Jaccard similarity, as many edited copies share a band as the S-curve promises."""
    generator, parameters = random.Random(0), MinHashParameters()
    vocabulary = [f"word{i}" for i in range(4000)]
    pairs = []
    for _ in range(4000):
        words = generator.choices(vocabulary, k=generator.randint(60, 200))
        edited = list(words)
        for _ in range(generator.randint(0, len(words) // 9)):
            edited[generator.randrange(len(words))] = generator.choice(vocabulary)
        pairs += [" ".join(words), " ".join(edited)]
    result = signed(*pairs)
    sets = rows(result)
    similarity = np.array([jaccard_reference(sets[i].tolist(), sets[i + 1].tolist()) for i in range(0, len(sets), 2)])
    found = (result.keys[::2] == result.keys[1::2]).any(axis=1)
    promised = np.array([parameters.collision_probability(s) for s in similarity])
    for low in np.arange(0.5, 1.0, 0.05):
        inside = (similarity >= low) & (similarity < low + 0.05)
        assert inside.sum() >= 100
        spread = np.sqrt((promised[inside] * (1 - promised[inside])).sum())
        assert abs(found[inside].sum() - promised[inside].sum()) <= 4 * spread + 1  # a count cannot be closer than one


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("Thank you!", "thank  YOU", True),
        ("Thank you!", "thank you very much", False),
        ("谢谢", "谢谢！", True),
        ("谢谢你", "谢谢", False),
        ("x", "X.", True),
        ("Crème brûlée", "creme brulee", True),
    ],
)
def test_short_texts(a, b, alike):
    """A text of fewer words than a shingle has one shingle of all its words: found where equal, not lost."""
    result = signed(a, b)
    assert share_a_band(result) == alike
    assert np.diff(result.shingle_offsets).tolist() == [1, 1]


def test_texts_without_words():
    """A text of nothing but separators has no shingle, but its exact hash tells it from others."""
    result = signed("", " \n", "!?", "😀")
    assert result.words.tolist() == [0, 0, 0, 0]
    assert len(result.shingles) == 0
    assert (result.exact[0] == result.exact[1]).all()
    assert len(np.unique(result.exact, axis=0)) == 3


def test_pages_that_differ_in_numbers_are_no_duplicates():
    """A table of other numbers in the same words is another page."""
    page = "Station {} measured {} millimetres of rain on {} days of {}. "
    a = "".join(page.format(i, i * 7, i % 31, 1990 + i) for i in range(40))
    b = "".join(page.format(i, i * 5, i % 29, 1950 + i) for i in range(40))
    sets = rows(signed(a, b))
    assert jaccard_reference(sets[0].tolist(), sets[1].tolist()) < 0.5


def test_exact_hash_collapses_white_space_only():
    """Runs of ASCII white space are one; case, punctuation and word boundaries count."""
    texts = ["the rapist", " the \t\r\nrapist\n", "therapist", "The rapist", "the rapist.", "abcdefgh", "abcdefgh\0",
             "abcdefgh abcdefgh", "abcdefghabcdefgh", "abc", "abc\0"]  # fmt: skip
    exact = signed(*texts).exact
    assert (exact[0] == exact[1]).all()
    assert len(np.unique(exact, axis=0)) == len(texts) - 1

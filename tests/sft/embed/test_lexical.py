"""The lexical embedder: kernels against their twins, the algebra against numpy, determinism, every script."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft.embed import _lexical_kernels as kernels
from curate.sft.embed import lexical

NASTY = [
    "Hello, World! hello world",
    "naïve ＦＵＬＬ ｗｉｄｔｈ Ⅷ ŒUVRE İstanbul ẞ",
    "写一首关于春天的诗。",
    "日本の首都はどこですか？カタカナ ｶﾀｶﾅ",
    "เขียนบทกวีเกี่ยวกับฤดูใบไม้ผลิ",
    "한국의 수도는 어디입니까?",
    "def f(x):\n\treturn x**2  # square\r\n",
    "🙂🙂 👩‍👩‍👧 𝒜𝓃 𠀀𠀁 𞤀𞤁 \U0002f800\ufacf",
    " \t\n\u3000 ",
    "\x00\x01\ufeff",
    "a" * 3000,
    "1+1=2; 1 + 1 = 2",
]


def vectors(texts: list[str], *, seed: int = 0, workers: int = 2) -> np.ndarray:
    return lexical.load(None, seed=seed, workers=workers).embed(texts)


def lines(path: str, rows: int) -> list[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(rows), strict=False)]


def counters(texts: list[str]) -> list[Counter[int]]:
    counts = lexical.hash_block(pl.Series(texts))
    bounds = zip(counts.ends, counts.ends[1:], strict=False)
    return [
        Counter(dict(zip(counts.columns[a:b].tolist(), counts.values[a:b].tolist(), strict=True))) for a, b in bounds
    ]


# -- Features ----------------------------------------------------------------------------------------------------------


def test_features_equal_the_reference_on_nasty_text() -> None:
    """The kernel counts the features that the reference counts, in every script and with every oddity."""
    assert counters(NASTY) == [kernels.hash_row_reference(text) for text in NASTY]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_features_equal_the_reference(texts: list[str]) -> None:
    """The kernel counts the features that the reference counts, for any Unicode text."""
    assert counters(texts) == [kernels.hash_row_reference(text) for text in texts]


@pytest.mark.parametrize("name", ["alpaca_data_52k", "alpaca_zh"])
def test_features_equal_the_reference_on_real_rows(shared_data, name) -> None:
    """The kernel counts the features that the reference counts, on real English and Chinese instructions."""
    texts = [
        str(row["instruction"]) + "\n" + str(row["output"])
        for row in lines(shared_data / f"instruct/{name}.jsonl.gz", 60)
    ]
    assert counters(texts) == [kernels.hash_row_reference(text) for text in texts]


def test_words_and_the_rest_have_their_own_columns() -> None:
    """Words fall into the lower half of the columns, and case and width of a character do not matter."""
    assert sum(n for column, n in kernels.hash_row_reference("one two").items() if column < kernels.HALF) == 2
    assert kernels.hash_row_reference("ＯＮＥ two") == kernels.hash_row_reference("one Two")
    assert kernels.hash_row_reference("one  \n two ") == kernels.hash_row_reference("one two")


@pytest.mark.parametrize(
    ("character", "expected"),
    [("a", "LETTER"), ("é", "LETTER"), ("7", "LETTER"), ("ก", "LETTER"), ("ิ", "LETTER"), ("字", "SINGLE"),
     ("か", "SINGLE"), ("한", "SINGLE"), ("𠀀", "SINGLE"), ("+", "SINGLE"), ("🙂", "SINGLE"), ("\u3000", "SPACE"),
     ("\n", "SPACE")],
)  # fmt: skip
def test_kinds_of_characters(character: str, expected: str) -> None:
    """Letters make words; Han, kana, hangul and symbols are words; white space separates."""
    assert kernels.kind(ord(character)) == getattr(kernels, expected)


# -- Algebra -----------------------------------------------------------------------------------------------------------


def dense(rows: lexical.Sparse) -> np.ndarray:
    matrix = np.zeros((len(rows.ends) - 1, kernels.COLUMNS))
    matrix[np.repeat(np.arange(len(matrix)), np.diff(rows.ends)), rows.columns] = rows.values
    return matrix


def test_tf_idf_equals_the_reference() -> None:
    """Sparse TF-IDF rows are those of the dense float64 reference to float32 rounding."""
    counts = lexical.hash_texts(pl.Series(NASTY), 2)
    idf = lexical.inverse_frequency(counts.columns, len(NASTY))
    expected = lexical.tf_idf_reference(dense(counts), idf)
    np.testing.assert_allclose(dense(lexical.tf_idf(counts, idf)), expected, rtol=1e-5)


def test_idf_is_smoothed_and_weighs_words() -> None:
    """IDF is ln((1 + n) / (1 + df)) + 1, and 1.5 times that for words."""
    idf = lexical.inverse_frequency(np.array([0, 0, kernels.HALF]), 3)
    np.testing.assert_allclose(
        idf[[0, 1, kernels.HALF]], [1.5 * (np.log(4 / 3) + 1), 1.5 * (np.log(4) + 1), np.log(2) + 1], rtol=1e-6
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_product_equals_the_reference(n: int, width: int, seed: int) -> None:
    """Sparse rows times a dense matrix equals the float64 reference to float32 rounding; empty rows give zero."""
    rng = np.random.default_rng(seed)
    ends = np.concatenate([[0], np.cumsum(rng.integers(0, 30, n))])
    columns = rng.integers(0, 50, ends[-1]).astype(np.int32)
    values = rng.standard_normal(ends[-1]).astype(np.float32)
    matrix = rng.standard_normal((50, width)).astype(np.float32)
    out = np.zeros((n, width), dtype=np.float32)
    kernels.multiply_rows(ends, columns, values, matrix, out)
    expected = kernels.multiply_rows_reference(ends, columns, values, matrix)
    np.testing.assert_allclose(out, expected, atol=30 * 30 * np.finfo(np.float32).eps)


def test_few_rows_keep_their_angles(shared_data) -> None:
    """Up to 256 rows the projection loses nothing: cosines are those of the TF-IDF rows."""
    texts = [str(row["instruction"]) for row in lines(shared_data / "instruct/alpaca_data_52k.jsonl.gz", 200)]
    counts = lexical.hash_texts(pl.Series(texts), 2)
    exact = dense(lexical.tf_idf(counts, lexical.inverse_frequency(counts.columns, len(texts))))
    found = vectors(texts)
    assert np.abs(found @ found.T - exact @ exact.T).max() < 1e-5


def test_basis_is_orthonormal_and_nearly_optimal(shared_data) -> None:
    """The basis is orthonormal and holds at least 95 % of the energy that the best basis of its size holds."""
    texts = [str(row["instruction"]) for row in lines(shared_data / "instruct/alpaca_data_52k.jsonl.gz", 600)]
    counts = lexical.hash_texts(pl.Series(texts), 2)
    rows = lexical.tf_idf(counts, lexical.inverse_frequency(counts.columns, len(texts)))
    basis = lexical.singular_vectors(rows, seed=0, workers=2)
    matrix = dense(rows)
    best = np.linalg.eigvalsh(matrix @ matrix.T)[-lexical.DIMENSIONS :].sum()
    assert np.abs(basis.T @ basis - np.eye(lexical.DIMENSIONS)).max() < 1e-4
    assert 0.95 * best < np.square(matrix @ basis).sum() < 1.0001 * best


def test_sign_is_fixed(shared_data) -> None:
    """The largest entry of each basis vector is positive."""
    texts = [str(row["instruction"]) for row in lines(shared_data / "instruct/alpaca_data_52k.jsonl.gz", 50)]
    counts = lexical.hash_texts(pl.Series(texts), 1)
    rows = lexical.tf_idf(counts, lexical.inverse_frequency(counts.columns, len(texts)))
    basis = lexical.singular_vectors(rows, seed=0, workers=1)[:, :50]
    assert (basis.max(axis=0) >= -basis.min(axis=0)).all()


# -- The embedder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [NASTY, ["one"], ["same"] * 5, ["a", "b", ""]])
def test_rows_are_unit_vectors(texts: list[str]) -> None:
    """Each text but the empty one gets a unit row of 256 float32, C-contiguous; equal texts get equal rows."""
    found = vectors(texts)
    assert found.shape == (len(texts), 256)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1.0 if text else 0.0 for text in texts], atol=1e-6)
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(found[i], found[texts.index(text)])


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_to_embed(texts: list[str]) -> None:
    """No text gives no row, and an empty text gives a zero row."""
    np.testing.assert_array_equal(vectors(texts), np.zeros((len(texts), 256), dtype=np.float32))


def test_result_does_not_depend_on_workers_or_blocks(shared_data, monkeypatch) -> None:
    """Vectors are byte-identical for any number of workers and any block size."""
    texts = [
        f"{row['instruction']}\n{row['input']}"
        for row in lines(shared_data / "instruct/alpaca_data_52k.jsonl.gz", 3000)
    ]
    expected = vectors(texts, workers=1)
    assert vectors(texts, workers=2).tobytes() == expected.tobytes()
    monkeypatch.setattr(lexical, "_BLOCK_ROWS", 77)
    monkeypatch.setattr(lexical, "_BLOCK_BYTES", 5000)
    assert vectors(texts, workers=3).tobytes() == expected.tobytes()


def test_texts_may_come_as_series_or_list() -> None:
    """A polars series, sliced or in chunks, gives the vectors of the list."""
    series = pl.concat([pl.Series(["x", *NASTY[:5]])[1:], pl.Series([*NASTY[5:], "y"])[:-1]], rechunk=False)
    assert lexical.load(None).embed(series).tobytes() == vectors(NASTY).tobytes()


def test_rows_foreign_to_the_sample_are_sketched(monkeypatch) -> None:
    """Rows that share nothing with the fitted rows get a unit vector of their own, and are counted."""
    texts = ["red apple", "green apple", "red pear", "ΩΨΧ", "ЖЫФ", "ЖЫФ", "red apple pie"]
    monkeypatch.setattr(lexical, "sample_rows", lambda texts, seed: np.array([0, 1, 2]))
    embedder = lexical.load(None)
    found = embedder.embed(texts)
    assert embedder.about["sketched_rows"] == 3
    assert embedder.about["fitted_rows"] == 3
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[4], found[5])
    assert found[3] @ found[4] < 0.9
    assert found[0] @ found[6] > 0.5


def test_sample_is_seeded_and_bounded(monkeypatch) -> None:
    """The sample has at most FIT_ROWS rows and FIT_BYTES bytes, where a row counts no more than it has columns."""
    texts = pl.Series(["x" * 100] * 50 + ["y" * 1_000_000])
    assert lexical.sample_rows(texts, 0).tolist() == list(range(51))
    monkeypatch.setattr(lexical, "FIT_ROWS", 20)
    assert len(lexical.sample_rows(texts, 0)) == 20
    assert lexical.sample_rows(texts, 0).tolist() == lexical.sample_rows(texts, 0).tolist()
    assert lexical.sample_rows(texts, 0).tolist() != lexical.sample_rows(texts, 1).tolist()
    monkeypatch.setattr(lexical, "FIT_BYTES", 1000)
    assert len(lexical.sample_rows(texts[:50], 0)) == 10


def test_a_long_row_is_a_block_by_itself() -> None:
    """Blocks are bounded in rows and bytes, and a row that is longer stands alone."""
    size = lexical._BLOCK_BYTES
    assert lexical.block_edges(pl.Series(["a", "b", "c" * (size + 1), "d"])) == [0, 2, 3, 4]
    assert lexical.block_edges(pl.Series(["a"] * 5000)) == [0, 2048, 4096, 5000]


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("How do I bake bread?", "Give me a recipe for baking bread.", "Write a sorting function in Python."),
        ("写一首关于春天的诗。", "请写一首描写春天的古诗", "解释什么是机器学习。"),
        ("東京の天気を調べる", "明日の東京の天気予報", "英語の文章を翻訳する"),
        ("แนะนำร้านอาหารในกรุงเทพ", "ร้านอาหารอร่อยในกรุงเทพมีที่ไหนบ้าง", "เขียนโปรแกรมคำนวณตัวเลข"),
    ],
)
def test_related_texts_are_near(text: str, near: str, far: str) -> None:
    """In English, Chinese, Japanese and Thai, a text is nearer to one on its topic than to another."""
    found = vectors([text, near, far])
    assert found[0] @ found[1] > found[0] @ found[2] + 0.05


def test_about_tells_what_was_fitted() -> None:
    """`about` is JSON and names rows, rank and dimensions; progress ends at the number of rows."""
    seen: list[tuple[int, int | None]] = []
    embedder = lexical.load(None, on_progress=lambda done, total: seen.append((done, total)))
    embedder.embed(NASTY)
    about = json.loads(json.dumps(embedder.about))
    assert about["name"] == "lexical"
    assert (about["rows"], about["fitted_rows"], about["dimensions"]) == (len(NASTY), len(NASTY), 256)
    assert about["rank"] == len(NASTY) - 1  # white space and control characters are the same blank
    assert seen[-1] == (len(NASTY), len(NASTY))


def test_an_argument_is_refused() -> None:
    """`lexical:something` is wrong usage."""
    with pytest.raises(UsageError, match="takes no argument"):
        lexical.load("something")


# -- Quality on real data ----------------------------------------------------------------------------------------------


def words_only(texts: list[str]) -> np.ndarray:
    """Return what most people would use: TF-IDF of words and truncated SVD, from scikit-learn."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    rows = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    return normalize(TruncatedSVD(256, n_iter=3, random_state=0).fit_transform(rows))


def test_neighbours_are_of_the_same_category(shared_data) -> None:
    """On Super-NI the nearest neighbour has the category more often than with TF-IDF of words and SVD."""
    tasks = lines(shared_data / "instruct/superni_en_tasks.jsonl.gz", 1000)
    category = {task["_task"]: task["Categories"][0] for task in tasks}
    rows = lines(shared_data / "instruct/superni_en_instances.jsonl.gz", 30_000)[::32]
    label = np.array([category[row["_task"]] for row in rows])
    texts = [str(row["input"]) for row in rows]

    def accuracy(found: np.ndarray) -> float:
        cosine = found @ found.T
        np.fill_diagonal(cosine, -2)
        return float((label[cosine.argmax(axis=1)] == label).mean())

    assert accuracy(vectors(texts)) > accuracy(words_only(texts))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_similarity_follows_human_judgement(shared_data, language) -> None:
    """On the STS benchmark the rank correlation with human scores is above that of words, in English and Chinese."""
    from scipy.stats import spearmanr

    rows = lines(shared_data / "pairs/stsb_en_zh.jsonl.gz", 20_000)
    rows = [row for row in rows if row["_lang"] == language and row["_split"] == "test"]
    texts = [str(row[side]) for side in ("sentence1", "sentence2") for row in rows]
    score = [float(str(row["similarity_score"])) for row in rows]

    def correlation(found: np.ndarray) -> float:
        first, second = np.split(found, 2)
        return float(spearmanr(np.sum(first * second, axis=1), score).statistic)

    assert correlation(vectors(texts)) > correlation(words_only(texts))

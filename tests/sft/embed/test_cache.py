"""The cache of vectors: what is read back, damaged shards, a disk that takes nothing, two writers."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import CurateError
from curate.sft.embed._cache import VectorCache, text_keys
from curate.sft.embed._model import ModelEmbedder

TEXTS = ["a", "b", "写一首诗", ""]


def store(texts: list[str], value: float, identity: str = "one") -> None:
    """Store rows full of `value`, the first one as cut."""
    stored = VectorCache({"identity": identity})
    vectors = np.full((len(texts), 3), value, dtype=np.float32)
    stored.add(text_keys(texts), np.arange(len(texts)) == 0, vectors)
    stored.flush()


def read(texts: list[str], identity: str = "one") -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return which texts are missing, which were cut, and the vectors, NaN where nothing is known."""
    truncated, vectors = np.zeros(len(texts), dtype=bool), np.full((len(texts), 3), np.nan, dtype=np.float32)
    missing = VectorCache({"identity": identity}).fill(text_keys(texts), truncated, vectors)
    return missing.tolist(), truncated, vectors


def test_rows_come_back_for_the_same_embedder_only() -> None:
    """What was stored is known, what was not is missing, and another identity knows nothing."""
    store(["b", "a"], 0.1)
    missing, truncated, vectors = read(TEXTS)
    assert missing == [2, 3]
    assert truncated.tolist() == [False, True, False, False]
    assert vectors[:2].tobytes() == np.full((2, 3), 0.1, dtype=np.float32).tobytes()
    assert read(TEXTS, "another")[0] == [0, 1, 2, 3]


@pytest.mark.parametrize("keep", [0, 1, 100, 200, -1])
def test_a_shard_that_is_cut_anywhere_is_passed_over(cache, keep) -> None:
    """Of a damaged shard nothing is used; the others are read, and a new run mends it."""
    store(["a"], 1)
    damaged = next(cache.rglob("*.shard"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:keep])
    store(["b"], 2)
    assert read(TEXTS)[0] == [0, 2, 3]
    store(["a"], 1)
    assert damaged.read_bytes() == whole


def test_a_shard_of_pickles_is_not_opened(cache) -> None:
    """Objects in a shard are never unpickled."""
    store(["a"], 1)
    with next(cache.rglob("*.shard")).open("wb") as file:
        np.save(file, np.array([{"evil": 1}], dtype=object), allow_pickle=True)
    assert read(["a"])[0] == [0]


def test_a_shard_of_another_shape_is_passed_over(cache) -> None:
    """Arrays that do not belong together, as another program may write, are no vectors of ours."""
    store(["a"], 1)
    with next(cache.rglob("*.shard")).open("wb") as file:
        for array in (text_keys(["a"]), np.zeros(0, dtype=bool), np.zeros((0, 7), dtype=np.float32)):
            np.save(file, array)
    assert read(["a"])[0] == [0]


def test_two_writers_do_not_disturb_each_other() -> None:
    """Shards of two runs stand beside each other, whole."""
    one, two = VectorCache({"identity": "one"}), VectorCache({"identity": "one"})
    for writer, text in ((one, "a"), (two, "b"), (one, "写一首诗"), (two, "a")):
        writer.add(text_keys([text]), np.zeros(1, dtype=bool), np.ones((1, 3), dtype=np.float32))
    two.flush()
    one.flush()
    assert read(TEXTS)[0] == [3]


def test_nothing_is_left_beside_the_shards(cache) -> None:
    """A finished run leaves shards and what they belong to."""
    store(["a"], 1)
    assert sorted(path.suffix for path in cache.rglob("*") if path.is_file()) == [".json", ".shard"]


def test_a_folder_that_cannot_be_written_is_told_and_costs_nothing(cache) -> None:
    """The vectors are there all the same, and a note says that they are not cached."""
    cache.write_text("a file stands where the cache should be")
    embedder = ModelEmbedder({"name": "lengths", "dimensions": 3}, lengths, identity={"model": "lengths"})
    assert embedder.embed(["a"]).tolist() == [[1, 0, 0]]
    assert embedder.about["notes"][0].startswith("vectors are not cached: ")


def test_work_done_before_an_interruption_is_kept() -> None:
    """What was computed before Ctrl-C is read by the next run."""

    def interrupted(texts: list[str], take) -> None:
        lengths(texts[:2], take)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ModelEmbedder({"name": "lengths", "dimensions": 3}, interrupted, {"model": "lengths"}).embed(TEXTS)
    embedder = ModelEmbedder({"name": "lengths", "dimensions": 3}, lengths, {"model": "lengths"})
    embedder.embed([*TEXTS, "a"])
    assert (embedder.about["rows"], embedder.about["distinct_texts"], embedder.about["cached_texts"]) == (5, 4, 2)


def test_a_vector_that_is_not_finite_ends_the_run_and_is_not_stored() -> None:
    """NaN is an error that names a text."""

    def broken(texts: list[str], take) -> None:
        take(
            np.arange(len(texts)), np.zeros(len(texts), dtype=bool), np.full((len(texts), 3), np.nan, dtype=np.float32)
        )

    with pytest.raises(CurateError, match="not finite, for 'a'"):
        ModelEmbedder({"name": "broken", "dimensions": 3}, broken, {"identity": "one"}).embed(["a"])
    assert read(["a"])[0] == [0]


def lengths(texts: list[str], take) -> None:
    """Embed each text as its length, in the first of three dimensions."""
    vectors = np.zeros((len(texts), 3), dtype=np.float32)
    vectors[:, 0] = [len(text) for text in texts]
    take(np.arange(len(texts)), np.zeros(len(texts), dtype=bool), vectors)

"""Vectors of one's own: which row belongs to which record, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import curate
from curate.errors import CurateError, UsageError

ROWS = 30
ANSWER = "An answer that is long enough to stay, number {}, with a point at its end."


def record(i: int) -> dict[str, str]:
    """Return a record that no filter takes."""
    return {"instruction": f"Say something about the number {i}.", "output": ANSWER.format(i)}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Return a file whose second record cannot be read and whose third has no answer."""
    lines = [json.dumps(record(i)) for i in range(ROWS)]
    lines[1] = "{broken"
    lines[2] = json.dumps({"instruction": "Say nothing.", "output": ""})
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def vectors(rows: int = ROWS - 1) -> np.ndarray:
    """Return rows that are not of unit norm, one for each readable record."""
    return (3 * np.random.default_rng(0).standard_normal((rows, 8))).astype(np.float32)


def select(pool: Path, file: Path, **options) -> curate.Selection:
    return curate.select_rows(str(pool), count=5, vectors=str(file), workers=1, **options)


def saved(folder: Path, matrix: np.ndarray) -> Path:
    np.save(folder / "vectors.npy", matrix)
    return folder / "vectors.npy"


def test_row_i_belongs_to_the_ith_record_that_can_be_read(pool, tmp_path) -> None:
    """Distances in the ledger are those of the unit rows in the order of reading, before any filter."""
    selection = select(pool, saved(tmp_path, vectors()))
    unit = vectors() / np.linalg.norm(vectors(), axis=1, keepdims=True)
    place = {line: i for i, line in enumerate(line for line in range(1, ROWS + 1) if line != 2)}
    line_of = dict(selection.ledger.select("id", "line").iter_rows())
    live = selection.ledger.filter(pl.col("drop_reason").is_null())
    assert live.height == ROWS - 2
    for line, nearest, distance in live.select("line", "nearest_selected", "distance").iter_rows():
        expected = np.linalg.norm(unit[place[line]] - unit[place[line_of[nearest]]])
        assert distance == pytest.approx(expected, abs=1e-5)
    about = selection.report["embedder"]
    assert (about["name"], about["dimensions"], about["rows"]) == ("vectors of vectors.npy", 8, ROWS - 2)


@pytest.mark.parametrize("key", [["id"], ["source", "line"]])
def test_parquet_is_matched_by_id_or_by_place(pool, tmp_path, key) -> None:
    """Both ways give what the .npy file gives; rows of other records are passed over."""
    by_order = select(pool, saved(tmp_path, vectors()))
    place = pl.DataFrame({"line": [line for line in range(1, ROWS + 1) if line != 2], "vector": vectors().tolist()})
    table = by_order.ledger.filter(pl.col("shape").is_not_null()).join(place, on="line").select(*key, "vector")
    file = tmp_path / "vectors.parquet"
    table.sample(fraction=1, shuffle=True, seed=1).write_parquet(file)
    assert select(pool, file).rows["id"].to_list() == by_order.rows["id"].to_list()


def test_centring_holds_for_them_too(pool, tmp_path) -> None:
    """Vectors in a cone are warned of, and --center opens it."""
    file = saved(tmp_path, vectors() + 100)
    plain, centred = select(pool, file), select(pool, file, center=True)
    assert any("narrow cone" in note for note in plain.report["notes"])
    assert not any("narrow cone" in note for note in centred.report["notes"])
    assert plain.report["embedder"]["mean_pairwise_cosine"] > 0.9 > centred.report["embedder"]["mean_pairwise_cosine"]
    assert "--center" in centred.report["command_line"]


def test_another_number_of_rows_is_refused_with_both_numbers(pool, tmp_path) -> None:
    """The error tells how many rows there are, and how many records."""
    with pytest.raises(CurateError, match="has 30 rows, and 29 records can be read"):
        select(pool, saved(tmp_path, vectors(ROWS)))


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_row_that_has_no_direction_is_refused(pool, tmp_path, value) -> None:
    """Zero, NaN and infinity of a live record are named with its line; a dropped record may have them."""
    matrix = vectors()
    matrix[1] = value
    select(pool, saved(tmp_path, matrix))
    matrix[4] = value
    with pytest.raises(CurateError, match=r"1 live records? have a vector .* line 6"):
        select(pool, saved(tmp_path, matrix))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros(29, dtype=np.float32), "float32 of shape"),
        (np.zeros((29, 2), dtype=np.int64), "int64 of shape"),
        (np.array([{"evil": 1}], dtype=object), "no array of numpy"),
    ],
)
def test_a_file_that_holds_no_rows_of_floats_is_refused(pool, tmp_path, matrix, message) -> None:
    """Wrong shapes, integers and pickles are wrong usage."""
    np.save(tmp_path / "vectors.npy", matrix, allow_pickle=True)
    with pytest.raises(UsageError, match=message):
        select(pool, tmp_path / "vectors.npy")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"id": ["a"]}, "no column vector"),
        ({"line": [1], "vector": [[1.0]]}, "no column source"),
        ({"id": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}, "same length"),
        ({"id": ["a", "a"], "vector": [[1.0], [1.0]]}, "two rows have the same id"),
        ({"id": ["a", "b"], "vector": [[1.0], [1.0]]}, "no vector for 28 of 28 live records"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(pool, tmp_path, frame, message) -> None:
    """Missing columns, unequal lengths, two vectors for a record and none are told."""
    pl.DataFrame(frame).write_parquet(tmp_path / "vectors.parquet")
    with pytest.raises(CurateError, match=message):
        select(pool, tmp_path / "vectors.parquet")


def test_neither_a_missing_file_nor_another_kind_nor_an_embedder_beside_it(pool, tmp_path) -> None:
    """What cannot be meant is wrong usage."""
    with pytest.raises(UsageError, match=r"nowhere\.npy is not there"):
        select(pool, tmp_path / "nowhere.npy")
    with pytest.raises(UsageError, match="is a directory"):
        select(pool, tmp_path)
    with pytest.raises(UsageError, match=r"neither \.npy nor parquet"):
        select(pool, pool)
    with pytest.raises(UsageError, match="exclude each other"):
        select(pool, saved(tmp_path, vectors()), embedder="static:./folder")

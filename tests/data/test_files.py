"""Which files are read, and their plain bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from pathlib import Path

import pytest
import zstandard

from curate.data import files
from curate.data.files import PlainBytes, resolve
from curate.errors import CurateError, UsageError

TEXT = b"".join(b'{"n": %d, "text": "%s"}\n' % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(2000))


def names(*inputs: str | Path) -> list[str]:
    return [item.name for item in resolve(list(inputs))[0]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with data files, other files and hidden files, and go there."""
    for name in ("b.jsonl", "a.json.gz", "c.parquet", "sub/d.jsonl.zst", "notes.txt", ".hidden.json", ".git/e.json"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("{}")
    for name in ("dataset_info.json", "state.json", "report.json", "ledger.parquet", "unreadable.jsonl"):
        (tmp_path / "data" / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_stands_for_its_data_files(folder):
    """Data files in it and below are read in order; hidden files are skipped, others named in a note."""
    items, notes = resolve(["data"])
    assert [item.name for item in items] == ["data/a.json.gz", "data/b.jsonl", "data/c.parquet", "data/sub/d.jsonl.zst"]
    aside = "dataset_info.json, ledger.parquet, notes.txt, report.json, state.json and 1 more"
    assert notes == [f"data: left aside, no data files: {aside}"]


def test_a_glob_stands_for_the_data_files_that_match(folder):
    """A glob is resolved here too, for a shell may not have done it."""
    assert names("data/*.json*") == ["data/a.json.gz", "data/b.jsonl"]
    assert names("data/**/*.zst") == ["data/sub/d.jsonl.zst"]
    with pytest.raises(UsageError, match="no data file matches"):
        resolve(["data/*.txt"])


def test_a_file_with_a_glob_in_its_name_is_a_file(folder):
    """What exists under the very name is not a glob."""
    Path("b[1].jsonl").write_text("{}")
    assert names("b[1].jsonl") == ["b[1].jsonl"]


def test_files_are_sorted_and_read_once(folder):
    """The order of arguments changes nothing; a file given twice, by whatever name, is read once, and that is said."""
    items, notes = resolve(["data/b.jsonl", Path("data/a.json.gz"), "./data/../data/b.jsonl", "-", "-"])
    assert [item.name for item in items] == ["-", "./data/../data/b.jsonl", "data/a.json.gz"]
    assert notes == [
        "-: given twice (as -), read once",
        "data/b.jsonl: given twice (as ./data/../data/b.jsonl), read once",
    ]


def test_objects_have_names(folder):
    """Python objects are named by their kind, and numbered."""
    items, _ = resolve([[{}], [{}], "data/b.jsonl"])
    assert [(item.name, item.kind) for item in items] == [
        ("data/b.jsonl", "file"),
        ("list", "object"),
        ("list#2", "object"),
    ]


@pytest.mark.parametrize(
    ("given", "what", "hint"),
    [
        ("data/b.json", "data/b.json: no such file", "data/b.jsonl"),
        ("daat/b.jsonl", "daat: no such file", "Did you mean data?"),
        ("data/b.jsonl/x.json", "data/b.jsonl/x.json: no such file", "Nothing in data/b.jsonl has a name like it"),
        ("/nowhere-at-all/b.json", "/nowhere-at-all: no such file", ""),
        ("data/.git", "a directory without data files", ".jsonl"),
        ("data/*.csv", "no data file matches", ""),
    ],
)
def test_what_is_not_there_is_told_with_what_is(folder, given, what, hint):
    """A missing path names the first part that is missing, and the nearest names beside it."""
    if given == "data/.git":
        Path("data/.git/e.json").unlink()
    with pytest.raises(UsageError) as caught:
        resolve([given])
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_name_that_is_no_path_may_be_a_hugging_face_id(folder):
    """Only what looks like owner/name, does not exist here and has no data suffix is one."""
    assert [item.kind for item in resolve(["owner/name", "data/b.jsonl"])[0]] == ["file", "hub"]


def test_a_file_name_that_is_no_text_is_escaped(folder):
    """A name with bytes that are no UTF-8 can be read, and its name can be written."""
    with open(b"data/\xff.jsonl", "wb"):
        pass
    (item,) = resolve([os.fsdecode(b"data/\xff.jsonl")])[0]
    assert item.name == "data/\\xff.jsonl"
    assert item.value.exists()


def plain(packed: bytes, block_bytes: int = 1 << 20) -> tuple[bytes, str | None]:
    stream = PlainBytes(io.BytesIO(packed), "test", block_bytes)
    data = b"".join(stream)
    assert stream.size == len(packed)
    assert stream.sha256 == hashlib.sha256(packed).hexdigest()
    return data, stream.fault


ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress
SKIPPABLE = bytes.fromhex("5a2a4d18") + (5).to_bytes(4, "little") + b"index"


@pytest.mark.parametrize(
    "packed",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:777]) + gzip.compress(b"") + gzip.compress(TEXT[777:]),
        gzip.compress(TEXT) + b"\0" * 3000,
        ZSTD(TEXT),
        ZSTD(TEXT[:777]) + ZSTD(b"") + ZSTD(TEXT[777:]),
        SKIPPABLE + ZSTD(TEXT) + SKIPPABLE,
    ],
    ids=["plain", "gzip", "gzip members", "gzip padded", "zstd", "zstd frames", "zstd skippable"],
)
@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 20])
def test_packed_files_give_their_plain_bytes(packed, block_bytes):
    """How a file is packed is seen from its bytes; all members and frames are read; digest and size are the file's."""
    assert plain(packed, block_bytes) == (TEXT, None)


@pytest.mark.parametrize("pack", [gzip.compress, ZSTD], ids=["gzip", "zstd"])
def test_a_truncated_file_gives_what_is_there(pack):
    """A file that is cut off gives the bytes before the cut, and says so; cut in its first bytes it gives none."""
    packed = pack(TEXT)
    data, fault = plain(packed[:-6])
    assert TEXT.startswith(data)
    assert "truncated" in str(fault)
    assert plain(packed[:6]) == (b"", fault)


@pytest.mark.parametrize("pack", [gzip.compress, ZSTD], ids=["gzip", "zstd"])
def test_damage_at_the_end_costs_little(pack):
    """A wrong checksum is told, and costs no more than the last piece."""
    packed = pack(TEXT)
    data, fault = plain(packed[:-5] + bytes(5))
    assert TEXT.startswith(data)
    assert len(data) > len(TEXT) // 2 or pack is ZSTD  # zstd gives its blocks of up to 128 kB whole
    assert "damaged" in str(fault)


def test_damage_in_the_middle_keeps_what_was_before():
    """What was unpacked before the damage is kept, for any size of blocks."""
    packed = bytearray(gzip.compress(TEXT))
    middle = len(packed) // 2
    packed[middle : middle + 200] = bytes(200)
    data, fault = plain(bytes(packed))
    assert data[: len(TEXT) // 3] == TEXT[: len(TEXT) // 3]
    assert "the gzip data is damaged here" in str(fault)
    assert plain(bytes(packed), 1000) == (data, fault)


def test_bytes_after_the_end_are_told():
    """What follows the last member and is none is not passed over."""
    data, fault = plain(gzip.compress(TEXT) + b"rest")
    assert data == TEXT
    assert fault is not None


@pytest.mark.parametrize("magic", [b"PK\x03\x04....", b"BZh91AY", b"\xfd7zXZ\x00", b"PAR1...."])
def test_what_we_do_not_unpack_is_refused(magic):
    """A zip, bzip2 or xz file, or a table where a text must stand, is refused by name, not read as broken lines."""
    with pytest.raises(CurateError, match="which is not read here"):
        plain(magic)


def bomb(kind: str, size: int) -> bytes:
    """Return `size` bytes of one letter, packed."""
    return gzip.compress(b"a" * size, 1) if kind == "gz" else zstandard.compress(b"a" * size)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, kind):
    """A file that unpacks to far more than text does is an error that names file and option, told before its end."""
    monkeypatch.setattr(files, "FREE_BYTES", 1 << 20)
    path = tmp_path / f"bomb.jsonl.{kind}"
    path.write_bytes(bomb(kind, 1 << 28))

    def unpacked(max_expand: int) -> int:
        with path.open("rb") as file:
            return sum(map(len, PlainBytes(file, path.name, 1 << 20, max_expand=max_expand)))

    with pytest.raises(CurateError, match=r"bomb\.jsonl.*over 20 bytes") as caught:
        unpacked(20)
    assert "--max-expand 200" in caught.value.hint
    assert unpacked(10**6) == 1 << 28


def test_a_little_text_may_unpack_as_far_as_it_likes(tmp_path):
    """Below 256 MB nothing is refused: a log of one line again and again is no bomb."""
    path = tmp_path / "log.gz"
    path.write_bytes(bomb("zst", 100 << 20))
    with path.open("rb") as file:
        assert sum(map(len, PlainBytes(file, "log", 1 << 20))) == 100 << 20

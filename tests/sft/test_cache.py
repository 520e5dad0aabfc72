"""The folder of all caches, and files that are there completely or not at all."""

from __future__ import annotations

import pytest

from curate.sft.cache import cache_root, write_whole


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({"CURATE_CACHE": "/one", "XDG_CACHE_HOME": "/two"}, "/one"),
        ({"XDG_CACHE_HOME": "/two"}, "/two/curate"),
        ({"HOME": "/me"}, "/me/.cache/curate"),
    ],
)
def test_where_the_cache_is(monkeypatch, set_to, expected) -> None:
    """CURATE_CACHE, else the XDG folder, else ~/.cache."""
    for name in ("CURATE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert str(cache_root()) == expected


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_a_file_is_there_whole_or_not_at_all(tmp_path, error) -> None:
    """What was there stays until the new file is complete; what is cut off leaves nothing."""
    path = tmp_path / "new folder" / "one"
    with write_whole(path) as file:
        file.write(b"before")

    def cut_off() -> None:
        with write_whole(path) as file:
            file.write(b"aft")
            raise error

    with pytest.raises(type(error)):
        cut_off()
    assert [(one.name, one.read_bytes()) for one in path.parent.iterdir()] == [("one", b"before")]

"""The cache of vectors: what was computed once for a text is read back, bit for bit, so that a changed row costs a row.

A cache folder belongs to one embedder: its name is a hash of everything that can change a bit of a vector (weights,
settings, precision, length, library versions, processor), which stands in `about.json` beside the shards. A shard holds
the blake2b-128 of each text, whether the text was cut, and the float32 vectors, as three arrays of numpy's own format.

- Shards are only ever added, each under a name of its own and by a rename of the complete file. So a killed run leaves
  whole shards, and two runs at once do not disturb each other; at worst a text is stored twice.
- A shard that cannot be read is passed over, never trusted, and its texts are computed again. Nothing is unpickled.

Where it is, and how its files are written: `curate/sft/cache.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import numpy as np

from curate.sft.cache import cache_root, write_whole

KEY_BYTES = 16
FLUSH_SECONDS = 60  # a run that is killed loses at most the work of so long


class Shard(NamedTuple):
    """n texts: `keys` uint8 n × KEY_BYTES, `truncated` bool n, `vectors` float32 n × d."""

    keys: np.ndarray
    truncated: np.ndarray
    vectors: np.ndarray


def text_keys(texts: Sequence[str]) -> np.ndarray:
    """Return the blake2b-128 of each text as uint8, n × KEY_BYTES."""
    digests = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, KEY_BYTES)


class VectorCache:
    """The vectors of one embedder on disk; `identity` is everything that its vectors depend on beside the text."""

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self._about = json.dumps(identity, sort_keys=True, indent=1)
        self.folder = cache_root() / "embeddings" / sha256(self._about.encode()).hexdigest()[:32]
        self._waiting: list[Shard] = []
        self._flushed = time.monotonic()
        self.fault: str | None = None
        """Why nothing is stored any more, if so."""

    def fill(self, keys: np.ndarray, truncated: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Write what is known of the texts with these keys into `truncated` and `vectors`; return the rows missing."""
        row = {key.tobytes(): i for i, key in enumerate(keys)}
        known = np.zeros(len(keys), dtype=bool)
        for path in sorted(self.folder.glob("*.shard")):
            with suppress(OSError, ValueError, EOFError, IndexError), path.open("rb") as file:
                stored = np.load(file, allow_pickle=False)
                pairs = [(at, i) for at, key in enumerate(stored) if (i := row.get(key.tobytes())) is not None]
                if pairs:
                    shard = Shard(stored, np.load(file, allow_pickle=False), np.load(file, allow_pickle=False))
                    at, rows = np.array(pairs).T
                    vectors[rows], truncated[rows] = shard.vectors[at], shard.truncated[at]
                    known[rows] = True
        return np.flatnonzero(~known)

    def add(self, keys: np.ndarray, truncated: np.ndarray, vectors: np.ndarray) -> None:
        """Keep rows for the next shard, which is written when a minute has passed."""
        self._waiting.append(Shard(keys, truncated, vectors))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write a shard of what is kept. A disk that takes no more is noted in `fault`, and the run goes on."""
        waiting, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        if not waiting or self.fault:
            return
        try:
            if not (self.folder / "about.json").exists():
                with write_whole(self.folder / "about.json") as file:
                    file.write(self._about.encode())
            arrays = [np.concatenate(column) for column in zip(*waiting, strict=True)]
            name = sha256(arrays[0].tobytes()).hexdigest()[:24]  # the same texts: the same vectors, the same file
            with write_whole(self.folder / f"{name}.shard") as file:
                for array in arrays:
                    np.save(file, array, allow_pickle=False)
        except OSError as error:
            self.fault = f"{error.filename or self.folder}: {error.strerror or error}"

"""The kernels that turn candidates into clusters: true Jaccard of two sorted sets, and a union-find in one array.

Documents are named by their rank here, the best first, and the smaller rank becomes the root: so the root of a cluster
is its survivor, in whatever order the pairs come (Tarjan 1975, with path halving; the order of unions costs a factor of
at most log n, and gives the answer for nothing).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import kernel
from curate.corpus.kernels import LARGEST, sort_unique


@kernel
def copy_rows(source: Any, base: Any, starts: Any, rows: Any, out: Any, offsets: Any) -> None:
    """Copy ragged rows one after the other to `out`: row r is source[starts[r] - base:starts[r + 1] - base]."""
    for i in range(len(rows)):
        start = starts[rows[i]] - base - offsets[i]
        for at in range(offsets[i], offsets[i + 1]):
            out[at] = source[start + at]


@kernel
def sort_sets(values: Any, offsets: Any, first: Any, last: Any, sizes: Any) -> None:
    """Sort each row of `values` from `first` to `last`, each value once, LARGEST values at most; OUT `sizes`."""
    longest = 0
    for i in range(first, last):
        longest = max(longest, offsets[i + 1] - offsets[i])
    spare = np.empty(longest, dtype=np.uint32)
    for i in range(first, last):
        row = values[offsets[i] : offsets[i + 1]]
        sizes[i] = min(sort_unique(row, spare[: len(row)]), LARGEST)


@kernel
def similar(
    values: Any, offsets: Any, sizes: Any, left: Any, right: Any, threshold: Any, first: Any, last: Any, found: Any
) -> None:
    """Write for each pair of sorted sets from `first` to `last` whether their Jaccard similarity is >= `threshold`.

    Of sets of LARGEST values only the LARGEST smallest of the union are compared (bottom-k estimate).
    """
    for p in range(first, last):
        a, b = offsets[left[p]], offsets[right[p]]
        n, m = sizes[left[p]], sizes[right[p]]
        # J >= t means n + m = union + both <= both / t + both: values of one side alone are soon too many.
        least = threshold / (1 + threshold) * (n + m) - 1
        spare_a, spare_b, most = n - least, m - least, 2 * LARGEST
        if n == LARGEST or m == LARGEST:
            spare_a, spare_b, most = float(n), float(m), LARGEST
        end_a, end_b, both, only_a, only_b = a + n, b + m, 0, 0, 0
        while a < end_a and b < end_b and only_a <= spare_a and only_b <= spare_b:
            x, y = values[a], values[b]
            both += x == y
            only_a += x < y
            only_b += x > y
            a += x <= y
            b += x >= y
            if both + only_a + only_b == most:
                end_a, end_b = a, b
        union = both + only_a + only_b + (end_a - a) + (end_b - b)
        found[p] = both / min(union, most) >= threshold


@kernel
def find(parent: Any, i: Any) -> Any:
    """Return the root of `i` and shorten the way there (path halving)."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def unite(parent: Any, left: Any, right: Any) -> None:
    """Join the clusters of each pair; the smaller root stays."""
    for p in range(len(left)):
        a, b = find(parent, left[p]), find(parent, right[p])
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@kernel
def roots(parent: Any, ranks: Any) -> Any:
    """Return the root of each of `ranks`."""
    out = np.empty(len(ranks), dtype=np.uint32)
    for i in range(len(ranks)):
        out[i] = find(parent, ranks[i])
    return out


@kernel
def divided(members: Any, starts: Any, stops: Any, parent: Any) -> Any:
    """Return which buckets members[starts[b]:stops[b]] are not one cluster yet."""
    out = np.zeros(len(starts), dtype=np.bool_)
    for b in range(len(starts)):
        root = find(parent, members[starts[b]])
        for i in range(starts[b] + 1, stops[b]):
            if find(parent, members[i]) != root:
                out[b] = True
                break
    return out


@kernel
def propose(
    members: Any,  # uint32: ranks, ascending within a bucket
    starts: Any,  # int64: where each bucket starts
    stops: Any,  # int64: where it ends
    turn: Any,  # IN OUT int64: the place in each bucket that leads next
    block: Any,  # int64: how many places lead in this round
    bucket: Any,  # int64: the bucket to begin with
    settled: Any,  # int64: two ranks below this one are known to be distinct
    parent: Any,  # IN OUT uint32
    left: Any,  # OUT uint32: as long as the largest bucket or longer
    right: Any,  # OUT uint32
) -> Any:
    """Pair each leader with the later members of its bucket that are not in its cluster yet.

    Return how many pairs, and the bucket to go on with when `left` is full (the number of buckets at the end).
    """
    count = 0
    for b in range(bucket, len(starts)):
        stop = min(turn[b] + block, stops[b] - starts[b] - 1)
        while turn[b] < stop:
            leader = starts[b] + turn[b]
            if count + stops[b] - leader > len(left):
                return count, b
            root = find(parent, members[leader])
            for i in range(leader + 1, stops[b]):
                if members[i] >= settled and find(parent, members[i]) != root:
                    left[count] = members[leader]
                    right[count] = members[i]
                    count += 1
            turn[b] += 1
    return count, len(starts)

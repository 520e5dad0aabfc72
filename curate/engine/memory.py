"""How much memory this process holds now, and how much it may have."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

from curate.errors import CurateError

LEAST_ADDRESSES = 3 << 30  # measured: with two workers 1.5 GB of addresses are too few for the libraries to load, 3 do


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 where /proc is missing."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def machine_bytes() -> int:
    """Return the memory of this machine, or what `ulimit -v` leaves of it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return physical if limit == resource.RLIM_INFINITY else min(physical, limit)


def give_back() -> None:
    """Give memory that was freed back to the system; glibc keeps what many threads freed, a fifth of it measured."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def check_address_space() -> None:
    """Raise CurateError where `ulimit -v` is too low: libraries end the process when they cannot have what they ask."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESSES:
        raise CurateError(
            f"ulimit -v allows {limit / 2**30:.1f} GB of addresses, and the libraries alone ask for more to load",
            f"Allow at least {LEAST_ADDRESSES >> 30} GB, and bound the memory that is used by --memory: ulimit -v "
            f"{LEAST_ADDRESSES >> 10}",
        )

"""What the duplicate kernels do to a few bytes at once: hash, mark, decode; and how a kernel is compiled.

Eight bytes are one uint64, the first byte lowest. A mark on a byte is its bit 7. What is called for each word or
character takes and returns numbers only: numba counts references of each array that it hands on, which costs more than
hashing a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile at the first call and keep the result on disk; the interpreter lock is released while it runs.

    Where no directory can be written (a read-only installation without a home), it is compiled in each process.
    """
    try:
        return cast("F", numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:
        return cast("F", numba.njit(nogil=True, error_model="numpy")(function))


# Multipliers: odd, from the literature of multiplicative hashing (xxHash's primes, MurmurHash3's fmix64).
M1 = np.uint64(0x9E3779B185EBCA87)
M2 = np.uint64(0xC2B2AE3D27D4EB4F)
SEED = np.uint64(0x27D4EB2F165667C5)
_F1 = np.uint64(0xFF51AFD7ED558CCD)
_F2 = np.uint64(0xC4CEB9FE1A85EC53)

U0, U1, U2, U3, U7, U8, U16, U23, U24, U31, U32, U33, U41, U56, U63, U255 = (
    np.uint64(n) for n in (0, 1, 2, 3, 7, 8, 16, 23, 24, 31, 32, 33, 41, 56, 63, 255)
)
_GATHER = np.uint64(0x0102040810204080)  # times one bit a byte puts these eight bits into the highest byte
END = np.uint64(0xF8)  # and up: a byte that UTF-8 does not have marks the last chunk of a word
BLANK = np.uint64(0x20)


def _each(byte: int) -> np.uint64:
    return np.uint64(byte * 0x0101010101010101)


# All eight bytes of a number are compared at once: a byte below 0x80 plus (0x80 - c) has bit 7 set where it is >= c.
EACH_01, _EACH_20, _EACH_7F, EACH_80 = _each(0x01), _each(0x20), _each(0x7F), _each(0x80)
_FROM_A, _PAST_Z, _FROM_0, _PAST_9 = (_each(0x80 - c) for c in (0x61, 0x7B, 0x30, 0x3A))
_FROM_TAB, _PAST_RETURN, _FROM_BLANK, _PAST_BLANK = (_each(0x80 - c) for c in (0x09, 0x0E, 0x20, 0x21))


@kernel
def absorb(state: Any, value: Any) -> Any:
    """Return `state` after one more `value`: xor, multiply, rotate; a bijection of the state for each value."""
    state = (state ^ value) * M1
    return (state << U31) | (state >> U33)


@kernel
def finish(state: Any) -> Any:
    """Return the state with every bit depending on every bit (MurmurHash3's fmix64)."""
    state ^= state >> U33
    state *= _F1
    state ^= state >> U33
    state *= _F2
    return state ^ (state >> U33)


def _count_trailing_zeros(typing_context: Any, value: Any) -> Any:
    """Return the number of the lowest bit that is set: one instruction, which numba has no name for."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return numba.types.uint64(numba.types.uint64), codegen


lowest_bit: Any = intrinsic(_count_trailing_zeros)


@kernel
def gather(marks: Any) -> Any:
    """Return the marks (bit 7 of each byte) as the eight lowest bits."""
    return ((marks >> U7) * _GATHER) >> U56


@kernel
def letters(x: Any) -> Any:
    """Return a mark on each byte of `x` that is an ASCII letter."""
    lower = (x & _EACH_7F) | _EACH_20
    return (lower + _FROM_A) & ~(lower + _PAST_Z) & ~x & EACH_80


@kernel
def digits(x: Any) -> Any:
    """Return a mark on each byte of `x` that is an ASCII digit."""
    seven = x & _EACH_7F
    return (seven + _FROM_0) & ~(seven + _PAST_9) & ~x & EACH_80


@kernel
def white(x: Any) -> Any:
    """Return a mark on each byte of `x` that is ASCII white space."""
    seven = x & _EACH_7F
    blank = (seven + _FROM_BLANK) & ~(seven + _PAST_BLANK)
    return (blank | ((seven + _FROM_TAB) & ~(seven + _PAST_RETURN))) & ~x & EACH_80


@kernel
def decode(x: Any, left: Any) -> Any:
    """Return the code point that the lowest bytes of `x` encode, and how many they are; `left` bytes are text."""
    lead = np.int64(x & U255)
    second, third, fourth = np.int64(x >> U8) & 0x3F, np.int64(x >> U16) & 0x3F, np.int64(x >> U24) & 0x3F
    if lead < 0x80:
        return lead, 1
    if 0xE0 <= lead < 0xF0 and left > 2:
        return (lead & 0x0F) << 12 | second << 6 | third, 3
    if 0xC0 <= lead < 0xE0 and left > 1:
        return (lead & 0x1F) << 6 | second, 2
    code = (lead & 0x07) << 18 | second << 12 | third << 6 | fourth
    if lead >= 0xF0 and left > 3 and code < 0x110000:
        return code, 4
    return 0xFFFD, 1


@kernel
def encode(code: Any) -> Any:
    """Return the UTF-8 bytes of a code point as a number, the first one lowest, and how many they are."""
    last = 0x80 | (code & 0x3F)
    if code < 0x80:
        return np.uint64(code), 1
    if code < 0x800:
        return np.uint64((0xC0 | code >> 6) | last << 8), 2
    middle = 0x80 | (code >> 6 & 0x3F)
    if code < 0x10000:
        return np.uint64((0xE0 | code >> 12) | middle << 8 | last << 16), 3
    return np.uint64((0xF0 | code >> 18) | (0x80 | (code >> 12 & 0x3F)) << 8 | middle << 16 | last << 24), 4


@kernel
def piece(word: Any, size: Any) -> Any:
    """Return the `size` < 8 lowest bytes of `word`, marked so that no text of eight bytes is the same number."""
    return (word & ((U1 << (size << U3)) - U1)) | (END | size) << U56


@kernel
def is_ascii(wide: Any, at: Any, stop: Any) -> Any:
    """Return whether all bytes from `at` to `stop` are ASCII."""
    every, top = U0, len(wide) - 1
    for i in range(at, stop - 7, 8):
        every |= wide[i]
    for i in range((stop - at) % 8):
        every |= wide[min(stop - 1 - i, top)] >> np.uint64(8 * max(stop - 1 - i - top, 0)) & U255
    return every & EACH_80 == U0

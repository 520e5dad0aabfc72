"""A run that writes files goes on when its terminal is closed, or when what reads its messages has ended."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from typing import Any, TextIO


def outlive_terminal() -> None:
    """Ignore the hangup of the terminal, and let messages that nobody can read go nowhere.

    Does nothing inside another program, whose streams and signals are its own.
    """
    own_streams = (sys.stderr, sys.stdout) == (sys.__stderr__, sys.__stdout__)
    if not own_streams or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stderr = _tireless(sys.stderr)
    sys.stdout = _tireless(sys.stdout, errno.EIO)  # a full disk and a closed pipe are told: this is the result


class _Tireless(io.FileIO):
    """A file that becomes the null device at the first error (of `numbers`, if there are any)."""

    def __init__(self, descriptor: int, numbers: tuple[int, ...]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._numbers = numbers

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self._numbers and error.errno not in self._numbers:
                raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        return super().write(data)


def _tireless(stream: TextIO, *numbers: int) -> TextIO:
    stream.flush()
    raw = io.BufferedWriter(_Tireless(stream.fileno(), numbers))
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.isatty() or not numbers)

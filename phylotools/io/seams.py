"""Where compressed text may be joined: behind lines that a hash of their own letters chooses.

BGZF blocks end there, whoever writes them. So blocks that were made of a part of a text, from its
first seam on, are those that the whole text would have had, and parts are joined by copying them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes at the begin and at the end of a line that are hashed; positions and scores stand there.
_FIRST, _LAST = 32, 16
_NEWLINE = ord("\n")
#: FNV-1a of 64 bits, and a multiplier of MurmurHash3 that spreads its lower bits.
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(33)


#: Eight bytes at a time are looked through for a newline, by the arithmetic on words of "Hacker's
#: Delight", 6-1: four times as fast as numpy, which makes it cheap beside compression.
_ONES, _HIGHS, _NEWLINES = (np.uint64(byte * 0x0101010101010101) for byte in (1, 0x80, _NEWLINE))
_WORD = 8


@compiled
def _line_ends(
    text: NDArray[np.uint8], words: NDArray[np.uint64], n_before: int, ends: NDArray[np.int64]
) -> int:
    """Write where lines end, as many as fit; returns how many there are.

    Parameters
    ----------
    text : uint8 array
    words : uint64 array
        The whole words of `text` behind its first `n_before` bytes.
    n_before : int
    ends : int64 array, written
    """
    n = 0
    for word in range(-1, len(words) + 1):
        at, stop = n_before + _WORD * word, n_before + _WORD * (word + 1)
        if word < 0:
            at = 0
        elif word == len(words):
            stop = len(text)
        else:
            differing = words[word] ^ _NEWLINES
            if not (differing - _ONES) & ~differing & _HIGHS:
                continue
        for k in range(at, stop):
            if text[k] == _NEWLINE:
                if n < len(ends):
                    ends[n] = k + 1
                n += 1
    return n


@compiled
def _choose_seams(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    bits: int,
    is_seam: NDArray[np.bool_],
) -> None:
    """Write which lines have a seam behind them: one in 2 ** `bits` bytes, on average.

    The chance of a line grows with its length.
    """
    shift = np.uint64(64 - bits)
    for i in range(len(begins)):
        begin, end = begins[i], ends[i]
        value = _BASIS
        for at in range(begin, min(begin + _FIRST, end)):
            value = (value ^ np.uint64(text[at])) * _PRIME
        for at in range(max(begin, end - _LAST), end):
            value = (value ^ np.uint64(text[at])) * _PRIME
        value = (value ^ (value >> _HALF)) * _SPREAD
        value ^= value >> _HALF
        is_seam[i] = np.int64(value >> shift) < end - begin


class Seams:
    """Finds the seams of a text that comes in pieces, which need not be whole lines."""

    #: A mebibyte of text between two, on average: a block cut short costs each some 200 compressed
    #: bytes, and what lies before the first of a part is compressed at the end.
    bits = 20

    def __init__(self) -> None:
        # What came of a line whose end did not.
        self._begun = bytearray()

    def find(self, data: bytes | memoryview) -> list[int]:
        """Where in these bytes, which follow the last, a seam lies: behind a line end."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = _ends_of_lines(text)
        if not len(ends):
            self._begun += data
            return []
        n_begun = len(self._begun)
        if n_begun:
            # Only lines that are written in several pieces are copied.
            first = np.frombuffer(bytes(self._begun) + bytes(data[: int(ends[0])]), dtype=np.uint8)
            found = ends[:1][self._is_seam(first, np.array([0]), np.array([len(first)]))].tolist()
            found += ends[1:][self._is_seam(text, ends[:-1], ends[1:])].tolist()
        else:
            found = ends[self._is_seam(text, np.append(0, ends[:-1]), ends)].tolist()
        self._begun = bytearray(data[int(ends[-1]) :])
        return found

    def _is_seam(
        self, text: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        is_seam = np.empty(len(begins), dtype=bool)
        _choose_seams(text, begins, ends, self.bits, is_seam)
        return is_seam


def _ends_of_lines(text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where lines end, each behind its newline."""
    n_before = min(-text.ctypes.data % _WORD, len(text))
    n_words = (len(text) - n_before) // _WORD
    words = text[n_before : n_before + _WORD * n_words].view(np.uint64)
    ends: NDArray[np.int64] = np.empty(len(text) // 64 + 1, dtype=np.int64)
    n = _line_ends(text, words, n_before, ends)
    if n > len(ends):
        ends = np.empty(n, dtype=np.int64)
        _line_ends(text, words, n_before, ends)
    return ends[:n]

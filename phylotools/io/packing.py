"""Files that are compressed in a way that is not read here: what they are, and what to do."""

from __future__ import annotations

import os
import re

from phylotools.errors import InputError

UNPACK = "unpack it, or compress it with gzip or bgzip instead"
#: First bytes -> what compressed the file. Of bzip2 more than its name, which text may begin with.
_PACKERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"BZh[1-9](?:1AY|\x17rE)"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd"),
    (re.compile(rb"\x04\x22\x4d\x18"), "lz4"),
    (re.compile(rb"\x89LZO\0"), "lzop"),
)


def packed_otherwise(first: bytes, path: str | os.PathLike[str]) -> InputError | None:
    """The error of a file that another program than gzip or bgzip compressed; None for others.

    Parameters
    ----------
    first : bytes
        Those that the file begins with, ten at least.
    path : str or PathLike
    """
    for magic, packer in _PACKERS:
        if magic.match(first):
            return InputError(f"the file is compressed with {packer}", path=path, remedy=UNPACK)
    return None

from __future__ import annotations

import subprocess
import sys

from phylotools.phylogeny.kernels.cpu import dispatch

#: No folder can be written, as in a read-only container: numba then finds no place for a cache.
CODE = """
import logging
logging.basicConfig(level=logging.INFO)
from numba.core import caching
def refuse(self):
    raise PermissionError(13, "read-only")
caching._CacheLocator.ensure_cache_path = refuse
from phylotools import compiling
from phylotools.phylogeny.kernels import cpu
assert not compiling.can_cache()
"""


def test_kernels_load_where_nothing_can_be_written():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "set NUMBA_CACHE_DIR to a private folder" in done.stderr


def test_the_cache_knows_every_file_that_is_compiled_in():
    """Numba itself looks at the entry's own file only."""
    before = dispatch._compile(dispatch._hash_of_sources())
    same = dispatch._compile(dispatch._hash_of_sources())
    other = dispatch._compile("another hash")
    for entries in zip(before, same, other, strict=True):
        names = [entry._cache._impl.filename_base for entry in entries]
        assert names[0] == names[1] != names[2]

from __future__ import annotations

import subprocess
import sys

#: No folder can be written, as in a read-only container: numba then finds no place for a cache.
CODE = """
import logging
logging.basicConfig(level=logging.INFO)
from numba.core import caching
def refuse(self):
    raise PermissionError(13, "read-only")
caching._CacheLocator.ensure_cache_path = refuse
from phylotools.phylogeny.kernels import cpu
assert not cpu._CACHE
"""


def test_kernels_load_where_nothing_can_be_written():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "set NUMBA_CACHE_DIR to a private folder" in done.stderr

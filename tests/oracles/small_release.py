"""`phylotools` where the published network is a small one: its numbers stand for those printed.

A program: python -m small_release ARGUMENTS. All but what the authors printed is the real thing.
"""

from __future__ import annotations

from published_layouts import SMALL, golden_set

from phylotools.cli.main import main
from phylotools.model.published.catalogue import KNOWN
from phylotools.model.published.golden import GoldenTable

TABLE = GoldenTable(SMALL, {}, (golden_set("layer", 0, id=KNOWN["phylogpn"].generation),))


def read(cls: type[GoldenTable]) -> GoldenTable:
    return TABLE


if __name__ == "__main__":
    GoldenTable.read = classmethod(read)
    main()

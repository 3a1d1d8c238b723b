"""Indexes that lead to positions of a file: what they are called, and how htslib makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: Of bgzip text and BCF.
TBI, CSI = ".tbi", ".csi"
POSITION_INDEXES = (TBI, CSI)
#: Of FASTA: of its contigs, and of the blocks of bgzip.
FAI, GZI = ".fai", ".gzi"
#: tabix indexes end there (SAM specification: bins of the UCSC scheme).
_LONGEST_TBI_CONTIG = 1 << 29
#: Arguments of `pysam.tabix_index` that say where the columns of a table are.
_COLUMNS: dict[str, dict[str, Any]] = {
    "vcf": {"preset": "vcf"},
    "bed": {"seq_col": 0, "start_col": 1, "end_col": 2, "zerobased": True, "meta_char": "#"},
    "positions": {"seq_col": 0, "start_col": 1, "end_col": 1, "zerobased": False, "meta_char": "#"},
}
#: More than the rest of any index of a small file.
_ROOM = 1 << 16


def make_index(data: Path, kind: str, *, longest_contig: int) -> None:
    """Make the index of a sorted file, under its name and a suffix.

    Parameters
    ----------
    data : Path
        Bgzip text or BCF.
    kind : {'vcf', 'bcf', 'bed', 'positions'}
        ``positions`` has the contig in its first column and the 1-based position in its second.
    longest_contig : int
        In bases; decides between ``.tbi`` and ``.csi``.

    Raises
    ------
    ValueError
        If htslib cannot index it; it does not say why.
    OSError
        If there is no room for it.
    """
    import pysam
    import pysam.bcftools

    use_csi = kind == "bcf" or longest_contig >= _LONGEST_TBI_CONTIG
    index = data.with_name(data.name + (CSI if use_csi else TBI))
    verbosity = pysam.set_verbosity(0)
    try:
        if kind == "bcf":
            pysam.bcftools.index("-f", "-o", str(index), str(data))
        else:
            pysam.tabix_index(
                str(data), force=True, keep_original=True, index=str(index), csi=use_csi,
                **_COLUMNS[kind],
            )  # fmt: skip
    except (OSError, pysam.SamtoolsError) as error:
        _require_room(index)
        index.unlink(missing_ok=True)
        raise ValueError("htslib cannot index it") from error
    finally:
        pysam.set_verbosity(verbosity)


def _require_room(index: Path) -> None:
    """Raise the `OSError` that htslib keeps to itself, if the disk is full."""
    with open(index, "ab") as handle:
        handle.write(bytes(_ROOM))
        handle.flush()
        os.fsync(handle.fileno())

"""Indexes that lead to positions of a file: what they are called; that of a BCF, by htslib."""

from __future__ import annotations

import os
from pathlib import Path

#: Of bgzip text and BCF.
TBI, CSI = ".tbi", ".csi"
POSITION_INDEXES = (TBI, CSI)
#: Of FASTA: of its contigs, and of the blocks of bgzip.
FAI, GZI = ".fai", ".gzi"
#: More than the rest of any index of a small file.
_ROOM = 1 << 16


def make_bcf_index(data: Path) -> None:
    """Make the index of a sorted BCF, under its name and a suffix, by htslib.

    bcftools writes the file, so that its blocks pass by nobody here. Text has an index of its own:
    `phylotools.io.position_index`.

    Parameters
    ----------
    data : Path

    Raises
    ------
    ValueError
        If htslib cannot index it; it does not say why.
    OSError
        If there is no room for it.
    """
    import pysam
    import pysam.bcftools

    index = data.with_name(data.name + CSI)
    verbosity = pysam.set_verbosity(0)
    try:
        pysam.bcftools.index("-f", "-o", str(index), str(data))
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

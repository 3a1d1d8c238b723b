"""Which FASTA can be a model's reference: what is checked before it is remembered."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phylotools.errors import InputError, UsageError, shown
from phylotools.io.assemblies import assembly_of_text, recognise
from phylotools.io.bgzf import block_size
from phylotools.io.contigs import resolve_contigs
from phylotools.io.files import GZIP_MAGIC, open_regular
from phylotools.io.genome import ReferenceGenome
from phylotools.io.indexes import FAI
from phylotools.model.folder import Model
from phylotools.model.settings import model_key, remember_reference

logger = logging.getLogger("phylotools")

#: A scan of fewer bases takes a moment: no index is missed.
_BASES_SCANNED_AT_ONCE = 100_000_000


def set_reference(model: Model, fasta: str | os.PathLike[str]) -> None:
    """Remember the FASTA that goes with a model, once it is plain that it can.

    Parameters
    ----------
    model : Model
    fasta : str or PathLike

    Raises
    ------
    InputError
        If the file cannot be read by region, or is of another assembly than the model.
    UsageError
        If the model ships its sequence.
    OutputError
        If the settings cannot be written.
    """
    if model.reference_fasta is not None or model.transcripts is not None:
        raise UsageError(f"model {model.name} ships its sequence: there is nothing to remember")
    check_reference(model.name, model.manifest, fasta)
    remember_reference(model_key(model.folder), Path(fasta))


def check_reference(name: str, manifest: Mapping[str, Any], fasta: str | os.PathLike[str]) -> None:
    """Raise `InputError` if a FASTA cannot be a model's reference; warn where that is not plain.

    Parameters
    ----------
    name : str
        Of the model, which need not be at hand.
    manifest : mapping
        Its own, of which ``assembly`` and ``contigs`` are looked at.
    fasta : str or PathLike
    """
    _refuse_unseekable(fasta)
    with ReferenceGenome.open(fasta) as genome:
        _refuse_other_assembly(name, manifest, genome)
        n_bases = sum(genome.contigs.values())
    if n_bases > _BASES_SCANNED_AT_ONCE and not os.path.exists(f"{os.fspath(fasta)}{FAI}"):
        logger.warning(
            "%s: has no index; every run scans it: make one with `samtools faidx`", fasta
        )


def _refuse_other_assembly(name: str, manifest: Mapping[str, Any], genome: ReferenceGenome) -> None:
    """Raise `InputError` if a genome is plainly not that of a model; warn where it is unknown."""
    text = str(manifest.get("assembly") or "")
    wanted, found = assembly_of_text(text), recognise(genome.contigs)
    if wanted is not None and found is not None:
        if found.assembly is wanted and not found.n_differing:
            return
        what = found.assembly if found.assembly is not wanted else "not quite that"
        raise InputError(
            f"is {what} by the lengths of its chromosomes, and model {name} is made for {wanted}",
            path=genome.path,
            remedy=f"give a FASTA of {wanted}",
        )
    if _has_trained_contig(name, manifest, genome) or wanted is None:
        return
    logger.warning(
        "%s: no chromosome has the length that it has in %s, which model %s is made for",
        genome.path, wanted, name,
    )  # fmt: skip


def _has_trained_contig(name: str, manifest: Mapping[str, Any], genome: ReferenceGenome) -> bool:
    """Whether a genome has contigs that the manifest names; `InputError` if it has none of them."""
    contigs = manifest.get("contigs")
    assembly = str(manifest.get("assembly") or "")
    names = [str(contig) for contig in contigs] if isinstance(contigs, list) else []
    if names and not resolve_contigs(names, genome.contigs):
        raise InputError(
            f"has no contig that model {name} was trained on ({shown(names[0])}, ...)",
            path=genome.path,
            remedy=f"give a FASTA of {shown(assembly) or 'the assembly of the model'}",
        )
    return bool(names)


def _refuse_unseekable(fasta: str | os.PathLike[str]) -> None:
    """Raise `InputError` for gzip that is no bgzip, which every run would have to unpack whole."""
    with open_regular(fasta) as handle:
        head = handle.read(18)
    if head.startswith(GZIP_MAGIC) and not block_size(head):
        raise InputError(
            "is gzip, in which nothing can be looked up",
            path=fasta,
            remedy="unpack it, or pack it again with `bgzip`, and index it with `samtools faidx`",
        )

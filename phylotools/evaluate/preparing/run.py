"""A published table to a VCF that `annotate` scores and `evaluate` reads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from phylotools.errors import UsageError
from phylotools.evaluate.preparing.dms import prepare_dms
from phylotools.evaluate.preparing.mpra import prepare_mpra
from phylotools.evaluate.preparing.passing import prepare_variants
from phylotools.evaluate.preparing.records import Prepared, write_prepared
from phylotools.evaluate.protocols.protocol import MPRA, PROTEIN_CHANGES, VARIANTS, Protocol
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import spliced_genome


def prepare(
    protocol: Protocol,
    table: str,
    output: str,
    *,
    fasta: str | None = None,
    transcripts: str | None = None,
    transcript_part: str = "CDS",
    genetic_code: int | None = None,
    transcript: str | None = None,
    first_residue: int = 1,
    columns: Mapping[str, str | None] | None = None,
    output_type: str | None = None,
    force: bool = False,
) -> Prepared:
    """Make the variants of a table and write them.

    Parameters
    ----------
    protocol : Protocol
    table, output : str
    fasta : str, optional
        Needed where the table names no alleles (protein changes, deletions).
    transcripts : str, optional
        GFF3 or GTF, of protein changes.
    transcript_part, genetic_code
        As for `spliced_genome`.
    transcript, first_residue
        As for `prepare_dms`.
    columns : mapping of str to (str or None), optional
        Columns of the table in place of the protocol's.
    output_type : {'v', 'z', 'b'}, optional
    force : bool

    Raises
    ------
    InputError
        If a file is not what the protocol expects.
    UsageError
        If the protocol needs a file that is not given, or has nothing to prepare.
    """
    if protocol.what != VARIANTS:
        raise UsageError(
            f"protocol {protocol.name} is about {protocol.what}, which `evaluate` takes as they are"
        )
    how = protocol.prepare.how
    if how == PROTEIN_CHANGES and transcripts is None:
        raise UsageError(f"protocol {protocol.name} needs --transcripts: GFF3 or GTF of the gene")
    if how != PROTEIN_CHANGES and transcripts is not None:
        raise UsageError(f"protocol {protocol.name} takes no --transcripts")
    if how in (PROTEIN_CHANGES, MPRA) and fasta is None:
        raise UsageError(f"protocol {protocol.name} needs the reference sequence: -f FASTA")
    with ExitStack() as stack:
        genome = None if fasta is None else stack.enter_context(ReferenceGenome.open(fasta))
        if how == PROTEIN_CHANGES and genome is not None and transcripts is not None:
            spliced = spliced_genome(
                genome, transcripts, transcript_part, genetic_code=genetic_code
            )
            prepared = prepare_dms(
                protocol,
                table,
                spliced,
                transcript=transcript,
                genetic_code=genetic_code,
                first_residue=first_residue,
                columns=columns,
            )
        elif how == MPRA and genome is not None:
            prepared = prepare_mpra(protocol, table, genome, columns=columns)
        else:
            prepared = prepare_variants(protocol, table, genome)
        write_prepared(
            output,
            prepared,
            note=f"protocol {protocol.name}: {protocol.title}",
            contig_lengths=None if genome is None else genome.contigs,
            output_type=output_type,
            force=force,
        )
    return prepared

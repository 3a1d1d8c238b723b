"""`phylotools evaluate prepare`: a published table to variants that can be scored."""

from __future__ import annotations

import os

import click

from phylotools.cli import options
from phylotools.cli.options import logger


@click.command(name="prepare")
@click.argument("table", metavar="TABLE")
@click.option(
    "--protocol",
    required=True,
    metavar="NAME|FILE.toml",
    help="Whose table it is; `phylotools evaluate protocols` lists them.",
)
@options.fasta_option
@options.output_option(default="-", help="VCF or BCF of labelled variants [default: stdout].")
@click.option("-O", "--output-type", type=click.Choice(["v", "z", "b"]), help="VCF, bgzip or BCF.")
@click.option(
    "--transcripts",
    metavar="GFF3|GTF",
    help="Of protein changes: genes whose transcripts are looked through for the table's protein.",
)
@options.transcript_part_option
@options.transcript_code_option
@click.option(
    "--transcript",
    metavar="NAME",
    help="Of protein changes: the transcript [default: the one that has the table's amino acids].",
)
@click.option(
    "--first-residue",
    type=click.IntRange(-100_000, 100_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Of protein changes: the amino acid of the transcript that the table calls 1.",
)
@click.option("--score-column", metavar="NAME", help="Column of what was measured.")
@click.option("--change-column", metavar="NAME", help="Column of the protein changes.")
@options.contig_aliases_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def prepare_command(
    table: str,
    protocol: str,
    fasta: str | None,
    output: str,
    output_type: str | None,
    transcripts: str | None,
    transcript_part: str,
    genetic_code: int | None,
    transcript: str | None,
    first_residue: int,
    score_column: str | None,
    change_column: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Make a published table into labelled variants, for `annotate` and then `evaluate`.

    Protein changes (MaveDB, ProteinGym) become every change of one base that makes them, in the
    transcript that has the table's protein; tables of saturation mutagenesis become variants with
    REF checked; of ClinVar, TraitGym and others the labelled variants are picked out.

    \b
    phylotools evaluate prepare --protocol dms scores.csv --transcripts genes.gff3 -f hg38.fa \\
        -o labelled.vcf.gz
    phylotools evaluate prepare --protocol clinvar:stars=2 clinvar.vcf.gz -o labelled.vcf.gz
    """
    from phylotools.evaluate.preparing.run import prepare
    from phylotools.evaluate.protocols.reading import load_protocol
    from phylotools.io.files import refuse_same_file, refuse_two_streams

    watch = options.Stopwatch()
    inputs = [table, fasta, transcripts]
    refuse_two_streams(*inputs)
    refuse_same_file(output, [name for name in inputs if name is not None])
    options.check_apart({"-o": output, "--summary-json": summary_json})
    options.check_summary(
        summary_json, force=force, inputs=inputs, output=None if output == "-" else output
    )
    chosen = load_protocol(protocol)
    prepared = prepare(
        chosen,
        table,
        output,
        fasta=fasta,
        transcripts=transcripts,
        transcript_part=transcript_part,
        genetic_code=genetic_code,
        transcript=transcript,
        first_residue=first_residue,
        columns={"score": score_column, "effect": score_column, "change": change_column},
        output_type=output_type,
        force=force,
    )
    for note in prepared.notes:
        logger.info("%s", note)
    counted = ", ".join(f"{name} {number:,}" for name, number in prepared.counts.items() if number)
    logger.info(
        "%s variants of %s by protocol %s in %.1f s (%s)",
        f"{len(prepared.variants):,}",
        os.path.basename(table),
        chosen.name,
        watch.seconds,
        counted,
    )
    options.write_summary(
        summary_json,
        {
            "verb": "evaluate prepare",
            "output": output,
            "protocol": chosen.name,
            "variants": len(prepared.variants),
            "counts": dict(prepared.counts),
            "seconds": round(watch.seconds, 3),
        },
    )

"""`phylotools preprocess`: an alignment and a tree to a column store."""

from __future__ import annotations

import logging

import click

from phylotools.cli import options
from phylotools.cli.progress import Progress

logger = logging.getLogger("phylotools")


@click.command(name="preprocess")
@click.argument("alignment", default="-", metavar="[ALIGNMENT.maf]")
@click.option("--tree", required=True, metavar="TREE.nh", help="Newick tree with branch lengths.")
@options.fasta_option
@click.option(
    "--reference",
    metavar="SPECIES",
    help="Species whose coordinates are used [default: that of the first row].",
)
@options.output_option(required=True, help="Column store (a folder) to make.")
@click.option(
    "--unknown-species",
    type=click.Choice(["error", "drop"]),
    default="error",
    show_default=True,
    help="What to do with rows of species that are not in the tree.",
)
@options.force_option
@options.summary_option
@options.logging_options
def preprocess_command(
    alignment: str,
    tree: str,
    fasta: str | None,
    reference: str | None,
    output: str,
    unknown_species: str,
    force: bool,
    summary_json: str | None,
) -> None:
    """Turn an alignment (MAF; plain, gzip, bgzip or stdin) into a column store.

    The store holds one column per base of the reference species. With --fasta the alignment is
    checked against the reference sequence, which is then stored outside the blocks too.
    """
    from phylotools.store.preprocess import build_store

    options.check_summary(summary_json, force=force, inputs=[alignment, tree, fasta], output=output)
    watch = options.Stopwatch()
    with Progress("columns") as progress:
        summary = build_store(
            alignment,
            tree,
            output,
            fasta=fasta,
            reference=reference,
            drop_unknown=unknown_species == "drop",
            force=force,
            on_block=progress.update,
        )
    seconds = watch.seconds
    options.write_summary(summary_json, {**summary.to_dict(), "seconds": round(seconds, 3)})
    logger.info(
        "%s: %d blocks, %d columns, %d of %d species in %.1f s (%.1f MB/s of alignment)",
        output,
        summary.blocks,
        summary.covered_positions,
        summary.species_with_rows,
        summary.species,
        seconds,
        summary.alignment_bytes / 1e6 / max(seconds, 1e-9),
    )

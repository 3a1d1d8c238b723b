"""`phylotools interpret attributions`: what bases are worth, for motif discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.interpret import network_options, opened, refuse_early, run_options
from phylotools.cli.interpret_mutagenesis import EFFECTS
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.interpret.attributions import Kind


@click.command(name="attributions")
@options.regions_file_option(required=True, help="Regions; on the reverse strand where BED says -.")
@network_options
@click.option(
    "--kind",
    type=click.Choice(("logo", "mutagenesis")),
    default="logo",
    show_default=True,
    help="Information content times centred log frequencies, or centred effects of substitutions.",
)
@click.option(
    "--effect",
    type=click.Choice(EFFECTS[:-1]),
    default="log_likelihood",
    show_default=True,
    help="Of --kind mutagenesis: which effect.",
)
@click.option(
    "--width",
    type=click.IntRange(1),
    metavar="N",
    help="Cut or widen each region to N bases around its middle [default: the length that all "
    "have].",
)
@options.output_option(required=True, help="Folder to make.")
@run_options
def attributions_command(
    regions_file: str,
    model: str | None,
    fasta: str | None,
    kind: Kind,
    effect: str,
    width: int | None,
    output: str,
    force: bool,
    summary_json: str | None,
    **network: Any,
) -> None:
    """What each base of regions is worth to a model, as files that motif discovery reads.

    sequences.npz and attributions.npz hold arrays (N, 4, L); `phylotools interpret motifs` reads
    the folder, and so does `modisco motifs -s sequences.npz -a attributions.npz`.

    \b
    phylotools interpret attributions -R promoters.bed --width 400 -o promoters
    """
    from phylotools.interpret.attributions import (
        CONTENTS,
        NamedRegion,
        of_one_width,
        region_attributions,
        write_attributions,
    )
    from phylotools.io.files import refuse_existing_folder

    watch = options.Stopwatch()
    refuse_existing_folder(output, force, CONTENTS)
    refuse_early([output], summary_json, force=force, inputs=[fasta, regions_file])
    from phylotools.embedding.regions import REVERSE, read_regions
    from phylotools.errors import InputError

    if regions_file == "-" and model is None:
        raise InputError("regions on stdin are read once: name the model with -m")
    with opened(model, fasta, (), regions_file, **network) as ready:
        table = read_regions(regions_file, ready.scorer.genome, skip_outside=False)
        rows = zip(table.contig.tolist(), table.start.tolist(), table.end.tolist(), strict=True)
        chosen = of_one_width(
            (
                NamedRegion(
                    table.targets[contig], start, end, table.names[row] or ".",
                    int(table.strand[row]) == REVERSE,
                )
                for row, (contig, start, end) in enumerate(rows)
            ),
            width,
        )  # fmt: skip
        length = chosen[0].end - chosen[0].start
        facts = {**ready.facts, "Kind": kind, **({"Effect": effect} if kind != "logo" else {})}
        with Progress("positions", total=len(chosen) * length) as progress:
            found = region_attributions(
                ready.scorer, chosen, kind, effect=effect, on_positions=progress.update
            )
            write_attributions(output, found, chosen, facts, force=force)
    logger.info("%s: %d regions of %d bases in %.1f s", output, len(chosen), length, watch.seconds)
    options.write_summary(
        summary_json,
        {
            "verb": "interpret attributions",
            "output": output,
            **facts,
            "regions": len(chosen),
            "width": length,
            "seconds": round(watch.seconds, 3),
        },
    )

"""``phylotools plot logo``: predicted probabilities over a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phylotools.cli import options
from phylotools.cli.options import Stopwatch, logger
from phylotools.cli.plot_options import conclude, plot_output_option, prepare

if TYPE_CHECKING:
    from phylotools.plots.logo import Scale


@click.command(name="logo")
@options.regions_option(
    multiple=False, required=True, help="contig:begin-end (1-based): 20 to 200 bases are best."
)
@options.model_option(help="Model [default: the one that ships with phylotools].")
@options.fasta_option
@click.option(
    "--scale",
    type=click.Choice(("information", "probability", "llr")),
    default="information",
    show_default=True,
    help="Height of a letter: bits, probability, or its LLR against the reference base.",
)
@click.option("--annotation", metavar="FILE", help="Features to show below: BED, GFF3 or GTF.")
@click.option(
    "--annotation-type",
    multiple=True,
    metavar="TYPE[,TYPE]",
    help="Only such rows of a GFF3 or GTF, such as CDS,exon.",
)
@click.option("--variants", metavar="VCF", help="Mark the alleles of a VCF in the sequence.")
@click.option("--reverse-complement", is_flag=True, help="Show the other strand.")
@plot_output_option
@options.force_option
@options.threads_option(help="CPU threads [default: chosen by a trial].")
@options.device_option
@options.summary_option
@options.logging_options
@options.outputs_together
def logo_command(
    regions: str,
    model: str | None,
    fasta: str | None,
    scale: Scale,
    annotation: str | None,
    annotation_type: tuple[str, ...],
    variants: str | None,
    reverse_complement: bool,
    output: str,
    force: bool,
    threads: int | None,
    device: str,
    summary_json: str | None,
) -> None:
    """Logo of predicted probabilities, with the sequence, site rates and annotation below.

    \b
    phylotools plot logo -r chrM:3307-3366 --annotation genes.bed -o logo.svg

    Up to 400 bases are drawn as letters, up to 4,000 as a heat map.
    """
    watch = Stopwatch()
    files = prepare(output, summary_json, force=force, inputs=[fasta, annotation, variants])
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.registry import load_model
    from phylotools.plots.features import features_within
    from phylotools.plots.logo import choose_region, logo_numbers, profile_sites
    from phylotools.plots.logo_drawing import LogoPicture, draw_logo
    from phylotools.plots.marks import marks_within
    from phylotools.plots.wording import footer_text
    from phylotools.scoring.scorer import Scorer

    loaded = load_model(model, device)
    path = loaded.choose_reference(fasta)
    with ReferenceGenome.open(path) as genome:
        region = choose_region(regions, genome)
        features = None
        if annotation is not None:
            kinds = frozenset(part for text in annotation_type for part in text.split(",") if part)
            features = features_within(annotation, region, genome.contigs, kinds)
            if not features:
                logger.warning("%s: no feature overlaps %s", annotation, region)
        marks = None if variants is None else marks_within(variants, region, genome.contigs)
        profile = profile_sites(Scorer(loaded, genome, threads=threads), region)
    made_by = {
        "Model": loaded.name,
        "Revision": loaded.revision,
        "Sha256": loaded.sha256,
        "Reference": path.rpartition("/")[2],
    }
    picture = LogoPicture(profile, scale, features, reverse_complement, footer_text(made_by), marks)
    facts = {"Plot": "logo", **made_by, "Region": str(region), "Scale": scale}
    conclude(
        files,
        lambda: draw_logo(picture),
        logo_numbers(profile, facts),
        force=force,
        what=f"{region} ({len(region)} bases)",
        watch=watch,
        summary_json=summary_json,
        facts=facts,
    )

"""`phylotools interpret mutagenesis`: the effect of every single-nucleotide variant."""

from __future__ import annotations

from typing import Any

import click

from phylotools.cli import options
from phylotools.cli.interpret import (
    annotation_options,
    network_options,
    opened,
    refuse_early,
    run_options,
    shown_features,
)
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed

#: Named here so that --help imports no numpy; a test compares them with the package's.
EFFECTS = ("log_likelihood", "neighbours", "entropy", "log_rate", "influence", "llr", "tuned")


@click.command(name="mutagenesis")
@options.regions_option(help="contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="All positions of these regions.")
@network_options
@click.option(
    "--effect",
    type=click.Choice(EFFECTS),
    default="log_likelihood",
    show_default=True,
    help="What the picture shows; the table has all of them. tuned: of a model with a head for "
    "regions, the change of its score.",
)
@click.option(
    "--within",
    type=click.IntRange(0),
    metavar="N",
    help="Look at sites up to N positions away [default: all that a base reaches].",
)
@annotation_options
@options.output_option(required=True, help="NAME.svg or NAME.png; without such a suffix, both.")
@run_options
def mutagenesis_command(
    regions: tuple[str, ...],
    regions_file: str | None,
    model: str | None,
    fasta: str | None,
    effect: str,
    within: int | None,
    annotation: str | None,
    annotation_type: tuple[str, ...],
    output: str,
    force: bool,
    summary_json: str | None,
    **network: Any,
) -> None:
    """What each single-nucleotide variant does to the predictions around it.

    Each base is replaced by the three others, and the sites that it reaches are predicted again.
    NAME.tsv.gz has a row for each variant, NAME.npz the same as arrays; a single region of up to
    4,000 bases is drawn.

    \b
    phylotools interpret mutagenesis -r chrM:3307-3366 --annotation genes.bed -o nd1
    """
    from phylotools.errors import InputError, UsageError, counted
    from phylotools.interpret.files import interpretation_files, refuse_outputs

    watch = options.Stopwatch()
    if not regions and regions_file is None:
        raise UsageError("name regions: -r contig:begin-end, or -R regions.bed")
    files = interpretation_files(output)
    inputs = [fasta, annotation, regions_file]
    refuse_outputs(files, force=force, inputs=inputs)
    refuse_early(files.paths, summary_json, force=force, inputs=inputs)
    from phylotools.interpret.files import write_pictures
    from phylotools.interpret.mutagenesis import TUNED, site_effects
    from phylotools.interpret.mutagenesis_picture import draw_mutagenesis
    from phylotools.interpret.mutagenesis_table import picture_of, write_effects
    from phylotools.interpret.region_head import RegionHead
    from phylotools.io.regions import choose_regions
    from phylotools.model.tuned_head import REGIONS
    from phylotools.plots.logo import MOST_BASES
    from phylotools.plots.wording import footer_text

    with opened(model, fasta, regions, regions_file, **network) as ready:
        scorer, tuned = ready.scorer, ready.model.tuned
        contigs = scorer.genome.contigs
        chosen = choose_regions(regions, regions_file, contigs, path=scorer.genome.path)
        if chosen is None:
            raise InputError("has no region", path=regions_file)
        has_head = tuned is not None and tuned.of == REGIONS
        head = RegionHead(ready.model, scorer) if has_head or effect == TUNED else None
        region = next(iter(chosen))
        is_drawn = len(chosen) == 1 and len(region) <= MOST_BASES
        features = shown_features(annotation, annotation_type, region, scorer) if is_drawn else None
        facts = {**ready.facts, "Within": str(scorer.half_window if within is None else within)}
        with Progress("positions", total=chosen.n_positions) as progress:
            found = write_effects(
                files,
                site_effects(
                    scorer, chosen, within=within, head=head, on_positions=progress.update
                ),
                facts,
                has_head=head is not None,
                longest_contig=max(contigs.values()),
                source=scorer.genome.path,
                force=force,
            )
        reference = scorer.genome.bases(region) if is_drawn else None
    names = [str(files.table), *([str(files.arrays)] if found.has_arrays else [])]
    if reference is not None and found.has_arrays:
        picture = picture_of(found, region, reference, effect, features, footer_text(ready.facts))
        write_pictures(files.pictures, lambda: draw_mutagenesis(picture), force=force)
        names = [*map(str, files.pictures.values()), *names]
    else:
        logger.info("no picture: it shows one region of at most %d bases", MOST_BASES)
    logger.info(
        "replaced %s (%d have no A, C, G or T): %s, in %.1f s (%s)",
        counted(found.n_sites, "base"), chosen.n_positions - found.n_sites, ", ".join(names),
        watch.seconds, speed(found.n_sites, watch.seconds, "positions"),
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "interpret mutagenesis",
            "files": names,
            **facts,
            "positions": chosen.n_positions,
            "sites": found.n_sites,
            "seconds": round(watch.seconds, 3),
        },
    )

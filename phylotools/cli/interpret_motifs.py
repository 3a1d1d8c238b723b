"""`phylotools interpret motifs`: patterns of what bases are worth, found and named."""

from __future__ import annotations

import click

from phylotools.cli import options
from phylotools.cli.interpret import refuse_early
from phylotools.cli.options import logger


@click.command(name="motifs")
@click.argument("attributions", metavar="ATTRIBUTIONS")
@click.option("--meme", metavar="FILE", help="Known motifs, in MEME format: patterns are named.")
@click.option(
    "--most-seqlets",
    type=click.IntRange(20),
    default=2000,
    show_default=True,
    metavar="N",
    help="Seqlets of either sign that are looked at; more take longer.",
)
@click.option(
    "--fewest-seqlets",
    type=click.IntRange(2),
    default=20,
    show_default=True,
    metavar="N",
    help="A pattern has so many.",
)
@options.output_option(required=True, help="Folder to make.")
@options.force_option
@options.threads_option(help="CPU threads of Tomtom [default: every core].")
@options.summary_option
@options.logging_options
@options.outputs_together
def motifs_command(
    attributions: str,
    meme: str | None,
    most_seqlets: int,
    fewest_seqlets: int,
    output: str,
    force: bool,
    threads: int | None,
    summary_json: str | None,
) -> None:
    """Find patterns in what bases are worth (TF-MoDISco), and name them (Tomtom).

    ATTRIBUTIONS is a folder of `phylotools interpret attributions`. The folder made has
    patterns.tsv, patterns.meme, pictures, and modisco.h5, which `modisco report` reads. Needs the
    extra: pip install 'phylotools[motifs]'.

    \b
    phylotools interpret motifs promoters/ --meme JASPAR.meme -o motifs
    """
    from phylotools.errors import counted
    from phylotools.io.files import atomic_folder, refuse_existing_folder

    watch = options.Stopwatch()
    from phylotools.interpret.motif_files import CONTENTS, RESULTS, write_patterns
    from phylotools.interpret.motifs import (
        FEW_TARGETS,
        find_patterns,
        name_patterns,
    )

    refuse_existing_folder(output, force, CONTENTS)
    refuse_early([output], summary_json, force=force, inputs=[meme])
    from phylotools.interpret.attributions import read_attributions
    from phylotools.io.motifs import read_meme
    from phylotools.plots.wording import footer_text

    known = None if meme is None else read_meme(meme)
    given = read_attributions(attributions)
    if known is not None and len(known) < FEW_TARGETS:
        logger.warning(
            "%s: %s; Tomtom's p-values take the columns of all motifs as background, and mean "
            "little with fewer than %d", meme, counted(len(known), "motif"), FEW_TARGETS,
        )  # fmt: skip
    with atomic_folder(output, force=force, contents=CONTENTS) as folder:
        patterns = find_patterns(
            given,
            most_seqlets=most_seqlets,
            fewest_seqlets=fewest_seqlets,
            results=str(folder / RESULTS),
        )
        matches = None
        if known is not None and patterns:
            matches = name_patterns(patterns, known, threads=threads)
        facts = {key: str(value) for key, value in given.facts.items()}
        sources = ["TF-MoDISco (modisco-lite)"]
        if meme is not None:
            sources.append(f"Tomtom (memelite) against {meme.rpartition('/')[2]}")
        write_patterns(folder, patterns, matches, footer_text(facts, *sources))
    if not patterns:
        logger.warning("%s: no pattern in %d regions", attributions, len(given.one_hot))
    named = sum(match.q_value <= 0.05 for match in matches or ())
    logger.info(
        "%s: %s in %d regions%s, in %.1f s", output, counted(len(patterns), "pattern"),
        len(given.one_hot), "" if matches is None else f", {named} named at q 0.05", watch.seconds,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "interpret motifs",
            "output": output,
            "regions": len(given.one_hot),
            "patterns": len(patterns),
            "named": named if matches is not None else None,
            "seconds": round(watch.seconds, 3),
        },
    )

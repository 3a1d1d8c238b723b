"""``phylotools plot embedding``: embedding vectors in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phylotools.cli import options
from phylotools.cli.options import Stopwatch
from phylotools.cli.plot_options import check_seed, conclude, plot_output_option, prepare

if TYPE_CHECKING:
    from phylotools.plots.embedding import Method


@click.command(name="embedding")
@click.argument("embeddings", metavar="EMBEDDINGS")
@click.option(
    "--colour",
    metavar="BED|name|contig|strand|none",
    help="Classes: names of the intervals (BED, GFF or GTF) that regions overlap most, or a column "
    "[default: names or contigs that occur more than once].",
)
@click.option(
    "--method",
    type=click.Choice(("pca", "umap")),
    default="pca",
    show_default=True,
    help="Principal components, or UMAP (needs umap-learn).",
)
@options.seed_option
@plot_output_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def embedding_command(
    embeddings: str,
    colour: str | None,
    method: Method,
    seed: int,
    output: str,
    force: bool,
    summary_json: str | None,
) -> None:
    """Embeddings in two dimensions, coloured by class.

    EMBEDDINGS is what `phylotools embed` writes, in any of its formats.

    \b
    phylotools plot embedding embeddings.parquet --colour genes.bed -o embedding.svg
    """
    watch = Stopwatch()
    check_seed(seed)
    named = None if colour in ("name", "contig", "strand", "none") else colour
    files = prepare(output, summary_json, force=force, inputs=[embeddings, named])
    from phylotools.plots.embedding import embedding_numbers, project
    from phylotools.plots.embedding_drawing import draw_embedding
    from phylotools.plots.embedding_file import open_embeddings
    from phylotools.plots.wording import counted, footer_text

    found = project(open_embeddings(embeddings), method, colour=colour, seed=seed)
    facts = {
        "Plot": "embedding",
        "Method": method,
        "Classes": found.class_source,
        "Seed": seed,
        **found.made_by,
    }
    footer = footer_text(found.made_by, embeddings.rpartition("/")[2])
    conclude(
        files,
        lambda: draw_embedding(found, footer, seed=seed),
        embedding_numbers(found, facts),
        force=force,
        what=counted(len(found.points), "region")
        + (f" ({found.n_left_out:,} without a finite vector left out)" if found.n_left_out else ""),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"regions": len(found.points), "left_out": found.n_left_out},
    )

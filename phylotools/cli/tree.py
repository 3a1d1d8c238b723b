"""`phylotools tree`: branch lengths that fit the columns of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger

if TYPE_CHECKING:
    from phylotools.tree_fit.regions import RegionFits
    from phylotools.tree_fit.run import TreeFit, TreeFitSettings

_POSITIVE = options.FiniteRange(0, min_open=True)


@click.group(name="tree")
def tree_command() -> None:
    """Fit the branch lengths of a tree to alignment columns."""


@tree_command.command(name="fit")
@click.argument("store", metavar="STORE")
@options.output_option(
    default="-", help="The fitted tree, Newick, or the table of trees [default: stdout]."
)
@click.option(
    "--lengths/--scale",
    "all_lengths",
    default=None,
    help="Every branch's own length, or one factor for all [default: what tells columns better "
    "that the fit has not seen].",
)
@click.option(
    "--tree",
    "tree_path",
    metavar="TREE.nh",
    help="Another tree of the store's species, with or without lengths [default: the store's].",
)
@click.option(
    "--by-contig",
    is_flag=True,
    help="A tree for each contig: a table for data.trees of a training configuration.",
)
@click.option(
    "--by-regions",
    "places_file",
    metavar="FILE.bed",
    help="Likewise a tree for each region of a BED file.",
)
@click.option("--branches", metavar="FILE", help="Table of the branches before and after (TSV).")
@click.option(
    "--into", metavar="NEW.store", help="Also a store with the fitted tree and the same columns."
)
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only these regions, such as fourfold degenerate sites.")
@options.contig_aliases_option
@click.option(
    "--unit",
    type=click.Choice(["mean", "fastest"]),
    default="mean",
    show_default=True,
    help="Whose substitutions the lengths count: of the mean site, or of the fastest class.",
)
@click.option(
    "--substitution",
    type=click.Choice(options.SUBSTITUTION_NAMES),
    default="gtr",
    show_default=True,
    help="Substitution model; mutation-selection: its neutral sites.",
)
@click.option(
    "--kappa",
    type=_POSITIVE,
    metavar="X",
    help="hky: transitions over transversions, given and not learned.",
)
@options.exchangeabilities_option
@options.frequencies_option("--background", help="Base frequencies [default: of the columns].")
@click.option(
    "--rate-classes",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="Equally large classes of sites, each with a rate of its own.",
)
@click.option(
    "--sample",
    type=click.IntRange(2),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Columns to draw.",
)
@click.option(
    "--held-out-fraction",
    type=options.FiniteRange(0, 0.9),
    default=0.2,
    show_default=True,
    metavar="X",
    help="Share of them that judges the fit before all are fitted; 0: no judgement.",
)
@options.force_option
@options.threads_option(help="CPU threads [default: every core]; no result depends on them.")
@options.seed_option
@options.summary_option
@options.logging_options
@options.outputs_together
def fit_command(
    store: str,
    output: str,
    tree_path: str | None,
    by_contig: bool,
    places_file: str | None,
    branches: str | None,
    into: str | None,
    regions: tuple[str, ...],
    regions_file: str | None,
    threads: int | None,
    force: bool,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Fit the branch lengths of STORE's tree to its columns, and say what changed.

    STORE is a column store of `phylotools preprocess`. Lengths come out in expected substitutions
    per site, whatever the given ones were: million years, percent, all equal, or none. What the
    fit is worth is judged by columns that it has not seen. Give the tree to `preprocess --tree`
    again, or take the store that --into makes.

    \b
    phylotools tree fit columns.store -o fitted.nh
    phylotools tree fit columns.store --scale -R fourfold_sites.bed -o neutral.nh
    phylotools tree fit columns.store -o fitted.nh --branches branches.tsv --into fitted.store
    phylotools tree fit genes.store --by-contig -o trees.tsv --into fitted.store
    """
    from phylotools.errors import UsageError
    from phylotools.io.files import refuse_existing_file, refuse_existing_folder, refuse_same_file
    from phylotools.io.regions import choose_regions
    from phylotools.store import schema
    from phylotools.store.read import open_store
    from phylotools.store.tree_file import read_tree
    from phylotools.tree_fit.run import fit_tree

    if given["seed"] < 0:
        raise UsageError("--seed must not be negative")
    if by_contig and places_file is not None:
        raise UsageError("give --by-contig or --by-regions, not both")
    settings = _settings(given)
    inputs = [name for name in (tree_path, regions_file, places_file) if name is not None]
    for path in (output, branches):
        if path is not None and path != "-":
            refuse_same_file(path, inputs)
            refuse_existing_file(path, force)
    if branches == "-":
        raise UsageError("--branches needs the name of a file; the tree goes to stdout")
    if into is not None:
        refuse_existing_folder(into, force, schema.FOLDER)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({
        "STORE": store, "-o": output, "--branches": branches, "--into": into,
        "--summary-json": summary_json,
    })  # fmt: skip
    watch = options.Stopwatch()
    _set_threads(threads)
    columns = open_store(store)
    tree = None if tree_path is None else read_tree(tree_path, lengths_required=False)
    if into is not None and tree is not None and tree.tips != columns.species:
        raise UsageError(
            "--into keeps the store's columns and so the order of its species, which --tree has "
            "not; give the fitted tree to `phylotools preprocess`"
        )
    chosen = choose_regions(regions, regions_file, columns.contigs, path=store)
    if by_contig or places_file is not None:
        several = _fit_regions(columns, settings, tree, chosen, places_file)
        _write(several.genome, columns, None, branches, into, force)
        _write_table(several, output, force, by_contig=by_contig)
        _conclude(store, output, several.genome, watch, summary_json, several)
        return
    found = fit_tree(columns, settings, tree, chosen, on_stage=lambda stage: logger.info(stage))
    _write(found, columns, output, branches, into, force)
    _conclude(store, output, found, watch, summary_json)


def _settings(given: dict[str, Any]) -> TreeFitSettings:
    from phylotools.errors import UsageError
    from phylotools.tree_fit.run import TreeFitSettings

    background = given["background"]
    if background is not None and not (
        len(background) == 4 and all(0 < value < float("inf") for value in background)
    ):
        raise UsageError("--background must be four positive numbers")
    names = ("kappa", "exchangeabilities")
    return TreeFitSettings(
        one_factor=None if given["all_lengths"] is None else not given["all_lengths"],
        substitution=given["substitution"],
        shared={name: given[name] for name in names if given[name] is not None},
        background=None if background is None else tuple(background),
        n_classes=given["rate_classes"],
        unit=given["unit"],
        sample=given["sample"],
        held_out_fraction=given["held_out_fraction"],
        seed=given["seed"],
    )


def _set_threads(threads: int | None) -> None:
    import torch

    from phylotools.threads import n_cores, set_threads

    torch.set_num_threads(1)
    set_threads(threads or n_cores())


def _fit_regions(
    store: Any, settings: TreeFitSettings, tree: Any, chosen: Any, places_file: str | None
) -> RegionFits:
    from phylotools.tree_fit.regions import bed_regions, fit_region_trees, whole_contigs

    places = whole_contigs(store) if places_file is None else bed_regions(places_file, store)
    return fit_region_trees(
        store, places, settings, tree, chosen, on_stage=lambda stage: logger.info(stage)
    )


def _write_table(found: RegionFits, output: str, force: bool, *, by_contig: bool) -> None:
    from phylotools.io.files import open_text_output
    from phylotools.tree_fit.regions import table_lines

    with open_text_output(output, force=force) as handle:
        handle.writelines(line.encode() for line in table_lines(found, by_contig=by_contig))


def _write(
    found: TreeFit,
    store: Any,
    output: str | None,
    branches: str | None,
    into: str | None,
    force: bool,
) -> None:
    from phylotools.io.delimited import tsv_lines
    from phylotools.io.files import open_text_output
    from phylotools.store.retree import write_with_tree
    from phylotools.tree_fit.report import BRANCH_COLUMNS, branch_table

    if branches is not None:
        with open_text_output(branches, force=force) as handle:
            handle.writelines(
                line.encode() for line in tsv_lines(BRANCH_COLUMNS, branch_table(found))
            )
    if into is not None:
        write_with_tree(store, found.tree, into, force=force)
    if output is None:
        return
    with open_text_output(output, force=force) as handle:
        handle.write((found.tree.to_newick() + "\n").encode())


def _conclude(
    store: str,
    output: str,
    found: TreeFit,
    watch: options.Stopwatch,
    summary_json: str | None,
    several: RegionFits | None = None,
) -> None:
    from phylotools.tree_fit.regions import (
        describe_region_fits,
        region_report_lines,
        region_warnings,
    )
    from phylotools.tree_fit.report import describe_fit, report_lines, warnings_of

    for line in report_lines(found):
        logger.info("%s", line)
    for warning in warnings_of(found):
        logger.warning("%s", warning)
    if several is not None:
        for line in region_report_lines(several):
            logger.info("%s", line)
        for warning in region_warnings(several):
            logger.warning("%s", warning)
    seconds = watch.seconds
    options.write_summary(
        summary_json,
        {
            "verb": "tree fit",
            "store": store,
            "output": output,
            **describe_fit(found),
            **({} if several is None else describe_region_fits(several)),
            "seconds": round(seconds, 3),
        },
    )
    if several is not None:
        shown = "<stdout>" if output == "-" else output
        logger.info("%s: %d trees in %.1f s", shown, len(several.regions), seconds)
        return
    logger.info(
        "%s: %d branches fitted to %d columns in %.1f s (%d evaluations of the likelihood)",
        "<stdout>" if output == "-" else output, len(found.tree.names) - 1, found.n_columns,
        seconds, found.evaluations,
    )  # fmt: skip

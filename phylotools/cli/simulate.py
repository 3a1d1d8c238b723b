"""`phylotools simulate`: a tree and sites to an alignment, with the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.phylogeny.simulation.missing import MissingData
    from phylotools.phylogeny.substitution import SubstitutionModel
    from phylotools.simulate.sources import SiteSource

#: Option -> parameter of the substitution model.
_SHARED = ("kappa", "exchangeabilities", "background", "mutation_frequencies")
#: Option -> field of `SiteDistribution`.
_SITE_OPTIONS = {
    "site_rate_mean": "rate_mean",
    "site_rate_sd": "rate_sd",
    "frequency_sd": "frequency_sd",
    "conserved_fraction": "conserved_fraction",
    "conserved_score": "conserved_score",
    "conserved_rate": "conserved_rate",
}
_MISSING_OPTIONS = (
    "gap_rate",
    "gap_exponent",
    "longest_gap",
    "dropout_rate",
    "species_dropout",
    "dropout_length",
    "block_length",
)


def _number_option(name: str, default: float | int, text: str) -> Any:
    kind = int if isinstance(default, int) else float
    return click.option(name, type=kind, metavar="X", help=f"{text} [default: {default:g}].")


@click.command(name="simulate")
@click.argument("tree", metavar="TREE.nh")
@options.output_option(default="-", help="Alignment (MAF; bgzip by suffix) [default: stdout].")
@click.option("--length", type=click.IntRange(1, 1 << 40), metavar="N", help="Sites to draw.")
@click.option("--contig", metavar="NAME", help="Name of the new contig [default: chr1].")
@options.model_option(help="Take the sites from this model's reading of a sequence, not at random.")
@options.fasta_option
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only these regions.")
@click.option(
    "--reference",
    metavar="SPECIES",
    help="Species whose coordinates are used [default: the first tip, or that of --model].",
)
@click.option("--truth", metavar="FILE", help="Table of the sites (bgzip and tabix by suffix).")
@click.option("--output-fasta", metavar="FILE", help="Sequence of the reference species.")
@click.option(
    "--substitution",
    type=click.Choice(options.SUBSTITUTION_NAMES),
    help="Substitution model [default: f81].",
)
@click.option("--kappa", type=float, metavar="X", help="hky: transitions over transversions.")
@options.exchangeabilities_option
@options.frequencies_option("--background", help="hky and gtr: mutation alone.")
@options.frequencies_option("--mutation-frequencies", help="mutation-selection.")
@_number_option("--site-rate-mean", 0.0, "Mean of log R, relative to neutral")
@_number_option("--site-rate-sd", 0.5, "Standard deviation of log R")
@_number_option("--frequency-sd", 0.5, "Standard deviation of a base's log frequency or fitness")
@_number_option("--conserved-fraction", 0.05, "Fraction of conserved sites")
@_number_option("--conserved-score", 5.0, "Their favoured base's log odds over the others")
@_number_option("--conserved-rate", 1.0, "Factor on their R")
@click.option(
    "--missing",
    type=click.Choice(["realistic", "none"]),
    default="realistic",
    show_default=True,
    help="Gaps and absent species as in real alignments, or every base.",
)
@click.option("--missing-like", metavar="STORE", help="As much missing as in this column store.")
@_number_option("--gap-rate", 0.23, "Rate at which a site falls into a gap, per branch length")
@_number_option("--gap-exponent", 1.4, "Of the power law of gap lengths")
@_number_option("--longest-gap", 23, "Sites of the longest gap, where the power law ends")
@_number_option("--dropout-rate", 1.4, "Rate at which a site's stretch is lost, per branch length")
@_number_option("--species-dropout", 0.0, "Further loss of each species by itself")
@_number_option("--dropout-length", 1400.0, "Mean sites of a lost stretch")
@_number_option("--block-length", 80.0, "Mean sites of an alignment block")
@options.seed_option
@options.threads_option(help="CPU threads [default: every core]; no result depends on them.")
@options.device_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def simulate_command(
    tree: str,
    output: str,
    seed: int,
    threads: int | None,
    force: bool,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Simulate an alignment: species evolve down a tree, site by site, under a known truth.

    The sites are drawn at random (--length), or are what a model's network reads off a sequence
    (--model). The same seed gives the same files.

    \b
    phylotools simulate tree.nh --length 1000000 --substitution hky --kappa 3 \\
        -o out.maf.gz --truth truth.tsv.gz --output-fasta out.fa
    phylotools simulate tree.nh --model my-model/ -f genome.fa -r chr2:1-100000 -o out.maf.gz
    """
    from phylotools.errors import UsageError
    from phylotools.io.files import refuse_two_streams
    from phylotools.simulate.outputs import refuse_outputs
    from phylotools.simulate.run import SimulationOutputs, simulate_alignment
    from phylotools.store.tree_file import read_tree
    from phylotools.store.tree_scale import warn_of_saturation
    from phylotools.threads import n_cores

    if seed < 0:
        raise UsageError("--seed must not be negative")
    inputs = [tree, *(given[name] for name in ("fasta", "regions_file") if given[name])]
    refuse_two_streams(*inputs)
    outputs = SimulationOutputs(output, given["truth"], given["output_fasta"], force)
    refuse_outputs([*outputs.paths, *([summary_json] if summary_json else [])], inputs, force)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    with _options_at_fault():
        missing = _missing_data(given)
    watch = options.Stopwatch()
    parsed = read_tree(tree)
    with contextlib.ExitStack() as stack:
        source, reference = _sources(stack, given, parsed.tips, seed, threads)
        total = sum(map(len, source.regions))
        progress = stack.enter_context(Progress("columns", total))
        summary = simulate_alignment(
            parsed,
            source,
            outputs,
            reference=reference,
            missing=missing,
            seed=seed,
            threads=threads or n_cores(),
            on_piece=progress.update,
        )
    warn_of_saturation(parsed, reference, tree)
    seconds = watch.seconds
    options.write_summary(
        summary_json, {"outputs": outputs.paths, **summary.to_dict(), "seconds": round(seconds, 3)}
    )
    logger.info(
        "%s: %d columns of %d species in %d blocks, %.2f substitutions and %.1f bases a column, in "
        "%.1f s (%.0f columns/s)",
        "<stdout>" if output == "-" else output,
        summary.columns,
        summary.species,
        summary.blocks,
        summary.substitutions / max(summary.columns, 1),
        summary.bases / max(summary.columns, 1),
        seconds,
        summary.columns / max(seconds, 1e-9),
    )


@contextlib.contextmanager
def _options_at_fault() -> Iterator[None]:
    """Numbers out of range came from the command line, not from a file."""
    from phylotools.errors import InputError, UsageError

    try:
        yield
    except InputError as error:
        raise (error if error.path else UsageError(str(error))) from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _refuse_together(given: dict[str, Any], names: tuple[str, ...], reason: str) -> None:
    from phylotools.errors import UsageError

    for name in names:
        if given[name] not in (None, ()):
            raise UsageError(f"{_flag(name)} has no meaning {reason}")


def _sources(
    stack: contextlib.ExitStack,
    given: dict[str, Any],
    tips: tuple[str, ...],
    seed: int,
    threads: int | None,
) -> tuple[SiteSource, str]:
    """Where the sites come from, and the reference species."""
    import torch

    from phylotools.errors import UsageError

    reference = given["reference"]
    if reference is not None and reference not in tips:
        raise UsageError(f"--reference: the tree has no tip called {reference}")
    if given["model"] is None:
        if given["length"] is None:
            raise UsageError("give --length, or --model and a sequence")
        _refuse_together(given, ("fasta", "regions", "regions_file"), "without --model")
        # The pieces are small: threads inside them would only get into each other's way.
        torch.set_num_threads(1)
        with _options_at_fault():
            return _random_sites(given, seed), reference or tips[0]
    reason = "with --model: the model gives the sites"
    _refuse_together(given, ("length", "contig", "output_fasta"), reason)
    _refuse_together(given, ("substitution", *_SHARED, *_SITE_OPTIONS), reason)
    return _model_sites(stack, given, tips, threads)


def _random_sites(given: dict[str, Any], seed: int) -> SiteSource:
    from phylotools.phylogeny.simulation.sites import SiteDistribution
    from phylotools.simulate.sources import RandomSites

    chosen = {field: given[name] for name, field in _SITE_OPTIONS.items()}
    distribution = SiteDistribution(**{k: v for k, v in chosen.items() if v is not None})
    contig = given["contig"] or "chr1"
    return RandomSites(
        distribution, _substitution(given), contig=contig, length=given["length"], seed=seed
    )


def _substitution(given: dict[str, Any]) -> SubstitutionModel:
    from phylotools.phylogeny.substitution import make_substitution_model

    settings = {name: given[name] for name in _SHARED if given[name] is not None}
    return make_substitution_model(given["substitution"] or "f81", **settings)


def _missing_data(given: dict[str, Any]) -> MissingData:
    from phylotools.errors import UsageError
    from phylotools.phylogeny.simulation.missing import MissingData

    chosen = {name: given[name] for name in _MISSING_OPTIONS if given[name] is not None}
    if given["missing"] == "none":
        _refuse_together(
            given, ("missing_like", *_MISSING_OPTIONS[:-1]), "where nothing is --missing"
        )
        return MissingData(**chosen).without_events()
    if given["missing_like"] is None:
        return MissingData(**chosen)
    if chosen:
        raise UsageError(f"--missing-like already says what {_flag(next(iter(chosen)))} is")
    from phylotools.simulate.estimate import estimate_missing_data
    from phylotools.store.read import open_store

    missing = estimate_missing_data(open_store(given["missing_like"]))
    found = " ".join(f"{_flag(name)} {value:.4g}" for name, value in asdict(missing).items())
    logger.info("%s has as much missing as %s", given["missing_like"], found)
    return missing


def _model_sites(
    stack: contextlib.ExitStack, given: dict[str, Any], tips: tuple[str, ...], threads: int | None
) -> tuple[SiteSource, str]:
    from phylotools.errors import UsageError
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import RegionSet, choose_regions
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer
    from phylotools.simulate.sources import ModelSites, warn_of_unseen_sites

    model = load_model(given["model"], given["device"])
    model.require_substitutions("--model")
    trained_on = [store.get("reference_species") for store in model.training_stores]
    reference = given["reference"] or next((name for name in trained_on if name in tips), None)
    if reference is None:
        raise UsageError("give --reference: which tip of the tree the sequence belongs to")
    fasta = model.choose_reference(given["fasta"])
    genome = stack.enter_context(ReferenceGenome.open(fasta))
    regions = choose_regions(
        given["regions"], given["regions_file"], genome.contigs, path=genome.path
    )
    warn_of_unseen_sites(model.training_regions, regions or RegionSet.whole(genome.contigs))
    return ModelSites(Scorer(model, genome, threads=threads), regions), reference

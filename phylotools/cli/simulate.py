"""`phylotools simulate` and its stages: a tree and sites to an alignment, with the truth."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options, staged
from phylotools.cli.board import open_board
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.jobs.engines.engine import Engine
    from phylotools.model.folder import Model
    from phylotools.phylogeny.simulation.missing import MissingData
    from phylotools.phylogeny.tree import Tree
    from phylotools.simulate.outputs import SimulationOutputs, SimulationSummary
    from phylotools.simulate.plan import Plan, SimulationSettings
    from phylotools.simulate.sources import RandomSettings, SiteSource
    from phylotools.simulate.stages import SimulationStages

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
_WITH_MODEL = "with --model: the model gives the sites"
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


#: All that decides what is simulated.
_settings_options = options.together(
    click.argument("tree", metavar="TREE.nh"),
    click.option("--length", type=click.IntRange(1, 1 << 40), metavar="N", help="Sites to draw."),
    click.option("--contig", metavar="NAME", help="Name of the new contig [default: chr1]."),
    options.model_option(
        help="Take the sites from this model's reading of a sequence, not at random."
    ),
    options.fasta_option,
    options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again."),
    options.regions_file_option(help="Only these regions."),
    click.option(
        "--reference",
        metavar="SPECIES",
        help="Species whose coordinates are used [default: the first tip, or that of --model].",
    ),
    click.option(
        "--substitution",
        type=click.Choice(options.SUBSTITUTION_NAMES),
        help="Substitution model [default: f81].",
    ),
    click.option("--kappa", type=float, metavar="X", help="hky: transitions over transversions."),
    options.exchangeabilities_option,
    options.frequencies_option("--background", help="hky and gtr: mutation alone."),
    options.frequencies_option("--mutation-frequencies", help="mutation-selection."),
    _number_option("--site-rate-mean", 0.0, "Mean of log R, relative to neutral"),
    _number_option("--site-rate-sd", 0.5, "Standard deviation of log R"),
    _number_option(
        "--frequency-sd", 0.5, "Standard deviation of a base's log frequency or fitness"
    ),
    _number_option("--conserved-fraction", 0.05, "Fraction of conserved sites"),
    _number_option("--conserved-score", 5.0, "Their favoured base's log odds over the others"),
    _number_option("--conserved-rate", 1.0, "Factor on their R"),
    click.option(
        "--missing",
        type=click.Choice(["realistic", "none"]),
        default="realistic",
        show_default=True,
        help="Gaps and absent species as in real alignments, or every base.",
    ),
    click.option(
        "--missing-like", metavar="STORE", help="As much missing as in this column store."
    ),
    _number_option("--gap-rate", 0.23, "Rate at which a site falls into a gap, per branch length"),
    _number_option("--gap-exponent", 1.4, "Of the power law of gap lengths"),
    _number_option("--longest-gap", 23, "Sites of the longest gap, where the power law ends"),
    _number_option(
        "--dropout-rate", 1.4, "Rate at which a site's stretch is lost, per branch length"
    ),
    _number_option("--species-dropout", 0.0, "Further loss of each species by itself"),
    _number_option("--dropout-length", 1400.0, "Mean sites of a lost stretch"),
    _number_option("--block-length", 80.0, "Mean sites of an alignment block"),
    options.seed_option,
)
_truth_option = click.option(
    "--truth", metavar="FILE", help="Table of the sites (bgzip and tabix by suffix)."
)
_fasta_output_option = click.option(
    "--output-fasta", metavar="FILE", help="Sequence of the reference species."
)


@click.command(name="simulate")
@_settings_options
@options.output_option(default="-", help="Alignment (MAF; bgzip by suffix) [default: stdout].")
@_truth_option
@_fasta_output_option
@staged.engine_option
@staged.work_option
@options.threads_option(
    help="CPU threads, of each worker with --on [default: every core]; no result depends on them."
)
@options.device_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def simulate_command(
    tree: str,
    output: str,
    truth: str | None,
    output_fasta: str | None,
    engine: Engine | None,
    work: str | None,
    threads: int | None,
    device: str,
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
    work = staged.work_for(engine, work, output)
    if work is not None:
        staged.refuse_streams({tree: "the tree"})
    if given["model"] is not None:
        _refuse_together({"output_fasta": output_fasta}, ("output_fasta",), _WITH_MODEL)
    outputs = _outputs(output, truth, output_fasta, force, _inputs(tree, given), summary_json)
    options.check_apart({"-o": output, "--work": work, "--summary-json": summary_json})
    watch = options.Stopwatch()
    with contextlib.ExitStack() as stack:
        wish = _wish(stack, tree, given, threads, device if engine is None else "cpu")
        if work is not None:
            summary = _in_parts(wish, outputs, work, engine, threads, device)
        else:
            summary = _at_once(wish, outputs, threads)
        wish.warn()
    _conclude(summary, outputs, watch.seconds, summary_json)


@click.command(name="simulate-init")
@_settings_options
@click.option(
    "--no-truth", is_flag=True, help="Do without the table of the truth, which takes its time."
)
@staged.init_options("positions", 1 << 20)
@options.logging_options
def simulate_init_command(
    tree: str,
    no_truth: bool,
    work: str,
    partition_size: int | None,
    **given: Any,
) -> None:
    """Plan a simulation that is made in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools simulate-partition WORK I` for I = 0 to
    N - 1, in any order and as often as need be, and `phylotools simulate-finalise WORK -o OUT.maf`
    once.
    """
    _inputs(tree, given)
    staged.refuse_streams({tree: "the tree"})
    with contextlib.ExitStack() as stack:
        wish = _wish(stack, tree, given, None, "cpu")
        staged.begin(
            _stages(),
            work,
            lambda: wish.plan(has_truth=not no_truth, size=partition_size),
        )
        wish.warn()


def _stages() -> SimulationStages:
    from phylotools.simulate.stages import SimulationStages

    return SimulationStages()


simulate_partition_command = staged.partition_command("simulate", _stages, has_network=True)


@click.command(name="simulate-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(default="-", help="Alignment (MAF; bgzip by suffix) [default: stdout].")
@_truth_option
@_fasta_output_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def simulate_finalise_command(
    work: str,
    output: str,
    truth: str | None,
    output_fasta: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the files are as they should be.
    """
    from phylotools.jobs.stages import finalise_job
    from phylotools.simulate.finalise import finalise

    outputs = _outputs(output, truth, output_fasta, force, [], summary_json)
    options.check_apart({"WORK": work, "-o": output, "--summary-json": summary_json})
    watch = options.Stopwatch()
    summary = finalise_job(_stages(), work, functools.partial(finalise, outputs=outputs))
    _conclude(summary, outputs, watch.seconds, summary_json)


def _inputs(tree: str, given: dict[str, Any]) -> list[str]:
    """Files that are read; two cannot be stdin."""
    from phylotools.errors import UsageError
    from phylotools.io.files import refuse_two_streams

    if given["seed"] < 0:
        raise UsageError("--seed must not be negative")
    inputs = [tree, *(given[name] for name in ("fasta", "regions_file") if given[name])]
    refuse_two_streams(*inputs)
    return inputs


def _outputs(
    output: str,
    truth: str | None,
    fasta: str | None,
    force: bool,
    inputs: list[str],
    summary_json: str | None,
) -> SimulationOutputs:
    from phylotools.simulate.outputs import SimulationOutputs, refuse_outputs

    outputs = SimulationOutputs(output, truth, fasta, force)
    refuse_outputs([*outputs.paths, *([summary_json] if summary_json else [])], inputs, force)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    return outputs


@dataclass(frozen=True)
class _Wish:
    """What is to be simulated, but for the truth."""

    path: str
    tree: Tree
    source: SiteSource
    settings: SimulationSettings
    model: Model | None

    def warn(self) -> None:
        """Warn of a tree that is too long for what is done with alignments."""
        from phylotools.store.tree_scale import warn_of_saturation

        warn_of_saturation(self.tree, str(self.settings.reference), self.path)

    def plan(
        self, *, has_truth: bool, size: int | None = None, engine: Engine | None = None
    ) -> Plan:
        """The same as a job in parts."""
        from phylotools.simulate.plan import make_plan

        settings = replace(self.settings, has_truth=has_truth)
        return make_plan(
            self.path, settings, self.source, self.model, partition_positions=size, engine=engine
        )


def _wish(
    stack: contextlib.ExitStack,
    tree: str,
    given: dict[str, Any],
    threads: int | None,
    device: str,
) -> _Wish:
    from phylotools.simulate.plan import SimulationSettings
    from phylotools.store.tree_file import read_tree

    with _options_at_fault():
        missing = _missing_data(given)
    parsed = read_tree(tree)
    source, reference, random, model = _sources(stack, given, parsed.tips, threads, device)
    settings = SimulationSettings(random, reference, missing, given["seed"], has_truth=False)
    return _Wish(tree, parsed, source, settings, model)


def _at_once(wish: _Wish, outputs: SimulationOutputs, threads: int | None) -> SimulationSummary:
    from phylotools.simulate.run import simulate_alignment
    from phylotools.threads import n_cores

    with Progress("columns", sum(map(len, wish.source.regions))) as progress:
        return simulate_alignment(
            wish.tree,
            wish.source,
            outputs,
            reference=wish.settings.reference,
            missing=wish.settings.missing,
            seed=wish.settings.seed,
            threads=threads or n_cores(),
            on_piece=progress.update,
        )


def _in_parts(
    wish: _Wish,
    outputs: SimulationOutputs,
    work: str,
    engine: Engine | None,
    threads: int | None,
    device: str,
) -> SimulationSummary:
    from phylotools.jobs.stages import Resources, do_whole_job
    from phylotools.simulate.finalise import finalise

    outputs.refuse_streams()
    stages = _stages()
    plan = wish.plan(has_truth=outputs.truth is not None, engine=engine)
    resources = Resources(threads, device)
    with open_board(engine) as board:
        return do_whole_job(
            stages,
            stages.folder(work),
            plan,
            functools.partial(finalise, outputs=outputs),
            resources,
            engine=engine,
            board=board,
        )


def _conclude(
    summary: SimulationSummary,
    outputs: SimulationOutputs,
    seconds: float,
    summary_json: str | None,
) -> None:
    """Say what was made, in the log and, if asked for, as JSON."""
    options.write_summary(
        summary_json, {"outputs": outputs.paths, **summary.to_dict(), "seconds": round(seconds, 3)}
    )
    logger.info(
        "%s: %d columns of %d species in %d blocks, %.2f substitutions and %.1f bases a column, in "
        "%.1f s (%.0f columns/s)",
        "<stdout>" if outputs.alignment == "-" else outputs.alignment,
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
    threads: int | None,
    device: str,
) -> tuple[SiteSource, str, RandomSettings | None, Model | None]:
    """Where the sites come from, and the reference species; then what random ones follow from."""
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
            random = _random_settings(given)
            return random.sites(given["seed"]), reference or tips[0], random, None
    _refuse_together(given, ("length", "contig"), _WITH_MODEL)
    _refuse_together(given, ("substitution", *_SHARED, *_SITE_OPTIONS), _WITH_MODEL)
    source, reference, model = _model_sites(stack, given, tips, threads, device)
    return source, reference, None, model


def _random_settings(given: dict[str, Any]) -> RandomSettings:
    from phylotools.phylogeny.simulation.sites import SiteDistribution
    from phylotools.simulate.sources import RandomSettings

    chosen = {field: given[name] for name, field in _SITE_OPTIONS.items()}
    return RandomSettings(
        given["length"],
        given["contig"] or "chr1",
        SiteDistribution(**{k: v for k, v in chosen.items() if v is not None}),
        given["substitution"] or "f81",
        {name: given[name] for name in _SHARED if given[name] is not None},
    )


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
    stack: contextlib.ExitStack,
    given: dict[str, Any],
    tips: tuple[str, ...],
    threads: int | None,
    device: str,
) -> tuple[SiteSource, str, Model]:
    from phylotools.errors import UsageError
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import RegionSet, choose_regions
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer
    from phylotools.simulate.sources import ModelSites, warn_of_unseen_sites

    model = load_model(given["model"], device)
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
    return ModelSites(Scorer(model, genome, threads=threads), regions), reference, model

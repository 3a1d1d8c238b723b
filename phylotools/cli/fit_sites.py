"""`phylotools fit-sites` and its stages: per-site parameters and tracks straight from a store."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options, staged
from phylotools.cli.board import open_board
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    import torch

    from phylotools.io.regions import RegionSet
    from phylotools.jobs.engines.engine import Engine
    from phylotools.model.folder import Model
    from phylotools.sites.network_prior import NetworkPrior
    from phylotools.sites.plan import Plan
    from phylotools.sites.preparation import FitSettings
    from phylotools.sites.run import FitOutputs
    from phylotools.sites.stages import SiteStages
    from phylotools.sites.tally import FitSummary
    from phylotools.store.read import ColumnStore

_RATES = ("prior", "free", "fixed", "fitted")
_POSITIVE = options.FiniteRange(0, min_open=True)


#: All that decides what the fits are.
_fit_options = options.together(
    click.argument("store", metavar="STORE"),
    click.option("--per-allele", is_flag=True, help="A line for every alternative allele."),
    click.option(
        "--clade",
        multiple=True,
        metavar="NAME[,NAME]",
        help="Only the species of a clade: an inner node of the tree, or two species in it.",
    ),
    click.option(
        "--trees",
        metavar="FILE",
        help="Trees of contigs or regions: a table of `phylotools tree fit --by-contig`.",
    ),
    options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again."),
    options.regions_file_option(help="Only these regions."),
    options.contig_aliases_option,
    click.option(
        "--substitution",
        type=click.Choice(options.SUBSTITUTION_NAMES),
        help="Substitution model [default: f81, or that of --prior].",
    ),
    click.option(
        "--kappa", type=_POSITIVE, metavar="X", help="hky: transitions over transversions."
    ),
    options.exchangeabilities_option,
    options.frequencies_option(
        "--background",
        help="Frequencies of a neutral site [default: of the store's reference bases].",
    ),
    options.frequencies_option(
        "--mutation-frequencies",
        help="mutation-selection: frequencies under mutation alone [default: the background].",
    ),
    click.option(
        "--strand-symmetric",
        is_flag=True,
        help="A substitution and its complement have one rate.",
    ),
    click.option(
        "--learn-shared",
        is_flag=True,
        help="Learn the shared parameters from a sample of columns.",
    ),
    click.option(
        "--rate",
        type=click.Choice(_RATES),
        help="log R: normal prior, free, fixed at its mean, or a prior fitted on held-out species "
        "[default: prior; with --prior, fitted].",
    ),
    click.option("--rate-mean", type=float, metavar="X", help="Mean of log R [default: neutral]."),
    click.option(
        "--rate-sd", type=_POSITIVE, metavar="X", help="Its standard deviation [default: 1]."
    ),
    click.option(
        "--frequency-sd",
        type=_POSITIVE,
        metavar="X",
        help="Standard deviation of each allele score [default: 3].",
    ),
    click.option(
        "--neutral-scale",
        type=_POSITIVE,
        default=1.0,
        show_default=True,
        metavar="X",
        help="Neutral substitutions per unit of branch length of the store's tree.",
    ),
    click.option(
        "--prior",
        "prior_model",
        metavar="NAME|FOLDER",
        help="Model whose prediction is the centre of each site's prior.",
    ),
    options.fasta_option,
    click.option(
        "--held-out-species",
        multiple=True,
        metavar="NAME[,NAME]",
        help="Species that judge the prior [default: those that the model never saw, else drawn].",
    ),
    click.option(
        "--held-out-fraction",
        type=options.FiniteRange(0, 1, min_open=True, max_open=True),
        default=0.1,
        show_default=True,
        metavar="X",
        help="Share of the species to draw.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(1),
        default=4000,
        show_default=True,
        metavar="N",
        help="Columns to learn from.",
    ),
    options.seed_option,
)
#: Where the fits go.
_output_options = options.together(
    options.output_option(
        default="-", help="Table; bgzip and tabix by suffix (.gz) [default: text on stdout]."
    ),
    click.option(
        "--bigwig",
        metavar="PREFIX",
        help="Also write PREFIX.conservation.bw, PREFIX.rate.bw and PREFIX.llr_mean.bw.",
    ),
    options.force_option,
)


@click.command(name="fit-sites")
@_fit_options
@_output_options
@staged.engine_option
@staged.work_option
@options.threads_option(
    help="CPU threads, of each worker with --on [default: every core]; no result depends on them."
)
@options.device_option
@options.summary_option
@options.logging_options
@options.outputs_together
def fit_sites_command(
    store: str,
    output: str,
    bigwig: str | None,
    force: bool,
    engine: Engine | None,
    work: str | None,
    threads: int | None,
    device: str,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Fit each position's substitution parameters to its alignment column.

    STORE is a column store of `phylotools preprocess`. Every position with another species than
    the reference gets allele scores relative to the reference base, rates, and a phyloP-like test
    of its rate against the neutral one. With --prior, a network's prediction from the sequence is
    the prior and the column the evidence.

    \b
    phylotools fit-sites columns.store -o sites.tsv.gz --bigwig sites
    phylotools fit-sites columns.store --substitution mutation-selection --learn-shared \\
        --rate fitted -r chr22:1,000,000-2,000,000 -o sites.tsv.gz
    phylotools fit-sites columns.store --prior my-model/ -f genome.fa -o sites.tsv.gz
    """
    _check_usage(given)
    work = staged.work_for(engine, work, output)
    inputs = [given[name] for name in ("fasta", "regions_file", "trees") if given[name] is not None]
    outputs = _outputs(output, bigwig, given["per_allele"], force, inputs, summary_json)
    watch = options.Stopwatch()
    with contextlib.ExitStack() as opened:
        wish = _wish(opened, store, given, threads, device if engine is None else "cpu")
        _check_apart({"STORE": store, "--work": work}, outputs, summary_json)
        if work is None:
            summary = _at_once(wish, outputs)
        else:
            resources = {"threads": threads, "device": device}
            summary = _in_parts(wish, outputs, work, engine, resources)
    _conclude(store, outputs, summary, watch.seconds, summary_json)


@click.command(name="fit-sites-init")
@_fit_options
@staged.init_options("sites", 1 << 20)
@options.threads_option(help="CPU threads [default: every core]; no result depends on them.")
@options.device_option
@options.logging_options
def fit_sites_init_command(
    store: str,
    work: str,
    partition_size: int | None,
    threads: int | None,
    device: str,
    **given: Any,
) -> None:
    """Plan fits that are made in parts, on one machine or many.

    What is learned of the whole store (shared parameters, priors) is learned here, once. Prints the
    number of partitions N. Then run `phylotools fit-sites-partition WORK I` for I = 0 to N - 1, in
    any order and as often as need be, and `phylotools fit-sites-finalise WORK -o TABLE` once.
    """
    _check_usage(given)
    options.check_apart({"STORE": store, "--work": work})
    with contextlib.ExitStack() as opened:
        wish = _wish(opened, store, given, threads, device)
        staged.begin(
            _stages(),
            work,
            lambda: wish.complete(wish.draft(), size=partition_size),
        )


def _stages() -> SiteStages:
    from phylotools.sites.stages import SiteStages

    return SiteStages()


fit_sites_partition_command = staged.partition_command("fit-sites", _stages, has_network=True)


@click.command(name="fit-sites-finalise")
@click.argument("work", metavar="WORK")
@_output_options
@options.summary_option
@options.logging_options
@options.outputs_together
def fit_sites_finalise_command(
    work: str,
    output: str,
    bigwig: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the files are as they should be.
    """
    from phylotools.jobs.stages import finalise_job
    from phylotools.sites.finalise import finalise

    outputs = _outputs(output, bigwig, False, force, [], summary_json)
    _check_apart({"WORK": work}, outputs, summary_json)
    watch, stages = options.Stopwatch(), _stages()
    summary = finalise_job(stages, work, functools.partial(finalise, outputs=outputs))
    store = stages.folder(work).read_plan().store
    _conclude(store, outputs, summary, watch.seconds, summary_json)


def _outputs(
    output: str,
    bigwig: str | None,
    per_allele: bool,
    force: bool,
    inputs: list[str],
    summary_json: str | None,
) -> FitOutputs:
    """The files to write; those that could not be written are refused before the work."""
    from phylotools.sites.run import FitOutputs

    outputs = FitOutputs(output, bigwig, per_allele, force)
    outputs.refuse(inputs)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    return outputs


def _check_apart(
    folders: dict[str, str | None], outputs: FitOutputs, summary_json: str | None
) -> None:
    tracks = {f"track {name}": path for name, path in outputs.tracks.items()}
    named = {"-o": outputs.table, "--summary-json": summary_json}
    options.check_apart({**folders, **named, **tracks})


@dataclass(frozen=True)
class _Wish:
    """What is to be fitted."""

    store: ColumnStore
    settings: FitSettings
    regions: RegionSet | None
    network: NetworkPrior | None
    place: torch.device
    clade: list[str]
    trees: str | None
    per_allele: bool

    def draft(self) -> Plan:
        """The same as a job in parts, but for what takes long."""
        from phylotools.sites.plan import draft_plan

        return draft_plan(
            self.store,
            self.settings,
            self.regions,
            self.network,
            clade=self.clade,
            trees=self.trees,
            per_allele=self.per_allele,
        )

    def complete(
        self, draft: Plan, *, size: int | None = None, engine: Engine | None = None
    ) -> Plan:
        """The whole plan."""
        from phylotools.sites.plan import completed_plan

        return completed_plan(
            draft, self.store, self.network, self.place, partition_sites=size, engine=engine
        )


def _wish(
    opened: contextlib.ExitStack,
    store: str,
    given: dict[str, Any],
    threads: int | None,
    device: str,
) -> _Wish:
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import choose_regions
    from phylotools.model.device import resolve_device
    from phylotools.model.registry import load_model
    from phylotools.sites.network_prior import NetworkPrior
    from phylotools.sites.run import use_threads, wanted_contigs
    from phylotools.store.read import open_store
    from phylotools.store.view import viewed

    use_threads(threads)
    clade = [part.strip() for text in given["clade"] for part in text.split(",")]
    columns = viewed(open_store(store), clade, given["trees"])
    chosen = choose_regions(given["regions"], given["regions_file"], columns.contigs, path=store)
    contigs = wanted_contigs(columns, chosen)
    name = given["prior_model"]
    settings = _settings(given, with_network=name is not None)
    place, network = resolve_device(device), None
    if name is not None:
        model = load_model(name, device)
        model.require_substitutions("--prior")
        _check_substitution(given["substitution"], model)
        genome = ReferenceGenome.open(model.choose_reference(given["fasta"]))
        opened.enter_context(genome)
        network = NetworkPrior(
            model, genome, columns, neutral_scale=settings.neutral_scale, threads=threads or 1
        )
        network.require_contigs(contigs)
    trees, per_allele = given["trees"], given["per_allele"]
    return _Wish(columns, settings, chosen, network, place, clade, trees, per_allele)


def _at_once(wish: _Wish, outputs: FitOutputs) -> FitSummary:
    from phylotools.sites.preparation import prepare
    from phylotools.sites.run import fit_store

    prepared = prepare(wish.store, wish.settings, wish.network, wish.place)
    with Progress("sites") as progress:
        return fit_store(wish.store, prepared, outputs, wish.regions, on_batch=progress.update)


def _in_parts(
    wish: _Wish,
    outputs: FitOutputs,
    work: str,
    engine: Engine | None,
    resources: dict[str, Any],
) -> FitSummary:
    from phylotools.jobs.stages import Resources, do_whole_job
    from phylotools.sites.finalise import finalise

    stages = _stages()
    folder = stages.folder(work)
    draft = wish.draft()
    plan = folder.earlier(draft) or wish.complete(draft, engine=engine)
    with open_board(engine) as board:
        return do_whole_job(
            stages,
            folder,
            plan,
            functools.partial(finalise, outputs=outputs),
            Resources(**resources),
            engine=engine,
            board=board,
        )


def _check_usage(given: dict[str, Any]) -> None:
    """Refuse options that contradict each other."""
    prior_model, fasta = given["prior_model"], given["fasta"]
    shared = ("kappa", "exchangeabilities", "mutation_frequencies")
    rate = given["rate"] or ("prior" if prior_model is None else "fitted")
    if given["seed"] < 0:
        raise click.UsageError("--seed must not be negative")
    if prior_model is None and fasta is not None:
        raise click.UsageError("--fasta is read by the model of --prior only")
    if prior_model is not None and (
        given["learn_shared"]
        or given["strand_symmetric"]
        or any(given[name] is not None for name in shared)
    ):
        raise click.UsageError("the shared parameters come with the model of --prior")
    if rate in ("free", "fixed") and given["rate_sd"] is not None:
        raise click.UsageError(f"--rate-sd has no meaning with --rate {rate}")
    if rate == "free" and given["rate_mean"] is not None:
        raise click.UsageError("--rate-mean has no meaning with --rate free")
    background = given["background"]
    if background is not None and not (
        len(background) == 4 and all(0 < value < float("inf") for value in background)
    ):
        raise click.UsageError("--background must be four positive numbers")


def _settings(given: dict[str, Any], *, with_network: bool) -> FitSettings:
    from phylotools.sites.preparation import FitSettings

    names = ("kappa", "exchangeabilities", "mutation_frequencies")
    shared = {name: given[name] for name in names if given[name] is not None}
    if given["strand_symmetric"]:
        shared["strand_symmetric"] = True
    species = [part.strip() for text in given["held_out_species"] for part in text.split(",")]
    return FitSettings(
        substitution=given["substitution"] or "f81",
        shared=shared,
        learn_shared=given["learn_shared"],
        rate=given["rate"] or ("fitted" if with_network else "prior"),
        rate_mean=given["rate_mean"],
        rate_sd=given["rate_sd"],
        frequency_sd=given["frequency_sd"],
        background=tuple(given["background"]) if given["background"] else None,
        neutral_scale=given["neutral_scale"],
        held_out_species=tuple(filter(None, species)),
        held_out_fraction=given["held_out_fraction"],
        sample=given["sample"],
        seed=given["seed"],
    )


def _check_substitution(named: str | None, model: Model) -> None:
    own = model.substitution.name
    if named is not None and named != own:
        raise click.UsageError(f"--substitution {named}: model {model.name} predicts for {own}")


def _conclude(
    store: str,
    outputs: FitOutputs,
    summary: FitSummary,
    seconds: float,
    summary_json: str | None,
) -> None:
    """Say what was made, in the log and, if asked for, as JSON."""
    if summary.n_outside_training:
        logger.warning(
            "%d of %d sites lie outside the regions that model %s was trained on",
            summary.n_outside_training, summary.n_sites, summary.predictor,
        )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "fit-sites",
            "store": store,
            "output": outputs.table,
            "tracks": outputs.tracks,
            **summary.decisions,
            "sites": summary.n_sites,
            "sites_by_contig": summary.sites,
            "slower_than_neutral": summary.n_slow,
            "faster_than_neutral": summary.n_fast,
            "median_rate_scale": summary.median_rate_scale,
            "seconds": round(seconds, 3),
        },
    )
    logger.info(
        "%s: fitted %d sites under %s; %.1f %% slower and %.1f %% faster than neutral (p < 0.01), "
        "median rate %.3g; %.1f s (%.0f sites/s)",
        outputs.table, summary.n_sites, summary.substitution,
        100 * summary.n_slow / summary.n_sites, 100 * summary.n_fast / summary.n_sites,
        summary.median_rate_scale, seconds, summary.n_sites / max(seconds, 1e-9),
    )  # fmt: skip

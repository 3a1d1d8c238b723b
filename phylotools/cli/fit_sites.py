"""`phylotools fit-sites`: per-site parameters and a conservation track straight from a store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.model.folder import Model
    from phylotools.sites.preparation import FitSettings, Preparation
    from phylotools.sites.run import FitOutputs, FitSummary

_RATES = ("prior", "free", "fixed", "fitted")
_POSITIVE = click.FloatRange(0, min_open=True)


@click.command(name="fit-sites")
@click.argument("store", metavar="STORE")
@options.output_option(
    default="-", help="Table; bgzip and tabix by suffix (.gz) [default: text on stdout]."
)
@click.option(
    "--bigwig",
    metavar="PREFIX",
    help="Also write PREFIX.conservation.bw, PREFIX.rate.bw and PREFIX.llr_mean.bw.",
)
@click.option("--per-allele", is_flag=True, help="A line for every alternative allele.")
@click.option(
    "--clade",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Only the species of a clade: an inner node of the tree, or two species in it.",
)
@click.option(
    "--trees",
    metavar="FILE",
    help="Trees of contigs or regions: a table of `phylotools tree fit --by-contig`.",
)
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only these regions.")
@options.contig_aliases_option
@click.option(
    "--substitution",
    type=click.Choice(options.SUBSTITUTION_NAMES),
    help="Substitution model [default: f81, or that of --prior].",
)
@click.option("--kappa", type=_POSITIVE, metavar="X", help="hky: transitions over transversions.")
@options.exchangeabilities_option
@options.frequencies_option(
    "--background", help="Frequencies of a neutral site [default: of the store's reference bases]."
)
@options.frequencies_option(
    "--mutation-frequencies",
    help="mutation-selection: frequencies under mutation alone [default: the background].",
)
@click.option(
    "--strand-symmetric", is_flag=True, help="A substitution and its complement have one rate."
)
@click.option(
    "--learn-shared", is_flag=True, help="Learn the shared parameters from a sample of columns."
)
@click.option(
    "--rate",
    type=click.Choice(_RATES),
    help="log R: normal prior, free, fixed at its mean, or a prior fitted on held-out species "
    "[default: prior; with --prior, fitted].",
)
@click.option("--rate-mean", type=float, metavar="X", help="Mean of log R [default: neutral].")
@click.option("--rate-sd", type=_POSITIVE, metavar="X", help="Its standard deviation [default: 1].")
@click.option(
    "--frequency-sd",
    type=_POSITIVE,
    metavar="X",
    help="Standard deviation of each allele score [default: 3].",
)
@click.option(
    "--neutral-scale",
    type=_POSITIVE,
    default=1.0,
    show_default=True,
    metavar="X",
    help="Neutral substitutions per unit of branch length of the store's tree.",
)
@click.option(
    "--prior",
    "prior_model",
    metavar="NAME|FOLDER",
    help="Model whose prediction is the centre of each site's prior.",
)
@options.fasta_option
@click.option(
    "--held-out-species",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Species that judge the prior [default: those that the model never saw, else drawn].",
)
@click.option(
    "--held-out-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of the species to draw.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=4000,
    show_default=True,
    metavar="N",
    help="Columns to learn from.",
)
@options.force_option
@options.threads_option(help="CPU threads [default: every core]; no result depends on them.")
@options.device_option
@options.seed_option
@options.summary_option
@options.logging_options
@options.outputs_together
def fit_sites_command(
    store: str,
    output: str,
    bigwig: str | None,
    per_allele: bool,
    clade: tuple[str, ...],
    trees: str | None,
    regions: tuple[str, ...],
    regions_file: str | None,
    prior_model: str | None,
    fasta: str | None,
    threads: int | None,
    device: str,
    force: bool,
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
    _check_usage(prior_model, fasta, given)
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import choose_regions
    from phylotools.model.device import resolve_device
    from phylotools.model.registry import load_model
    from phylotools.sites.network_prior import NetworkPrior
    from phylotools.sites.preparation import prepare
    from phylotools.sites.run import FitOutputs, fit_store, wanted_contigs
    from phylotools.store.read import open_store
    from phylotools.store.view import viewed

    inputs = [name for name in (fasta, regions_file, trees) if name is not None]
    outputs = FitOutputs(output, bigwig, per_allele, force)
    outputs.refuse(inputs)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    watch = options.Stopwatch()
    _set_threads(threads)
    names = [part.strip() for text in clade for part in text.split(",")]
    columns = viewed(open_store(store), names, trees)
    tracks = {f"track {name}": path for name, path in outputs.tracks.items()}
    options.check_apart({"STORE": store, "-o": output, "--summary-json": summary_json, **tracks})
    chosen = choose_regions(regions, regions_file, columns.contigs, path=store)
    contigs = wanted_contigs(columns, chosen)
    settings = _settings(given, with_network=prior_model is not None)
    place = resolve_device(device)
    with contextlib.ExitStack() as opened:
        network = None
        if prior_model is not None:
            model = load_model(prior_model, device)
            model.require_substitutions("--prior")
            _check_substitution(given["substitution"], model)
            genome = opened.enter_context(ReferenceGenome.open(model.choose_reference(fasta)))
            network = NetworkPrior(
                model, genome, columns, neutral_scale=settings.neutral_scale, threads=threads or 1
            )
            network.require_contigs(contigs)
        prepared = prepare(columns, settings, network, place)
        with Progress("sites") as progress:
            summary = fit_store(columns, prepared, outputs, chosen, on_batch=progress.update)
    _conclude(store, outputs, prepared, summary, watch, summary_json)


def _check_usage(prior_model: str | None, fasta: str | None, given: dict[str, Any]) -> None:
    """Refuse options that contradict each other."""
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


def _set_threads(threads: int | None) -> None:
    import torch

    from phylotools.threads import n_cores, set_threads

    # The searches' many small tensors lose by threads; the likelihood gains.
    torch.set_num_threads(1)
    set_threads(threads or n_cores())


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
    prepared: Preparation,
    summary: FitSummary,
    watch: options.Stopwatch,
    summary_json: str | None,
) -> None:
    from phylotools.sites.run import describe_preparation

    network = prepared.network
    if network is not None and network.n_outside_training:
        logger.warning(
            "%d of %d sites lie outside the regions that model %s was trained on",
            network.n_outside_training, summary.n_sites, network.model.name,
        )  # fmt: skip
    seconds = watch.seconds
    options.write_summary(
        summary_json,
        {
            "verb": "fit-sites",
            "store": store,
            "output": outputs.table,
            "tracks": outputs.tracks,
            **describe_preparation(prepared),
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
        outputs.table, summary.n_sites, prepared.model.name,
        100 * summary.n_slow / summary.n_sites, 100 * summary.n_fast / summary.n_sites,
        summary.median_rate_scale, seconds, summary.n_sites / max(seconds, 1e-9),
    )  # fmt: skip

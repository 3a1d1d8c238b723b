"""`phylotools design`: sequences sampled from a model, or edited towards a target."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.errors import UsageError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phylotools.design.designs import Designs
    from phylotools.design.problem import Problem
    from phylotools.design.starts import Start
    from phylotools.design.targets import Target
    from phylotools.model.folder import Model

_output_option = options.output_option(
    required=True, help="Folder to make: sequences, tables and a picture."
)
_SEARCHES = ("greedy", "anneal")
_OWN_BASES = ("averaged", "hidden", "seen")
#: Named here so that --help imports no numpy.
_MOST_SWEEPS, _MOST_SEQUENCES = 100_000, 10_000
_start_options = options.together(
    options.regions_option(
        help="Begin from contig:begin-end (1-based), in its place; may be given again."
    ),
    click.option("--start", "start_file", metavar="FASTA", help="Begin from each sequence of it."),
    click.option(
        "--length",
        type=click.IntRange(1, 20_000),
        metavar="N",
        help="Begin from random sequences of N bases.",
    ),
    click.option(
        "--gc",
        type=options.FiniteRange(0, 1),
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Of G and C in random sequences.",
    ),
    click.option(
        "--template",
        metavar="IUPAC",
        help="Bases that may stand at each position, as NNRYACGT; without a start, random ones.",
    ),
    click.option(
        "--fixed",
        multiple=True,
        metavar="REGION|BED",
        help="Leave these as they are: BEGIN-END of a sequence, contig:begin-end, or a BED; may be "
        "given again.",
    ),
    click.option(
        "--keep-protein",
        metavar="FRAME|GFF3",
        help="Synonymous changes only: of codons from base 1, 2 or 3 on (-1, -2, -3: the other "
        "strand), or of the CDS of a GFF3 or GTF.",
    ),
    click.option(
        "--genetic-code",
        type=click.IntRange(1, 33),
        metavar="NUMBER",
        help="NCBI's number, for --keep-protein [default: what the GFF3 says, else 2 on a "
        "mitochondrion, else 1].",
    ),
)
_common_options = options.together(
    options.fasta_option,
    options.contig_aliases_option,
    _output_option,
    options.force_option,
    options.seed_option,
    options.threads_option(help="CPU threads [default: every core]."),
    options.device_option,
    options.batch_size_option,
    options.precision_option,
    options.summary_option,
    options.logging_options,
    options.outputs_together,
)
_own_base_option = click.option(
    "--own-base",
    type=click.Choice(_OWN_BASES),
    help="How a position's frequencies are freed of the base that stands there: the mean over the "
    "four (averaged), with N in its place (hidden), or not at all (seen) [default: averaged; "
    "hidden for a model of masked bases].",
)


@click.group(name="design")
def design_command() -> None:
    """Sequences sampled from a model, or edited towards a target.

    Nothing that comes out has been tried in a laboratory: see docs/design.md.
    """


@design_command.command(name="sample")
@options.chosen_model_option
@_start_options
@click.option(
    "--edits", type=click.IntRange(0), metavar="N", help="At most N changes from the start."
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, _MOST_SEQUENCES),
    default=10,
    show_default=True,
    help="Sequences from each start; with random ones, in all.",
)
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    metavar="T",
    help="Frequencies to the power of 1/T: below 1, likely bases become likelier.",
)
@click.option(
    "--burn-in",
    type=click.IntRange(1, _MOST_SWEEPS),
    default=50,
    show_default=True,
    metavar="SWEEPS",
    help="Before the first sequence of a chain is kept.",
)
@click.option(
    "--chains",
    type=click.IntRange(1, _MOST_SEQUENCES),
    metavar="N",
    help="From each start [default: one for each sequence].",
)
@click.option(
    "--sweeps",
    type=click.IntRange(1, _MOST_SWEEPS),
    default=10,
    show_default=True,
    metavar="N",
    help="From one sequence of a chain to its next.",
)
@_own_base_option
@_common_options
def sample_command(
    model: str | None,
    fasta: str | None,
    output: str,
    force: bool,
    device: str,
    summary_json: str | None,
    number: int,
    chains: int | None,
    own_base: str | None,
    **given: Any,
) -> None:
    """Sample sequences by Gibbs sampling under a model's equilibrium frequencies.

    \b
    phylotools design sample -r chrM:3307-3606 --keep-protein 1 -n 20 -o sampled/
    phylotools design sample -m mammals-coding --length 300 -o sampled/
    phylotools design sample --start gene.fa --fixed 1-3 --edits 10 --temperature 0.5 -o sampled/
    """
    watch = options.Stopwatch()
    _check(given, fasta, output, force, summary_json)
    from phylotools.design.gibbs import GibbsSettings

    n_chains, per_chain = _shared_out(number, chains, given)
    settings = GibbsSettings(
        given["temperature"], given["burn_in"], given["sweeps"], per_chain, n_chains, given["seed"]
    )
    with options.importing():
        from phylotools.design.conditionals import OwnBase, SiteConditionals, usual_own_base
        from phylotools.design.run import sample_designs
        from phylotools.scoring.scorer import Scorer

    loaded = _model(model, given["regions"], fasta, device)
    count = number if _is_random(given) else 1
    problems, reference = _problems(loaded, fasta, given, count)
    chosen = OwnBase(own_base) if own_base else usual_own_base(loaded)
    conditionals = SiteConditionals(Scorer(loaded, **_network(given)), chosen)
    with Progress("sweeps of sequences") as progress:
        found = sample_designs(problems, conditionals, settings, on_sweep=progress.update)
    if _is_random(given):
        found.designs[:] = found.designs[:number]
    parameters = {**given, "number": number, "chains": n_chains, "own_base": str(chosen)}
    _write(found, loaded, reference, output, force, parameters, watch, summary_json, "sample")


@design_command.command(name="edit")
@options.model_option(
    help="Model of the likelihood [default: that of --head; else as for other verbs]."
)
@_start_options
@click.option(
    "--head",
    metavar="FOLDER",
    help="Towards a value of this head: a model that `finetune` fitted to labels of regions.",
)
@click.option(
    "--motif",
    metavar="MEME[:NAME]|IUPAC",
    help="Towards the best match of a motif, on either strand.",
)
@click.option(
    "--target",
    default="high",
    show_default=True,
    metavar="high|low|CLASS|NUMBER",
    help="Where the value is to go; CLASS is a label that the head was fitted to.",
)
@click.option(
    "--edits",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="At most N changes from the start.",
)
@click.option(
    "--edit-penalty",
    type=float,
    default=0.0,
    show_default=True,
    metavar="X",
    help="What an edit must gain, in units of the value.",
)
@click.option(
    "--likelihood-penalty",
    type=float,
    default=0.0,
    show_default=True,
    metavar="X",
    help="What each nat that the sequence becomes less likely costs, in units of the value.",
)
@click.option(
    "--search",
    type=click.Choice(_SEARCHES),
    default="greedy",
    show_default=True,
    help="The best single edit again and again, or simulated annealing.",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="K",
    help="Sequences that greedy goes on with.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Of anneal.",
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="At which anneal begins [default: the spread of what single edits gain].",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Sequences from each start: of greedy with random starts, else of anneal.",
)
@_own_base_option
@_common_options
def edit_command(
    model: str | None,
    fasta: str | None,
    output: str,
    force: bool,
    device: str,
    summary_json: str | None,
    head: str | None,
    motif: str | None,
    number: int,
    own_base: str | None,
    **given: Any,
) -> None:
    """Edit sequences towards a head's value, a motif, or a higher likelihood.

    Without --head and --motif the model's own log-likelihood is what rises (or falls).

    \b
    phylotools design edit --head tuned/ --target CDS -r chrM:1671-1770 --edits 12 -o edited/
    phylotools design edit --motif TGACGTCA --start probe.fa --likelihood-penalty 0.2 -o edited/
    phylotools design edit -r chrM:3307-3606 --keep-protein 1 --search anneal -n 4 -o edited/
    """
    watch = options.Stopwatch()
    _check(given, fasta, output, force, summary_json)
    if head is not None and motif is not None:
        raise UsageError("give --head or --motif, not both")
    is_annealed = given["search"] == "anneal"
    if number > 1 and not is_annealed and not _is_random(given):
        raise UsageError("-n: a greedy search gives one sequence from each start; use anneal")
    with options.importing():
        from phylotools.design.conditionals import OwnBase, SiteConditionals, usual_own_base
        from phylotools.design.run import edit_designs
        from phylotools.design.search import Penalties, SearchSettings
        from phylotools.design.targets import parse_aim
        from phylotools.scoring.scorer import Scorer

    penalties = Penalties(given["edit_penalty"], given["likelihood_penalty"])
    temperature = given["temperature"]
    if temperature is not None and not (0 < temperature < math.inf):
        raise UsageError("--temperature must be a number above 0")
    target, tuned_model = _target(head, motif, device, _network(given))
    if model is None and tuned_model is not None:
        loaded = tuned_model
    else:
        loaded = _model(model, given["regions"], fasta, device)
    if tuned_model is not None and tuned_model.receptive_field != loaded.receptive_field:
        raise UsageError(
            f"-m {loaded.name} sees {loaded.receptive_field} bases, the model of --head "
            f"{tuned_model.receptive_field}; leave -m out"
        )
    aim = parse_aim(given["target"], None if tuned_model is None else tuned_model.tuned)
    random_starts = number if _is_random(given) else 1
    problems, reference = _problems(loaded, fasta, given, random_starts)
    single = [each for problem in problems for each in problem.single()]
    settings = SearchSettings(
        given["beam"],
        given["steps"] if is_annealed else 0,
        1 if _is_random(given) else number,
        temperature,
        given["seed"],
    )
    chosen = OwnBase(own_base) if own_base else usual_own_base(loaded)
    conditionals = SiteConditionals(Scorer(loaded, **_network(given)), chosen)
    with Progress("edits compared") as progress:
        found = edit_designs(
            single, conditionals, target, aim, penalties, settings,
            on_step=progress.update,
        )  # fmt: skip
    parameters = {**given, "number": number, "head": head, "motif": motif}
    _write(found, loaded, reference, output, force, parameters, watch, summary_json, "edit")


def _check(
    given: dict[str, Any], fasta: str | None, output: str, force: bool, summary_json: str | None
) -> None:
    """Refuse, before the work, what cannot be asked or written."""
    from phylotools.design.names import design_files
    from phylotools.io.files import refuse_existing_folder

    ways = [given["regions"], given["start_file"], given["length"]]
    n_ways = sum(way not in (None, ()) for way in ways)
    if n_ways > 1 or (not n_ways and given["template"] is None):
        raise UsageError("give one of -r, --start and --length to begin from, or a --template")
    if given["length"] is not None and given["template"] is not None:
        raise UsageError("a --template says how long random sequences are: leave out --length")
    if given["seed"] < 0:
        raise UsageError("--seed must not be negative")
    if given["genetic_code"] is not None:
        from phylotools.io.genetic_code import GENETIC_CODES

        if given["genetic_code"] not in GENETIC_CODES:
            raise UsageError(f"--genetic-code: NCBI has no code {given['genetic_code']}")
    files = [fasta, given["start_file"], given["keep_protein"], *given["fixed"]]
    inputs = [name for name in files if name is not None and os.path.exists(name)]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    refuse_existing_folder(output, force, design_files())


def _is_random(given: dict[str, Any]) -> bool:
    """Whether the starts are drawn."""
    return not given["regions"] and given["start_file"] is None


def _shared_out(number: int, chains: int | None, given: dict[str, Any]) -> tuple[int, int]:
    """Chains of each start, and sequences of each chain."""
    if _is_random(given):
        if chains is not None:
            raise UsageError("--chains: every random start is a chain of its own")
        return 1, 1
    n_chains = number if chains is None else chains
    if n_chains > number or number % n_chains:
        raise UsageError(f"--number {number} must be a multiple of --chains {n_chains}")
    return n_chains, number // n_chains


def _model(name: str | None, regions: tuple[str, ...], fasta: str | None, device: str) -> Model:
    from phylotools.model.folder import read_model
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import region_evidence

    folder = model_folder(name, lambda: region_evidence(regions, fasta=fasta))
    # Designed sequences have no alignment columns.
    return read_model(folder, device).from_sequence_alone()


def _target(
    head: str | None, motif: str | None, device: str, network: dict[str, Any]
) -> tuple[Target | None, Model | None]:
    """What a value is of, and the model of a head; None where the likelihood is the value."""
    from phylotools.design.targets import HeadTarget, MotifTarget
    from phylotools.io.motifs import find_motif
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer

    if motif is not None:
        return MotifTarget(find_motif(motif)), None
    if head is not None:
        loaded = load_model(head, device).from_sequence_alone()
        return HeadTarget(Scorer(loaded, **network)), loaded
    return None, None


def _network(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("threads", "batch_size", "precision")}


def _problems(
    model: Model, fasta: str | None, given: dict[str, Any], n_random: int
) -> tuple[list[Problem], str | None]:
    """What is to be designed, and the reference that regions lie in."""
    from phylotools.design.problem import Limits, make_problems

    starts, reference = _starts(model, fasta, given, n_random)
    limits = Limits(
        given["fixed"],
        given["template"],
        given["keep_protein"],
        given["genetic_code"],
        given["edits"],
    )
    return make_problems(starts, limits), reference


def _starts(
    model: Model, fasta: str | None, given: dict[str, Any], n_random: int
) -> tuple[Sequence[Start], str | None]:
    from phylotools.design.starts import fasta_starts, random_starts, region_starts
    from phylotools.io.genome import ReferenceGenome

    half = model.receptive_field // 2
    if given["start_file"] is not None:
        return fasta_starts(given["start_file"], half), None
    if given["regions"]:
        own = fasta is None and model.reference_fasta is None and model.transcripts is not None
        reference = str(model.transcripts[1]) if own and model.transcripts else None
        with ReferenceGenome.open(reference or model.choose_reference(fasta)) as genome:
            return region_starts(genome, given["regions"], half), genome.path
    template = given["template"] or "N" * given["length"]
    return random_starts(template, given["gc"], n_random, half, given["seed"]), None


def _write(
    found: Designs,
    model: Model,
    reference: str | None,
    output: str,
    force: bool,
    given: dict[str, Any],
    watch: options.Stopwatch,
    summary_json: str | None,
    what: str,
) -> None:
    """Write the folder, and say what was done."""
    from phylotools.design.outputs import write_designs
    from phylotools.provenance import RunRecord, sha256_file

    files = [given["start_file"], given["keep_protein"], *given["fixed"], reference]
    inputs: dict[str, str | None] = {
        name: sha256_file(name) for name in files if name and os.path.isfile(name)
    }
    parameters = {key: value for key, value in given.items() if value not in (None, ())}
    record = RunRecord(inputs=inputs, parameters=parameters)
    facts = {
        **model.identity.facts(),
        "design": what,
        "own_base": found.own_base,
        "target": found.aim,
        "seed": given["seed"],
    }
    write_designs(found, output, record, facts, force=force)
    n_edits = [len(design.edits) for design in found.designs]
    options.write_summary(
        summary_json,
        {
            "verb": f"design {what}",
            "output": output,
            **facts,
            "reference": reference,
            "sequences": len(found.designs),
            "mean_edits": sum(n_edits) / len(n_edits),
            "mean_log_likelihood": sum(d.likelihoods.seen for d in found.designs) / len(n_edits),
            "seconds": round(watch.seconds, 3),
        },
    )
    if found.what:
        for design in found.designs[:20]:
            logger.info(
                "%s: %s from %.4g to %.4g by %s; %.2f nats likelier than the start (%s)",
                design.name, found.what, design.start_value, design.value,
                counted(len(design.edits), "edit"), design.log_ratio, design.why,
            )  # fmt: skip
    logger.info(
        "%s with %.1f edits each in %.1f s: %s/",
        counted(len(n_edits), "sequence"), sum(n_edits) / len(n_edits), watch.seconds,
        output.rstrip("/"),
    )  # fmt: skip

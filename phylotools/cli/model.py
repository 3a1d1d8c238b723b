"""``phylotools model``: list, info, verify, fetch, import, export, calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options

if TYPE_CHECKING:
    from phylotools.io.regions import RegionSet


@click.group(name="model")
def model_command() -> None:
    """List, describe, verify, fetch, import, export and calibrate models.

    A model is a folder with config.toml, manifest.json, weights.safetensors and card.md. Wherever
    a model's name is asked for, the path of such a folder does as well.
    """


@model_command.command(name="list")
@options.logging_options
def list_command() -> None:
    """Models that can be given by name, where they lie, and which FASTA goes with them.

    `reference` is `shipped`, the FASTA of `phylotools model set-reference`, or empty where there is
    neither.
    """
    from phylotools.model.registry import list_models
    from phylotools.model.settings import default_model, model_key, read_settings

    references = read_settings().references
    default, said_by = default_model() or ("", "")
    has_name = False
    click.echo("name\trevision\tassembly\tcontigs\tdefault\treference\tfolder")
    for summary in list_models():
        contigs = ",".join(summary.contigs[:5]) + (",..." if len(summary.contigs) > 5 else "")
        is_default = default in (summary.name, model_key(summary.folder))
        has_name |= is_default
        remembered = references.get(model_key(summary.folder))
        fields = (
            summary.name,
            summary.revision,
            summary.assembly,
            contigs,
            "yes" if is_default else "no",
            "shipped" if summary.ships_reference else remembered.fasta if remembered else "",
            str(summary.folder),
        )
        click.echo("\t".join(options.printable(field) for field in fields))
    if default and not has_name:
        options.logger.info("the default is %s: %s names it", default, said_by)


@model_command.command(name="use")
@click.argument("model", required=False, shell_complete=options.complete_model)
@click.option("--none", "forget", is_flag=True, help="Forget it: the file decides again.")
@options.logging_options
def use_command(model: str | None, forget: bool) -> None:
    """Use MODEL (a name or a folder) wherever -m is not given.

    PHYLOTOOLS_MODEL goes before it, and -m before both. With neither, the model is chosen whose
    assembly fits the file.
    """
    import os

    from phylotools.model.folder import open_model
    from phylotools.model.registry import find_model
    from phylotools.model.settings import MODEL_VARIABLE, model_key, use_model

    if (model is None) is not forget:
        raise click.UsageError("give a model, or --none")
    key = model if model is None else model_key(open_model(find_model(model)).folder)
    use_model(key)
    options.logger.info(
        "no model is the default: the file decides" if key is None else "model %s is the default",
        *([] if key is None else [key]),
    )
    if os.environ.get(MODEL_VARIABLE):
        options.logger.warning("%s is set, and goes before it", MODEL_VARIABLE)


@model_command.command(name="set-reference")
@click.argument("model", shell_complete=options.complete_model)
@click.option("-f", "--fasta", metavar="FASTA", required=True, help="Reference sequence.")
@options.logging_options
def set_reference_command(model: str, fasta: str) -> None:
    """Remember FASTA as the reference sequence of MODEL (a name or a folder).

    It is read where --fasta is not given. Where it lies is remembered, not what it holds: the file
    has to stay there.
    """
    from pathlib import Path

    from phylotools.model.folder import open_model
    from phylotools.model.reference_fasta import set_reference
    from phylotools.model.registry import find_model

    set_reference(open_model(find_model(model)), Path(fasta))
    options.logger.info("model %s is read with %s", model, fasta)


@model_command.command(name="info")
@click.argument("model", required=False, shell_complete=options.complete_model)
@click.option("--card", is_flag=True, help="Print the model card instead.")
@options.logging_options
def info_command(model: str | None, card: bool) -> None:
    """The manifest of MODEL (a name or a folder) as JSON."""
    import json

    from phylotools.io.files import read_small_text
    from phylotools.model.folder import CARD
    from phylotools.model.registry import describe_model, find_model

    folder = find_model(model)
    described = describe_model(folder)
    click.echo(read_small_text(folder / CARD) if card else json.dumps(described, indent=2))


@model_command.command(name="verify")
@click.argument("model", required=False, shell_complete=options.complete_model)
@options.device_option
@options.summary_option
@options.logging_options
def verify_command(model: str | None, device: str, summary_json: str | None) -> None:
    """Check MODEL's checksums and what it gives on its check sequence.

    Of an imported PhyloGPN it also recomputes the numbers that its authors printed, and says which
    of their releases it is.
    """
    options.check_summary(summary_json, force=False, inputs=[], output=None)
    from phylotools.model.published.golden import verify_published
    from phylotools.model.registry import load_model, verify_model

    loaded = load_model(model, device)
    difference = verify_model(loaded)
    comparison = verify_published(loaded)
    click.echo(
        f"{loaded.name} revision {loaded.revision}: checksums right, "
        f"theta within {difference:.1e} of the manifest's on {loaded.device}"
    )
    compared = comparison.lines() if comparison is not None else []
    for line in compared:
        click.echo(line)
    facts = {**loaded.identity.facts(), "largest_difference": difference, "published": compared}
    options.write_summary(summary_json, {"outputs": [], **facts})


@model_command.command(name="fetch")
@click.argument("model", metavar="NAME")
@click.option(
    "--revision",
    metavar="COMMIT|TAG|BRANCH",
    help="Which version of it  [default: the one that phylotools was tested with].",
)
@click.option("--name", help="What to call it here  [default: NAME].")
@click.option("-f", "--fasta", metavar="FASTA", help="Reference sequence to remember for it.")
@click.option("--offline", is_flag=True, help="Take what was downloaded before, and ask no server.")
@options.force_option
@options.summary_option
@options.logging_options
def fetch_command(
    model: str,
    revision: str | None,
    name: str | None,
    fasta: str | None,
    offline: bool,
    force: bool,
    summary_json: str | None,
) -> None:
    """Download a published model, so that it can be given by its name.

    NAME is phylogpn: the network of Albors and others, 83 million parameters, from
    huggingface.co/songlab/PhyloGPN. Weights and configuration are downloaded, 333 MB, and no code.
    With --fasta hg38.fa a VCF on hg38 needs no option afterwards.

    Needs the extra: pip install 'phylotools[hub]'. An interrupted download goes on where it was.
    """
    options.check_summary(summary_json, force=force, inputs=[fasta], output=None)
    from phylotools.cli.progress import Progress
    from phylotools.model.published.fetching import FetchRequest, fetch_model

    fetched = fetch_model(
        FetchRequest(model, revision, name, fasta, offline),
        force=force,
        progress=lambda file, total, done: Progress(f"bytes of {file}", total, done),
    )
    for finding in fetched.findings:
        options.logger.info("%s", finding)
    options.logger.info(
        "model %s at commit %s %s %s",
        fetched.name, fetched.commit, "was in" if fetched.was_here else "is in", fetched.folder,
    )  # fmt: skip
    if fasta is not None:
        options.logger.info("model %s is read with %s", fetched.name, fasta)
    elif not fetched.was_here:
        options.logger.info(
            "say once which FASTA goes with it: phylotools model set-reference %s --fasta FASTA",
            fetched.name,
        )
    facts = {"model": fetched.name, "commit": fetched.commit, "was_here": fetched.was_here}
    options.write_summary(summary_json, {"output": str(fetched.folder), **facts})


@model_command.command(name="import")
@click.argument("source", type=click.Path())
@options.output_option(help="Model folder to make  [default: among the models that have a name].")
@click.option("--name", default="", help="The model's name  [default: that of the folder].")
@click.option("--revision", default="", help="Which version  [default: from the weights' sha256].")
@click.option("--licence", default="", help="Licence of the weights.")
@click.option(
    "--assembly",
    default="hg38",
    show_default=True,
    help="Assembly of the sequence it was trained on.",
)
@click.option("-f", "--fasta", metavar="FASTA", help="Reference sequence to remember for it.")
@click.option(
    "--norm",
    type=click.Choice(["layer", "group"]),
    help="Norm of the network  [default: what the names of its tensors say].",
)
@options.force_option
@options.summary_option
@options.logging_options
def import_command(
    source: str,
    output: str | None,
    name: str,
    revision: str,
    licence: str,
    assembly: str,
    fasta: str | None,
    norm: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Make a model folder of PhyloGPN as its authors published it.

    SOURCE is a folder with model.safetensors and config.json (Hugging Face), or with checkpoint.pt
    and config.yaml (GitHub), or one of these files of weights. No code of SOURCE is run.

    Without -o the model is kept by its name, and goes by it everywhere. With --fasta the FASTA is
    remembered, so that annotating needs no option.
    """
    from pathlib import Path

    from phylotools.io.files import refuse_existing_folder
    from phylotools.model.folder import model_files
    from phylotools.model.published.importing import ImportRequest, import_published
    from phylotools.model.reference_fasta import check_reference
    from phylotools.model.settings import make_model_place, model_key, remember_reference

    if output is None and not name:
        raise click.UsageError("give the model a --name, or say with -o where it is to go")
    folder = Path(output) if output is not None else make_model_place(name)
    refuse_existing_folder(folder, force, model_files())
    inputs = [source, fasta]
    options.check_summary(summary_json, force=force, inputs=inputs, output=str(folder))
    options.check_apart({"-o": str(folder), "--summary-json": summary_json})
    request = ImportRequest(name or folder.resolve().name, revision, licence, assembly, norm)
    if fasta is not None:
        check_reference(request.name, {"assembly": assembly}, fasta)
    made = import_published(Path(source), folder, request, force=force)
    if fasta is not None:
        remember_reference(model_key(folder), Path(fasta))
    options.logger.info(
        "model %s written to %s: %s, %s parameters; %s",
        made.name, folder, made.layout, f"{made.n_parameters:,}",
        "; ".join(made.comparison.lines()),
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "output": str(folder),
            "model": made.name,
            "layout": made.layout,
            "parameters": made.n_parameters,
            "published": made.comparison.lines(),
        },
    )


@model_command.command(name="export")
@click.argument("run", type=click.Path())
@options.output_option(required=True, help="Model folder to write.")
@click.option("--name", required=True, help="The model's name.")
@click.option("--revision", default="1", show_default=True, help="Which version of the model.")
@click.option("--assembly", default="", help="Assembly of the sequence it was trained on, as hg38.")
@click.option("--licence", default="", help="Licence of the weights.")
@click.option(
    "--card", type=click.Path(exists=True), help="Model card, Markdown  [default: made of the run]."
)
@options.fasta_option
@click.option(
    "--training-regions", type=click.Path(exists=True),
    help="BED of what the model is for: scores elsewhere are flagged  [default: the columns that "
    "it was trained on].",
)  # fmt: skip
@click.option(
    "--site-fits/--no-site-fits",
    default=True,
    show_default=True,
    help="Bring theta fitted to the training columns, where the run has it.",
)
@options.transcript_file_options
@click.option(
    "--metrics",
    type=click.Path(exists=True),
    help="JSON object of results that you measured, for the manifest.",
)
@options.force_option
@options.summary_option
@options.logging_options
def export_command(
    run: str,
    output: str,
    name: str,
    revision: str,
    assembly: str,
    licence: str,
    card: str | None,
    fasta: str | None,
    training_regions: str | None,
    site_fits: bool,
    transcripts: str | None,
    transcript_part: str,
    genetic_code: int | None,
    metrics: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Make a model folder from RUN, the folder of a complete training run.

    A checkpoint file may be given instead, whatever its step. With --fasta the model carries its
    reference sequence, so that annotating a VCF on it needs no option.

    With --transcripts it carries these instead, and scores in them: their parts and their joined
    sequences, for which --fasta names the genome, a column store, or a FASTA of the transcripts.
    """
    from pathlib import Path

    inputs = [card, fasta, training_regions, transcripts, metrics]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    from phylotools.training.export import ExportRequest, export_model

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    request = ExportRequest(
        name, revision, assembly, licence,
        card=path(card), reference=path(fasta),
        training_regions=path(training_regions), site_fits=site_fits, metrics=path(metrics),
        transcripts=path(transcripts), transcript_part=transcript_part, genetic_code=genetic_code,
    )  # fmt: skip
    export_model(Path(run), Path(output), request, force=force)
    options.logger.info("model %s written to %s", name, output)
    options.write_summary(summary_json, {"output": output, "run": run, "model": name})


@model_command.command(name="calibrate")
@click.argument("model", required=False, shell_complete=options.complete_model)
@click.option(
    "--neutral-regions",
    metavar="BED",
    help="Sites that selection is taken to leave alone: ancestral repeats, pseudogenes, "
    "fourfold-degenerate sites.",
)
@click.option(
    "--neutral-rate",
    metavar="TABLE|STORE",
    help="Sites whose fitted rate looks neutral: a table of `phylotools fit-sites`, or a column "
    "store, which is fitted. With --neutral-regions, those of them that lie there.",
)
@options.fasta_option
@options.output_option(required=True, help="Model folder to make.")
@options.contig_aliases_option
@options.force_option
@options.threads_option(help="CPU threads [default: every core].")
@options.device_option
@options.summary_option
@options.logging_options
def calibrate_command(
    model: str | None,
    neutral_regions: str | None,
    neutral_rate: str | None,
    fasta: str | None,
    output: str,
    force: bool,
    threads: int | None,
    device: str,
    summary_json: str | None,
) -> None:
    """Give MODEL a table of the LLRs of neutral sites, for `annotate --score calibrated`.

    The new folder is that of MODEL with the table calibration.tsv: the mean LLR of neutral sites by
    pentanucleotide and alternative. Weights, name and revision stay what they are.

    By --neutral-rate a site is neutral if the test of its rate has p of at least 0.1, its rate is
    between half and twice the neutral one, and it has at least half as many species as the deepest
    site. How many are is said. Whether the scores are better for it, `phylotools evaluate` says.
    """
    from phylotools.cli.progress import Progress
    from phylotools.io.files import refuse_existing_folder
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import RegionSet
    from phylotools.model.calibration import calibration_lines
    from phylotools.model.folder import model_files, write_calibrated
    from phylotools.model.registry import load_model
    from phylotools.scoring.neutral_sites import survey_neutral_sites
    from phylotools.scoring.scorer import Scorer

    if neutral_regions is None and neutral_rate is None:
        raise click.UsageError("give --neutral-regions or --neutral-rate")
    refuse_existing_folder(output, force, model_files())
    inputs = [neutral_regions, neutral_rate, fasta]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    loaded = load_model(model, device)
    wanted, facts = _neutral_sites(neutral_regions, neutral_rate)
    with ReferenceGenome.open(loaded.choose_reference(fasta)) as genome:
        regions = wanted.spelled_as(genome.contigs) & RegionSet.whole(genome.contigs)
        with Progress("positions") as progress:
            sites = survey_neutral_sites(
                Scorer(loaded, genome, threads=threads), regions, progress.update
            )
    lines = calibration_lines(sites.counts, sites.sums)
    write_calibrated(loaded, lines, facts | {"sites": sites.n_sites}, output, force=force)
    options.logger.info(
        "model %s with the LLRs of %s neutral sites written to %s",
        loaded.name, f"{sites.n_sites:,}", output,
    )  # fmt: skip
    made = {"output": output, **loaded.identity.facts(), "sites": sites.n_sites}
    options.write_summary(summary_json, made)


def _neutral_sites(regions: str | None, rate: str | None) -> tuple[RegionSet, dict[str, Any]]:
    """The neutral sites that options name, and what the model's manifest says of them."""
    from phylotools.cli.progress import Progress
    from phylotools.io.bed import read_bed
    from phylotools.provenance import sha256_file

    facts: dict[str, Any] = {}
    chosen = None
    if regions is not None:
        chosen = read_bed(regions)
        facts["neutral_regions"] = sha256_file(regions)
    if rate is not None:
        from phylotools.sites.neutral import RULE, neutral_by_rate

        with Progress("sites") as progress:
            found = neutral_by_rate(rate, progress.update)
        options.logger.info(
            "%s of %s sites look neutral: %s", f"{found.n_sites:,}", f"{found.n_looked_at:,}", RULE
        )
        own = found.regions
        chosen = own if chosen is None else chosen.spelled_as(own.contigs) & own
        facts |= {"neutral_rate": RULE, "sites_looked_at": found.n_looked_at}
    assert chosen is not None
    return chosen, facts

"""Options that several verbs share: one name, one meaning."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click

from phylotools.cli.summaries import completed, keep_warnings

logger = logging.getLogger("phylotools")

output_option = functools.partial(click.option, "-o", "--output", metavar="PATH")
force_option = click.option("--force", is_flag=True, help="Replace an existing output.")
fasta_option = click.option("-f", "--fasta", metavar="FASTA", help="Reference sequence.")


def complete_model(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Names of models that begin so, for the completion of a shell."""
    from phylotools.model.places import model_places

    with contextlib.suppress(OSError):
        names = {
            folder.name
            for place in model_places()
            if place.is_dir()
            for folder in place.iterdir()
            if (folder / "manifest.json").is_file()
        }
        return sorted(name for name in names if name.startswith(incomplete))
    return []


model_option = functools.partial(
    click.option, "-m", "--model", metavar="NAME|FOLDER", shell_complete=complete_model
)
chosen_model_option = model_option(
    help="Model [default: PHYLOTOOLS_MODEL, that of `phylotools model use`, or the one whose "
    "sequence the input is on]."
)
sequence_only_option = click.option(
    "--sequence-only",
    is_flag=True,
    help="Score by the network alone, also where the model has fits of its training columns.",
)
threads_option = functools.partial(
    click.option, "-@", "--threads", type=click.IntRange(1), metavar="N"
)
#: Substitution models; named here too so that --help imports no torch.
SUBSTITUTION_NAMES = ("f81", "hky", "gtr", "mutation-selection")


def _separated(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[float] | None:
    """The floats of a text with commas between them."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers with commas between") from None


#: Of the four bases, with commas between.
frequencies_option = functools.partial(click.option, callback=_separated, metavar="A,C,G,T")
exchangeabilities_option = click.option(
    "--exchangeabilities",
    callback=_separated,
    metavar="AC,AG,AT,CG,CT,GT",
    help="gtr and mutation-selection: up to a factor.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
devices_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda or cuda:N; several share the work: cuda:0,cuda:1, or cuda:all.",
)
regions_option = functools.partial(click.option, "-r", "--regions", multiple=True, metavar="REGION")
regions_file_option = functools.partial(click.option, "-R", "--regions-file", metavar="BED")


def _use_contig_aliases(
    context: click.Context, parameter: click.Parameter, path: str | None
) -> None:
    """Have contigs resolved with a table of aliases for as long as the command runs."""
    if path is not None and not context.resilient_parsing:
        from phylotools.io.contigs import use_aliases

        context.call_on_close(functools.partial(use_aliases, None))
        use_aliases(path)


contig_aliases_option = click.option(
    "--contig-aliases",
    callback=_use_contig_aliases,
    expose_value=False,
    metavar="FILE",
    help="Names of the same contig in each line, as UCSC's chromAlias.txt; any of them matches.",
)
#: Arithmetics; named here too so that --help imports no torch.
PRECISIONS = ("auto", "float32", "tf32", "bfloat16", "float16")
precision_option = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Arithmetic of the network on a GPU; auto is float32, others are faster and less exact.",
)


#: Named here so that --help imports no numpy; a test compares them with the package's.
SCORES = ("llr", "fitness", "rate-to-alt", "fixation", "site-rate", "calibrated")
score_option = click.option(
    "--score",
    "extra_scores",
    multiple=True,
    metavar="NAME",
    help="Write this score too, beside the LLR and the model's default score: "
    f"{', '.join(SCORES[1:])}; may be given again.",
)


def _batch_size(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """``auto`` (None) or a whole number from 1."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise click.BadParameter(f"{text!r} is neither auto nor a whole number from 1")
    return int(text)


batch_size_option = click.option(
    "--batch-size",
    callback=_batch_size,
    default="auto",
    show_default=True,
    metavar="N",
    help="Tiles of 512 bases in one pass of a GPU; auto: by its memory. A CPU does not heed it.",
)
seed_option = click.option("--seed", type=int, default=1, show_default=True, help="Random seed.")
summary_option = click.option(
    "--summary-json", metavar="FILE", help="Write what was done, as JSON."
)


work_option = click.option(
    "--work",
    metavar="FOLDER",
    help="Where finished parts are kept until the end [default: OUTPUT.work].",
)


class FiniteRange(click.FloatRange):
    """Numbers of a range. That of click takes nan, which no bound turns away, and inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number that is given."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


def together(*decorators: Callable[..., Any]) -> Callable[..., Any]:
    """One decorator of several options, in the order in which ``--help`` shows them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


_TRANSCRIPT_FILE = click.option(
    "--transcripts",
    metavar="GFF3|GTF",
    help="Score in the context of these transcripts, introns left out; of several the lowest.",
)
transcript_part_option = click.option(
    "--transcript-part",
    default="CDS",
    show_default=True,
    metavar="TYPE",
    help="Rows of --transcripts that are joined, by their third column: CDS, exon ...",
)
_GENETIC_CODES = ("0", *map(str, (*range(1, 7), *range(9, 17), *range(21, 32), 33)))


def genetic_code_option(*, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """NCBI's number of a genetic code, or 0."""
    return click.option(
        "--genetic-code",
        type=click.Choice(_GENETIC_CODES),
        metavar="NUMBER",
        callback=lambda context, parameter, value: None if value is None else int(value),
        help=help,
    )


transcript_code_option = genetic_code_option(
    help="NCBI's number of the code that --transcripts are checked by, 0 not to [default: what "
    "they say, else 2 on a mitochondrion, else 1]."
)
_OUTSIDE_TRANSCRIPTS = click.option(
    "--outside-transcripts",
    type=click.Choice(["skip", "genome"]),
    help="Alleles outside all transcripts: leave without a score, or score in the genome [default: "
    "genome, but skip for a model that carries transcripts].",
)
_NO_TRANSCRIPTS = click.option(
    "--no-transcripts",
    is_flag=True,
    help="Score in the genome, also with a model that carries transcripts.",
)


def transcript_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what the transcripts of a file are."""
    return _TRANSCRIPT_FILE(transcript_part_option(transcript_code_option(command)))


def position_transcript_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of verbs that score positions in transcripts: a `TranscriptChoice`."""

    @functools.wraps(command)
    def chosen(
        *args: Any,
        transcripts: str | None,
        transcript_part: str,
        genetic_code: int | None,
        no_transcripts: bool,
        outside_transcripts: Any = None,
        **others: Any,
    ) -> Any:
        from phylotools.scoring.context import TranscriptChoice

        if transcripts == "-":
            raise click.UsageError("--transcripts is read more than once: give a file, not stdin")
        choice = TranscriptChoice(
            transcripts, transcript_part, genetic_code, outside_transcripts, no_transcripts
        )
        return command(*args, transcripts=choice, **others)

    return transcript_file_options(_NO_TRANSCRIPTS(chosen))


def transcript_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same of verbs that score alleles, which may lie outside transcripts."""
    return _OUTSIDE_TRANSCRIPTS(position_transcript_options(command))


def logging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-q``, ``-v`` and ``--debug``; while the verb runs, what it logs goes to stderr."""

    @click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
    @click.option("-v", "--verbose", is_flag=True, help="Details.")
    @click.option("--debug", is_flag=True, help="Tracebacks.")
    @functools.wraps(command)
    def wrapped(*args: Any, quiet: bool, verbose: bool, debug: bool, **kwargs: Any) -> Any:
        level = logging.WARNING if quiet else logging.INFO
        with _logging_to_stderr(logging.DEBUG if debug or verbose else level):
            return command(*args, **kwargs)

    return wrapped


def outputs_together(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let all files that a verb writes appear when it has succeeded, or none of them."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from phylotools.io.staging import outputs_together

        with outputs_together():
            return command(*args, **kwargs)

    return wrapped


@contextlib.contextmanager
def _logging_to_stderr(level: int) -> Iterator[None]:
    """Log to stderr from this level on, and leave the logger as it was."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    before = logger.level, logger.propagate
    warnings = keep_warnings()
    logger.addHandler(handler)
    logger.addHandler(warnings)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.removeHandler(warnings)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def printable(text: str) -> str:
    """Text of a file as a terminal may get it: without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class _OneLine(logging.Formatter):
    """Formats a message as one line, whatever the names in it hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return f"phylotools: {record.levelname.lower()}: {printable(record.message)}"


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Load modules and a model while the garbage collector rests.

    It would walk over torch's objects again and again, in a seventh of the time that starting
    takes; and later on, so that they are left out of its walks for good.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Stopwatch:
    """Seconds since it was made, for the last line of every verb."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def check_summary(
    path: str | None, *, force: bool, inputs: Iterable[str | None], output: str | None
) -> None:
    """Refuse, before the work, a ``--summary-json`` that could not or must not be written.

    Raises
    ------
    UsageError, OutputError
    """
    if path is None:
        return
    from phylotools.errors import UsageError
    from phylotools.io.files import refuse_existing_file, refuse_same_file

    if path == "-":
        raise UsageError("--summary-json needs the name of a file, not -")
    if output is not None and os.path.realpath(output) == os.path.realpath(path):
        raise UsageError(f"{path}: --summary-json and -o name the same file")
    refuse_same_file(path, [name for name in inputs if name is not None])
    refuse_existing_file(path, force)


def check_apart(paths: Mapping[str, str | None]) -> None:
    """Refuse files and folders of a command that are the same, or of which one lies in another.

    Parameters
    ----------
    paths : mapping of str to str or None
        By the option that names them.

    Raises
    ------
    UsageError
    """
    from phylotools.errors import UsageError

    named = {name: path for name, path in paths.items() if path is not None and path != "-"}
    places = {name: os.path.realpath(path) for name, path in named.items()}
    for one, other in itertools.permutations(reversed(places), 2):
        if f"{places[one]}/".startswith(f"{places[other].rstrip('/')}/"):
            raise UsageError(f"{one} must not be {other}, nor lie in it; choose another name")


def write_summary(path: str | None, summary: dict[str, Any]) -> None:
    """Write a verb's summary as JSON if the user asked for it (``--summary-json``).

    Parameters
    ----------
    summary : dict
        What the verb says; `phylotools.cli.summaries.completed` adds what all of them have.
    """
    if path is None:
        return
    from phylotools.io.files import write_atomic

    write_atomic(path, json.dumps(completed(summary), indent=2) + "\n", force=True)


def write_store_report(
    store: str, folder: str, *, force: bool, threads: int, name: str | None = None
) -> dict[str, Any]:
    """Write the quality report of a column store, called `name` in it, and log what it found.

    Returns
    -------
    dict
        JSON-ready.
    """
    from phylotools.report import write_report
    from phylotools.store.read import open_store

    summary = write_report(
        open_store(store), folder, force=force, threads=threads, name=name or store
    )
    for warning in summary.warnings:
        logger.warning("%s", warning)
    logger.info(
        "%s/report.html: warnings: %d, notes: %d",
        folder.rstrip("/"),
        len(summary.warnings),
        len(summary.findings) - len(summary.warnings),
    )
    return {"path": folder, **summary.to_dict()}

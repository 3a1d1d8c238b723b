"""The command boundary: loads one verb, turns every error into one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import re
import signal
import sys
import threading
from types import FrameType
from typing import Any

import click
from click.shell_completion import CompletionItem

from phylotools.cli.groups import LazyGroup, completions
from phylotools.interrupting import hear_again, is_importing, send_again
from phylotools.jobs.engines.lifeline import GRACE_SECONDS, end_with_owner
from phylotools.version import __version__

#: verb -> one line of help. The modules load only when their verb is called, so that
#: ``phylotools --help`` imports neither torch nor numba.
_WHOLE = {
    "preprocess": "Alignments (MAF, TAF, FASTA) and a Newick tree to a column store.",
    "train": "Train a model on column stores, as a TOML file says.",
    "annotate": "Add per-allele scores to a VCF, a BCF or a table.",
    "tracks": "What a model says of every position: bigWigs, a table, browser pages.",
    "embed": "Regions to embedding vectors: Parquet, npz, zarr or text.",
    "fit-sites": "Fit each alignment column by itself: scores, rates, conservation.",
    "finetune": "Fit a head, or adapters, to labels; judged on genes or contigs never seen.",
    "design": "Sequences sampled from a model, or edited towards a target.",
    "evaluate": "Judge scores by labels: classes or numbers, intervals, baselines, one page.",
    "interpret": "Why a base matters: mutagenesis, dependency maps, influence, motifs.",
    "plot": "Logos, embeddings, scores, learning curves: SVG, PNG and TSV.",
    "model": "Fetch, list, describe, verify and export models.",
    "tree": "Fit a tree's branch lengths to the columns of a store.",
    "simulate": "Tree and substitution model to an alignment, with the truth.",
    "multiqc": "Summaries of runs (--summary-json) to sections of a MultiQC report.",
    "inspect": "Describe a column store, a model, tracks, a run, a checkpoint or a work folder.",
    "completion": "Print the script by which bash, zsh or fish complete all this.",
}
#: Verbs that are also done in parts, by verbs of their own that share their file.
IN_PARTS = ("preprocess", "annotate", "tracks", "embed", "fit-sites", "simulate")
_STAGES = {
    "init": "Plan the parts of `phylotools {}`, and print how many there are.",
    "partition": "Run some of the parts of `phylotools {}`, finished ones excepted.",
    "finalise": "Put the finished parts of `phylotools {}` together.",
}
VERBS = _WHOLE | {
    f"{verb}-{stage}": line.format(verb) for verb in IN_PARTS for stage, line in _STAGES.items()
}
_STAGE = re.compile(f"-({'|'.join(_STAGES)})$")


class VerbGroup(LazyGroup):
    """All verbs, their stages among them."""

    parts = VERBS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        verb = _STAGE.sub("", cmd_name).replace("-", "_")
        module = importlib.import_module(f"phylotools.cli.{verb}")
        return getattr(module, f"{cmd_name.replace('-', '_')}_command")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        # Who begins a verb wants the verb; its stages once its whole name and a dash are there.
        is_stage = incomplete.startswith(tuple(f"{verb}-" for verb in IN_PARTS))
        return completions(VERBS if is_stage else _WHOLE, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_WHOLE.items()))
        with formatter.section("In parts, on one machine or many"):
            verbs = ", ".join(IN_PARTS)
            formatter.write_dl(
                [(f"VERB-{stage}", line.format("VERB")) for stage, line in _STAGES.items()]
            )
            formatter.write_paragraph()
            formatter.write_text(f"VERB is one of {verbs}.")


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="phylotools")
def phylotools_command() -> None:
    """Genomic language models trained by phylogenetic likelihood.

    Prepare a multi-species alignment, train a model on it, score the variants of a VCF.
    `phylotools VERB --help` describes each verb.
    """


def main() -> None:
    """Run the command line and exit: 0 done, 1 bad data, 2 bad usage, 130 interrupted."""
    _repair_streams()
    if "_PHYLOTOOLS_COMPLETE" in os.environ:  # a shell asks, at a TAB
        from phylotools.cli.completion import answer

        sys.exit(answer())
    _ignore_the_working_folder()
    # Threads that wait by spinning can make two many times slower than one where other programs
    # want the cores: spin briefly (benchmarks/RESULTS.md). Read when torch starts its threads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    sys.unraisablehook = hear_again
    end_with_owner()
    exit_codes: list[int] = []
    # Functions registered here are called last come, first served: this one after all others.
    atexit.register(_leave, exit_codes)
    try:
        _take_signals(_interrupt, _terminate)
        exit_codes.append(run(sys.argv[1:]))
    except KeyboardInterrupt as error:
        # Another one, while the first was told.
        _kept.append(error)
        exit_codes.append(130)
    # All is done and told.
    _take_signals(*[lambda number, frame: os._exit(exit_codes[0])] * 2)
    if _kept:
        # A thread that was being started for a pool is not known there, and waits for ever.
        late = threading.Timer(GRACE_SECONDS, os._exit, exit_codes)
        late.daemon = True
        late.start()
    sys.exit(exit_codes[0])


def _take_signals(interrupted: Any, terminated: Any) -> None:
    """Have functions called at Ctrl-C, and at what batch systems send before they kill.

    These are there for removing what is half made. Who started us may want Ctrl-C ignored.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, terminated)


def _leave(exit_codes: list[int]) -> None:
    """End the process once a command has returned and all has been cleared up.

    The interpreter would take torch's modules apart first: 0.15 to 0.4 s, an eighth of what one
    record takes (benchmarks/RESULTS.md).
    """
    if exit_codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_codes[0])


def _ignore_the_working_folder() -> None:
    """Take no settings from where the user happens to stand, nor from a notebook's environment.

    Matplotlib looks for some there when it is imported, and pictures are files in the house's own
    look. Numba looks there again and again: what it finds may lead it to code, and is refused.
    """
    os.environ.update(MPLBACKEND="agg", MATPLOTLIBRC=os.devnull)
    if os.path.lexists("matplotlibrc"):
        with contextlib.chdir(sys.prefix):
            importlib.import_module("matplotlib")
    if os.path.isfile(".numba_config.yaml"):
        _complain(
            ".numba_config.yaml: numba would take settings from this file; move it away, or run "
            "phylotools in another folder"
        )
        sys.exit(1)


class _Terminated(SystemExit):
    """A signal has ended the command."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(self.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not is_importing(frame):
        raise KeyboardInterrupt
    send_again(number)


def _terminate(number: int, frame: FrameType | None) -> None:
    if getattr(sys.exception(), "is_last_word", False):
        return
    if not is_importing(frame):
        raise _Terminated(number)
    send_again(number)


def _repair_streams() -> None:
    """Give closed standard streams a descriptor, and stdout a way to print any text.

    A closed stdin or stdout gets one that fails when it is used: no file that is opened later
    takes its place, and nothing is lost in silence. Text that stdout's encoding lacks (names in
    a file, in another locale) is printed as escapes.
    """
    modes = ((0, os.O_WRONLY, "r"), (1, os.O_RDONLY, "w"), (2, os.O_WRONLY, "w"))
    for descriptor, unusable, mode in modes:
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(os.open(os.devnull, unusable), descriptor)
            stream = open(descriptor, mode, closefd=False)  # noqa: SIM115
            setattr(sys, ("stdin", "stdout", "stderr")[descriptor], stream)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


#: What ended commands at once, with all that they had in hand: objects that were half made (those
#: of LLVM, where numba was being imported) may crash when they are taken apart, and need not be.
_kept: list[BaseException] = []


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors become one line on stderr.

    Parameters
    ----------
    arguments : list of str
        Without the program's name.
    """
    debug = "--debug" in arguments
    try:
        _refuse_empty(arguments)
        _refuse_urls(arguments)
        # Not `main()`: click's own boundary would turn a closed pipe into exit code 1.
        with phylotools_command.make_context("phylotools", list(arguments)) as context:
            phylotools_command.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _complain(_usage_message(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader went away (``| head``): say nothing.
        _drop_stdout()
        return 141
    except (KeyboardInterrupt, click.Abort) as error:
        _kept.append(error)
        _complain("interrupted")
        return 130
    except _Terminated as stop:
        _kept.append(stop)
        return stop.exit_code
    except Exception as error:
        if debug:
            raise
        return _report(error)


def _refuse_empty(arguments: list[str]) -> None:
    """Raise `UsageError` for an argument without text: as a path it would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_option = argument.startswith("--")
        if not argument or (is_option and argument.partition("=")[1:] == ("=", "")):
            from phylotools.errors import UsageError

            name = (argument or before).rstrip("=")
            place = f"of {name}" if name.startswith("-") else "among the arguments"
            raise UsageError(f"the value {place} is empty; is a variable of the shell not set?")


def _refuse_urls(arguments: list[str]) -> None:
    """Raise `InputError` for a URL, wherever a file could be meant."""
    for argument in arguments:
        if "://" in argument:
            from phylotools.io.files import url_error

            value = argument.partition("=")[2] if argument.startswith("--") else argument
            error = url_error(value, f"phylotools {arguments[0]}")
            if error is not None:
                raise error


def _usage_message(error: click.ClickException) -> str:
    """What click says of bad usage, as our own errors say it."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is not None:
        message += f"; see `{context.command_path} --help`"
    return message[:1].lower() + message[1:]


def _drop_stdout() -> None:
    """Let no flush at exit complain again of what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception) -> int:
    from phylotools.errors import PhylotoolsError

    if isinstance(error, PhylotoolsError):
        _complain(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            _drop_stdout()
        _complain(f"{error.filename or 'output'}: {error.strerror}")
        return 1
    if isinstance(error, MemoryError):
        _complain("out of memory")
        return 1
    _complain(
        f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"
    )
    return 1


def _complain(message: str) -> None:
    from phylotools.cli.options import printable

    print(
        "error: " + printable(" ".join(line.strip() for line in message.splitlines())),
        file=sys.stderr,
    )

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from only_error import only_error
from waiting import PATIENCE

from phylotools.cli.main import IN_PARTS, VERBS, run
from phylotools.version import __version__

HEAVY = ("torch", "numba", "zarr", "numcodecs", "pysam", "matplotlib", "numpy", "rich")


STAGES = ("-init", "-partition", "-finalise")


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "-h"] for verb in VERBS)], ids=str)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom phylotools.cli.main import run\n"
        f"status = run({arguments!r})\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: phylotools")
    assert done.stderr.strip() == "loaded: []"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_verb(capsys, option):
    assert run([option]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS if not verb.endswith(STAGES))
    assert all(f"VERB{stage}" in out for stage in STAGES)
    assert f"VERB is one of {', '.join(IN_PARTS)}." in out
    assert {f"{verb}{stage}" for verb in IN_PARTS for stage in STAGES} < set(VERBS)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(capsys, option):
    assert run([option]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_shared_options_have_one_name(capsys, verb):
    assert run([verb, "--help"]) == 0
    out = capsys.readouterr().out
    subcommands = "COMMAND" in out
    assert subcommands or all(option in out for option in ("--quiet", "--verbose", "--debug"))


@pytest.mark.parametrize("arguments", [["anotate"], ["--nonsense"], ["evaluate", "--nonsense"]])
def test_wrong_usage_exits_2_with_one_message(capsys, arguments):
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: no such ")
    assert err.count("\n") == 1
    assert "; see `phylotools" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["anotate"],
            "no such command 'anotate'. Did you mean 'annotate'?; see `phylotools --help`",
        ),
        (["tracks-int"], "no such command 'tracks-int'. Did you mean 'tracks-init'?; see"),
        (["zzz"], "no such command 'zzz'; see `phylotools --help`"),
        (["plot", "trainin"], "Did you mean 'training'?; see `phylotools plot --help`"),
        (["model", "lst"], "Did you mean 'list'?; see `phylotools model --help`"),
        (["completion"], "Choose from: bash, zsh, fish; see `phylotools completion --help`"),
    ],
)
def test_a_slip_is_told_from_what_was_meant(capsys, arguments, expected):
    assert run(arguments) == 2
    assert expected in capsys.readouterr().err


def test_wrong_values_begin_like_our_own_errors(capsys):
    assert run(["annotate", "-@", "0"]) == 2
    assert run(["fit-sites"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: invalid value for '-@'")
    assert first.endswith("; see `phylotools annotate --help`")
    assert second.startswith("error: missing argument")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["annotate", "https://x.org/a.vcf.gz"],
            "curl -sL https://x.org/a.vcf.gz | phylotools annot",
        ),
        (["annotate", "a.vcf", "-f", "s3://b/a.fa"], "s3://b/a.fa: is a URL"),
        (
            ["annotate", "a.vcf", "--fasta=FTP://b/a.fa"],
            "curl -s FTP://b/a.fa | phylotools annotate -",
        ),
        (
            ["evaluate", "gs://b/a b.tsv"],
            "gcloud storage cat 'gs://b/a b.tsv' | phylotools evaluate -",
        ),
        (["train", "https://x.org/c.toml"], "is a URL, and those are neither read nor written"),
        (["tracks", "-o", "s3://b/t"], "is a URL, and those are neither read nor written"),
    ],
)
def test_urls_are_refused_with_the_pipe_that_works(capsys, arguments, expected):
    assert run(arguments) == 1
    only_error(*capsys.readouterr(), expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "c.toml", "-o", ""], "the value of -o is empty"),
        (["annotate", "a.vcf", "--output="], "the value of --output is empty"),
        (["embed", "", "-o", "x.npz"], "the value among the arguments is empty"),
    ],
)
def test_an_empty_name_is_no_file(tmp_path, monkeypatch, capsys, arguments, expected):
    """``-o "$OUT"`` without OUT made a training run of the current folder."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    only_error(*capsys.readouterr(), expected)
    assert not list(tmp_path.iterdir())


def test_module_runs_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "phylotools", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert __version__ in done.stdout


def test_bad_data_is_one_line_and_debug_shows_the_traceback(tmp_path, capsys):
    arguments = ["evaluate", str(tmp_path / "absent.vcf"), "--label-column", "a", "--positive"]
    arguments += ["1", "--negative", "0", "--score", "s"]
    assert run(arguments) == 1
    only_error(*capsys.readouterr())
    with pytest.raises(Exception, match=r"absent\.vcf"):
        run([*arguments, "--debug"])


@pytest.mark.parametrize("arguments", [["list"], ["info", "absent"]], ids=["done", "failed"])
def test_logging_is_left_as_it_was(arguments):
    logger = logging.getLogger("phylotools")
    before = [*logger.handlers], logger.level, logger.propagate
    run(["model", *arguments, "-v"])
    assert ([*logger.handlers], logger.level, logger.propagate) == before


def test_nothing_of_the_working_folder_is_run_or_heeded(tmp_path):
    """Scripts called like modules, and settings of libraries; `make wheel-test` has every verb.

    With ``python -m`` the working folder is Python's own first choice.
    """
    for name in ("copy", "random", "signal", "types", "pysam", "numba", "phylotools", "umap"):
        (tmp_path / f"{name}.py").write_text("open('EXECUTED', 'a').write(__name__)\n")
    (tmp_path / "matplotlibrc").write_bytes(b"backend: \xb4\n")
    script = os.path.join(os.path.dirname(sys.executable), "phylotools")
    done = subprocess.run(
        [script, "plot", "logo", "-r", "chrM:3307-3340", "-o", "logo"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "logo.png").is_file()
    assert not (tmp_path / "EXECUTED").exists()
    (tmp_path / ".numba_config.yaml").write_text("cache_dir: cache\n")
    done = subprocess.run([script, "model", "list"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: .numba_config.yaml: ")


def test_a_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "phylotools", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (0, 1, 141)


@pytest.mark.parametrize(
    "arguments",
    [
        ["design", "sample", "--length", "5", "-o", "x", "--gc", "nan"],
        ["fit-sites", "x", "-o", "x", "--kappa", "inf"],
        ["fit-sites", "x", "-o", "x", "--held-out-fraction", "nan"],
        ["evaluate", "x", "-o", "x", "--prior", "nan"],
        ["train", "x", "-o", "x", "--price-per-hour", "nan"],
    ],
)
def test_no_range_takes_nan_or_infinity(capsys, arguments):
    """No bound of click's own ranges turns nan away."""
    assert run(arguments) == 2
    only_error(*capsys.readouterr(), f"'{arguments[-2]}'", "no finite number")


ENDS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def slow_command(body: str, number: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command whose body is given, in which `stop` sends a signal."""
    program = f"""
import atexit, os, sys, threading, time, types, click
from phylotools.cli import main as command_line

def stop():
    os.kill(os.getpid(), {int(number)})

def command():
{textwrap.indent(body, "    ")}

module = types.ModuleType("phylotools.cli.slow")
module.slow_command = click.command("slow")(command)
sys.modules[module.__name__] = module
command_line.VERBS["slow"] = "Is slow."
sys.argv[1:] = ["slow"]
command_line.main()
"""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def ends_by_signal(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done
    assert done.stderr == ("error: interrupted\n" if code == 130 else "")


@ENDS
def test_what_a_signal_stops_in_the_making_is_not_taken_apart(number, code):
    """As modules of LLVM whose making is interrupted: to delete them is a crash."""
    body = """
class HalfMade:
    def __del__(self):
        os._exit(99)
half_made = HalfMade()
stop()
"""
    ends_by_signal(slow_command(body, number), code)


@ENDS
def test_a_signal_is_not_lost_where_nothing_can_be_raised(number, code):
    """As in what every import calls at its end, and in callbacks of libraries in C."""
    body = """
class Taken:
    def __del__(self):
        stop()
taken = Taken()
del taken
while True:
    time.sleep(0.01)
"""
    ends_by_signal(slow_command(body, number), code)


@ENDS
def test_a_signal_waits_for_the_end_of_an_import(tmp_path, number, code):
    """Libraries in C++ crash where an exception comes out of the Python that they run."""
    (tmp_path / "stopping.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.2)\n"
        "open(__file__ + '.done', 'w')\n"
    )
    body = f"""
sys.path.insert(0, {str(tmp_path)!r})
import stopping
while True:
    time.sleep(0.01)
"""
    ends_by_signal(slow_command(body), code)
    assert (tmp_path / "stopping.py.done").exists()


@ENDS
def test_no_thread_is_waited_for_in_vain(number, code):
    """A signal in the start of a pool's thread leaves one that waits for work, and no end of it."""
    body = """
command_line.GRACE_SECONDS = 0.1
threading.Thread(target=threading.Event().wait).start()
stop()
"""
    ends_by_signal(slow_command(body, number), code)


@ENDS
def test_a_signal_after_the_end_changes_nothing(number, code):
    done = slow_command("atexit.register(stop)\nprint('done')", number)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_other_errors_in_destructors_are_told():
    done = slow_command("class Bad:\n    def __del__(self):\n        1 / 0\nBad()")
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("is_ignored", [False, True])
def test_an_interruption_is_heeded_from_the_first_moment(is_ignored):
    """While the command line itself is being imported; but not where a shell has it ignored."""
    program = """
import os, runpy, signal, sys

class Stops:
    def find_spec(self, name, path=None, target=None):
        if name == "phylotools.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Stops())
if IGNORED:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv = ["phylotools", "--version"]
runpy.run_module("phylotools", run_name="__main__", alter_sys=True)
""".replace("IGNORED", str(is_ignored))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if is_ignored:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        ends_by_signal(done, 130)

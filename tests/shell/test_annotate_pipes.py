from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from field_tools import require
from toy_models import write_toy_model
from waiting import PATIENCE, wait_until

MTDNA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
GNOMAD = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
CLINVAR = MTDNA / "clinvar_20220525_chrM_snv.vcf.gz"
PHYLOTOOLS = f"{sys.executable} -m phylotools"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working folder with a model folder `toy` in it."""
    folder = tmp_path_factory.mktemp("shell")
    write_toy_model(folder / "toy")
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    require("bcftools", "tabix")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("phylotools", PHYLOTOOLS)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_pipe_of_text(folder: Path) -> None:
    done = shell(
        f"zcat {CLINVAR} | phylotools annotate - -m toy -q "
        "| bcftools query -f '%PHYLOGPN_STATUS\\n'",
        folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ok"] * 2749
    assert done.stderr == ""


@pytest.mark.parametrize(("flag", "kind"), [("-Ob", "b"), ("-Ou", "z"), ("-Oz", "v"), ("-Ov", "b")])
def test_every_type_through_pipes(folder: Path, flag: str, kind: str) -> None:
    done = shell(
        f"bcftools view {flag} {CLINVAR} | phylotools annotate -m toy -q -O {kind} "
        "| bcftools view -H | wc -l",
        folder,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2749", "")


@pytest.mark.parametrize("kind", ["b"])  # the others: test_annotate_faults
def test_head_is_quiet(folder: Path, kind: str) -> None:
    done = shell(
        f"phylotools annotate {GNOMAD} -m toy -q -O {kind} | head -c 500 > /dev/null", folder
    )
    assert done.stderr == ""


def test_index_serves_tabix(folder: Path) -> None:
    done = shell(
        f"phylotools annotate {CLINVAR} -m toy -q -o t.vcf.gz && tabix t.vcf.gz chrM:3300-3400",
        folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PHYLOGPN_LLR=") == done.stdout.count("\n") > 0


def test_truncated_input_gives_one_line_and_no_output(folder: Path) -> None:
    n_bytes = GNOMAD.stat().st_size // 2
    done = shell(f"head -c {n_bytes} {GNOMAD} | phylotools annotate - -m toy -o t2.vcf.gz", folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: <stdin>: ")
    assert done.stderr.count("\n") == 1
    assert not list(folder.glob("*t2.vcf*"))


@pytest.mark.parametrize(("name", "sent"), [("k.vcf.gz", signal.SIGKILL), ("k.bcf", signal.SIGINT)])
def test_a_kill_leaves_nothing_that_looks_finished(
    folder: Path, name: str, sent: signal.Signals
) -> None:
    header = "##fileformat=VCFv4.2\n##contig=<ID=chrM>\n"
    header += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    rows = "".join(f"chrM\t{random.randrange(1, 16000)}\t.\tN\tC\t.\t.\t.\n" for _ in range(20_000))
    process = subprocess.Popen(
        [*PHYLOTOOLS.split(), "annotate", "-m", "toy", "-o", name],
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write((header + rows).encode())
    process.stdin.flush()
    wait_until(lambda: list(folder.glob(f".{name}*.part")), process)
    process.send_signal(sent)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert not list(folder.glob(name + "*"))
    if sent == signal.SIGINT:
        assert complaint.decode().strip().splitlines()[-1] == "error: interrupted"
        assert not list(folder.glob(f".{name}*"))


def test_help_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys; from phylotools.cli.main import run; code = run(['annotate', '--help']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert "PHYLOGPN_LLR" in done.stdout


@pytest.mark.parametrize("end", ["reader goes away", "SIGTERM"])
def test_a_run_ends_though_its_input_stays_open(folder: Path, end: str) -> None:
    header = "##fileformat=VCFv4.2\n##contig=<ID=chrM>\n"
    header += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    rows = "".join(
        f"chrM\t{n % 16000 + 1}\t.\tN\t<DEL>\t.\t.\tX={'x' * 200}\n" for n in range(20_000)
    )
    process = subprocess.Popen(
        [*PHYLOTOOLS.split(), "annotate", "-m", "toy"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write((header + rows).encode())
    process.stdin.flush()
    assert process.stdout.readline() == b"##fileformat=VCFv4.2\n"
    if end == "SIGTERM":
        process.terminate()
    process.stdout.close()
    # A second helping, for the run to notice that nobody reads; not the end of the input.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(rows.encode())
        process.stdin.flush()
    assert process.wait(timeout=PATIENCE) in (141, 143, -15)
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()

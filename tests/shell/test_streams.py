from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import PATIENCE

BIRDS = Path(__file__).parents[1] / "data" / "birds53"
PHYLOTOOLS = f"{sys.executable} -m phylotools"
TABLE = "chrom\tpos\tref\talt\tS\tL\tK\n" + "".join(
    f"chrM\t{place}\tG\tA\t{place % 7}\t{'ab'[place % 2]}\t{{}}\n" for place in range(1, 30)
)
EVALUATE = "phylotools evaluate t.tsv --label-column L --positive a --negative b --score S"


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command.replace("phylotools", PHYLOTOOLS)],
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.tsv").write_text(TABLE.format(*["plain"] * 29))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        f"{EVALUATE} >&-",
        "phylotools --help >&-",
        "phylotools preprocess --tree /dev/null -o out <&-",
        "phylotools annotate -m . <&-",
        f"{EVALUATE.replace('t.tsv', '-')} <&-",
    ],
)
def test_a_closed_stream_is_one_line(command: str, folder: Path) -> None:
    done = shell(command, folder)
    assert done.returncode == 1, done
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "internal" not in errors[0]
    assert os.listdir(folder) == ["t.tsv"]


def test_a_closed_stdout_spoils_no_file(folder: Path) -> None:
    """The first file opened must not take the place of stdout and get its text."""
    assert shell(f"{EVALUATE} -o report >&-", folder).returncode == 1
    assert (folder / "t.tsv").read_text() == TABLE.format(*["plain"] * 29)


def test_a_closed_stderr_is_no_error(folder: Path) -> None:
    done = shell(f"{EVALUATE} 2>&-", folder)
    assert done.returncode == 0
    assert b"AUROC" in done.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_names_that_the_locale_lacks(folder: Path, encoding: str) -> None:
    (folder / "t.tsv").write_text(TABLE.format(*["漢"] * 29), encoding="utf-8")
    done = shell(
        f"{EVALUATE} --class-column K -o report", folder, PYTHONIOENCODING=encoding, LC_ALL="C"
    )
    assert done.returncode == 0, done.stderr
    # click takes ASCII for a mistake and writes UTF-8.
    assert {"latin-1": b"\\u6f22", "ascii": "漢".encode()}[encoding] in done.stdout
    assert "漢" in (folder / "report" / "metrics.tsv").read_text(encoding="utf-8")


def test_terminate_leaves_nothing(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    process = subprocess.Popen(
        [sys.executable, "-m", "phylotools", "preprocess", "pipe", "--tree",
         str(BIRDS / "53birds.nh"), "-o", "out"],
        cwd=folder,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    with open(folder / "pipe", "w") as alignment:
        # The work folder stands before the alignment is opened.
        assert (folder / "out.work" / "plan.json").exists()
        alignment.write("##maf version=1\n")
        alignment.flush()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert {path.name for path in folder.iterdir()} == {"t.tsv", "pipe"}


@pytest.mark.parametrize(
    "command",
    [
        "phylotools annotate --force -o a.vcf < a.vcf",
        "phylotools annotate --force -o a.vcf - < link.vcf",
        "phylotools annotate a.vcf >> a.vcf",
        "phylotools annotate --summary-json a.vcf --force -o b.vcf < a.vcf",
        "phylotools embed -f ref.fa --force -o a.vcf < a.vcf",
        f"{EVALUATE.replace('t.tsv', '-')} --force -o t.tsv < t.tsv",
    ],
)
def test_an_input_is_never_its_own_output(folder: Path, command: str) -> None:
    text = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "a.vcf").write_text(text + "chrM\t3310\t.\tC\tT\t.\t.\t.\n")
    (folder / "link.vcf").symlink_to("a.vcf")
    (folder / "ref.fa").write_text(">chrM\nACGT\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = shell(command, folder)
    assert done.returncode in (1, 2)
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"error: ")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

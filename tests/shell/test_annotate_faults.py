"""Kills, full disks, closed pipes, damaged input: nothing that looks finished, one clear line."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from field_tools import require
from toy_models import write_toy_model
from waiting import PATIENCE, held, wait_until

from phylotools.cli.main import run
from phylotools.io.bgzf import BgzfWriter

MTDNA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
GNOMAD = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
PHYLOTOOLS = [sys.executable, "-m", "phylotools"]
KINDS = {"v": "vcf", "z": "vcf.gz", "b": "bcf"}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    write_toy_model(folder / "toy")
    return folder


@pytest.fixture(scope="module")
def inputs(home: Path) -> dict[str, bytes]:
    """One file in every compressed form."""
    require("bcftools")
    text = gzip.decompress(GNOMAD.read_bytes())
    with open(home / "in.vcf.gz", "wb") as raw:
        writer = BgzfWriter(raw)
        writer.write(text)
        writer.finish()
    (home / "in.vcf").write_bytes(text)
    view = ["bcftools", "view", "--no-version", home / "in.vcf"]
    return {
        "bgzip": (home / "in.vcf.gz").read_bytes(),
        "gzip": gzip.compress(text, 1),
        "BCF": subprocess.run([*view, "-Ob"], check=True, capture_output=True).stdout,
    }


def annotate(home: Path, source: Path, output: Path, *options: str) -> int:
    model = str(home / "toy")
    return run(["annotate", str(source), "-m", model, "-o", str(output), "-@", "1", "-q", *options])


def the_line(capfd) -> str:
    """The one line on stderr."""
    text = capfd.readouterr().err
    assert text.count("\n") == 1, text
    assert text.startswith("error: ")
    assert "Traceback" not in text
    assert "internal" not in text
    return text


@pytest.mark.parametrize("kind", ["bgzip", "gzip", "BCF"])
def test_input_cut_anywhere(home: Path, tmp_path: Path, inputs: dict, kind: str, capfd) -> None:
    data = inputs[kind]
    rng = random.Random(kind)
    cuts = [1, 2, 17, 30, len(data) - 1, *rng.sample(range(31, len(data)), 8)]
    if kind != "gzip":
        cuts.append(len(data) - 28)  # whole but for the end marker
    for cut in cuts:
        source, output = tmp_path / "in", tmp_path / "out.vcf.gz"
        source.write_bytes(data[:cut])
        assert annotate(home, source, output) == 1, cut
        assert str(source) in the_line(capfd)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("kind", ["bgzip", "gzip", "BCF"])
def test_a_byte_changed_anywhere(
    home: Path, tmp_path: Path, inputs: dict, kind: str, capfd
) -> None:
    """The checksum of the block finds it, unless the byte says nothing (a time, a file's name)."""
    rng = random.Random(kind)
    source, whole, output = tmp_path / "in", tmp_path / "whole", tmp_path / "out.vcf"
    whole.write_bytes(inputs[kind])
    assert annotate(home, whole, output) == 0
    expected = records(output)
    for _ in range(8):
        data = bytearray(inputs[kind])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        source.write_bytes(data)
        output.unlink(missing_ok=True)
        code = annotate(home, source, output)
        if code == 0:
            assert records(output) == expected
        else:
            assert code == 1
            assert str(source) in the_line(capfd)
            assert not output.exists()


def records(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines() if not line.startswith(b"#")]


@pytest.mark.parametrize("kind", "vzb")
@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_full_disk_leaves_nothing(
    home: Path, tmp_path: Path, inputs: dict, kind: str, size: int, file_size_limit, capfd
) -> None:
    output = tmp_path / f"out.{KINDS[kind]}"
    with file_size_limit(size):
        assert annotate(home, home / "in.vcf.gz", output) == 1
    assert str(output) in the_line(capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", "vzb")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")
def test_a_full_device_is_named(home: Path, inputs: dict, kind: str, capfd) -> None:
    assert run(["annotate", str(home / "in.vcf.gz"), "-m", str(home / "toy"), "-q",
                "-O", kind, "-o", "/dev/full"]) == 1  # fmt: skip
    assert "/dev/full: cannot write" in the_line(capfd)


@pytest.mark.parametrize("kind", "vzb")
def test_a_full_stdout(home: Path, inputs: dict, kind: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PHYLOTOOLS, "annotate", "in.vcf.gz", "-m", "toy", "-q", "-O", kind],
            cwd=home, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
            env=ENVIRONMENT, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr or "<stdout>: cannot write" in done.stderr


def test_a_closed_stdout(home: Path, inputs: dict) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(PHYLOTOOLS)} annotate in.vcf.gz -m toy -q >&-"],
        cwd=home, capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("kind", "n_bytes"), [("v", 0), ("z", 100_000)])
def test_a_reader_that_leaves_is_quiet(home: Path, inputs: dict, kind: str, n_bytes: int) -> None:
    """Before anything was read, and in the midst of the records."""
    process = subprocess.Popen(
        [*PHYLOTOOLS, "annotate", "in.vcf.gz", "-m", "toy", "-q", "-O", kind],
        cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(n_bytes)
    process.stdout.close()
    _, complaint = process.communicate(timeout=PATIENCE)
    assert complaint == b""
    assert process.returncode != 0


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_moment(home: Path, tmp_path: Path, inputs: dict, seed: int) -> None:
    """Whatever has the output's name is whole; a run after it succeeds.

    One that is interrupted is `held`: at the last, when all but the name is there.
    """
    rng = random.Random(seed)
    kind, sent = (
        ("v", "z", "b", "z")[seed],
        (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT)[seed],
    )
    name = f"out.{KINDS[kind]}"
    process = subprocess.Popen(
        [*(held(name) if sent == signal.SIGINT else PHYLOTOOLS), "annotate", home / "in.vcf.gz",
         "-m", home / "toy", "-q", "-o", name],
        cwd=tmp_path, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.iterdir()), process)
    time.sleep(rng.random() * 0.7)
    process.send_signal(sent)
    _, complaint = process.communicate(timeout=PATIENCE)
    names = {path.name for path in tmp_path.iterdir()}
    if process.returncode == 0:
        assert name in names
    elif sent == signal.SIGINT:
        assert process.returncode == 130
        assert names == set()
        assert complaint.decode().splitlines()[-1] == "error: interrupted"
    if name in names:
        whole = subprocess.run(
            ["bcftools", "view", "-H", tmp_path / name], check=True, capture_output=True
        )
        assert len(whole.stdout.splitlines()) == len(records(home / "in.vcf"))
        assert b"PHYLOGPN_ENTROPY=" in whole.stdout.splitlines()[-1]
    else:
        assert not names & {name + ".tbi", name + ".csi"}
        assert all(left.startswith(".") for left in names)
        assert annotate(home, home / "in.vcf.gz", tmp_path / name) == 0

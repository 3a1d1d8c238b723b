"""`model fetch` as users run it: a process of its own, and a hub named by HF_ENDPOINT."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
from pathlib import Path

import local_hub
import pytest
from local_hub import says
from sparse_genomes import write_sparse_fasta
from waiting import PATIENCE, wait_until

from phylotools.io.chromosomes import BY_NAME

DATA = Path(__file__).parents[1] / "data" / "published_layouts"
COMMIT, REPOSITORY = "c" * 40, "songlab/PhyloGPN"
#: Of the part of a chromosome that has bases.
START, N_BASES = 20_000_000, 2_000_000
FETCH = ["model", "fetch", "phylogpn", "--revision", "main"]


@pytest.fixture
def server():
    with local_hub.running_hub() as running:
        files = (DATA / "huggingface_layernorm").iterdir()
        running.add(REPOSITORY, COMMIT, {path.name: path.read_bytes() for path in files})
        running.names["main"] = COMMIT
        yield running


@pytest.fixture
def environment(server, tmp_path) -> dict[str, str]:
    """Nothing of the machine's own hub settings, proxies and models."""
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("HF_", "PHYLOTOOLS_")) and not name.lower().endswith("_proxy")
    }  # fmt: skip
    return kept | {
        "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"),
        "PHYLOTOOLS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def phylotools(environment, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "phylotools", *arguments],
        capture_output=True, text=True, env=environment, timeout=PATIENCE, **options,
    )  # fmt: skip


def started(environment, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "phylotools", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def error_of(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The error of a command that said, apart from what it logged, one line."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("phylotools: info: ")] == lines[-1:]
    assert lines[-1].startswith("error: ")
    return lines[-1]


def write_reference(folder: Path) -> Path:
    """The 22nd chromosome of hg38 in its length, and random bases in a part of it."""
    fasta = write_sparse_fasta(folder / "hg38.fa", {"chr22": BY_NAME["hg38"].lengths["22"]})
    bases = "".join(random.Random(1).choices("ACGT", k=N_BASES))
    with fasta.open("r+b") as handle:
        handle.seek(len(">chr22\n") + START)
        handle.write(bases.encode())
    return fasta


def write_variants(folder: Path, fasta: Path) -> Path:
    with fasta.open("rb") as handle:
        handle.seek(len(">chr22\n") + START)
        bases = handle.read(N_BASES).decode()
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=chr22,length={BY_NAME['hg38'].lengths['22']}>"]
    lines.append("#CHROM POS ID REF ALT QUAL FILTER INFO".replace(" ", "\t"))
    for at in range(1_000_000, 1_001_000, 100):
        alternative = "ACGT"["ACGT".index(bases[at]) - 1]
        lines.append(f"chr22\t{START + at + 1}\t.\t{bases[at]}\t{alternative}\t.\t.\t.")
    path = folder / "in.vcf"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_from_nothing_to_scores(environment, server, tmp_path):
    fasta = write_reference(tmp_path)
    done = phylotools(environment, *FETCH, "--fasta", str(fasta))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert all(line.startswith("phylotools: info: ") for line in done.stderr.splitlines())
    assert f"phylogpn at commit {COMMIT} is in {tmp_path}/cache/models/phylogpn" in done.stderr
    assert f"model phylogpn is read with {fasta}" in done.stderr
    listed = phylotools(environment, "model", "list").stdout
    assert f"phylogpn\t{COMMIT[:12]}\thg38" in listed
    assert phylotools(environment, "model", "verify", "phylogpn").returncode == 0
    variants = str(write_variants(tmp_path, fasta))
    scored = phylotools(environment, "annotate", variants)
    assert scored.returncode == 0, scored.stderr
    assert "model phylogpn" in scored.stderr
    records = [line for line in scored.stdout.splitlines() if not line.startswith("#")]
    assert len(records) == 10
    assert all("PHYLOGPN_STATUS=ok" in record for record in records)
    # Nothing is downloaded but by this one command.
    server.requests.clear()
    assert phylotools(environment, *FETCH[:3], "--revision", COMMIT).returncode == 0
    assert not server.requests


def test_quiet_is_quiet(environment):
    done = phylotools(environment, *FETCH, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_terminal_shows_how_far_it_is(environment, server):
    server.bodies.append(local_hub.trickle(5_000, 0.05))
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "phylotools", *FETCH], stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # its end, on Linux
        pass
    os.close(ours)
    assert child.wait() == 0
    assert b"of 69,568 bytes of model.safetensors" in shown


PAGES = {
    "no such revision": (None, "has no revision 'absent'"),
    "gated": (says(403, X_Error_Code="GatedRepo"), "may not be read"),
    "html": (says(200, b"<html>"), "does not answer as a hub"),
    "bad request": (says(400), "answered 400"),
    "circle": (says(302, Location="/a/resolve/b/c"), "cannot be asked for"),
}


@pytest.mark.parametrize("case", PAGES)
def test_what_is_wrong_is_one_line(environment, server, tmp_path, case):
    page, expected = PAGES[case]
    server.pages += [page] * 100 if page else []
    revision = "absent" if page is None else "main"
    done = phylotools(environment, *FETCH[:3], "--revision", revision)
    assert expected in error_of(done)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_another_checksum_is_one_line(environment, server, tmp_path):
    server.bodies.append(local_hub.changed)
    assert "has not the hub's checksum" in error_of(phylotools(environment, *FETCH))
    assert not list(tmp_path.rglob("*.safetensors*"))


def test_no_network_is_one_line(environment):
    environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    error = error_of(phylotools(environment, *FETCH))
    assert "cannot reach 127.0.0.1:9 (Connection refused)" in error


def test_usage(environment):
    assert "known: phylogpn" in error_of(phylotools(environment, "model", "fetch", "nonsense"), 2)
    assert "no name for a model" in error_of(phylotools(environment, *FETCH, "--name", "../x"), 2)
    environment["HF_HUB_ETAG_TIMEOUT"] = "soon"
    assert "variables whose names begin with HF_" in error_of(phylotools(environment, *FETCH))


def test_the_extra_is_named_where_it_is_missing(environment, tmp_path):
    """As after a plain install, which tests/plain_install.sh tries for real."""
    code = (
        "import sys; sys.modules['huggingface_hub'] = None; "
        "from phylotools.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *FETCH],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert error_of(done).endswith("; install it: pip install 'phylotools[hub]'")


def test_the_library_is_loaded_for_the_hub_alone():
    """It takes longer than all else that starting takes."""
    code = (
        "import sys, phylotools.cli.model, phylotools.model.published.fetching; "
        "print(*{'huggingface_hub', 'httpx2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_token_is_not_shown(environment, server):
    environment["HF_TOKEN"] = "hf_very_secret"
    server.token = "hf_other"
    error = error_of(phylotools(environment, *FETCH, "-v"))
    assert "HF_TOKEN" in error
    assert "very_secret" not in error
    server.token = "hf_very_secret"
    done = phylotools(environment, *FETCH, "-v")
    assert done.returncode == 0
    assert "very_secret" not in done.stderr + done.stdout
    assert "signature" not in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_download_goes_on_next_time(environment, server, tmp_path, stop):
    server.bodies.append(local_hub.silent_after(30_000))
    child = started(environment, *FETCH)
    partial = tmp_path / "cache/hub/songlab--PhyloGPN" / COMMIT / "model.safetensors.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size, child)
    child.send_signal(stop)
    _, said = child.communicate(timeout=PATIENCE)
    assert child.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[stop]
    assert "Traceback" not in said
    if stop == signal.SIGINT:
        assert said.splitlines()[-1] == "error: interrupted"
    assert not list((tmp_path / "cache" / "models").iterdir())
    size = partial.stat().st_size
    done = phylotools(environment, *FETCH)
    assert done.returncode == 0, done.stderr
    assert server.requests[-1][2]["Range"] == f"bytes={size}-"
    assert not partial.exists()


def test_nothing_of_the_working_folder_is_run(environment, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    for name in ("huggingface_hub", "httpx2", "hf_xet", "certifi", "socksio", "yaml", "anyio"):
        (here / f"{name}.py").write_text("open('EXECUTED', 'a').write(__name__)\n")
    script = os.path.join(os.path.dirname(sys.executable), "phylotools")
    done = subprocess.run(
        [script, *FETCH], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (here / "EXECUTED").exists()

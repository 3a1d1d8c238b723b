"""The Snakemake workflow on real data: by a real SLURM, through a kill, and on one machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from documented_commands import write_program
from field_tools import require
from mammal_inputs import ROOT, write_inputs
from slurm_cluster import SlurmCluster

from phylotools.cli.main import run

WORKFLOW = ROOT / "workflows" / "snakemake"
CONFIG: dict[str, Any] = {
    "name": "mammals",
    "alignments": ["data/0.maf", "data/1.maf"],
    "tree": "data/tree.nh",
    "reference": "data/chrM.fa",
    "assembly": "hg38",
    "variants": {"labelled": "data/labelled.vcf"},
    "preprocess": {"options": "--species data/species.txt"},
    "train": {"config": "data/train.toml", "options": "--device cpu"},
    "tracks": {"options": "--tracks llr_mean,rate", "partition_size": 12_000},
    "annotate": {"partition_size": 0.005},
}
#: What is asked for later.
LATER: dict[str, Any] = {
    "evaluate": {
        "labelled": "--label-column LABEL --positive pathogenic --negative common --bootstrap 20"
    },
    "multiqc": True,
}
#: A small cluster, and nobody waits: instead of what the profile asks for.
SLURM = (
    *("--workflow-profile", str(WORKFLOW / "profiles" / "slurm"), "--max-threads", "1"),
    *("--seconds-between-status-checks", "1", "--set-resources", "train:runtime=10"),
    *("--default-resources", "mem_mb=500", "runtime=10", "sbatch=''"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs and their configuration."""
    require("snakemake")
    folder = tmp_path_factory.mktemp("snakemake")
    # What trains waits while there is a file.
    write_program(
        folder,
        "phylotools",
        'if [ "$1" = train ]; then while [ -e hold ]; do sleep 0.1; done; fi\n'
        f'exec {Path(sys.executable).with_name("phylotools")} "$@"',
    )
    write_inputs(folder / "data")
    write_config(folder, CONFIG)
    return folder


def write_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def command(*arguments: str) -> list[str]:
    given = ["-s", str(WORKFLOW / "workflow" / "Snakefile"), "--configfile", "config.yaml"]
    return ["snakemake", *given, *arguments]


def environment(folder: Path) -> dict[str, str]:
    """The phylotools of these tests is the one that rules call; nothing is kept for a user."""
    path = os.pathsep.join(map(str, (folder / "bin", Path(sys.executable).parent)))
    path += os.pathsep + os.environ["PATH"]
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def snakemake(folder: Path, *arguments: str, code: int = 0) -> str:
    """What a run of snakemake says."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def test_snakemake_lints_it_without_complaint(place: Path) -> None:
    assert "Congratulations" in snakemake(place, "--lint")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("tree", None, "'tree' is a required property"),
        ("alignments", ["data/none.maf"], "alignments: data/none.maf: there is no such file"),
        ("tracks", {"partition_size": "many"}, "tracks.partition_size: 'many' is not of type"),
        ("evaluate", {"HG002": "-"}, "evaluate: HG002 is none of the samples of variants"),
    ],
)
def test_a_bad_configuration_is_one_line(
    place: Path, tmp_path: Path, key: str, value: object, expected: str
) -> None:
    config = {name: given for name, given in CONFIG.items() if name != key}
    write_config(tmp_path, config if value is None else config | {key: value})
    (tmp_path / "data").symlink_to(place / "data")
    said = snakemake(tmp_path, "--dry-run", "--cores", "1", code=1)
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1, said
    assert f"error: configuration: {expected}" in said
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()


def begin(place: Path) -> subprocess.Popen[bytes]:
    """Start the workflow by SLURM; what it says goes to a file."""
    with open(place / "said", "wb") as said:
        return subprocess.Popen(
            command(*SLURM), cwd=place, env=environment(place), start_new_session=True,
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip


def stop_when(begun: subprocess.Popen[bytes], place: Path, is_time: Callable[[], object]) -> None:
    """Kill a workflow that goes on, once something is so."""
    try:
        while not is_time():
            assert begun.poll() is None, (place / "said").read_text()
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)
        begun.wait()


def test_slurm_keeps_a_job_whose_snakemake_is_killed(slurm: SlurmCluster, place: Path) -> None:
    # The job is still there whenever it is looked for.
    (place / "hold").touch()
    stop_when(begin(place), place, lambda: running(slurm, "train"))
    (number,) = running(slurm, "train")
    snakemake(place, "--unlock")
    found = re.compile(r"with external jobid '(\d+)'")
    stop_when(begin(place), place, lambda: found.search((place / "said").read_text()))
    assert found.findall((place / "said").read_text()) == [number]
    assert [job["id"] for job in slurm.jobs()] == [number]
    (place / "hold").unlink()


def running(slurm: SlurmCluster, name: str) -> list[str]:
    return [job["id"] for job in slurm.jobs("--states=RUNNING") if job["name"] == name]


def test_slurm_goes_on_to_the_tracks(slurm: SlurmCluster, place: Path) -> None:
    store = place / "results" / "columns.store" / "zarr.json"
    made_at = store.stat().st_mtime_ns
    snakemake(place, "--unlock")
    snakemake(place, *SLURM, "--", "results/tracks")
    # What was done is not done again.
    assert store.stat().st_mtime_ns == made_at


def test_slurm_goes_on_to_scored_variants(slurm: SlurmCluster, place: Path) -> None:
    results = place / "results"
    snakemake(place, *SLURM)
    counts = {
        path.name.removesuffix(".json"): json.loads(path.read_text())["counts"]
        for path in (results / "summaries").iterdir()
    }
    assert counts["mammals.preprocess"]["covered_positions"] == 451
    assert counts["mammals.train"]["steps"] == 20
    assert counts["mammals.tracks"]["positions"] == 16569
    assert counts["labelled.annotate"]["alleles_scored"] == counts["labelled.annotate"]["alleles"]
    for done in ("columns.done", "tracks.done", "variants/labelled.done"):
        assert len(list((results / done).iterdir())) > 1
    # The same as by the plain verb.
    plain = place / "plain.vcf"
    arguments = ["-m", str(results / "model"), "-o", str(plain), "-q", "--device", "cpu"]
    assert run(["annotate", str(place / "data" / "labelled.vcf"), *arguments]) == 0
    assert records(plain) == records(results / "variants" / "labelled.vcf.gz")


def records(path: Path) -> list[str]:
    import pysam

    with pysam.BGZFile(str(path)) if path.suffix == ".gz" else open(path, "rb") as handle:
        lines = handle.read().decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_one_machine_goes_on_with_it_to_a_page_of_multiqc(place: Path) -> None:
    """Labels that are named later: what SLURM made stays."""
    require("multiqc")
    results = place / "results"
    assert (results / "multiqc").exists(), "the run by SLURM has failed"
    write_config(place, CONFIG | LATER)
    local = ["--workflow-profile", str(WORKFLOW / "profiles" / "local"), "--cores", "2"]
    said = snakemake(place, *local)
    ran = {line.partition("rule ")[2].strip(":") for line in said.splitlines() if "rule " in line}
    assert {"evaluate", "sections", "multiqc"} <= ran
    assert not {"train", "columns", "tracks", "annotate"} & ran
    page = (results / "multiqc_report.html").read_text()
    told = json.loads((results / "summaries" / "labelled.evaluate.json").read_text())
    (data,) = results.glob("multiqc*_data/multiqc_data.json")
    shown = json.loads(data.read_text())["report_saved_raw_data"]
    cells = shown["multiqc_phylotools_evaluate_table"]["labelled: PHYLOGPN_FIXATION"]
    assert cells["auroc"] == told["auroc"]["PHYLOGPN_FIXATION"]
    for title in ("What became of the alleles", "Learning curves", "Over the tree"):
        assert title in page

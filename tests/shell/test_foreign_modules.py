"""Files of the current folder that are called like modules: none of them is ever run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from field_tools import require
from toy_models import write_toy_model

CONSOLE_SCRIPT = Path(sys.executable).with_name("phylotools")
HOSTILE = "open({mark!r}, 'w').close()\nraise SystemExit('code of the current folder')\n"
LIBRARIES = ("pysam", "numpy", "torch", "numba", "click", "cyvcf2", "pyarrow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A folder with a model, and a hostile file for every module that there is."""
    require("bcftools")
    if not CONSOLE_SCRIPT.exists():
        pytest.skip("the console script is not installed beside the interpreter")
    folder = tmp_path_factory.mktemp("hostile")
    write_toy_model(folder / "toy")
    shutil.copy(data / "vcf_edge_cases" / "bcf.bcf", folder / "in.bcf")
    shutil.copy(data / "vcf_edge_cases" / "samples.vcf", folder / "in.vcf")
    subprocess.run(["bcftools", "index", folder / "in.bcf"], check=True)
    for name in {*sys.stdlib_module_names, *LIBRARIES}:
        (folder / f"{name}.py").write_text(HOSTILE.format(mark=str(folder / "EXECUTED")))
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "in.bcf"],
        ["annotate", "in.vcf", "-O", "b"],
        ["annotate", "in.bcf", "-r", "chrM:1-16569", "-O", "b"],
    ],
)
def test_annotate(folder: Path, arguments: list[str]) -> None:
    command = [CONSOLE_SCRIPT, *arguments, "-m", "toy", "-@", "1", "-q"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout
    assert not (folder / "EXECUTED").exists()


def test_processes_that_read_for_training(folder: Path, mammals_store: Path) -> None:
    tables = {
        "data": {"stores": [str(mammals_store)], "workers": 1, "buffer_bytes": 8000},
        "network": {"preset": "tiny", "channels": 8, "bottleneck": 4, "dilations": [1, 2]},
        "optimiser": {"steps": 2, "windows_per_batch": 2, "window_length": 48},
    }
    (folder / "train.toml").write_text(tomli_w.dumps(tables))
    done = subprocess.run(
        [CONSOLE_SCRIPT, "train", "train.toml", "-o", "run"],
        cwd=folder,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not (folder / "EXECUTED").exists()


def test_a_module_run_as_a_script(tmp_path: Path, folder: Path) -> None:
    """With -m the interpreter itself looks there for its own modules; none of ours does."""
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(HOSTILE.format(mark=str(tmp_path / "EXECUTED")))
    arguments = ["annotate", folder / "in.bcf", "-m", folder / "toy", "-q"]
    command = [sys.executable, "-m", "phylotools", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert not (tmp_path / "EXECUTED").exists()

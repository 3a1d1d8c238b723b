"""The Nextflow modules: nf-core's rules, and their scripts run as Nextflow would write them.

Nextflow itself is in no registry of Python's or Debian's: `make nextflow` runs them where it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from mammal_inputs import ROOT
from workflow_tools import tools_python

NEXTFLOW = ROOT / "workflows" / "nextflow"
MODULES = sorted((NEXTFLOW / "modules" / "phylotools").iterdir())
TEST_DATA = ROOT / "workflows" / "galaxy" / "test-data"
LABELS = {"process_single", "process_low", "process_medium", "process_high", "process_long"}
TYPES = {"map", "file", "directory", "string", "integer", "float", "boolean", "list"}


def named(module: Path) -> str:
    return module.name


def blocks(module: Path) -> dict[str, str]:
    """The parts of a process: `input`, `output`, `when`, `script`, `stub`, and what is before."""
    text = (module / "main.nf").read_text()
    pieces = re.split(r"^    (input|output|when|script|stub):\n", text, flags=re.MULTILINE)
    return {"head": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


def channels(block: str) -> list[list[str]]:
    """The names that each channel of a block has, as meta.yml lists them."""
    name = re.compile(r"\b(?:val|path)[ (]+(?:\"([^\"]+)\"|(\w+))|\b(stdout)\b")
    lines = (line.partition("emit:")[0] for line in block.strip().splitlines())
    return [["".join(found) for found in name.findall(line)] for line in lines]


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_keeps_the_rules_of_nf_core(module: Path) -> None:
    part = blocks(module)
    name = f"PHYLOTOOLS_{module.name.upper()}"
    assert part["head"].startswith(f"process {name} {{\n")
    assert 'tag "$meta.id"' in part["head"]
    assert set(re.findall(r"label '(\w+)'", part["head"])) <= LABELS
    assert 'conda "${moduleDir}/environment.yml"' in part["head"]
    assert part["when"].strip() == "task.ext.when == null || task.ext.when"
    for body in (part["script"], part["stub"]):
        assert "cat <<-END_VERSIONS > versions.yml" in body
        assert '"${task.process}":' in body
    if "$args" in part["script"]:
        assert re.search(r"def args +=\s+task.ext.args \?: ''", part["script"])
    assert "task.cpus" in part["script"] or "process_single" in part["head"]
    pins = yaml.safe_load((module / "environment.yml").read_text())
    assert pins["channels"] == ["conda-forge", "bioconda"]
    (pin,) = pins["dependencies"]
    (version,) = re.findall(r"^bioconda::phylotools=([\d.]+)$", pin)
    assert f"phylotools:{version}--" in part["head"]


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_what_a_module_says_of_itself_is_so(module: Path) -> None:
    part, meta = blocks(module), yaml.safe_load((module / "meta.yml").read_text())
    assert meta["name"] == f"phylotools_{module.name}"
    assert len(meta["keywords"]) >= 3
    assert meta["description"]
    assert meta["authors"]
    (tool,) = meta["tools"]
    assert {"description", "homepage", "licence"} <= tool["phylotools"].keys()
    told = [each if isinstance(each, list) else [each] for each in meta["input"]]
    assert [[next(iter(one)) for one in each] for each in told] == channels(part["input"])
    emitted = re.findall(r"emit: (\w+)", part["output"])
    assert list(meta["output"]) == emitted
    listed = [each for emit in emitted for each in meta["output"][emit]]
    listed = [each if isinstance(each, list) else [each] for each in listed]
    assert [[next(iter(one)) for one in each] for each in listed] == channels(part["output"])
    for channel in told + listed:
        for one in channel:
            (facts,) = one.values()
            assert facts["type"] in TYPES
            assert facts["description"]
            # A text with a brace or colon that YAML took for something else.
            assert isinstance(facts.get("pattern", ""), str)


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_has_tests(module: Path) -> None:
    text = (module / "tests" / "main.nf.test").read_text()
    assert f'process "PHYLOTOOLS_{module.name.upper()}"' in text
    assert {"modules", "phylotools", f"phylotools/{module.name}"} <= set(
        re.findall(r'tag "([\w/]+)"', text)
    )
    assert "assert process.success" in text
    assert 'options "-stub"' in text
    for name in re.findall(r'file\("\$\{projectDir\}/([^"]+)", checkIfExists', text):
        assert (NEXTFLOW / name).exists()


def parsed(*files: Path) -> list[list[str]]:
    """The processes of each file, by a parser of Nextflow's grammar; what is none is an error."""
    script = (
        "import json, sys; from reftrace import Module\n"
        "read = [Module.from_file(name) for name in sys.argv[1:]]\n"
        "print(json.dumps([[p.name for p in each.processes] for each in read]))"
    )
    done = subprocess.run(
        [tools_python(), "-c", script, *files], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_parser_of_nextflow_reads_all_files(tmp_path: Path) -> None:
    modules = [module / "main.nf" for module in MODULES]
    found = parsed(*modules, NEXTFLOW / "main.nf")
    assert found == [[f"PHYLOTOOLS_{module.name.upper()}"] for module in MODULES] + [[]]
    (tmp_path / "bad.nf").write_text(modules[0].read_text().replace("path fasta", "path (fasta"))
    with pytest.raises(subprocess.CalledProcessError):
        parsed(tmp_path / "bad.nf")


def test_the_workflow_uses_what_there_is() -> None:
    text = (NEXTFLOW / "main.nf").read_text()
    included = re.findall(r"include \{ (\w+) +\} from '\./(.+?)'", text)
    assert len(included) == 3
    for name, path in included:
        assert f"process {name} {{" in (NEXTFLOW / f"{path}.nf").read_text()
        assert f"{name}(" in text
    for name in re.findall(r"params\.(\w+)", text):
        assert re.search(rf"^    {name} += ", (NEXTFLOW / "nextflow.config").read_text(), re.M)


def run_block(module: str, place: Path, block: str = "script", **values: object) -> str:
    """Run what a process writes for bash, with its variables filled in; what it prints.

    Raises
    ------
    AssertionError
        If the script fails, or a variable has no value.
    """
    text = blocks(NEXTFLOW / "modules" / "phylotools" / module)[block]
    (script,) = re.findall(r'"""\n(.*?)"""', text, re.DOTALL)
    values = {"args": "", "task.cpus": 1, "task.process": module.upper(), **values}

    def value(match: re.Match[str]) -> str:
        return str(values[match[1] or match[2]])

    filled = re.sub(r"(?<!\\)\$(?:\{([\w.]+)\}|([a-z][\w.]*\w))", value, textwrap.dedent(script))
    place.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        # As Nextflow does.
        ["bash", "-ue", "-c", filled.replace("\\\\", "\\").replace("\\$", "$")],
        cwd=place, env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    versions = yaml.safe_load((place / "versions.yml").read_text())
    assert re.fullmatch(r"[\d.]+\w*", versions[module.upper()]["phylotools"])
    return done.stdout


def test_scripts_of_parts_make_scored_variants(tmp_path: Path) -> None:
    """Each in a folder of its own, to which inputs are linked."""
    given = {"verb": "annotate", "prefix": "mtdna"}
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mtdna.vcf").symlink_to(TEST_DATA / "mtdna.vcf")
    n_parts = run_block(
        "init", tmp_path / "init", input_arg="mtdna.vcf", model_arg="-m mammals671-mtdna",
        fasta_arg="", **given,
    )  # fmt: skip
    assert n_parts.strip() == "1"
    run_block(
        "partition", tmp_path / "part", work=tmp_path / "init" / "mtdna.work", part=0, **given
    )
    last = tmp_path / "last"
    (last / "pieces").mkdir(parents=True)
    for piece in (tmp_path / "part" / "done" / "pieces").iterdir():
        (last / "pieces" / piece.name).symlink_to(piece)
    run_block("finalise", last, work=tmp_path / "init" / "mtdna.work", suffix="vcf.gz", **given)
    assert json.loads((last / "mtdna.annotate.json").read_text())["counts"]["records"] == 4
    assert (last / "mtdna.vcf.gz.tbi").exists()


def test_script_of_preprocess_makes_a_store(tmp_path: Path) -> None:
    data = NEXTFLOW / "test-data"
    run_block(
        "preprocess", tmp_path, alignments=data / "mammals.maf", tree=data / "mammals.nh",
        fasta_arg="", prefix="mammals",
    )  # fmt: skip
    told = json.loads((tmp_path / "mammals.preprocess.json").read_text())
    assert told["counts"]["covered_positions"] == 161

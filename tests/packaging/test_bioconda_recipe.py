"""The recipe for bioconda, by the rules of its linter, and as pyproject.toml has it."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import jinja2
import pytest
import yaml
from packaging.requirements import Requirement

from phylotools.version import __version__

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packaging" / "bioconda_recipe.py"
#: conda-forge's name -> PyPI's.
CONDA = {"python-isal": "isal", "matplotlib-base": "matplotlib", "pytorch": "torch"}
URL = f"https://pypi.org/packages/source/p/phylotools/phylotools-{__version__}.tar.gz"


def archive(folder: Path, pyproject: str, version: str = __version__) -> Path:
    """What the recipe reads of a source archive."""
    path = folder / f"phylotools-{version}.tar.gz"
    texts = {"pyproject.toml": pyproject, "PKG-INFO": f"Name: phylotools\nVersion: {version}\n\n"}
    with tarfile.open(path, "w:gz") as members:
        for name, text in texts.items():
            member = tarfile.TarInfo(f"phylotools-{version}/{name}")
            member.size = len(text.encode())
            members.addfile(member, io.BytesIO(text.encode()))
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(path), "--url", URL]
    command += ["--home", "https://example.org/phylotools", "--maintainer", "someone"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = archive(tmp_path_factory.mktemp("sdist"), (ROOT / "pyproject.toml").read_text())
    done = run(path)
    assert (done.returncode, done.stderr) == (0, "")
    # As conda-build renders it.
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(done.stdout)
    functions = {
        "PYTHON": "$PYTHON",
        "pin_subpackage": lambda name, max_pin: f"{name} pinned to {max_pin}",
    }
    return path, done.stdout, yaml.safe_load(template.render(functions))


def test_it_keeps_the_rules_of_the_linter(made):
    """Those of bioconda-utils that concern a noarch Python package, by their names there."""
    path, text, recipe = made
    order = ["package", "source", "build", "requirements", "test", "about", "extra"]
    assert list(recipe) == order
    # version_*, name
    assert re.fullmatch(r"[a-z][a-z0-9-]*", recipe["package"]["name"])
    assert recipe["package"]["version"] == __version__
    # missing_hash, uses_vcs_url; the version is written once
    source = recipe["source"]
    assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source["url"] == URL
    assert text.count(__version__) == 1
    # missing_build_number, should_be_noarch_python, missing_run_exports
    build = recipe["build"]
    assert build["number"] == 0
    assert build["noarch"] == "python"
    assert build["run_exports"] == ["phylotools pinned to x.x"]
    assert {"--no-deps", "--no-build-isolation"} <= set(build["script"].split())
    # noarch: no selectors, no compiler, no skip
    assert not re.search(r"#\s*\[", text)
    assert "compiler(" not in text
    assert "skip" not in build
    # version_constraints_missing_whitespace, uses_setuptools
    for section in ("host", "run"):
        names = recipe["requirements"][section]
        assert all(re.fullmatch(r"[a-z0-9-]+( [<>=!~][^ ]*)?", name) for name in names), names
        assert any(name.startswith("python >=") for name in names)
        assert len({name.split()[0] for name in names}) == len(names)
        assert "setuptools" not in names
    # no_tests
    assert recipe["test"]["imports"] == ["phylotools"]
    assert recipe["test"]["commands"]
    # missing_home, missing_summary, missing_license; the licence's file is in the archive
    about = recipe["about"]
    assert {"home", "summary", "license", "license_family", "license_file"} <= set(about)
    assert (ROOT / about["license_file"]).is_file()
    assert recipe["extra"]["recipe-maintainers"] == ["someone"]


def test_it_needs_what_pyproject_needs(made, project):
    _, _, recipe = made
    table = project["project"]
    assert recipe["about"]["license"] == table["license"]
    assert recipe["about"]["summary"] == table["description"]
    (entry,) = recipe["build"]["entry_points"]
    assert entry == "phylotools = " + table["scripts"]["phylotools"]

    def needed(lines: list[str]) -> dict[str, set[str]]:
        found = {}
        for line in lines:
            name, _, bounds = line.partition(" ")
            found[CONDA.get(name, name)] = set(bounds.split(",")) - {""}
        return found

    def wanted(lines: list[str]) -> dict[str, set[str]]:
        parsed = map(Requirement, lines)
        return {x.name: {str(bound) for bound in x.specifier} for x in parsed}

    python = {"python": {table["requires-python"]}}
    run_needs = needed(recipe["requirements"]["run"])
    assert run_needs.pop("htslib") == set()
    assert run_needs == python | wanted(table["dependencies"])
    host_needs = needed(recipe["requirements"]["host"])
    assert host_needs.pop("pip") == set()
    assert host_needs == python | wanted(project["build-system"]["requires"])


def test_its_commands_are_ours(made, tmp_path):
    commands = [x.split() for x in made[2]["test"]["commands"] if x.startswith("phylotools ")]
    assert len(commands) >= 3
    for _, *arguments in commands:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "phylotools", *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "requirement",
    ["torch[cuda]>=2", "x @ https://example.org/x.whl", "x>=1; python_version<'3.12'"],
)
def test_what_a_recipe_cannot_say_is_refused(tmp_path, requirement):
    text = (ROOT / "pyproject.toml").read_text()
    text = text.replace("dependencies = [\n", f'dependencies = [\n    "{requirement}",\n', 1)
    done = run(archive(tmp_path, text))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {requirement!r} has no form in a recipe\n"


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "phylotools-1.tar.gz").write_bytes(b"no archive")
    for name in ("phylotools-1.tar.gz", "absent.tar.gz"):
        done = run(tmp_path / name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {tmp_path / name}: is no source archive")
        assert done.stderr.count("\n") == 1

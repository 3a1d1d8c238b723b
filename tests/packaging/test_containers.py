"""Dockerfile and Apptainer definition: linted, alike, pinned, and without root.

No container engine is needed: docs/releasing.md says by what they were built.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from field_tools import require

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "containers"


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, lines joined, without comments."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined if line.strip()]


def sections() -> dict[str, str]:
    """Sections of the definition by name; what stands before the first is `header`."""
    text = (FOLDER / "phylotools.def").read_text()
    parts = re.split(r"^%(\w+)(.*)$", "%header\n" + text, flags=re.MULTILINE)
    return dict(zip(parts[1::3], parts[3::3], strict=True))


def installed_by_apt(script: str) -> set[str]:
    found = re.findall(r"apt-get install ([^\n&;]*)", script)
    assert found
    words = {word for command in found for word in shlex.split(command)}
    return {word for word in words if not word.startswith("-")}


def test_hadolint_has_nothing_to_say():
    require("hadolint")
    command = ["hadolint", "--no-color", "-"]
    text = (FOLDER / "Dockerfile").read_text()
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    spoilt = subprocess.run(command, input=text + "\nUSER root\n", capture_output=True, text=True)
    assert "DL3002" in spoilt.stdout


def test_the_image_ends_without_root_and_with_the_program():
    stages = [i for i, (name, _) in enumerate(instructions()) if name == "FROM"]
    last = dict(instructions()[stages[-1] :])
    assert int(last["USER"]) > 0
    assert last["ENTRYPOINT"] == '["phylotools"]'
    assert "--uid " + last["USER"] in last["RUN"]
    # The stage in which things are built is left behind, with pip's caches and the source.
    assert len(stages) == 2
    assert "--from=build" in last["COPY"]


def test_both_bring_the_same():
    runs = "\n".join(text for name, text in instructions() if name == "RUN")
    post = sections()["post"]
    assert installed_by_apt(runs) == installed_by_apt(post)
    assert {"tabix", "procps", "ca-certificates"} <= installed_by_apt(post)
    pip = r"/opt/phylotools/bin/pip install [^&\n]*"
    assert re.search(pip, runs)[0].strip() == re.search(pip, post)[0].strip()
    environment = " ".join(text for name, text in instructions() if name == "ENV")
    for text in (environment, post):
        for variable in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
            assert f"{variable}=/source/constraints.txt" in text
    base = dict(instructions())["ARG"]
    header = sections()["header"]
    assert (
        re.search(r"^From: (.*)$", header, re.MULTILINE)[1] in (FOLDER / "Dockerfile").read_text()
    )
    assert base


def test_the_definition_is_a_script_with_the_arguments_that_it_declares():
    found = sections()
    declared = dict(re.findall(r"^ *(\w+)=(.*)$", found["arguments"], re.MULTILINE))
    used = set(re.findall(r"{{ (\w+) }}", "".join(found.values())))
    assert used == set(declared) == {"device", "cpu_index"}
    for name in ("post", "environment", "runscript", "test"):
        script = re.sub(r"{{ (\w+) }}", lambda match: declared[match[1]], found[name])
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert "exec phylotools" in found["runscript"]


@pytest.mark.parametrize("device", ["cpu", "cuda", "tpu"])
def test_a_device_is_one_of_two(device):
    """The `case` of each, run by itself."""
    runs = "\n".join(text for name, text in instructions() if name == "RUN")
    post = sections()["post"].replace("{{ device }}", device).replace("{{ cpu_index }}", "index")
    for script in (runs, post):
        case = re.search(r"case .*?esac", script, re.DOTALL)[0]
        done = subprocess.run(
            ["sh", "-c", f'DEVICE={device} CPU_INDEX=index; {case}; echo "[$PIP_EXTRA_INDEX_URL]"'],
            capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        expected = {"cpu": (0, "[index]\n"), "cuda": (0, "[]\n"), "tpu": (2, "")}
        assert (done.returncode, done.stdout) == expected[device], done.stderr


def test_what_the_wheel_is_built_from_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        "pyproject.toml", "hatch_build.py", "constraints.txt", project["project"]["readme"],
        *project["project"]["license-files"], *wheel["packages"], *wheel["force-include"],
    }  # fmt: skip
    copied = {
        word.rstrip("/")
        for name, text in instructions()
        if name == "COPY" and "--from" not in text
        for word in text.split()[:-1]
    }
    assert copied == needed
    lines = sections()["files"].split("\n")
    pairs = [line.split() for line in lines if line.strip()]
    assert {source for source, _ in pairs} == needed
    assert all(target == f"/source/{source}" for source, target in pairs)
    assert all((ROOT / name).exists() for name in needed)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in kept) for name in needed)

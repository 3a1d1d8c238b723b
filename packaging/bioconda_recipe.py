#!/usr/bin/env python3
"""The recipe for bioconda, out of a source archive: version, checksum and requirements are its own.

Usage: packaging/bioconda_recipe.py phylotools-X.Y.Z.tar.gz --url URL --home URL --maintainer NAME
           > meta.yaml

URL: where the archive can be had; where the project lives. NAME: who answers for the recipe, as
GitHub knows them. Neither is known to the archive.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tarfile
import tomllib
from email.parser import Parser
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent / "bioconda" / "meta.yaml.in"
#: What conda calls packages that have another name at PyPI.
CONDA_NAMES = {"isal": "python-isal", "matplotlib": "matplotlib-base", "torch": "pytorch"}
#: Programs that users of our files expect: bgzip and tabix.
ALSO = ("htslib",)


class Refused(Exception):
    """Why there is no recipe."""


def recipe(archive: Path, url: str, home: str, maintainer: str) -> str:
    """Text of ``meta.yaml``.

    Raises
    ------
    Refused
        If the archive is none of ours, or needs something that cannot be said in a recipe.
    """
    project, build, version = _read(archive)
    python = f"python {project['requires-python']}"
    program, place = next(iter(project["scripts"].items()))
    values = {
        "VERSION": version,
        "URL": url.replace(version, "{{ version }}"),
        "SHA256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "ENTRY_POINTS": _items([f"{program} = {place}"]),
        "HOST": _items([python, "pip", *map(conda_requirement, build)]),
        "RUN": _items([python, *map(conda_requirement, project["dependencies"]), *ALSO]),
        "HOME": home,
        "SUMMARY": project["description"],
        "LICENSE": project["license"],
        "MAINTAINERS": _items([maintainer]),
    }
    text = TEMPLATE.read_text("utf-8")
    return re.sub(r"@([A-Z_0-9]+)@", lambda match: values[match[1]], text)


def conda_requirement(requirement: str) -> str:
    """``torch>=2.6`` as ``pytorch >=2.6``.

    Raises
    ------
    Refused
        If it has an extra, a marker or an address.
    """
    match = re.fullmatch(r"([A-Za-z0-9._-]+)\s*((?:[<>=!~]=?[0-9.*]+,?)*)", requirement)
    if match is None:
        raise Refused(f"{requirement!r} has no form in a recipe")
    name = CONDA_NAMES.get(match[1], match[1])
    return f"{name} {match[2]}".strip()


def _items(lines: list[str]) -> str:
    return "\n".join(f"    - {line}" for line in lines)


def _read(archive: Path) -> tuple[dict, list[str], str]:
    """The tables `project` and `build-system.requires` of an archive, and its version."""
    try:
        with tarfile.open(archive, "r:gz") as members:
            top = archive.name.removesuffix(".tar.gz")
            texts = [
                members.extractfile(f"{top}/{name}").read().decode()  # type: ignore[union-attr]
                for name in ("pyproject.toml", "PKG-INFO")
            ]
    except (OSError, KeyError, tarfile.TarError) as error:
        raise Refused(
            f"{archive}: is no source archive as build_dist.sh makes them: {error}"
        ) from None
    table = tomllib.loads(texts[0])
    version = Parser().parsestr(texts[1])["Version"]
    return table["project"], table["build-system"]["requires"], version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path)
    for name in ("url", "home", "maintainer"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    try:
        print(recipe(given.archive, given.url, given.home, given.maintainer), end="")
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`phylotools multiqc`: summaries of runs as sections of a MultiQC report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from phylotools.cli import options
from phylotools.cli.summaries import COMMON
from phylotools.errors import InputError, counted

#: Bytes; that of a run with a thousand warnings has less.
_LARGEST = 16 << 20


@click.command(name="multiqc")
@click.argument("summaries", nargs=-1, required=True, metavar="SUMMARY.json...")
@options.output_option(required=True, help="Folder to make, for MultiQC to read.")
@options.force_option
@options.logging_options
def multiqc_command(summaries: tuple[str, ...], output: str, force: bool) -> None:
    """Turn files of --summary-json into sections of a MultiQC report.

    A sample is called as its file, without .json and .VERB: HG002 of HG002.annotate.json. Files of
    several verbs and samples may be given at once; each verb becomes a table with a row of each
    sample, annotate also a picture of what became of the alleles, train its learning curves.

    \b
    phylotools multiqc *.annotate.json *.evaluate.json -o mqc/
    multiqc mqc/
    """
    from phylotools.io.files import atomic_folder, refuse_existing_folder
    from phylotools.io.multiqc import SUFFIX

    folder = Path(output)
    there = os.listdir(folder) if folder.is_dir() else []
    ours = [name for name in there if name.startswith("phylotools_") and name.endswith(SUFFIX)]
    refuse_existing_folder(folder, force, ours)
    sections = _sections(summaries)
    with atomic_folder(folder, force=force, contents=ours) as made:
        for name, section in sections.items():
            (made / name).write_text(json.dumps(section, indent=2) + "\n")
    options.logger.info("%s: %s", output, counted(len(sections), "section"))


def _sections(paths: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The documents of all summaries, by the names of their files.

    Raises
    ------
    InputError
        If a file is no summary, or two are of one sample and verb.
    """
    from phylotools.io.documents import read_document
    from phylotools.io.multiqc import joined, plain_verb, sections

    remedy = "give files that --summary-json wrote"
    found = []
    places: dict[tuple[str, str], str] = {}
    for path in paths:
        document = read_document(path, remedy=remedy, largest=_LARGEST)
        missing = [key for key in COMMON if key not in document]
        if missing:
            raise InputError(f"is no summary: it has no {missing[0]}", path=path, remedy=remedy)
        verb = plain_verb(str(document["verb"]))
        sample = Path(path).name.removesuffix(".json").removesuffix(f".{verb}")
        first = places.setdefault((verb, sample), path)
        if first != path:
            raise InputError(
                f"is called as {first}, and both are of {verb}",
                path=path,
                remedy="call the files as the samples are called",
            )
        try:
            found.append(sections(sample, document))
        except ValueError as error:
            raise InputError(f"is damaged: {error}", path=path, remedy=remedy) from None
    return joined(found)

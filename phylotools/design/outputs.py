"""The folder of a design: sequences, what is said of them and their edits, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phylotools.design.designs import Design, Designs
from phylotools.design.drawing import draw_designs
from phylotools.design.names import EDITS, FASTA, PICTURES, RUN, SEQUENCES, TRACE, design_files
from phylotools.drawing import picture_style, save_figure
from phylotools.errors import shown
from phylotools.io.bases import BASES
from phylotools.io.delimited import tsv_lines
from phylotools.io.files import atomic_folder
from phylotools.provenance import RunRecord

#: Letters of a line of the FASTA.
_LINE = 80


def write_designs(
    found: Designs, path: str, record: RunRecord, facts: dict[str, Any], *, force: bool
) -> None:
    """Write the folder, whole or not at all.

    Parameters
    ----------
    found : Designs
    path : str
    record : RunRecord
    facts : dict
        Of the model, for pictures and ``run.json``.
    force : bool
        Replace an existing folder of this kind.
    """
    with atomic_folder(path, force=force, contents=design_files()) as folder:
        _write(folder / FASTA, _fasta(found))
        _write(folder / SEQUENCES, _sequences(found))
        _write(folder / EDITS, _edits(found))
        _write(folder / TRACE, tsv_lines(found.trace.columns, found.trace.rows))
        with picture_style():
            save_figure(draw_designs(found, facts), [folder / name for name in PICTURES], dpi=160)
        document = {"format": "phylotools design 1", **facts, "run": record.to_dict()}
        (folder / RUN).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _write(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="\n") as handle:
        handle.writelines(lines)


def _fasta(found: Designs) -> Iterator[str]:
    for design in found.designs:
        yield f">{_word(design.name)} start={_word(design.start.name)} edits={len(design.edits)}\n"
        letters = design.letters
        for begin in range(0, len(letters), _LINE):
            yield letters[begin : begin + _LINE] + "\n"


def _word(name: str) -> str:
    """A name without blanks."""
    return "_".join(shown(name).split()) or "sequence"


def _sequences(found: Designs) -> Iterator[str]:
    columns = ["name", "start", "length", "edits", "log_likelihood", "start_log_likelihood",
               "pseudo_log_likelihood", "start_pseudo_log_likelihood"]  # fmt: skip
    if found.what:
        columns += ["value", "start_value", "target", "log_ratio"]
    columns += ["gc", "longest_homopolymer"]
    columns += ["steps", "ended"] if found.what else ["chain", "sweeps"]
    yield from tsv_lines(columns, (_cells(design, found) for design in found.designs))


def _cells(design: Design, found: Designs) -> list[Any]:
    cells: list[Any] = [
        design.name,
        design.start.name,
        len(design.codes),
        len(design.edits),
        design.likelihoods.seen,
        design.of_start.seen,
        design.likelihoods.pseudo,
        design.of_start.pseudo,
    ]
    if found.what:
        cells += [design.value, design.start_value, found.aim, design.log_ratio]
    cells += [design.gc, design.longest_homopolymer]
    return cells + ([design.steps, design.why] if found.what else [design.chain, design.steps])


def _edits(found: Designs) -> Iterator[str]:
    columns = ["name", "position", "contig", "genome_position", "from", "to", "log_odds"]
    columns += ["value_effect"] if found.what else []
    rows = (
        [
            design.name,
            edit.position + 1,
            None if region is None else region.contig,
            None if region is None else region.start + edit.position + 1,
            BASES[edit.before],
            BASES[edit.after],
            edit.log_odds,
            *([edit.effect] if found.what else []),
        ]
        for design in found.designs
        for region in [design.start.region]
        for edit in design.edits
    )
    yield from tsv_lines(columns, rows)

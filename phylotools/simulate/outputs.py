"""Text that a simulation writes: alignment, table of the truth, FASTA; plain or bgzip by suffix."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from isal import igzip
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import UsageError
from phylotools.io.bases import BASES
from phylotools.io.bgzf import compress_blocks
from phylotools.io.files import BGZF_EOF, open_text_output, refuse_existing_file
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import (
    IndexedTextWriter,
    compress_lines,
    notes_of_blocks,
)
from phylotools.io.position_table import open_indexed
from phylotools.phylogeny.substitution import SubstitutionModel

_COMPRESSED = (".gz", ".bgz")
#: Bases on a line of FASTA.
_LINE = 60
#: Columns of the table of the truth.
TRUTH_COLUMNS = (
    "#contig",
    "pos",
    "ref",
    *(f"theta_{base}" for base in BASES),
    "log_rate",
    "site_rate",
    "substitutions",
    "species",
    *(f"pi_{base}" for base in BASES),
)
_TRUTH_LINE = "%s\t%d\t%s\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%d\t%d\t%.6g\t%.6g\t%.6g\t%.6g\n"


def is_compressed(path: str) -> bool:
    """Whether a name asks for bgzip."""
    return path.lower().endswith(_COMPRESSED)


def encode(text: bytes, compressed: bool) -> bytes:
    """Text as it goes into the file: if compressed, whole BGZF blocks, which may be joined."""
    return compress_blocks(text) if compressed else text


def encoded_again(blocks: bytes, compressed: bool) -> bytes:
    """What `encode` makes of the text of BGZF blocks that it made."""
    return blocks if compressed else bytes(igzip.decompress(blocks))


class Sink:
    """An open output, to which encoded pieces are written."""

    def __init__(self, raw: BinaryIO, compressed: bool) -> None:
        self.raw, self.compressed = raw, compressed

    def write_text(self, text: bytes) -> None:
        """Encode and write."""
        self.raw.write(encode(text, self.compressed))

    def write_encoded(self, data: bytes) -> None:
        """Write what `encode` made."""
        self.raw.write(data)

    def finish(self) -> None:
        if self.compressed:
            self.raw.write(BGZF_EOF)


def refuse_outputs(paths: list[str], inputs: list[str], force: bool) -> None:
    """Refuse, before the work, outputs that exist, or that are one file or an input.

    Raises
    ------
    UsageError, OutputError
    """
    places = [os.path.realpath(path) for path in paths if path != "-"]
    sources = {os.path.realpath(path) for path in inputs if path != "-"}
    for path, place in zip((p for p in paths if p != "-"), places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{path}: two outputs name the same file")
        if place in sources:
            raise UsageError(f"{path}: the output is an input; choose another name")
        refuse_existing_file(path, force)


@contextlib.contextmanager
def open_sink(path: str, *, force: bool) -> Iterator[Sink]:
    """Yield a sink on stdout (``-``) or on a file that appears only when complete."""
    with open_text_output(path, force=force) as raw:
        sink = Sink(raw, is_compressed(path))
        yield sink
        sink.finish()


@contextlib.contextmanager
def open_table(path: str, *, force: bool, longest_contig: int) -> Iterator[Sink]:
    """As `open_sink`, for a table of positions: compressed, it gets a tabix index.

    Parameters
    ----------
    path : str
        Not ``-``.
    force : bool
    longest_contig : int
        In bases.
    """
    if not is_compressed(path):
        with open_sink(path, force=force) as sink:
            yield sink
        return
    with open_indexed(path, longest_contig=longest_contig, force=force) as writer:
        yield _IndexedSink(writer, path)


class _IndexedSink(Sink):
    """A sink whose lines are noted for an index."""

    def __init__(self, writer: IndexedTextWriter, path: str) -> None:
        super().__init__(cast(BinaryIO, writer), compressed=True)
        self._writer, self._path = writer, path

    def write_text(self, text: bytes) -> None:
        made = compress_lines(text, LineKind.POSITIONS)
        self._writer.write_blocks(made.blocks, made.part)

    def write_encoded(self, data: bytes) -> None:
        self._writer.write_blocks(data, notes_of_blocks(data, LineKind.POSITIONS, self._path))


class FastaWriter:
    """One contig, written as it is made, in lines of equal length.

    Parameters
    ----------
    write : callable
        Gets bytes.
    contig : str
    """

    def __init__(self, write: Callable[[bytes], None], contig: str) -> None:
        self._write = write
        self._rest = b""
        write(f">{contig}\n".encode())

    def add(self, letters: bytes) -> None:
        """Write the next letters, but for an unfinished line."""
        letters = self._rest + letters
        whole = len(letters) - len(letters) % _LINE
        self._rest = letters[whole:]
        if whole:
            lines = (letters[start : start + _LINE] for start in range(0, whole, _LINE))
            self._write(b"\n".join(lines) + b"\n")

    def finish(self) -> None:
        """Write the last line."""
        if self._rest:
            self._write(self._rest + b"\n")


def truth_lines(
    contig: str,
    start: int,
    letters: NDArray[np.uint8],
    theta: Tensor,
    model: SubstitutionModel,
    substitutions: NDArray[np.int64],
    n_species: NDArray[np.int64],
) -> bytes:
    """Lines of the table of the truth for consecutive positions.

    Parameters
    ----------
    contig : str
    start : int
        0-based position of the first.
    letters : uint8 array (C,)
        Reference bases as text.
    theta : Tensor, shape (C, A)
    model : SubstitutionModel
    substitutions : int64 array (C,)
        How many happened on the whole tree.
    n_species : int64 array (C,)
        How many species have a base in the alignment.
    """
    with torch.inference_mode():
        sites = theta.double()
        values = torch.cat(
            [
                sites,
                model.log_rate(sites).unsqueeze(1),
                model.site_rate(sites).unsqueeze(1),
                model.log_equilibrium_frequencies(sites).exp(),
            ],
            dim=1,
        )
    rows = zip(
        range(start + 1, start + 1 + len(letters)),
        letters.tobytes().upper().decode("ascii"),
        values.tolist(),
        substitutions.tolist(),
        n_species.tolist(),
        strict=True,
    )
    return "".join(
        _TRUTH_LINE % (contig, position, base, *value[:6], events, species, *value[6:])
        for position, base, value, events, species in rows
    ).encode()


@dataclass(frozen=True)
class SimulationOutputs:
    """Names of the files to write.

    Attributes
    ----------
    alignment : str
        MAF; ``-`` is stdout.
    truth : str, optional
        Table of the sites.
    fasta : str, optional
        The reference species' sequence, where the simulation draws it.
    force : bool
        Replace existing ones.
    """

    alignment: str
    truth: str | None = None
    fasta: str | None = None
    force: bool = False

    @property
    def paths(self) -> list[str]:
        return [path for path in (self.alignment, self.truth, self.fasta) if path is not None]

    def refuse_streams(self) -> None:
        """Raise `UsageError` if what is no alignment would go to stdout."""
        if self.truth == "-" or self.fasta == "-":
            raise UsageError("only the alignment can go to stdout")


@dataclass(frozen=True)
class SimulationSummary:
    """What was written, for the log and `--summary-json`."""

    columns: int
    species: int
    blocks: int
    substitutions: int
    bases: int
    reference_species: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class FinishedPiece:
    """Encoded text of a piece, and what it holds."""

    contig: str
    columns: int
    blocks: int
    substitutions: int
    bases: int
    alignment: bytes
    truth: bytes
    letters: bytes


class SimulationWriter:
    """Opens the outputs and writes finished pieces."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        outputs: SimulationOutputs,
        settings: dict[str, Any],
        longest_contig: int,
    ) -> None:
        force = outputs.force
        lines = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        self._alignment = stack.enter_context(open_sink(outputs.alignment, force=force))
        self._truth: Sink | None = None
        self._fasta: Sink | None = None
        if outputs.truth is not None:
            self._truth = stack.enter_context(
                open_table(outputs.truth, force=force, longest_contig=longest_contig)
            )
            header = [*(f"##{line}" for line in lines), "\t".join(TRUTH_COLUMNS)]
            self._truth.write_text(("\n".join(header) + "\n").encode())
        if outputs.fasta is not None:
            self._fasta = stack.enter_context(open_sink(outputs.fasta, force=force))
        comments = "".join(f"# {line}\n" for line in lines)
        self._alignment.write_text(f"##maf version=1 scoring=none\n{comments}\n".encode())
        self._contig: str | None = None
        self._sequence: FastaWriter | None = None
        self.columns = self.blocks = self.substitutions = self.bases = 0

    def write(self, piece: FinishedPiece) -> None:
        self._alignment.write_encoded(piece.alignment)
        if self._truth is not None:
            self._truth.write_encoded(piece.truth)
        if self._fasta is not None:
            if self._sequence is None or piece.contig != self._contig:
                self.finish()
                self._contig = piece.contig
                self._sequence = FastaWriter(self._fasta.write_text, piece.contig)
            self._sequence.add(piece.letters)
        self.columns += piece.columns
        self.blocks += piece.blocks
        self.substitutions += piece.substitutions
        self.bases += piece.bases

    def finish(self) -> None:
        if self._sequence is not None:
            self._sequence.finish()

    def summary(self, n_species: int, reference: str) -> SimulationSummary:
        """What was written."""
        return SimulationSummary(
            self.columns, n_species, self.blocks, self.substitutions, self.bases, reference
        )

"""VCF as bytes: header lines and INFO fields edited, all else left as it is.

Lines are never decoded as text, so that Latin-1, odd sample names and anything else a file holds
come out byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from phylotools.errors import InputError

FIXED_COLUMNS = (b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO")
_CONTIG_ID = re.compile(rb"^##contig=<(?:[^\"]*?,)?ID=([^,>]+)")
_CONTIG_LENGTH = re.compile(rb"[<,]length=(\d+)")


@dataclass(frozen=True)
class VcfHeader:
    """The header of a VCF.

    Attributes
    ----------
    lines : tuple of bytes
        ``##`` lines without their line ends.
    columns : bytes
        The ``#CHROM`` line without its line end.
    line_end : bytes
        ``\\n`` or ``\\r\\n``.
    """

    lines: tuple[bytes, ...]
    columns: bytes
    line_end: bytes = b"\n"

    @property
    def n_columns(self) -> int:
        """Columns of every record."""
        return self.columns.count(b"\t") + 1

    @property
    def contigs(self) -> dict[str, int | None]:
        """Declared contigs -> declared length."""
        contigs: dict[str, int | None] = {}
        for line in self.lines:
            match = _CONTIG_ID.match(line)
            if match:
                length = _CONTIG_LENGTH.search(line)
                name = match.group(1).decode("utf-8", "surrogateescape")
                contigs[name] = int(length.group(1)) if length and len(length[1]) < 19 else None
        return contigs

    def to_bytes(self) -> bytes:
        """The header as it stands in a file."""
        return self.line_end.join([*self.lines, self.columns, b""])

    def without_fields(self, keys: Iterable[str]) -> VcfHeader:
        """The header without the lines that declare INFO fields of these keys."""
        dropped = {f"##INFO=<ID={key}".encode() for key in keys}
        kept = tuple(line for line in self.lines if _line_key(line) not in dropped)
        return VcfHeader(kept, self.columns, self.line_end)

    def with_lines(self, added: Iterable[bytes]) -> VcfHeader:
        """The header with lines added at its end, instead of lines of the same kind and ID.

        Parameters
        ----------
        added : iterable of bytes
            Structured lines, ``##KIND=<ID=...``.
        """
        new = tuple(added)
        keys = {_line_key(line) for line in new}
        kept = tuple(line for line in self.lines if _line_key(line) not in keys)
        return VcfHeader(kept + new, self.columns, self.line_end)


def _line_key(line: bytes) -> bytes:
    """``##KIND=<ID=NAME`` of a structured line, the whole line otherwise."""
    return re.split(rb"[,>]", line, maxsplit=1)[0] if b"=<ID=" in line else line


def check_columns(line: bytes, path: str, line_number: int) -> None:
    """Raise `InputError` unless a ``#CHROM`` line has the fixed columns, tab-separated."""
    columns = tuple(line.split(b"\t"))
    if columns[: len(FIXED_COLUMNS)] == FIXED_COLUMNS:
        return
    if len(columns) == 1 and len(line.split()) > 1:
        raise InputError(
            "the columns are not separated by tabs",
            path=path,
            line=line_number,
            remedy="replace the spaces by tabs: sed '/^##/!s/  */\\t/g'",
        )
    missing = [name for name in FIXED_COLUMNS if name not in columns]
    raise InputError(
        f"the header line lacks {b', '.join(missing).decode()}"
        if missing
        else "the columns of the header line are not in the order of the VCF specification",
        path=path,
        line=line_number,
        remedy="a VCF has the columns "
        + " ".join(name.decode() for name in FIXED_COLUMNS)
        + " in this order",
    )


def quote(text: str) -> str:
    """A value in double quotes for a structured header line (VCF 4.3, section 1.4)."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def info_keys_pattern(keys: Sequence[str]) -> re.Pattern[bytes]:
    """Pattern of INFO entries with one of `keys`, for `remove_entries`."""
    alternatives = b"|".join(re.escape(key.encode()) for key in keys)
    return re.compile(rb"(?:^|;)(?:" + alternatives + rb")(?:=[^;]*)?(?=;|$)")


def remove_entries(info: bytes, old: re.Pattern[bytes]) -> bytes:
    """An INFO column without the entries of some keys; empty where nothing is left.

    Parameters
    ----------
    info : bytes
    old : Pattern
        From `info_keys_pattern`.
    """
    kept = old.sub(b"", info)
    return kept if kept == info else kept.removeprefix(b";")


def with_entry(info: bytes, entry: bytes) -> bytes:
    """An INFO column with one more entry at its end."""
    if info in (b"", b"."):
        return entry
    return info + (b"" if info.endswith(b";") else b";") + entry


def info_value(text: str) -> bytes:
    """A text as a value of an INFO entry, with what would end it written %XX (VCF 4.3)."""
    plain = (c if c.isprintable() and c not in ':;=%," \\' else "" for c in text)
    return b"".join(
        good.encode() if good else b"".join(b"%%%02X" % byte for byte in letter.encode())
        for letter, good in zip(text, plain, strict=True)
    )

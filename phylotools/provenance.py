"""What made a file: version, command, inputs and their checksums."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from phylotools.version import __version__


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def command_line() -> str:
    """The command as it was typed, quoted for a shell; the program by its name alone."""
    return shlex.join(["phylotools", *sys.argv[1:]])


@dataclass(frozen=True)
class RunRecord:
    """Who made an output: stored inside it, so that it can be made again.

    Attributes
    ----------
    command : str
    version : str
        phylotools version.
    created : str
        UTC time, ISO 8601.
    platform : str
    inputs : dict
        Name of each input -> SHA-256 (or ``None`` for a stream that cannot be read twice).
    parameters : dict
    """

    command: str = field(default_factory=command_line)
    version: str = __version__
    created: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    platform: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    inputs: dict[str, str | None] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)

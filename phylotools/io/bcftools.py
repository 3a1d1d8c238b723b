"""The bcftools inside pysam, each command in a child process.

So several files can be open at once, which bcftools allows no single process, and a hostile file
crashes nothing but the child. The child is an interpreter on its own: it takes modules from the
folder that this process has pysam from, and from nowhere else.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import IO, BinaryIO

_CHILD = """
import signal, sys
sys.path.append(sys.argv[1])
import pysam.bcftools
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try: getattr(pysam.bcftools, sys.argv[2])(*sys.argv[3:], catch_stdout=False)
except pysam.utils.SamtoolsError as error: sys.exit(str(error).split("stderr=")[-1])
"""


def start_bcftools(
    command: str,
    *arguments: str,
    stdin: int,
    stdout: int | BinaryIO,
    stderr: int | IO[bytes],
    folder: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``bcftools COMMAND`` with these arguments.

    The interpreter is isolated: neither the current folder nor ``PYTHONPATH`` is looked at.

    Parameters
    ----------
    command : str
        ``view``, ``csq``, ...
    folder : str, optional
        Where it runs  [default: here].
    """
    spec = importlib.util.find_spec("pysam")
    assert spec is not None
    assert spec.origin is not None
    packages = os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD, packages, command, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=folder,
    )


def last_complaint(complaints: IO[bytes]) -> str:
    """The last line that a child process wrote on its stderr, for a one-line error."""
    complaints.seek(0)
    text = complaints.read()[-4000:].decode("utf-8", "replace").strip().strip("'\")").strip()
    lines = text.replace("\\n", "\n").split("\n")
    lines += [line for line in lines if line.startswith("[E::")]
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")

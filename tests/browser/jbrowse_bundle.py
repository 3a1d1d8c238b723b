"""JBrowse 2 itself, as its authors publish it at npm, fetched once and known by its checksum."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from field_tools import require

PACKAGE = "@jbrowse/react-app2"
VERSION = "4.3.0"
#: As package-lock.json has it.
INTEGRITY = (
    "sha512-qXeu4UrQvU/7/9YVoEeHydfSYAXujKxMI7ZVqVZCksDO"
    "BmXwQ2BleYhZD/E9B3XG7XmLQzlRWzImfRidzjtPxQ=="
)
_SCRIPT = "package/dist/react-app.umd.production.min.js"
#: Ignored by git, emptied by `make clean`.
_FOLDER = Path(__file__).parents[2] / "build" / "jbrowse"


def jbrowse_bundle() -> Path:
    """One script with all of JBrowse; skips the test where npm cannot bring it."""
    path = _FOLDER / f"jbrowse-{VERSION}.js"
    if not path.is_file():
        require("npm")
        _FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
            _fetch(Path(folder), path)
    return path


def _fetch(folder: Path, path: Path) -> None:
    done = subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm does not bring {PACKAGE}: {done.stderr.strip()[:200]}")
    archive = folder / done.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{digest}" == INTEGRITY
    with tarfile.open(archive) as members:
        script = members.extractfile(_SCRIPT)
        assert script is not None
        (folder / "script").write_bytes(script.read())
    os.replace(folder / "script", path)

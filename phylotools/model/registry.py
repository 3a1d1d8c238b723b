"""Models by name: those shipped with the package, those in the cache, and any folder by path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.errors import InputError, shown
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import PartialGenome
from phylotools.io.transcripts import read_transcripts
from phylotools.model.folder import (
    CONFIG,
    REFERENCE,
    TRANSCRIPT_SEQUENCES,
    Model,
    check_values,
    read_manifest,
    read_model,
)
from phylotools.model.places import model_places
from phylotools.model.published.catalogue import KNOWN
from phylotools.model.settings import default_model

DEFAULT_MODEL = "mammals671-mtdna"
#: Largest difference of a number that `verify_model` puts down to another machine's arithmetic.
VERIFY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ModelSummary:
    """One line of ``phylotools model list``.

    Attributes
    ----------
    name, revision, assembly : str
    contigs : tuple of str
        That it was trained on, as far as its manifest names them.
    folder : Path
    """

    name: str
    revision: str
    assembly: str
    contigs: tuple[str, ...]
    folder: Path

    @property
    def ships_reference(self) -> bool:
        """Whether the folder has the sequence that is scored: the reference, or transcripts."""
        return any((self.folder / name).is_file() for name in (REFERENCE, TRANSCRIPT_SEQUENCES))


def list_models() -> list[ModelSummary]:
    """Every model that has a name here; of two with one name, the one found first."""
    found: dict[str, ModelSummary] = {}
    for place in model_places():
        for folder in sorted(place.glob("*/")) if os.access(place, os.R_OK | os.X_OK) else []:
            if folder.name.startswith("."):  # the remains of a killed export
                continue
            try:
                manifest = read_manifest(folder)
            except InputError:
                continue
            contigs = manifest.get("contigs")
            found.setdefault(
                folder.name,
                ModelSummary(
                    folder.name,
                    manifest["revision"],
                    str(manifest.get("assembly", "")),
                    tuple(map(str, contigs)) if isinstance(contigs, list) else (),
                    folder,
                ),
            )
    return list(found.values())


def find_model(name_or_path: str | None = None) -> Path:
    """Folder of a model given by name or path; the default model if neither is given.

    The default is the one that `settings.default_model` says, else `DEFAULT_MODEL`.

    Raises
    ------
    InputError
        If there is none; the message names those there are, and who asked for this one.
    """
    if name_or_path:
        return _find(name_or_path)
    wanted, said_by = default_model() or (DEFAULT_MODEL, "")
    return _find(wanted, said_by)


def _find(wanted: str, said_by: str = "") -> Path:
    for place in model_places():
        # A name has no separator: it cannot climb out of the search path.
        if os.sep in wanted or wanted in (".", ".."):
            break
        if os.path.isdir(place / wanted):  # unlike Path's own, False where nothing may be read
            return place / wanted
    # A lasting setting must not mean whatever lies in the folder that the user happens to be in.
    if os.path.isdir(wanted) and (not said_by or os.sep in wanted):
        return Path(wanted)
    names = ", ".join(summary.name for summary in list_models()) or "none"
    raise InputError(
        f"no model is called '{shown(wanted)}' and no such folder exists"
        + (f" ({said_by} names it)" if said_by else ""),
        remedy=(
            f"`phylotools model fetch {wanted}` downloads it"
            if wanted in KNOWN
            else f"models at hand: {names}; train one with 'phylotools train'"
        ),
    )


def load_model(name_or_path: str | None = None, device: str = "cpu") -> Model:
    """Load a model by name or folder.

    Parameters
    ----------
    name_or_path : str, optional
        Default: that of ``PHYLOTOOLS_MODEL``, else of ``phylotools model use``, else the first that
        ships with phylotools.
    device : str
        ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
    """
    return read_model(find_model(name_or_path), device)


def verify_model(model: Model) -> float:
    """Run the manifest's check sequence; the largest difference from its theta.

    Raises
    ------
    InputError
        If the manifest has no usable check or the difference exceeds `VERIFY_TOLERANCE`; if the
        sequences of transcripts are not those of their parts.
    """
    if model.transcripts is not None:
        gff, sequences = model.transcripts
        with ReferenceGenome.open(sequences) as genome:
            PartialGenome(genome, read_transcripts(gff, None))
    check = model.manifest.get("check")
    try:
        expected = [[float(value) for value in row] for row in check["log_rates"]]  # type: ignore[index]
        values = check_values(model.site_model, str(check["sequence"])[:10_000])  # type: ignore[index]
        difference = max(
            abs(a - b)
            for row, wanted in zip(values, expected, strict=True)
            for a, b in zip(row, wanted, strict=True)
        )
    except (TypeError, KeyError, ValueError, OverflowError):
        raise InputError("the manifest has no usable 'check'", path=model.folder) from None
    if not difference <= VERIFY_TOLERANCE:
        raise InputError(
            f"theta of the check sequence differs by {difference:.3g}", path=model.folder
        )
    return difference


def describe_model(path: str | Path) -> dict[str, Any]:
    """Manifest, shape and folder of a model, for ``inspect`` and ``model info``."""
    model = read_model(Path(path))
    shown = {key: value for key, value in model.manifest.items() if key != "check"}
    spec = model.site_model.spec.to_dict()
    objective = {**shown.get("objective", {}), **spec.get("objective", {})}
    shown |= spec | ({"objective": objective} if objective else {})
    shown["folder"] = str(model.folder)
    shown["configuration"] = str(model.folder / CONFIG)
    return shown

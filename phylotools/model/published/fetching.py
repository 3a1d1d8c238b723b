"""`model fetch`: a published model from the hub into the folder of models."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.errors import InputError, OutputError, UsageError, shown
from phylotools.io.files import atomic_folder, refuse_existing_folder
from phylotools.model.folder import Model, model_files, open_model, read_manifest
from phylotools.model.published.catalogue import KnownModel, find_known
from phylotools.model.published.download_folder import Download, DownloadFolder
from phylotools.model.published.downloads import Progress, download, resolve, untold
from phylotools.model.published.hub import Hub, is_commit
from phylotools.model.reference_fasta import check_reference
from phylotools.model.settings import cache_folder, model_key, models_folder, remember_reference

logger = logging.getLogger("phylotools")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Of a commit, as git shortens it for large repositories.
_SHORT_COMMIT = 12


@dataclass(frozen=True)
class FetchRequest:
    """What a user wants of the hub.

    Attributes
    ----------
    model : str
        Name in the catalogue.
    revision : str, optional
        Commit, tag or branch [default: the catalogue's commit].
    name : str, optional
        What the model is to be called here [default: its name in the catalogue].
    fasta : str, optional
        Reference sequence to remember for it.
    is_offline : bool
        Use what was downloaded before, and ask nobody.
    """

    model: str
    revision: str | None = None
    name: str | None = None
    fasta: str | None = None
    is_offline: bool = False


@dataclass(frozen=True)
class FetchedModel:
    """A model that is at hand now.

    Attributes
    ----------
    folder : Path
    name, commit : str
    was_here : bool
        Before, so that nothing was done.
    """

    folder: Path
    name: str
    commit: str
    was_here: bool


def fetch_model(
    request: FetchRequest,
    *,
    hub: Hub | None = None,
    force: bool = False,
    progress: Progress = untold,
) -> FetchedModel:
    """Make a model of the catalogue one of those that are known by name here.

    Parameters
    ----------
    request : FetchRequest
    hub : Hub, optional
        [Default: the one that the library's variables say.]
    force : bool
        Replace a model of that name.
    progress : callable

    Returns
    -------
    FetchedModel
        Checked; a model of the same commit that was here is left as it was.

    Raises
    ------
    UsageError
        If there is no such model, or the name cannot be one.
    InputError
        If the files cannot be had or are wrong, or the FASTA is not for the model.
    OutputError
        If another model has the name, or the cache cannot be written.
    """
    known = find_known(request.model)
    name = request.name or known.name
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{shown(name)}' is no name of a model; take letters, digits, . _ and -")
    if request.fasta is not None:
        check_reference(name, {"assembly": known.assembly}, request.fasta)
    revision, folder = request.revision or known.revision, models_folder() / name
    if not request.is_offline:
        # Also for what is here already: where the library is missing, one hears of it at once.
        hub = hub or Hub()
    source = _Offline(known) if hub is None or hub.is_offline else _Online(known, hub, progress)
    commit = source.commit(revision)
    was_here = not force and os.path.lexists(folder)
    if was_here:
        _refuse_another(folder, known, commit)
    else:
        _publish(source.files(commit), known, folder)
    if request.fasta is not None:
        remember_reference(model_key(folder), Path(request.fasta))
    return FetchedModel(folder, name, commit, was_here)

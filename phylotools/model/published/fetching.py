"""`model fetch`: a published model from the hub into the folder of models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from phylotools.errors import InputError, OutputError, shown
from phylotools.io.files import atomic_folder, refuse_existing_folder
from phylotools.model.folder import model_files, open_model, read_model
from phylotools.model.published.catalogue import KnownModel, find_known
from phylotools.model.published.download_folder import Download, DownloadFolder
from phylotools.model.published.downloads import Progress, download, resolve, untold
from phylotools.model.published.hub import Hub, is_commit
from phylotools.model.reference_fasta import check_reference
from phylotools.model.settings import (
    cache_folder,
    make_model_place,
    model_key,
    remember_reference,
)

if TYPE_CHECKING:
    from phylotools.model.published.golden import GoldenTable

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
    findings : tuple of str
        How it compares with what its authors printed, in lines; none if it was here.
    """

    folder: Path
    name: str
    commit: str
    was_here: bool
    findings: tuple[str, ...] = ()


class _Source:
    """Where the files of a model come from: the hub, or for who is offline the cache."""

    def __init__(
        self, known: KnownModel, is_offline: bool, hub: Hub | None, progress: Progress
    ) -> None:
        self._known, self._offline, self._given, self._progress = known, is_offline, hub, progress

    @cached_property
    def _hub(self) -> Hub:
        # Not before it is needed: who has the model needs no library.
        return self._given or Hub()

    @property
    def is_offline(self) -> bool:
        """Whether nobody may be asked."""
        return self._offline or self._hub.is_offline

    def commit(self, revision: str) -> str:
        """The commit of a revision."""
        if is_commit(revision):
            return revision
        if self.is_offline:
            raise InputError(
                f"without network nobody knows which commit '{shown(revision)}' is",
                remedy="give a commit with all its 40 digits, or none",
            )
        return resolve(self._hub, self._known, revision)

    def files(self, commit: str) -> Download:
        """The files of a commit, complete and checked."""
        if self.is_offline:
            return self.folder.complete(commit)
        return download(self._hub, self._known, commit, cache_folder(), self._progress)

    def discard(self, commit: str) -> None:
        """Delete downloaded files that make no model; those that a user brought stay."""
        if not self.is_offline:
            self.folder.discard(commit)

    @property
    def folder(self) -> DownloadFolder:
        """Where they lie in the cache."""
        return DownloadFolder(cache_folder(), self._known)


def fetch_model(
    request: FetchRequest,
    *,
    hub: Hub | None = None,
    force: bool = False,
    progress: Progress = untold,
    table: GoldenTable | None = None,
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
    table : GoldenTable, optional
        What its authors printed [default: the one that ships with the package].

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
    if request.fasta is not None:
        check_reference(name, {"assembly": known.assembly}, request.fasta)
    folder = make_model_place(name)
    is_there = os.path.lexists(folder)
    if is_there and force:
        refuse_existing_folder(folder, force, model_files())
    source = _Source(known, request.is_offline, hub, progress)
    commit = source.commit(request.revision or known.revision)
    findings: tuple[str, ...] = ()
    if is_there and not force:
        _refuse_another(folder, known, commit)
    else:
        findings = _published(source, commit, known, folder, force, table)
    if request.fasta is not None:
        remember_reference(model_key(folder), Path(request.fasta))
    return FetchedModel(folder, name, commit, is_there and not force, findings)


def _refuse_another(folder: Path, known: KnownModel, commit: str) -> None:
    """Raise where a folder is not the model of a commit, or is damaged."""
    try:
        published = open_model(folder).manifest.get("published")
    except InputError as error:
        raise InputError(
            error.problem, path=error.path, remedy="give --force to make the model anew"
        ) from None
    facts = published if isinstance(published, dict) else {}
    if (facts.get("repository"), facts.get("revision")) != (known.repository, commit):
        raise OutputError(
            f"{folder}: is another model, or another revision; give --force to replace it, or "
            "--name to have both"
        )


def _published(
    source: _Source,
    commit: str,
    known: KnownModel,
    folder: Path,
    force: bool,
    table: GoldenTable | None,
) -> tuple[str, ...]:
    """Make the model folder of a commit, whole or not at all; how it compares with the authors'."""
    # torch is imported with it.
    from phylotools.model.published.golden import verify_published
    from phylotools.model.published.importing import ImportRequest, import_published

    files = source.files(commit)
    request = ImportRequest(
        name=folder.name,
        revision=commit[:_SHORT_COMMIT],
        licence=known.licence,
        assembly=known.assembly,
        source={"repository": known.repository, "revision": commit},
    )
    with atomic_folder(folder, force=force, contents=model_files()) as stage:
        try:
            made = import_published(files.folder, stage, request, force=True, table=table)
            # As it lies on the disk.
            verify_published(read_model(stage), table)
            comparison = made.comparison
            if commit == known.revision and known.generation not in comparison.generations:
                raise InputError(
                    f"what came as {known.repository} at commit {commit} is "
                    f"{comparison.lines()[0]}",
                    remedy="nothing of it was kept; report it, for it should be "
                    f"{known.generation}",
                )
        except InputError:
            source.discard(commit)
            raise
    if comparison.has_published_shape and not comparison.matching:
        return ()  # and the import has warned of it
    return tuple(comparison.lines())

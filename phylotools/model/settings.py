"""What phylotools remembers of a user: the model to use, and which FASTA goes with which model.

All of it is one file, ``settings.json`` in the cache folder, beside the folder ``models``. The file
is read where an answer is needed and trusted in nothing; reading makes no folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from phylotools.errors import InputError, OutputError, UsageError, shown
from phylotools.io.documents import decode, read_document
from phylotools.io.files import write_atomic
from phylotools.io.genome import ReferenceGenome
from phylotools.io.locks import lock_folder
from phylotools.model.places import CACHE_VARIABLE, find_cache_folder, model_places
from phylotools.provenance import sha256_text

logger = logging.getLogger("phylotools")

MODEL_VARIABLE = "PHYLOTOOLS_MODEL"
SETTINGS = "settings.json"
SETTINGS_VERSION = 1
#: Of a folder among the models, on any file system.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REMEDY = (
    "mend or delete it, then say again what it held: `phylotools model use`, "
    "`phylotools model set-reference`"
)
#: A reference each for hundreds of models.
_LARGEST_SETTINGS = 1 << 20


@dataclass(frozen=True)
class RememberedReference:
    """The FASTA that goes with a model.

    Attributes
    ----------
    fasta : str
        Absolute path.
    size, mtime_ns : int
        Of the file: where these are the same, it was not exchanged since.
    contigs_sha256 : str
        Of its contigs' names and lengths: a file that was exchanged has another.
    """

    fasta: str
    size: int
    mtime_ns: int
    contigs_sha256: str

    @classmethod
    def of(cls, fasta: str) -> RememberedReference:
        """What is remembered of a FASTA that is there.

        Raises
        ------
        InputError
            If it is none.
        """
        with ReferenceGenome.open(fasta) as genome:
            contigs = "".join(f"{name}\t{length}\n" for name, length in genome.contigs.items())
        status = os.stat(fasta)
        return cls(fasta, status.st_size, status.st_mtime_ns, sha256_text(contigs))

    def is_unchanged(self) -> bool:
        """Whether the file that is there now has the same contigs."""
        status = os.stat(self.fasta)
        if (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        return RememberedReference.of(self.fasta).contigs_sha256 == self.contigs_sha256


@dataclass(frozen=True)
class Settings:
    """The settings file.

    Attributes
    ----------
    version : int
    default_model : str, optional
        Name or absolute path of a model folder.
    references : dict of str to RememberedReference
        By `model_key`.
    """

    version: int = SETTINGS_VERSION
    default_model: str | None = None
    references: dict[str, RememberedReference] = field(default_factory=dict)


def cache_folder() -> Path:
    """Folder of fetched models and settings: $PHYLOTOOLS_CACHE, else that of the user's caches.

    Raises
    ------
    InputError
        If there is no variable and no home.
    """
    found = find_cache_folder()
    if found is None:
        raise InputError(
            "there is no home folder to keep models and settings in",
            remedy=f"name a folder with {CACHE_VARIABLE}",
        )
    return found


def models_folder() -> Path:
    """Where models lie that go by their names.

    Raises
    ------
    InputError
        As for `cache_folder`.
    """
    return cache_folder() / "models"


def make_model_place(name: str) -> Path:
    """Where a model of this name is to lie; the folders above it are made.

    Raises
    ------
    UsageError
        If the name is none that a folder can have, or that of a model that ships with phylotools.
    InputError
        As for `cache_folder`.
    OutputError
        If a folder cannot be made.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"'{shown(name)}' is no name for a model: take letters, digits, '.', '_' and '-', and "
            "begin with a letter or digit"
        )
    folder = models_folder()
    if any((place / name).is_dir() for place in model_places() if place != folder):
        raise UsageError(f"{name} is a model that ships with phylotools; choose another name")
    _make_folder(folder)
    return folder / name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made: {error.strerror}; name another folder with {CACHE_VARIABLE}"
        ) from error


def model_key(folder: Path) -> str:
    """What a model is called in the settings: its name where it has one, else its whole path."""
    path = os.path.abspath(folder)
    parent, name = os.path.split(path)
    return name if any(parent == os.path.abspath(place) for place in model_places()) else path


def read_settings() -> Settings:
    """The settings; empty ones where nothing was ever set, or nothing may be read.

    Raises
    ------
    InputError
        If the file is damaged or of a newer phylotools.
    """
    cache = find_cache_folder()
    path = None if cache is None else cache / SETTINGS
    if path is None or not os.path.lexists(path):
        return Settings()
    if not os.access(path, os.R_OK):
        logger.warning("%s: cannot be read: no setting of it is in force", path)
        return Settings()
    document = read_document(path, remedy=_REMEDY, largest=_LARGEST_SETTINGS)
    version = document.get("version")
    if type(version) is int and version > SETTINGS_VERSION:
        raise InputError(
            f"version {version} of the settings is newer than this phylotools",
            path=path,
            remedy="upgrade phylotools, or name another folder with PHYLOTOOLS_CACHE",
        )
    try:
        settings: Settings = decode(Settings, document)
    except ValueError:
        raise InputError("is damaged: these are no settings", path=path, remedy=_REMEDY) from None
    default = settings.default_model
    if default is not None and not _is_lasting(default):
        raise InputError(
            f"is damaged: '{shown(default)}' is neither the name of a model nor a whole path",
            path=path,
            remedy=_REMEDY,
        )
    for reference in settings.references.values():
        if not os.path.isabs(reference.fasta) or "\0" in reference.fasta:
            raise InputError(
                f"is damaged: '{shown(reference.fasta)}' is no whole path of a FASTA",
                path=path,
                remedy=_REMEDY,
            )
    return settings


def _is_lasting(model: str) -> bool:
    """Whether a name or path means the same from wherever a command is run."""
    return bool(model) and "\0" not in model and (os.sep not in model or os.path.isabs(model))


@contextlib.contextmanager
def _changed_settings() -> Iterator[list[Settings]]:
    """Yield the settings in a list of one, and write what is in it then; no two writers at once."""
    folder = cache_folder()
    _make_folder(folder)
    with lock_folder(folder, f".{SETTINGS}.lock", wait=True):
        box = [read_settings()]
        yield box
        text = json.dumps(asdict(box[0]), indent=2) + "\n"
        write_atomic(folder / SETTINGS, text, force=True)


def use_model(name: str | None) -> None:
    """Have this model used where none is named; None: forget it, so that one is chosen by the file.

    Parameters
    ----------
    name : str, optional
        Name, or absolute path of a folder; the caller has found that there is such a model.

    Raises
    ------
    InputError
        If the settings are damaged.
    OutputError
        If they cannot be written.
    """
    with _changed_settings() as box:
        box[0] = replace(box[0], default_model=name)


def default_model() -> tuple[str, str] | None:
    """The model that the user wants where none is named, and what says so.

    Returns
    -------
    tuple of str or None
        Name or path, and the variable or command it is from; None where nothing says so.

    Raises
    ------
    InputError
        If the settings are damaged.
    """
    name = os.environ.get(MODEL_VARIABLE)
    if name:
        return name, MODEL_VARIABLE
    name = read_settings().default_model
    return None if name is None else (name, "`phylotools model use`")


def remember_reference(model: str, fasta: Path) -> None:
    """Remember the FASTA that goes with a model.

    Parameters
    ----------
    model : str
        As `model_key` has it.
    fasta : Path
        A FASTA; what it has for the model is checked by the caller.

    Raises
    ------
    InputError
        If it is no FASTA, or the settings are damaged.
    OutputError
        If they cannot be written.
    """
    remembered = RememberedReference.of(os.path.abspath(fasta))
    with _changed_settings() as box:
        box[0] = replace(box[0], references=box[0].references | {model: remembered})


def reference_of(model: str) -> Path | None:
    """The FASTA remembered for a model; None where there is none.

    Parameters
    ----------
    model : str
        As `model_key` has it.

    Raises
    ------
    InputError
        If the FASTA is not there any more or has other contigs now, or the settings are damaged.
    """
    reference = read_settings().references.get(model)
    if reference is None:
        return None
    command = f"`phylotools model set-reference {shlex.quote(model)} --fasta FASTA`"
    if not os.path.isfile(reference.fasta):
        raise InputError(
            f"the FASTA that model {shown(model)} was given is not there any more",
            path=reference.fasta,
            remedy=f"say where it is: {command}",
        )
    if not reference.is_unchanged():
        raise InputError(
            f"has other contigs than when it was given to model {shown(model)}",
            path=reference.fasta,
            remedy=f"if that is meant, say so: {command}",
        )
    return Path(reference.fasta)

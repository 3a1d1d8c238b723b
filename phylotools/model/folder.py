"""A model folder: config.toml, manifest.json, weights.safetensors, card.md, maybe a reference.

``manifest.json`` holds the SHA-256 of every other file. File names are fixed; a name found inside
a file is never opened. torch is imported where a network is built, not before: who looks scores up
in tracks needs a model's facts alone.
"""

from __future__ import annotations

import copy
import json
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from phylotools.errors import InputError, UsageError
from phylotools.io.bed import read_bed
from phylotools.io.files import atomic_folder, open_input, read_small_text
from phylotools.io.regions import RegionSet
from phylotools.model.calibration import Calibration, read_calibration
from phylotools.model.presets import (
    GROUP_TILE_LENGTH,
    VOCABULARY,
    ModelSpec,
    masks_its_site,
    model_tables,
)
from phylotools.model.settings import model_key, reference_of
from phylotools.model.tuned_head import HEAD, TUNING, TunedHead, read_tuned_head
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.phylogeny.score_meaning import MASKED
from phylotools.provenance import sha256_file, sha256_text
from phylotools.version import __version__

if TYPE_CHECKING:
    import torch

    from phylotools.model.network import ByteNet
    from phylotools.model.site_fits import SiteFits
    from phylotools.model.site_model import RateAssumption, SiteModel
    from phylotools.phylogeny.substitution import SubstitutionModel

#: The newest version that can be read, that of models that mask the position they predict. All
#: others are written as version 1, which older phylotools read too.
MANIFEST_VERSION = 2
CONFIG, MANIFEST, WEIGHTS, CARD = "config.toml", "manifest.json", "weights.safetensors", "card.md"
REFERENCE, TRAINING_REGIONS = "reference.fa", "training_regions.bed"
#: Theta fitted to the training columns: see `phylotools.model.site_fits`.
SITE_FITS = "site_fits.safetensors"
TRANSCRIPTS, TRANSCRIPT_SEQUENCES = "transcripts.gff3", "transcripts.fa"
#: Learning curves, which the card shows.
PICTURE = "training.svg"
CALIBRATION = "calibration.tsv"
_HASHED = (
    *(CONFIG, WEIGHTS, CARD, REFERENCE, TRAINING_REGIONS, SITE_FITS, PICTURE, CALIBRATION),
    *(TRANSCRIPTS, TRANSCRIPT_SEQUENCES),
    *(HEAD, TUNING),
)
_REQUIRED = (CONFIG, MANIFEST, WEIGHTS, CARD)


#: Of a manifest: what a tile takes in memory must stay small.
_LONGEST_TILE = 65_536


def model_files() -> tuple[str, ...]:
    """Names of all files that a model folder may hold."""
    return (*_HASHED, MANIFEST)


@dataclass(frozen=True)
class ModelIdentity:
    """Identity of the model that made scores.

    Attributes
    ----------
    name, revision : str
    sha256 : str
        Of what scores depend on besides the sequence: of the weights' file or, where site fits go
        in as well, of the two files' checksums in a row.
    window : str
        In which positions are computed, where scores depend on it; else empty.
    """

    name: str
    revision: str
    sha256: str
    window: str = ""

    def to_dict(self) -> dict[str, str]:
        """What is not empty under ``name``, ``revision``, ``sha256`` and ``window``."""
        return {key: value for key, value in asdict(self).items() if key != "window" or value}

    def facts(self) -> dict[str, str]:
        """The same among other facts, with the name under ``model``."""
        return {"model" if key == "name" else key: value for key, value in self.to_dict().items()}

    def header_facts(self) -> dict[str, str]:
        """The same as headers of files and pictures have them: ``Model`` and so on."""
        return {key.capitalize(): value for key, value in self.facts().items()}


@dataclass(frozen=True)
class Model:
    """A model folder; its network is loaded when it is first asked for.

    Attributes
    ----------
    identity : ModelIdentity
    folder : Path
    manifest, config : dict
    spec : ModelSpec
        Shape of the network.
    device_name : str
        Where the network is to run, as a user names it.
    training_regions : RegionSet or None
        Where the model's training columns lie, for a model meant to score only those.
    uses_site_fits : bool
        Whether scores are those of the site fits where the folder has them.
    """

    identity: ModelIdentity
    folder: Path
    manifest: dict[str, Any]
    config: dict[str, Any]
    spec: ModelSpec
    device_name: str
    training_regions: RegionSet | None
    uses_site_fits: bool = False

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def revision(self) -> str:
        return self.identity.revision

    @property
    def sha256(self) -> str:
        """SHA-256 of what scores depend on; see `ModelIdentity`."""
        return self.identity.sha256

    @cached_property
    def device(self) -> torch.device:
        """Where the network runs.

        Raises
        ------
        UsageError
            If there is no such device on this machine.
        """
        from phylotools.model.device import resolve_device

        return resolve_device(self.device_name)

    @cached_property
    def site_model(self) -> SiteModel:
        """Frozen; tokens (B, L + receptive_field - 1) -> theta (B, L, A).

        Raises
        ------
        InputError
            If the weights are not those that the configuration describes.
        """
        from phylotools.model.site_model import SiteModelSpec
        from phylotools.model.weights import load_site_model

        spec = SiteModelSpec.from_dict(self.config, path=str(self.folder / CONFIG))
        return load_site_model(self.folder / WEIGHTS, spec, self.device)

    def trainable_site_model(self) -> SiteModel:
        """The same once more, not frozen: to be trained or changed.

        Raises
        ------
        InputError
            As for `site_model`.
        """
        from phylotools.model.site_model import SiteModelSpec
        from phylotools.model.weights import load_unfrozen

        spec = SiteModelSpec.from_dict(self.config, path=str(self.folder / CONFIG))
        return load_unfrozen(self.folder / WEIGHTS, spec).to(self.device)

    def with_site_model(self, site_model: SiteModel) -> Model:
        """The same facts, and another network in place of the folder's."""
        changed = replace(self)
        # Where `cached_property` would put it.
        changed.__dict__["site_model"] = site_model
        return changed

    @cached_property
    def tuned(self) -> TunedHead | None:
        """The head that was fitted to a user's labels, where the folder has one.

        Raises
        ------
        InputError
            If it is damaged.
        """
        if not (self.folder / HEAD).is_file():
            return None
        return read_tuned_head(self.folder, self)

    @cached_property
    def site_fits(self) -> SiteFits | None:
        """Theta of the training columns, where the folder brings it and it is to be used.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        from phylotools.model.site_fits import SiteFits

        return SiteFits.read(self.folder / SITE_FITS) if self.uses_site_fits else None

    def from_sequence_alone(self) -> Model:
        """The same model without site fits: the network's theta everywhere."""
        if not self.uses_site_fits:
            return self
        sha256 = self.manifest["sha256"][WEIGHTS]
        identity = replace(self.identity, sha256=sha256)
        return replace(self, identity=identity, uses_site_fits=False)

    @property
    def network(self) -> ByteNet:
        """The network alone, before a fixed rate is imposed."""
        return self.site_model.network

    @cached_property
    def substitution(self) -> SubstitutionModel:
        """What gives theta its meaning: frequencies, rates, fitness.

        On the CPU, wherever the network is: that is where theta arrives and is made use of.
        """
        return copy.deepcopy(self.site_model.substitution).cpu()

    @cached_property
    def mutation_process(self) -> MutationProcess:
        """Mutation as the substitution model has it: what scores are relative to. No torch.

        Its ``substitution`` is ``masked``, and so what scores mean, where `masks_site` is true.
        """
        path = str(self.folder / CONFIG)
        process = MutationProcess.of(model_tables(self.config, path=path)["substitution"])
        return replace(process, substitution=MASKED) if self.masks_site else process

    @cached_property
    def masks_site(self) -> bool:
        """Whether a position is predicted where it is masked; see `SiteModelSpec`. No torch."""
        path = str(self.folder / CONFIG)
        return masks_its_site(model_tables(self.config, path=path)["objective"], path=path)

    def require_substitutions(self, use: str) -> None:
        """Refuse a model of masked bases where rates of substitution are needed.

        Parameters
        ----------
        use : str
            What needs them, for the message.

        Raises
        ------
        UsageError
        """
        if self.masks_site:
            raise UsageError(
                f"{use}: model {self.name} predicts masked bases and knows no rate of "
                "substitution; give a model of the phylogenetic objective"
            )

    @cached_property
    def calibration(self) -> Calibration:
        """LLRs to expect of neutral sites, which the calibrated score is relative to.

        Raises
        ------
        InputError
            If the folder has no such table, or a damaged one.
        """
        path = self.folder / CALIBRATION
        if not path.is_file():
            raise InputError(
                f"model {self.name} lacks the table of neutral sites that the calibrated score "
                "needs",
                remedy="make a model with one: `phylotools model calibrate MODEL "
                "--neutral-regions BED -o FOLDER`",
            )
        return read_calibration(path)

    @property
    def rate(self) -> RateAssumption:
        """Assumption on each site's log R."""
        return self.site_model.rate

    @property
    def receptive_field(self) -> int:
        return self.spec.receptive_field

    @property
    def tile_length(self) -> int | None:
        """Positions of the tiles that it must be computed in; None where any give the same."""
        return _tile_length(self.manifest, self.spec, self.folder)

    @property
    def training_stores(self) -> list[dict[str, Any]]:
        """Facts of the column stores that the model was trained on, as far as it names them."""
        stores = self.manifest.get("training_stores")
        return [s for s in stores if isinstance(s, dict)] if isinstance(stores, list) else []

    @property
    def reference_fasta(self) -> Path | None:
        """The reference sequence that the folder ships, if it does."""
        path = self.folder / REFERENCE
        return path if path.is_file() else None

    @property
    def transcripts(self) -> tuple[Path, Path] | None:
        """GFF3 of the transcripts that the folder ships, and FASTA of their sequences."""
        gff, fasta = self.folder / TRANSCRIPTS, self.folder / TRANSCRIPT_SEQUENCES
        return (gff, fasta) if gff.is_file() else None

    def assembly_of(self, fasta: str | None) -> str:
        """The assembly of the model's own reference, or the name of another one's file."""
        known = self.manifest.get("assembly")
        if fasta is None and isinstance(known, str) and known:
            return known
        name = Path(fasta or self.name).name
        for suffix in (".gz", ".bgz", ".fasta", ".fa", ".fna", ".fas"):
            name = name.removesuffix(suffix)
        return name or "reference"

    def choose_reference(self, fasta: str | None) -> str:
        """The FASTA that a user gives, else the one that the folder ships, else that remembered.

        Raises
        ------
        InputError
            If there is none, or the one remembered is gone or was exchanged.
        """
        key = model_key(self.folder)
        found = fasta if fasta is not None else self.reference_fasta or reference_of(key)
        if found is None:
            raise InputError(
                f"model {self.name} does not ship its reference sequence",
                remedy="give the assembly with --fasta; `phylotools model set-reference "
                f"{shlex.quote(key)} --fasta FASTA` has it remembered",
            )
        return str(found)


@dataclass(frozen=True)
class ModelDraft:
    """What a model folder is written from.

    Attributes
    ----------
    name, revision : str
    site_model : SiteModel
    training : dict
        The training configuration, kept in ``config.toml``.
    facts : dict
        Manifest entries: assembly, store and tree hashes, held-out contigs, licence, metrics.
    card : str
        Markdown.
    reference, training_regions, site_fits : Path, optional
        FASTA, BED and site fits to copy into the folder.
    picture : bytes, optional
        Learning curves, SVG.
    transcripts : tuple of str, optional
        GFF3 of transcripts, and FASTA of their joined sequences.
    """

    name: str
    revision: str
    site_model: SiteModel
    training: dict[str, Any]
    facts: dict[str, Any]
    card: str
    reference: Path | None = None
    training_regions: Path | None = None
    site_fits: Path | None = None
    picture: bytes | None = None
    transcripts: tuple[str, str] | None = None
    check_sequence: str = field(default="ACGTTGCANACCGGTTTACG-ACGATTACATTAGCAT", repr=False)


def write_model(draft: ModelDraft, path: str | Path, *, force: bool = False) -> None:
    """Write a model folder, whole or not at all."""
    from phylotools.model.weights import folder_tensors, save_tensors

    spec = draft.site_model.spec
    with atomic_folder(path, force=force, contents=model_files()) as folder:
        config = {**spec.to_dict(), "training": draft.training}
        (folder / CONFIG).write_text(tomli_w.dumps(config), encoding="utf-8")
        (folder / CARD).write_text(draft.card, encoding="utf-8")
        save_tensors(folder / WEIGHTS, folder_tensors(draft.site_model), {"format": "pt"})
        for source, name in (
            (draft.reference, REFERENCE),
            (draft.training_regions, TRAINING_REGIONS),
        ):
            if source is not None:
                # Other tools take a gzip file of this name for text.
                with open_input(source) as packed, (folder / name).open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
        if draft.site_fits is not None:
            shutil.copyfile(draft.site_fits, folder / SITE_FITS)
        if draft.picture is not None:
            (folder / PICTURE).write_bytes(draft.picture)
        if draft.transcripts is not None:
            for name, text in zip(
                (TRANSCRIPTS, TRANSCRIPT_SEQUENCES), draft.transcripts, strict=True
            ):
                (folder / name).write_text(text, encoding="utf-8")
        manifest = {
            "manifest_version": MANIFEST_VERSION if spec.masks_site else 1,
            "name": draft.name,
            "revision": draft.revision,
            "made_by": f"phylotools {__version__}",
            "receptive_field": spec.network.receptive_field,
            "parameters": sum(
                p.numel()
                for part in (draft.site_model.network, draft.site_model.substitution)
                for p in part.parameters()
            ),
            "substitution": spec.to_dict()["substitution"],
            "rate": spec.rate.to_dict(),
            **({"tile_length": GROUP_TILE_LENGTH} if spec.network.norm == "group" else {}),
            **draft.facts,
            "check": {
                "sequence": draft.check_sequence,
                "log_rates": check_values(draft.site_model, draft.check_sequence),
            },
            "sha256": {
                name: sha256_file(folder / name) for name in _HASHED if (folder / name).exists()
            },
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def write_calibrated(
    model: Model, lines: str, facts: dict[str, Any], path: str | Path, *, force: bool = False
) -> None:
    """Write a model folder again with another table of neutral sites, whole or not at all.

    Parameters
    ----------
    model : Model
    lines : str
        The table, as `calibration_lines` makes it.
    facts : dict
        Of the manifest, under ``calibration``.
    path : str or Path
        Folder to make.
    force : bool
        Replace an existing model folder.
    """
    changed = {CALIBRATION: lines.encode()}
    with atomic_folder(path, force=force, contents=model_files()) as folder:
        write_changed(folder, model, changed, {"calibration": facts})


def write_changed(
    folder: Path, model: Model, changed: Mapping[str, bytes], facts: dict[str, Any]
) -> None:
    """Put the files of a model into a folder, some of them new or other than they were.

    Parameters
    ----------
    folder : Path
        Empty.
    model : Model
    changed : mapping of str to bytes
        Files of the folder by name.
    facts : dict
        Entries of the manifest, new or changed.
    """
    for name in _HASHED:
        if name in changed:
            (folder / name).write_bytes(changed[name])
        elif (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, folder / name)
    hashes = model.manifest["sha256"] | {name: sha256_file(folder / name) for name in changed}
    manifest = {**model.manifest, **facts, "sha256": hashes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def check_values(model: SiteModel, sequence: str) -> list[list[float]]:
    """Theta over a short sequence padded on both sides: the proof that a model is itself.

    Returns
    -------
    list of shape (len(sequence), A)
    """
    import torch

    half = model.receptive_field // 2
    text = "-" * half + sequence + "-" * half
    device = next(model.parameters()).device
    tokens = torch.tensor([[VOCABULARY.index(base) for base in text]], device=device)
    with torch.inference_mode():
        theta = model(tokens)[0]
    return [[round(value, 6) for value in row] for row in theta.tolist()]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder, its required entries checked."""
    if not folder.is_dir():
        raise InputError("there is no such model folder", path=folder)
    for name in _REQUIRED:
        if not (folder / name).is_file():
            raise InputError(
                f"not a model folder: {name} is missing",
                path=folder,
                remedy="a training run becomes one by 'phylotools model export RUN -o MODEL "
                "--name NAME'",
            )
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_small_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON ({error})", path=path) from None
    expected = {"name": str, "revision": str, "sha256": dict, "manifest_version": int}
    for key, kind in expected.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise InputError(f"the entry '{key}' is missing or of the wrong type", path=path)
    if manifest["manifest_version"] > MANIFEST_VERSION:
        raise InputError(
            f"manifest version {manifest['manifest_version']} is newer than this phylotools",
            path=path,
            remedy="upgrade phylotools",
        )
    return manifest


def verify_checksums(folder: Path, manifest: dict[str, Any]) -> None:
    """Compare every file with the manifest; the first that differs is an `InputError`."""
    recorded = manifest["sha256"]
    for name in _HASHED:
        present = (folder / name).is_file()
        if present != (name in recorded):
            state = "is not in the manifest" if present else "is missing"
            raise InputError(
                f"the file {state}", path=folder / name, remedy="fetch the model again"
            )
        if present and sha256_file(folder / name) != recorded[name]:
            raise InputError(
                "wrong checksum: the file is not the one the manifest names",
                path=folder / name,
                remedy="fetch or export the model again",
            )


def _require_pairs(folder: Path) -> None:
    for names in ((TRANSCRIPTS, TRANSCRIPT_SEQUENCES), (HEAD, TUNING)):
        missing = [name for name in names if not (folder / name).is_file()]
        if len(missing) == 1:
            (other,) = set(names) - set(missing)
            raise InputError(
                f"{missing[0]} is missing, without which {other} is no use",
                path=folder,
                remedy="fetch or export the model again",
            )


def _tile_length(manifest: dict[str, Any], spec: ModelSpec, folder: Path) -> int | None:
    """The manifest's tiles of a network whose norm runs over positions; of others None."""
    if spec.norm != "group":
        return None
    length = manifest.get("tile_length", GROUP_TILE_LENGTH)
    if type(length) is not int or not 1 <= length <= _LONGEST_TILE:
        raise InputError(
            f"tile_length must be a whole number up to {_LONGEST_TILE}",
            path=folder / MANIFEST,
            remedy="fetch or import the model again",
        )
    return length


def open_model(folder: Path, device: str = "cpu") -> Model:
    """Open a model folder after checking every checksum; its network is not loaded yet.

    Parameters
    ----------
    folder : Path
    device : str
        ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises
    ------
    InputError
        If a file is missing, altered or malformed.
    """
    manifest = read_manifest(folder)
    verify_checksums(folder, manifest)
    _require_pairs(folder)
    config_path = str(folder / CONFIG)
    try:
        config = tomllib.loads(read_small_text(config_path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid TOML ({error})", path=config_path) from None
    tables = model_tables(config, path=config_path)
    spec = ModelSpec.from_dict(tables["network"], path=config_path)
    masks_its_site(tables["objective"], path=config_path)
    if manifest.get("receptive_field", spec.receptive_field) != spec.receptive_field:
        raise InputError(
            f"the receptive field is not the network's, {spec.receptive_field}",
            path=folder / MANIFEST,
            remedy="fetch or export the model again",
        )
    regions = folder / TRAINING_REGIONS
    has_fits = (folder / SITE_FITS).is_file()
    recorded = manifest["sha256"]
    sha256 = recorded[WEIGHTS]
    if has_fits:
        sha256 = sha256_text(sha256 + recorded[SITE_FITS])
    tile_length, window = _tile_length(manifest, spec, folder), ""
    if tile_length is not None:
        window = (
            f"tiles of {tile_length} positions from the start of each contig and "
            f"{spec.receptive_field // 2} on either side"
        )
    return Model(
        identity=ModelIdentity(manifest["name"], manifest["revision"], sha256, window),
        folder=folder,
        manifest=manifest,
        config=config,
        spec=spec,
        device_name=device,
        training_regions=read_bed(regions) if regions.is_file() else None,
        uses_site_fits=has_fits,
    )


def read_model(folder: Path, device: str = "cpu") -> Model:
    """`open_model`, and its network loaded.

    Raises
    ------
    InputError
        If a file is missing, altered or malformed.
    UsageError
        If there is no such device on this machine.
    """
    model = open_model(folder, device)
    _ = model.site_model
    return model

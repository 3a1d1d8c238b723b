"""A published network as one of our model folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phylotools.errors import InputError, shown
from phylotools.model.folder import MANIFEST, ModelDraft, write_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import LARGEST_THETA, ModelSpec
from phylotools.model.published.card import published_card
from phylotools.model.published.configuration import (
    CONFIG_JSON,
    CONFIG_YAML,
    read_configuration,
)
from phylotools.model.published.golden import GoldenComparison, GoldenTable
from phylotools.model.published.layouts import FoundLayout, check_blocks, find_layout
from phylotools.model.published.tensors import ForeignTensors, open_tensors
from phylotools.model.site_model import SiteModel
from phylotools.model.weights import check_kind, check_tensor
from phylotools.provenance import sha256_file

logger = logging.getLogger("phylotools")

#: As the authors call them on Hugging Face and in their repository.
SAFETENSORS, CHECKPOINT = "model.safetensors", "checkpoint.pt"
#: All that was published was trained on the human genome, as the authors' paper says.
ASSEMBLY = "hg38"


@dataclass(frozen=True)
class ImportRequest:
    """What a user, or a download, knows of published weights and their files do not say.

    Attributes
    ----------
    name : str
        Of the model that is made.
    revision : str
        By default the first digits of the weights' checksum.
    licence : str
        Of the weights.
    assembly : str
        Of the reference sequence that they were trained on.
    norm : {'layer', 'group'}, optional
        By default what the names of the tensors say.
    source : dict
        Where the files came from, for the manifest: ``repository``, ``revision`` and so on.
    """

    name: str
    revision: str = ""
    licence: str = ""
    assembly: str = ASSEMBLY
    norm: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedModel:
    """What came of an import.

    Attributes
    ----------
    folder : Path
    name, revision : str
    layout : str
        In which the weights were published.
    norm : {'layer', 'group'}
    n_parameters : int
    files : dict of str to str
        SHA-256 of the files that were read.
    comparison : GoldenComparison
        With what the authors printed: which of their releases this is, if any.
    """

    folder: Path
    name: str
    revision: str
    layout: str
    norm: str
    n_parameters: int
    files: dict[str, str]
    comparison: GoldenComparison


def import_published(
    source: Path,
    output: Path,
    request: ImportRequest,
    *,
    force: bool = False,
    table: GoldenTable | None = None,
) -> ImportedModel:
    """Make a model folder of the weights and the configuration of a published PhyloGPN.

    Parameters
    ----------
    source : Path
        A folder with ``model.safetensors`` and ``config.json``, or with ``checkpoint.pt`` and
        ``config.yaml``; or the file of weights in it, under whatever name.
    output : Path
        Model folder, which appears whole or not at all.
    request : ImportRequest
    force : bool
        Replace an existing model folder.
    table : GoldenTable, optional
        By default the one that ships with the package.

    Raises
    ------
    InputError
        If the files are not those of a published network, disagree, or are damaged.
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    """
    weights, configuration = find_files(source)
    with open_tensors(weights) as tensors:
        found = find_layout(tensors.shapes, weights)
        norm = found.choose_norm(request.norm, weights)
        spec = read_configuration(configuration, norm)
        network = _network(tensors, found, spec)
    # Not before: what is far larger than a network, or a pipe, has been refused by now.
    files = {path.name: sha256_file(path) for path in (weights, configuration)}
    model = SiteModel(network).freeze()
    _check_output(model, weights)
    golden = table or GoldenTable.read()
    comparison = golden.compare(model)
    if comparison.has_published_shape and not comparison.matching:
        logger.warning(
            "%s: %s; if you did not train them, they are damaged or have another norm",
            weights, comparison.lines()[0],
        )  # fmt: skip
    revision = request.revision or files[weights.name][:12]
    published = {
        "generations": comparison.generations,
        "layout": found.layout.name,
        "norm_known_by": _norm_evidence(found, request.norm),
        **request.source,
        "files": files,
    }
    known = golden.known_files.get(files[weights.name])
    if known is not None:
        published["known_as"] = known
    draft = ModelDraft(
        name=request.name,
        revision=revision,
        site_model=model,
        training={},
        facts={
            "assembly": request.assembly,
            "licence": request.licence,
            "published": published,
        },
        card=published_card(request.name, spec, request.licence, request.assembly, published),
    )
    write_model(draft, output, force=force)
    return ImportedModel(
        output, request.name, revision, found.layout.name, norm, spec.n_parameters, files,
        comparison,
    )  # fmt: skip


def find_files(source: Path) -> tuple[Path, Path]:
    """The file of weights of a published network, and its configuration.

    Parameters
    ----------
    source : Path
        As for `import_published`.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if not source.exists():
        raise InputError("there is no such file or folder", path=source)
    weights = source
    if source.is_dir():
        there = [source / name for name in (SAFETENSORS, CHECKPOINT) if (source / name).exists()]
        if len(there) != 1:
            raise InputError(*_not_one(there), path=source, remedy=_remedy(source, there))
        (weights,) = there
    names = (CONFIG_JSON, CONFIG_YAML)
    for name in names[::-1] if weights.suffix == ".pt" else names:
        if (weights.parent / name).exists():
            return weights, weights.parent / name
    raise InputError(
        f"has no {CONFIG_JSON} or {CONFIG_YAML} beside it, which say what the network is like",
        path=weights,
        remedy="get the one that was published with it, and put it there",
    )


def _not_one(there: list[Path]) -> tuple[str]:
    if there:
        return (f"has both {SAFETENSORS} and {CHECKPOINT}",)
    return (f"has no {SAFETENSORS} and no {CHECKPOINT}",)


def _remedy(source: Path, there: list[Path]) -> str:
    if there:
        return "name the one of the two that is meant"
    if (source / MANIFEST).exists():
        return "this is a model folder of phylotools already: give it as it is"
    return "give a folder with the published files, or the file of weights itself"


def _network(tensors: ForeignTensors, found: FoundLayout, spec: ModelSpec) -> ByteNet:
    """The network of the tensors, each of which must be there and be right."""
    path = tensors.path
    check_blocks(found, tensors.shapes, spec, path)
    expected = list(found.their_names(spec))
    unknown = tensors.shapes.keys() - {theirs for _, theirs, _ in expected}
    if unknown:
        raise InputError(
            f"tensor {shown(min(unknown))} is no part of a published network", path=path
        )
    for _, theirs, shape in expected:
        if theirs not in tensors.shapes:
            raise InputError(f"tensor {theirs} is missing", path=path)
        check_kind(theirs, tensors.shapes[theirs], tensors.dtypes[theirs], shape, path)
    state: dict[str, Tensor] = {}
    for ours, theirs, shape in expected:
        state[ours] = tensors[theirs]
        check_tensor(theirs, state[ours], shape, path)
    network = ByteNet(spec)
    network.load_state_dict(state)
    return network


def _check_output(model: SiteModel, path: Path) -> None:
    """Refuse weights that are each possible, but give no numbers together."""
    tokens = torch.arange(model.receptive_field)[None] % 4
    with torch.inference_mode():
        theta = model(tokens)
    if not bool(torch.isfinite(theta).all()) or bool((theta.abs() > LARGEST_THETA).any()):
        raise InputError(
            "the weights give numbers that are no log rates: they are damaged",
            path=path,
            remedy="download them again",
        )


def _norm_evidence(found: FoundLayout, wanted: str | None) -> str:
    if found.layout.says_norm:
        return "the names of the tensors"
    if wanted is not None:
        return "--norm"
    return "every release with these names of tensors"
